"""The networks of the healthy recipes as tagged source lines, one function a family.

Each takes the settings of a parent, the shape of one input and the number of outputs, and writes what a
programmer would: a `network()` with a Sequential, or a class with `__init__` and `forward`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.faults.script import Line, lines

Settings = dict[str, Any]
ACTIVATIONS = {"relu": "nn.ReLU()", "gelu": "nn.GELU()", "tanh": "nn.Tanh()", "silu": "nn.SiLU()"}
CALLS = {
    "relu": "torch.relu",
    "gelu": "nn.functional.gelu",
    "tanh": "torch.tanh",
    "silu": "nn.functional.silu",
}


def _sequential(*pairs: tuple[str, str]) -> tuple[Line, ...]:
    inside = [(tag, f"        {text},") for tag, text in pairs]
    return lines(
        ("open-def", "def network() -> nn.Module:"),
        ("open", "    return nn.Sequential("),
        *inside,
        ("close", "    )"),
        ("network-end", ""),
    )


def _module(
    name: str, doc: str, init: list[tuple[str, str]], forward: list[tuple[str, str]], output: str
) -> tuple[Line, ...]:
    return lines(
        ("class", f"class {name}(nn.Module):"),
        f'    """{doc}"""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *((tag, f"        {text}") for tag, text in init),
        ("built", ""),
        ("def-forward", "    def forward(self, x: Tensor) -> Tensor:"),
        *((tag, f"        {text}") for tag, text in forward),
        ("output", f"        return {output}"),
        ("network-end", ""),
    )


def _hidden(settings: Settings, inputs: int, norm: str = "BatchNorm1d") -> list[tuple[str, str]]:
    """Linear, perhaps norm, activation, perhaps dropout; `depth` times."""
    out, width = [], settings["width"]
    for k in range(settings["depth"]):
        out.append(("hidden", f"nn.Linear({inputs if k == 0 else width}, {width})"))
        if settings.get("norm"):
            out.append(("norm", f"nn.{norm}({width})"))
        out.append(("activation", ACTIVATIONS[settings["activation"]]))
        if settings.get("dropout"):
            out.append(("dropout", f"nn.Dropout({settings['dropout']})"))
    return out


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def mlp(settings: Settings, shape: tuple[int, ...], outputs: int) -> tuple[Line, ...]:
    flatten = [("flatten", "nn.Flatten()")] if len(shape) > 1 else []
    hidden = _hidden(settings, _size(shape))
    return _sequential(*flatten, *hidden, ("head", f"nn.Linear({settings['width']}, {outputs})"))


def mlp_class(settings: Settings, shape: tuple[int, ...], outputs: int) -> tuple[Line, ...]:
    width, depth, call = settings["width"], settings["depth"], CALLS[settings["activation"]]
    init, forward = [], [("flatten", "x = x.flatten(1)")] if len(shape) > 1 else []
    for k in range(depth):
        init.append(
            ("hidden", f"self.hidden{k + 1} = nn.Linear({_size(shape) if k == 0 else width}, {width})")
        )
        forward.append(("step", f"x = {call}(self.hidden{k + 1}(x))"))
        if settings.get("dropout"):
            forward.append(("drop-step", "x = self.drop(x)"))
    if settings.get("dropout"):
        init.append(("dropout", f"self.drop = nn.Dropout({settings['dropout']})"))
    init.append(("head", f"self.head = nn.Linear({width}, {outputs})"))
    doc = f"{depth} hidden layers of {width} and a linear head."
    return _module("Net", doc, init, forward, "self.head(x)")


def residual_mlp(settings: Settings, shape: tuple[int, ...], outputs: int) -> tuple[Line, ...]:
    width, act = settings["width"], ACTIVATIONS[settings["activation"]]
    block = _module(
        "Block",
        "x (N, width) plus what two layers add to it.",
        [
            ("block-norm", f"self.norm = nn.LayerNorm({width})"),
            ("hidden", f"self.up = nn.Linear({width}, {width})"),
            ("block-activation", f"self.act = {act}"),
            ("hidden", f"self.down = nn.Linear({width}, {width})"),
        ],
        [],
        "x + self.down(self.act(self.up(self.norm(x))))",
    )[:-1]
    block = tuple(
        Line("block-" + b.tag if b.tag in ("built", "output", "class") else b.tag, b.text) for b in block
    )
    net = _module(
        "Net",
        f"{settings['depth']} residual blocks of {width}.",
        [
            ("hidden", f"self.embed = nn.Linear({_size(shape)}, {width})"),
            ("blocks", f"self.blocks = nn.Sequential(*[Block() for _ in range({settings['depth']})])"),
            ("head", f"self.head = nn.Linear({width}, {outputs})"),
        ],
        [("flatten", "x = x.flatten(1)")] if len(shape) > 1 else [],
        "self.head(torch.relu(self.blocks(self.embed(x))))",
    )
    return (*block, *lines("", ""), *net)


def _conv(settings: Settings, inputs: int, outputs: int, stride: int = 1) -> list[tuple[str, str]]:
    out = [("conv", f"nn.Conv2d({inputs}, {outputs}, 3, padding=1{', stride=2' if stride == 2 else ''})")]
    if settings.get("norm"):
        out.append(("norm", f"nn.BatchNorm2d({outputs})"))
    return [*out, ("activation", ACTIVATIONS[settings["activation"]])]


def cnn(settings: Settings, shape: tuple[int, ...], outputs: int) -> tuple[Line, ...]:
    width, side = settings["width"], shape[1]
    pairs, channels = [], shape[0]
    for k in range(settings["depth"]):
        pairs += _conv(settings, channels, width * 2**k)
        pairs.append(("pool", "nn.MaxPool2d(2)"))
        channels, side = width * 2**k, side // 2
    if settings.get("dropout"):
        pairs.append(("dropout", f"nn.Dropout({settings['dropout']})"))
    pairs += [("flatten", "nn.Flatten()"), ("head", f"nn.Linear({channels * side * side}, {outputs})")]
    return _sequential(*pairs)


def cnn_class(settings: Settings, shape: tuple[int, ...], outputs: int) -> tuple[Line, ...]:
    width, call = settings["width"], CALLS[settings["activation"]]
    init, forward, channels, side = [], [], shape[0], shape[1]
    for k in range(settings["depth"]):
        init.append(("conv", f"self.conv{k + 1} = nn.Conv2d({channels}, {width * 2**k}, 3, padding=1)"))
        inner = f"self.conv{k + 1}(x)"
        if settings.get("norm"):
            init.append(("norm", f"self.norm{k + 1} = nn.BatchNorm2d({width * 2**k})"))
            inner = f"self.norm{k + 1}({inner})"
        forward.append(("step", f"x = nn.functional.max_pool2d({call}({inner}), 2)"))
        channels, side = width * 2**k, side // 2
    init += [
        ("hidden", f"self.hidden = nn.Linear({channels * side * side}, {2 * width})"),
        ("head", f"self.head = nn.Linear({2 * width}, {outputs})"),
    ]
    forward += [("flatten", "x = x.flatten(1)"), ("step", f"x = {call}(self.hidden(x))")]
    doc = f"{settings['depth']} convolutions, a hidden layer and a head."
    return _module("ConvNet", doc, init, forward, "self.head(x)")


def resnet(settings: Settings, shape: tuple[int, ...], outputs: int) -> tuple[Line, ...]:
    width, depth = settings["width"], settings["depth"]
    block = lines(
        ("block-class", "class Residual(nn.Module):"),
        '    """Two convolutions beside a shortcut."""',
        "",
        "    def __init__(self, channels: int) -> None:",
        "        super().__init__()",
        ("conv", "        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)"),
        ("block-norm", "        self.norm1 = nn.BatchNorm2d(channels)"),
        ("conv", "        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)"),
        ("block-norm", "        self.norm2 = nn.BatchNorm2d(channels)"),
        "",
        "    def forward(self, x: Tensor) -> Tensor:",
        ("block-step", "        inner = torch.relu(self.norm1(self.conv1(x)))"),
        ("block-output", "        return torch.relu(x + self.norm2(self.conv2(inner)))"),
        "",
        "",
    )
    pairs = [("conv", f"nn.Conv2d({shape[0]}, {width}, 3, padding=1, stride=2)"), ("activation", "nn.ReLU()")]
    pairs += [("blocks", f"Residual({width})")] * depth
    pairs += [("pool", "nn.AdaptiveAvgPool2d(2)"), ("flatten", "nn.Flatten()")]
    return (*block, *_sequential(*pairs, ("head", f"nn.Linear({4 * width}, {outputs})")))


def _reader(kind: str, settings: Settings, shape: tuple[int, ...], outputs: int) -> tuple[Line, ...]:
    """GRU or LSTM over (N, T, D), or over the embedding of token ids (N, T)."""
    width, vocabulary = settings["width"], settings.get("vocabulary")
    init, inner, features = [], "x", shape[-1]
    if vocabulary:
        features = settings["embedding"]
        init.append(("embedding", f"self.embedding = nn.Embedding({vocabulary}, {features})"))
        inner = "self.embedding(x)"
    both = ", bidirectional=True" if settings.get("both") else ""
    init.append(("rnn", f"self.rnn = nn.{kind}({features}, {width}, batch_first=True{both})"))
    init.append(("head", f"self.head = nn.Linear({2 * width if both else width}, {outputs})"))
    forward = [("read", f"states, _ = self.rnn({inner})")]
    pooled = "states.mean(1)" if vocabulary or both else "states[:, -1]"
    forward.append(("pooling", f"x = {pooled}"))
    return _module("Reader", f"A {kind} over the steps, then a head.", init, forward, "self.head(x)")


def gru(settings: Settings, shape: tuple[int, ...], outputs: int) -> tuple[Line, ...]:
    return _reader("GRU", settings, shape, outputs)


def lstm(settings: Settings, shape: tuple[int, ...], outputs: int) -> tuple[Line, ...]:
    return _reader("LSTM", settings, shape, outputs)


def conv1d(settings: Settings, shape: tuple[int, ...], outputs: int) -> tuple[Line, ...]:
    """Convolutions along time over (N, T, D) or embedded tokens, the largest answer of each filter."""
    width, vocabulary, init = settings["width"], settings.get("vocabulary"), []
    features, inner = shape[-1], "x"
    if vocabulary:
        features, inner = settings["embedding"], "self.embedding(x)"
        init.append(("embedding", f"self.embedding = nn.Embedding({vocabulary}, {features})"))
    call, forward = CALLS[settings["activation"]], [("channels", f"x = {inner}.transpose(1, 2)")]
    for k in range(settings["depth"]):
        wide = features if k == 0 else width
        init.append(("conv", f"self.conv{k + 1} = nn.Conv1d({wide}, {width}, 5, padding=2)"))
        part = f"self.conv{k + 1}(x)"
        if settings.get("norm"):
            init.append(("norm", f"self.norm{k + 1} = nn.BatchNorm1d({width})"))
            part = f"self.norm{k + 1}({part})"
        forward.append(("step", f"x = {call}({part})"))
    forward.append(("pooling", "x = x.amax(2)"))
    init.append(("head", f"self.head = nn.Linear({width}, {outputs})"))
    return _module("Filters", "Filters along the steps, pooled, then a head.", init, forward, "self.head(x)")


def bag(settings: Settings, shape: tuple[int, ...], outputs: int) -> tuple[Line, ...]:
    """The mean embedding of the words, then a hidden layer."""
    width, wide = settings["width"], settings["embedding"]
    init = [
        ("embedding", f"self.embedding = nn.Embedding({settings['vocabulary']}, {wide}, padding_idx=0)"),
        ("hidden", f"self.hidden = nn.Linear({wide * (shape[0] if settings.get('placed') else 1)}, {width})"),
        ("head", f"self.head = nn.Linear({width}, {outputs})"),
    ]
    pooled = "self.embedding(x).flatten(1)" if settings.get("placed") else "self.embedding(x).mean(1)"
    forward = [("pooling", f"x = {pooled}"), ("step", f"x = {CALLS[settings['activation']]}(self.hidden(x))")]
    return _module("Bag", "Embedded tokens, a hidden layer, a head.", init, forward, "self.head(x)")


def transformer(settings: Settings, shape: tuple[int, ...], outputs: int) -> tuple[Line, ...]:
    """One or two encoder layers over the steps with learnt positions; the mean over steps goes to the
    head."""
    width, vocabulary = settings["width"], settings.get("vocabulary")
    first = f"nn.Embedding({vocabulary}, {width})" if vocabulary else f"nn.Linear({shape[-1]}, {width})"
    layer = f"nn.TransformerEncoderLayer({width}, 4, {2 * width}, dropout={settings.get('dropout') or 0.0}"
    init = [
        ("embedding", f"self.embed = {first}"),
        ("positions", f"self.positions = nn.Parameter(0.02 * torch.randn({shape[0]}, {width}))"),
        ("layer", f"layer = {layer}, batch_first=True, norm_first=True)"),
        (
            "encoder",
            f"self.encoder = nn.TransformerEncoder(layer, {settings['depth']}, enable_nested_tensor=False)",
        ),
        ("norm", f"self.norm = nn.LayerNorm({width})"),
        ("head", f"self.head = nn.Linear({width}, {outputs})"),
    ]
    forward = [
        ("embed", "x = self.embed(x) + self.positions"),
        ("encode", "x = self.encoder(x)"),
        ("pooling", "x = x.mean(1)"),
    ]
    return _module("Encoder", "A small transformer.", init, forward, "self.head(self.norm(x))")


FAMILIES: dict[str, Callable[[Settings, tuple[int, ...], int], tuple[Line, ...]]] = {
    "mlp": mlp,
    "mlp_class": mlp_class,
    "residual_mlp": residual_mlp,
    "cnn": cnn,
    "cnn_class": cnn_class,
    "resnet": resnet,
    "gru": gru,
    "lstm": lstm,
    "conv1d": conv1d,
    "bag": bag,
    "transformer": transformer,
}
FAMILIES_OF = {
    "table": ("mlp", "mlp_class", "residual_mlp", "mlp"),
    "image": ("cnn", "cnn_class", "resnet", "mlp", "mlp_class"),
    "series": ("conv1d", "gru", "lstm", "transformer"),
    "text": ("bag", "conv1d", "gru", "transformer"),
}
