"""Faults in the layers, in forward and in what is trained."""

from __future__ import annotations

import re
from typing import Any

from benchmarks.faults.kinds.registry import fault, only_if
from benchmarks.faults.script import Script

_CALL = r"(torch\.relu|torch\.tanh|nn\.functional\.gelu|nn\.functional\.silu)\("


@fault("missing-nonlinearity", attribute="activation", visible="recipe")
def no_activation(s: Script, _: Any) -> Script:
    """Layers follow each other with nothing between."""
    if s.has("activation"):
        return s.drop("activation")
    only_if(s.has("step"), "no plain steps")
    return s.sub("step", rf"{_CALL}(.*)\)", lambda m: _unwrapped(m))  # type: ignore[arg-type]


def _unwrapped(match: re.Match[str]) -> str:
    inside = match[2]
    if "), 2" in inside:  # the activation stood inside a pooling
        return inside.replace("), 2", ", 2", 1) + ")"
    return inside


@fault("wrong-activation", ("softmax",), attribute="activation", visible="start", also=("saturation",))
def softmax_inside(s: Script, _: Any) -> Script:
    """A softmax between hidden layers."""
    if s.has("activation"):
        only_if("mlp" in s.facts["family"], "no rows")
        return s.sub("activation", r"nn\.\w+\(\)", "nn.Softmax(dim=1)")
    only_if(s.facts["family"] in ("mlp_class", "bag"), "no rows")
    return s.sub("step", rf"{_CALL}(.*)\)$", r"torch.softmax(\2, dim=1)")


@fault(
    "vanishing-gradient",
    (5, 8),
    attribute="activation",
    visible="start",
    also=("wrong-activation", "saturation", "initialisation"),
)
def deep_sigmoids(s: Script, depth: int) -> Script:
    """Many layers with sigmoids between them."""
    only_if(s.facts["family"] == "mlp" and not s.facts.get("norm"), "no plain MLP")
    width = s.facts["width"]
    s = s.sub("activation", r"nn\.\w+\(\)", "nn.Sigmoid()")
    more = [f"        nn.Linear({width}, {width}),", "        nn.Sigmoid(),"] * (depth - s.facts["depth"])
    return s.after("activation", *more)


@fault("untrained-parameters", attribute="trainable", visible="recipe")
def layers_in_a_list(s: Script, _: Any) -> Script:
    """Layers kept in a plain list are unknown to the optimizer."""
    only_if(s.facts["family"] == "mlp_class", "no layers by name")
    made = [t.partition(" = ")[2] for t in s.texts("hidden")]
    call = s.texts("step")[0].strip().removeprefix("x = ").split("(self")[0]
    s = s.replace("hidden", f"        self.layers = [{', '.join(made)}]", only=0)
    for _hidden in made[1:]:
        s = s.drop("hidden", only=1)
    s = s.replace("step", "        for layer in self.layers:", f"            x = {call}(layer(x))", only=0)
    for _step in made[1:]:
        s = s.drop("step", only=2)
    return s.drop("drop-step") if s.has("drop-step") else s


@fault("untrained-parameters", ("detach", "data"), attribute="trainable", visible="start")
def graph_cut_before_head(s: Script, how: str) -> Script:
    """What the body computes is cut from the graph: only the head learns."""
    only_if(s.has("output"), "no forward of its own")
    new = "x.detach()" if how == "detach" else "x.data"
    return s.sub("output", r"\bx\b(?=\))", new)


@fault("untrained-parameters", attribute="trainable", visible="start")
def no_grad_in_forward(s: Script, _: Any) -> Script:
    """The body is computed under no_grad, as in a feature extractor, but nothing is pretrained."""
    tag = next((t for t in ("step", "read", "encode") if s.has(t)), None)
    only_if(tag is not None, "no forward of its own")
    texts = s.texts(str(tag))
    s = s.replace(str(tag), "        with torch.no_grad():", f"            {texts[0].strip()}", only=0)
    return s


@fault("untrained-parameters", ("all but head", "first half"), attribute="frozen_layers", visible="recipe")
def frozen_body(s: Script, strength: str) -> Script:
    """The freezing of a fine-tuning script on layers with random weights."""
    which = "[:-2]" if strength == "all but head" else "[: len(list(NET.parameters())) // 2]"
    return s.after_build(
        f"for parameter in list(NET.parameters()){which}:", "    parameter.requires_grad = False"
    )


@fault("untrained-parameters", attribute="optimizer", visible="recipe")
def optimizer_of_the_head(s: Script, _: Any) -> Script:
    """The optimizer is given the last layer's parameters only."""
    kind = {"adam": "Adam", "adamw": "AdamW", "nadam": "NAdam", "rmsprop": "RMSprop", "sgd": "SGD"}
    s = s.before_recipe(
        "def optimizer(parameters: list[nn.Parameter], **settings: float) -> torch.optim.Optimizer:",
        f"    return torch.optim.{kind[s.facts['optimizer']]}(parameters[-2:], **settings)",
    )
    return s.with_setting("optimizer", "optimizer")


