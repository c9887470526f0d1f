"""Kinds of edit that reach into the network's forward pass and its layers' settings.

What stands in `forward` as a function cannot be replaced as a layer can. It is replaced while it is called: a
`TorchFunctionMode`, open only while the user's network runs, counts the calls by name and answers the chosen
ones otherwise. The user's code stays as it is; an edit says which call, `("softmax", 0)`, and what instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from netwright.catalogue import edit
from netwright.recipe.edits import Wrapper, core, find_layer, leaves
from netwright.recipe.streams import seeded
from netwright.recipe.training import Training
from netwright.values import Edit, UserError

_TINY = 1e-6
_INSTEAD: dict[str, Callable[..., Any]] = {
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu": F.gelu,
}
_PLAIN = {"T": "t", "_softmax": "softmax", "multi_head_attention_forward": "attention"}


def call_name(func: Any) -> str:
    """`relu` for `torch.relu`, `F.relu` and `Tensor.relu_`; the property's name for `Tensor.data`."""
    name = getattr(func, "__name__", type(func).__name__)
    if name in ("__get__", "__set__"):
        name = getattr(getattr(func, "__self__", None), "__name__", name)
    return _PLAIN.get(name, name.strip("_")).removesuffix("_with_indices")


def picked_places(index: Any, ndim: int) -> dict[int, int]:
    """The axes along which an index takes a single place, with that place; empty where it asks for anything
    but single places and whole axes."""
    parts = list(index) if isinstance(index, tuple) else [index]
    gap = next((k for k, part in enumerate(parts) if part is ...), None)
    if gap is not None:
        parts[gap : gap + 1] = [slice(None)] * (ndim - len(parts) + 1)
    whole = slice(None)
    if not all(p == whole if isinstance(p, slice) else type(p) is int for p in parts):
        return {}
    return {axis: part for axis, part in enumerate(parts) if type(part) is int}


class _Rewriting(TorchFunctionMode):
    """Answers the chosen calls of one network otherwise; open from its pre-hook to its hook."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.table: dict[tuple[str, int], Mapping[str, Any]] = {}
        self._network = [network]  # in a list, so that it is no submodule of anything
        self._counts: Counter[str] = Counter()
        self._depth = 0
        self.now: tuple[str, int] | None = None  # the call being answered, by name and number

    def begin(self, module: nn.Module, arguments: Any) -> None:
        self._depth += 1
        if self._depth == 1:
            self._counts.clear()
            self.__enter__()

    def end(self, module: nn.Module, arguments: Any, result: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.__exit__(None, None, None)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = call_name(func)
        nth = self._counts[name]
        self._counts[name] += 1
        chosen = self.table.get((name, nth))
        self.now = name, nth
        try:
            if chosen is None:
                return func(*args, **kwargs)
            return _answer(func, args, kwargs, chosen, self._network[0])
        finally:
            self.now = None


def _answer(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], chosen: Mapping[str, Any], network: nn.Module
) -> Any:
    to = chosen["to"]
    if to == "identity":
        return args[0]
    if to in _INSTEAD:
        return _INSTEAD[to](args[0])
    if to == "guarded":
        return _guarded(func, args, kwargs)
    if to.startswith("then "):
        return _INSTEAD[to.removeprefix("then ")](func(*args, **kwargs))
    if to == "dim":
        rest = args[:1] if len(args) > 1 and not isinstance(args[1], Tensor) else args
        return func(*rest, **{**kwargs, "dim": chosen["value"]})
    if to in ("averaged", "largest"):
        axes = tuple(picked_places(args[1], args[0].ndim))
        return args[0].mean(axes) if to == "averaged" else args[0].amax(axes)
    if to == "last":
        places = picked_places(args[1], args[0].ndim)
        return args[0][tuple(-1 if axis in places else slice(None) for axis in range(args[0].ndim))]
    if to == "dropout":
        value = chosen.get("value")
        given = args[1] if len(args) > 1 else 0.5
        p = float(kwargs.get("p", given) if value is None else value)
        inputs: Any = next(iter(args))
        return F.dropout(inputs, p, network.training)
    raise UserError(f"edit: rewrite-calls knows no {to!r}")


def _guarded(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same function kept away from where its derivative is not finite."""
    name = call_name(func)
    first = args[0]
    if name in ("div", "truediv") and len(args) > 1 and isinstance(args[1], Tensor):
        sign = torch.where(args[1] < 0, -1.0, 1.0)
        return func(first, args[1] + sign * _TINY, *args[2:], **kwargs)
    if name in ("norm", "std", "var", "cdist", "normalize"):
        return func(
            first + _TINY * torch.linspace(1, 2, first.numel()).to(first).reshape(first.shape),
            *args[1:],
            **kwargs,
        )
    return func(
        first.abs() + _TINY if name in ("sqrt", "rsqrt", "log") else first + _TINY, *args[1:], **kwargs
    )


