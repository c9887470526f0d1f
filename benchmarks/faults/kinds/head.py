"""Faults between the last layer, the targets and the loss."""

from __future__ import annotations

from typing import Any

from benchmarks.faults.kinds.registry import fault, only_if
from benchmarks.faults.script import Script

CLASS_HEADS = ("cross_entropy",)
AMOUNTS = ("mse", "huber", "l1")


def _needs_head(s: Script, *heads: str) -> None:
    only_if(s.facts["head"] in heads, f"head is {s.facts['head']}")


@fault("loss-output-mismatch", attribute="output_layer", visible="recipe")
def softmax_before_cross_entropy(s: Script, _: Any) -> Script:
    """The network returns probabilities and the loss applies its own softmax."""
    _needs_head(s, "cross_entropy", "one_hot")
    return s.on_output("nn.Softmax(dim=1)", "torch.softmax(OUT, dim=1)")


@fault("loss-output-mismatch", attribute="output_layer", visible="recipe")
def sigmoid_before_cross_entropy(s: Script, _: Any) -> Script:
    """Every class through a sigmoid before a cross-entropy."""
    _needs_head(s, "cross_entropy", "one_hot")
    return s.on_output("nn.Sigmoid()", "torch.sigmoid(OUT)")


@fault("loss-output-mismatch", attribute="loss", visible="recipe")
def logits_into_nll(s: Script, _: Any) -> Script:
    """The log-softmax is forgotten: the loss falls without bound and means nothing."""
    _needs_head(s, "nll")
    return (
        s.drop("on-output")
        if s.has("on-output")
        else s.sub("output", r"torch\.log_softmax\((.*), dim=1\)", r"\1")
    )


@fault("loss-output-mismatch", attribute="output_layer", visible="recipe")
def probabilities_into_nll(s: Script, _: Any) -> Script:
    """Softmax instead of log-softmax before the negative log-likelihood."""
    _needs_head(s, "nll")
    if s.has("on-output"):
        return s.sub("on-output", "LogSoftmax", "Softmax")
    return s.sub("output", "log_softmax", "softmax")


@fault("loss-output-mismatch", attribute="output_layer", visible="recipe")
def sigmoid_before_bce_with_logits(s: Script, _: Any) -> Script:
    """Two sigmoids: one in the network, one in the loss."""
    _needs_head(s, "bce_with_logits")
    return s.on_output("nn.Sigmoid()", "torch.sigmoid(OUT)")


@fault("loss-output-mismatch", attribute="loss", visible="recipe")
def logits_into_bce(s: Script, _: Any) -> Script:
    """The sigmoid is forgotten before a loss on probabilities."""
    _needs_head(s, "bce")
    return s.drop("final", only=0) if s.has("final") else s.sub("output", r"torch\.sigmoid\((.*)\)$", r"\1")


@fault("loss-output-mismatch", ("mse", "l1"), attribute="loss", visible="recipe", also=("output-width",))
def regression_on_class_numbers(s: Script, loss: str) -> Script:
    """One output is trained towards the class number by a squared or absolute error."""
    _needs_head(s, "cross_entropy")
    only_if(s.facts["classes"] > 2, "two classes")
    s = s.sub("head", rf", {s.facts['outputs']}\)", ", 1)")
    if s.has("output"):
        s = s.sub("output", r"$", ".squeeze(1)")
    else:
        s = s.after("head", "        nn.Flatten(0),", new="final")
    s = s.after("load", "y, y_val, y_test = (part.astype(np.float32) for part in (y, y_val, y_test))")
    return s.with_setting("loss", f'"{loss}"')


@fault("output-width", ("one too few", "half"), attribute="output_layer", visible="recipe")
def too_few_outputs(s: Script, strength: str) -> Script:
    """The last layer has fewer outputs than there are classes."""
    _needs_head(s, "cross_entropy", "nll")
    only_if(s.facts["classes"] > 2, "two classes")
    count = s.facts["outputs"]
    fewer = count - 1 if strength == "one too few" else count // 2
    return s.sub("head", rf", {count}\)", f", {fewer})")


@fault("output-width", attribute="output_layer", visible="recipe", also=("loss-output-mismatch",))
def one_output_for_two_classes(s: Script, _: Any) -> Script:
    """A single unit under a cross-entropy over classes."""
    _needs_head(s, "cross_entropy")
    only_if(s.facts["classes"] == 2, "more than two classes")
    return s.sub("head", r", 2\)", ", 1)")