@fault("regularisation-too-strong", (0.8, 0.95), attribute="dropout", visible="recipe")
def heavy_dropout(s: Script, rate: float) -> Script:
    """Dropout that leaves hardly anything."""
    if s.has("dropout") and s.facts["family"] != "transformer":
        return s.sub("dropout", r"Dropout\(.*?\)", f"Dropout({rate})")
    if s.has("activation"):
        return s.after("activation", f"        nn.Dropout({rate}),")
    if s.has("layer"):
        return s.sub("layer", r"dropout=[\d.]+", f"dropout={rate}")
    only_if(s.has("output") and "self.head(x)" in s.texts("output")[-1], "no place")
    s = s.after("head", f"        self.drop = nn.Dropout({rate})")
    return s.sub("output", r"self\.head\(x\)", "self.head(self.drop(x))")


@fault(
    "normalisation-misuse",
    (2,),
    attribute="batch_size",
    visible="recipe",
    also=("batch-size", "train-eval-gap"),
)
def batch_norm_on_two(s: Script, size: int) -> Script:
    """Batch normalisation whose statistics come from two samples."""
    only_if(
        (s.has("norm") and s.facts["family"] != "transformer") or s.facts["family"] == "resnet",
        "no batch norm",
    )
    epochs = max(2, min(s.facts["epochs"], 8000 * size // s.facts["size"]))
    return s.with_setting("batch_size", str(size)).with_setting("epochs", str(epochs))


@fault("normalisation-misuse", attribute="normalisation", visible="recipe")
def normalised_over_features_of_one(s: Script, _: Any) -> Script:
    """Layer normalisation over an axis of length 1: everything becomes the bias."""
    only_if(s.facts["outputs"] == 1, "several outputs")
    if s.has("final"):
        return s.after("head", "        nn.LayerNorm(1),")
    only_if(s.has("output") and "self.head(" in s.texts("output")[-1], "no head")
    return s.sub("head", r"= (nn\.Linear\(.*\))$", r"= nn.Sequential(\1, nn.LayerNorm(1))")


@fault("train-eval-gap", (1e-4,), attribute="normalisation", visible="end", also=("normalisation-misuse",))
def slow_batch_statistics(s: Script, momentum: float) -> Script:
    """The running statistics of batch normalisation hardly move from where they start."""
    only_if(s.has("norm") or s.has("block-norm"), "no norm")
    tag = "norm" if s.has("norm") else "block-norm"
    return s.sub(tag, r"(BatchNorm\dd\(\w+)\)", rf"\1, momentum={momentum})")


@fault(
    "train-eval-gap", (0.5, 0.8), attribute="dropout", visible="recipe", also=("regularisation-too-strong",)
)
def dropout_in_evaluation(s: Script, rate: float) -> Script:
    """The functional dropout stays on in evaluation mode: answers are random."""
    only_if(s.has("output") and re.search(r"self\.head\(x\)", s.texts("output")[-1]), "no place")
    return s.sub("output", r"self\.head\(x\)", f"self.head(nn.functional.dropout(x, {rate}))")


@fault("wrong-backward", ("mask", "sign", "zero"), attribute="activation", visible="start")
def gradient_by_hand(s: Script, strength: str) -> Script:
    """A rectifier of one's own whose backward is not the derivative of its forward."""
    gradient = {"mask": "gradient * (x < 0)", "sign": "-gradient * (x > 0)", "zero": "gradient * 0 * x"}[
        strength
    ]
    only_if(s.has("activation") or s.has("step"), "no activation")
    s = s.after(
        "import-load",
        "",
        "",
        "class Rectify(torch.autograd.Function):",
        '    """max(x, 0)."""',
        "",
        "    @staticmethod",
        "    def forward(context, x):",
        "        context.save_for_backward(x)",
        "        return x.clamp(min=0)",
        "",
        "    @staticmethod",
        "    def backward(context, gradient):",
        "        (x,) = context.saved_tensors",
        f"        return {gradient}",
    )
    if s.has("step"):
        return s.sub("step", _CALL, "Rectify.apply(")
    s = s.after(
        "planted",
        "",
        "",
        "class Rectifier(nn.Module):",
        "    def forward(self, x: Tensor) -> Tensor:",
        "        return Rectify.apply(x)",
    )
    return s.sub("activation", r"nn\.\w+\(\)", "Rectifier()")


@fault("unstable-arithmetic", ("root", "distance"), attribute="activation", visible="early")
def root_at_zero(s: Script, strength: str) -> Script:
    """A square root, or a distance, whose gradient at 0 is not finite."""
    if strength == "root":
        only_if(s.has("step"), "no forward of its own")
        return s.sub("step", rf"x = {_CALL}(.*)\)$", r"x = torch.sqrt(torch.relu(\2))")
    only_if(s.has("output") and s.has("step"), "no forward of its own")
    last = len(s.texts("step")) - 1
    return s.replace(
        "step",
        s.texts("step")[last],
        "        x = (x - x.amax(1, keepdim=True)).pow(2).sqrt()  # how far below the strongest",
        only=last,
    )