@edit("rewrite-calls", on="network")
def rewrite_calls(
    network: nn.Module,
    *,
    calls: Sequence[Sequence[Any]],
    to: str,
    value: Any = None,
    at: Sequence[Any] = (),
    seed: int = 0,
) -> nn.Module:
    """The chosen calls of forward, each (name, how many of that name came before it), answered otherwise.

    `to` is `identity`, an activation in place of the call, `then relu` after it, `dim` (the axis `value`),
    `dropout` (with p `value`, off in evaluation), `guarded` (away from where the derivative is not finite),
    or, of an index that takes a single place along an axis, `averaged` or `largest` (over that axis) and
    `last` (its last place). `at` is the file and line of the first call, for those who are to change it.
    """
    inner = core(network)
    rewriting = getattr(inner, "_netwright_rewriting", None)
    if rewriting is None:
        rewriting = _Rewriting(inner)
        object.__setattr__(inner, "_netwright_rewriting", rewriting)
        inner.register_forward_pre_hook(rewriting.begin)
        inner.register_forward_hook(rewriting.end, always_call=True)
    for name, nth in calls:
        rewriting.table[str(name), int(nth)] = {"to": to, "value": value}
    return network


@edit("set-layer", on="network")
def set_layer(
    network: nn.Module, *, layers: Sequence[str], name: str, value: Any, seed: int = 0
) -> nn.Module:
    """A setting of the named layers, such as `p` of a dropout or `batch_first` of a recurrent layer."""
    for layer in layers:
        module = find_layer(network, layer)
        if not hasattr(module, name):
            raise UserError(f"edit: layer {layer!r}, a {type(module).__name__}, has no {name!r}")
        setattr(module, name, value)
    return network


class HoldsAll:
    """An optimizer of the user's making that is then given the parameters that it left out."""

    def __init__(self, make: Any) -> None:
        self.make = make

    def __call__(self, parameters: Any, **settings: Any) -> torch.optim.Optimizer:
        wanted = list(parameters)
        optimizer = self.make(wanted, **settings)
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        missing = [p for p in wanted if id(p) not in held]
        if missing:
            optimizer.add_param_group({"params": missing})
        return optimizer


@edit("hold-all-parameters", on="training")
def hold_all_parameters(training: Training) -> Training:
    """The optimizer gets every parameter that requires a gradient."""
    return (
        training
        if isinstance(training.optimizer, str)
        else attrs.evolve(training, optimizer=HoldsAll(training.optimizer))
    )


@edit("quiet-statistics", on="network")
def quiet_statistics(network: nn.Module, *, layers: Sequence[str], seed: int = 0) -> nn.Module:
    """The named normalisations stay in evaluation mode, so that their statistics do not move."""
    for layer in layers:
        find_layer(network, layer).register_forward_pre_hook(_in_evaluation)
    return network


def _in_evaluation(module: nn.Module, arguments: Any) -> None:
    module.training = False


@edit("replace-normalisation", on="network")
def replace_normalisation(network: nn.Module, *, layers: Sequence[str], seed: int = 0) -> nn.Module:
    """Batch normalisation by one within each sample: group normalisation of one group for (N, C, ...), which
    for (N, C) is layer normalisation."""
    inner = core(network)
    for layer in layers:
        width: Any = find_layer(network, layer).num_features
        parent, _, child = layer.rpartition(".")
        setattr(inner.get_submodule(parent), child, nn.GroupNorm(1, int(width)))
    return network