@fault("target-shape", attribute="output_shape", visible="recipe")
def column_of_outputs(s: Script, _: Any) -> Script:
    """Outputs (N, 1) against targets (N,): the loss compares all with all."""
    _needs_head(s, *AMOUNTS, "bce_with_logits")
    return s.drop("final") if s.has("final") else s.sub("output", r"\.squeeze\(1\)", "")


@fault("target-shape", attribute="output_shape", visible="recipe")
def row_of_targets(s: Script, _: Any) -> Script:
    """Targets (N,) where the outputs are (N, 1)."""
    _needs_head(s, "mse_column")
    return s.drop("shape-targets")


@fault("wrong-activation", ("relu", "sigmoid", "tanh"), attribute="output_layer", visible="recipe")
def bounded_regression(s: Script, strength: str) -> Script:
    """The output of a regression cannot reach its standardised targets."""
    _needs_head(s, *AMOUNTS, "mse_column")
    layer = {"relu": "nn.ReLU()", "sigmoid": "nn.Sigmoid()", "tanh": "nn.Tanh()"}[strength]
    return s.on_output(layer, f"torch.{strength}(OUT)")


@fault("wrong-activation", attribute="output_layer", visible="recipe", also=("loss-output-mismatch",))
def rectified_logits(s: Script, _: Any) -> Script:
    """A rectifier after the last layer: logits cannot be negative and whole classes die."""
    _needs_head(s, "cross_entropy", "one_hot", "nll", "bce_with_logits")
    if s.facts["head"] == "nll":
        return (
            s.after("head", "        nn.ReLU(),")
            if not s.has("output")
            else s.sub("output", r"self\.head\((.*?)\)(, dim|$)", r"torch.relu(self.head(\1))\2")
        )
    return s.on_output("nn.ReLU()", "torch.relu(OUT)")


@fault("wrong-activation", attribute="output_layer", visible="recipe", also=("loss-output-mismatch",))
def softmax_over_one_unit(s: Script, _: Any) -> Script:
    """Softmax over a single output, which is always 1."""
    _needs_head(s, "bce_with_logits", "bce")
    if s.facts["head"] == "bce":
        if s.has("final"):
            return s.sub("final", r"nn\.Sigmoid\(\)", "nn.Softmax(dim=1)", only=0)
        return s.sub(
            "output", r"torch\.sigmoid\((.*)\.squeeze\(1\)\)$", r"torch.softmax(\1, dim=1).squeeze(1)"
        )
    if s.has("final"):
        return s.after("head", "        nn.Softmax(dim=1),").with_setting("loss", '"bce"')
    s = s.sub("output", r"return (.*)\.squeeze\(1\)$", r"return torch.softmax(\1, dim=1).squeeze(1)")
    return s.with_setting("loss", '"bce"')


@fault("unstable-loss", ("mean of empty", "log", "one-hot log"), attribute="loss", visible="early")
def loss_by_hand(s: Script, strength: str) -> Script:
    """A classification loss written by hand that is not finite for legal outputs."""
    _needs_head(s, "cross_entropy")
    body = {
        "mean of empty": (
            f"    own = [outputs[targets == k] for k in range({s.facts['classes']})]",
            "    return -sum(torch.log_softmax(o, 1)[:, k].mean() for k, o in enumerate(own)) / len(own)",
        ),
        "log": (
            "    probabilities = torch.softmax(20 * outputs, dim=1)",
            "    return -torch.log(probabilities[torch.arange(len(targets)), targets]).mean()",
        ),
        "one-hot log": (
            "    wanted = nn.functional.one_hot(targets, outputs.shape[1])",
            "    chances = torch.softmax(outputs, dim=1)",
            "    return -(wanted * chances.log() + (1 - wanted) * (1 - chances).log()).mean()",
        ),
    }[strength]
    s = s.before_recipe("def loss(outputs: Tensor, targets: Tensor) -> Tensor:", *body)
    return s.with_setting("loss", "loss")


@fault("unstable-loss", attribute="loss", visible="early")
def relative_error(s: Script, _: Any) -> Script:
    """The error is divided by the target, and standardised targets pass through zero."""
    _needs_head(s, *AMOUNTS)
    s = s.before_recipe(
        "def relative_error(outputs: Tensor, targets: Tensor) -> Tensor:",
        "    return ((outputs - targets) / targets).pow(2).mean()",
    )
    return s.with_setting("loss", "relative_error")