@edit("adopt-layers", on="network")
def adopt_layers(network: nn.Module, *, seed: int = 0) -> nn.Module:
    """Layers kept in plain lists, tuples and dictionaries become parts of the network, so that they are
    trained."""
    for module in list(core(network).modules()):
        found: dict[str, nn.Module | nn.Parameter] = {}
        for name, value in list(vars(module).items()):
            if name not in _REGISTERED and isinstance(value, (list, tuple, Mapping)):
                found |= {f"{name}_{path}": item for path, item in _held(value)}
        for name, item in found.items():
            if isinstance(item, nn.Module):
                module.add_module(name, item)
            else:
                module.register_parameter(name, item)
    return network


_REGISTERED = ("_modules", "_parameters", "_buffers")


def _held(value: Any) -> Iterator[tuple[str, nn.Module | nn.Parameter]]:
    """Layers and parameters in a plain container, however deep, by their places in it."""
    items = value.values() if isinstance(value, Mapping) else value
    for k, item in enumerate(items):
        if isinstance(item, (nn.Module, nn.Parameter)):
            yield str(k), item
        elif isinstance(item, (list, tuple, Mapping)):
            yield from ((f"{k}_{path}", found) for path, found in _held(item))


class BlankedInputs(Wrapper):
    """Chosen input values (a flat index into one sample) replaced by their training mean, for the network."""

    index: Tensor
    fill: Tensor

    def __init__(self, network: nn.Module, index: Tensor, fill: Tensor) -> None:
        super().__init__(network)
        self.register_buffer("index", index)
        self.register_buffer("fill", fill)

    def forward(self, inputs: Tensor) -> Any:
        flat = inputs.reshape(len(inputs), -1).clone()
        flat[:, self.index] = self.fill.to(flat.dtype)
        return self.network(flat.reshape(inputs.shape))


@edit("blank-inputs", on="network")
def blank_inputs(
    network: nn.Module, *, index: Sequence[int], fill: Sequence[float], seed: int = 0
) -> nn.Module:
    """The chosen values of every input are the same for all samples."""
    return BlankedInputs(network, torch.tensor(list(index)), torch.tensor(list(fill)))


class FilledCode(Wrapper):
    """Codes for 'missing', one each in some columns of (N, F), replaced before the network; `scale` then
    brings the column to unit size, since its own scaling was thrown by the code."""

    index: Tensor
    codes: Tensor
    fill: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, index: Tensor, codes: Tensor, fill: Tensor, scale: Tensor) -> None:
        super().__init__(network)
        self.register_buffer("index", index)
        self.register_buffer("codes", codes)
        self.register_buffer("fill", fill)
        self.register_buffer("scale", scale)

    def forward(self, inputs: Tensor) -> Any:
        columns = inputs[:, self.index]
        known = torch.where(columns == self.codes.to(inputs.dtype), self.fill.to(inputs.dtype), columns)
        changed = inputs.clone()
        changed[:, self.index] = (known - self.fill) / self.scale
        return self.network(changed)


@edit("fill-code", on="network")
def fill_code(
    network: nn.Module,
    *,
    features: Sequence[int],
    codes: Sequence[float],
    fill: Sequence[float],
    std: Sequence[float],
    seed: int = 0,
) -> nn.Module:
    """A code for 'missing' becomes its column's mean, and the column is standardised by its true values."""
    index, *values = (torch.tensor(list(v)) for v in (features, codes, fill, std))
    return FilledCode(network, index, *values)


@edit("together", on="edits")
def together(*, edits: Sequence[Mapping[str, Any]]) -> tuple[Edit, ...]:
    """Several edits that only make sense as one."""
    return tuple(Edit(e["kind"], e["parameters"]) for e in edits)


_WIDTHS: dict[type[nn.Module], tuple[str, str]] = {
    nn.Linear: ("in_features", "out_features"),
    nn.Conv1d: ("in_channels", "out_channels"),
    nn.Conv2d: ("in_channels", "out_channels"),
    nn.Conv3d: ("in_channels", "out_channels"),
}
_RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)


@edit("scale-width", on="network")
def scale_width(
    network: nn.Module, *, factor: float, first: Sequence[str], last: Sequence[str], seed: int = 0
) -> nn.Module:
    """Every hidden layer `factor` times as wide; `first` read the inputs and `last` give the outputs, whose
    widths stay.

    Initialised anew as torch does, each layer from a stream of its own. Raises `UserError` for a layer whose
    width cannot be told; a forward that has sizes written into it then fails on its first batch.
    """
    inner = core(network)
    for name, module in list(leaves(network)):
        if not list(module.parameters(recurse=False)):
            continue
        with seeded(seed, "initialisation", "scale-width", name):
            new = _scaled(module, factor, name in first, name in last)
        if new is None:
            raise UserError(f"edit: the width of layer {name!r}, a {type(module).__name__}, cannot be scaled")
        if not name:
            raise UserError("edit: a network of a single layer has no hidden width")
        _start_alike(module, new)
        parent, _, child = name.rpartition(".")
        setattr(inner.get_submodule(parent), child, new.to(next(module.parameters()).device))
    return network


@torch.no_grad()
def _start_alike(old: nn.Module, new: nn.Module) -> None:
    """Give the new layer initial values of the old one's mean, and of its spread for the new fan-in: a change
    of width is to change nothing else."""
    known = dict(old.named_parameters(recurse=False))
    for name, parameter in new.named_parameters(recurse=False):
        values = known[name].detach().float()
        if values.numel() < 8 and bool(values.any()):
            continue  # too few numbers to tell a mean and a spread by
        mean, std = float(values.mean()), float(values.std()) if values.numel() > 1 else 0.0
        if parameter.ndim > 1:
            fan_in = values[0].numel() / max(1, parameter[0].numel())
            std *= fan_in**0.5
            mean *= fan_in
        own = float(parameter.std()) if parameter.numel() > 1 else 0.0
        centered = (parameter - parameter.mean()) * (std / own) if own > 0 else torch.zeros_like(parameter)
        parameter.copy_(centered + mean)


def _times(width: int, factor: float) -> int:
    return max(1, round(width * factor))


def _scaled(module: nn.Module, factor: float, first: bool, last: bool) -> nn.Module | None:
    kind = type(module)
    if kind in _WIDTHS:
        given, made = (int(getattr(module, n)) for n in _WIDTHS[kind])
        widths = given if first else _times(given, factor), made if last else _times(made, factor)
        has_bias = getattr(module, "bias", None) is not None
        if isinstance(module, nn.Linear):
            return nn.Linear(*widths, bias=has_bias)
        groups = int(getattr(module, "groups", 1))
        if groups == given and groups > 1:
            groups = widths[0]
        names = ("kernel_size", "stride", "padding", "dilation", "padding_mode")
        options = {n: getattr(module, n) for n in names}
        return kind(*widths, groups=groups, bias=has_bias, **options)
    if isinstance(module, _RECURRENT):
        if module.proj_size or last:
            return None
        given = module.input_size if first else _times(module.input_size, factor)
        names = ("num_layers", "bias", "batch_first", "dropout", "bidirectional")
        options = {n: getattr(module, n) for n in names}
        if isinstance(module, nn.RNN):
            options["nonlinearity"] = module.nonlinearity
        return kind(given, _times(module.hidden_size, factor), **options)
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
        return kind(
            _times(module.num_features, 1 if first else factor), eps=module.eps, momentum=module.momentum
        )
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
        return nn.LayerNorm(_times(module.normalized_shape[0], 1 if first else factor), eps=module.eps)
    if isinstance(module, nn.GroupNorm):
        width = _times(module.num_channels, 1 if first else factor)
        return nn.GroupNorm(module.num_groups if width % module.num_groups == 0 else 1, width, eps=module.eps)
    if isinstance(module, nn.Embedding):
        return nn.Embedding(module.num_embeddings, _times(module.embedding_dim, factor), module.padding_idx)
    if isinstance(module, nn.PReLU):
        return nn.PReLU(1 if module.num_parameters == 1 else _times(module.num_parameters, factor))
    return None
