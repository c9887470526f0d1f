"""Faults of the network before its first step: weights, dead and saturated units, mixed samples."""

from __future__ import annotations

from typing import Any

from benchmarks.faults.kinds.registry import fault, only_if
from benchmarks.faults.script import Script

EACH = "for parameter in NET.parameters():"


@fault(
    "initialisation",
    ("zeros", "constant", "small", "large", "all large"),
    attribute="initialisation",
    visible="start",
)
def weights_by_hand(s: Script, how: str) -> Script:
    """Weights are set to one value, or drawn far too small or too large."""
    call = {
        "zeros": "nn.init.zeros_(parameter)",
        "constant": "nn.init.constant_(parameter, 0.1)",
        "small": "nn.init.normal_(parameter, std=1e-4)",
        "large": "nn.init.normal_(parameter, std=1.0)",
        "all large": "nn.init.normal_(parameter, std=3.0)",
    }[how]
    return s.after_build(EACH, "    if parameter.ndim > 1:", f"        {call}")


@fault("initialisation", (50.0,), attribute="initialisation", visible="start", also=("saturation",))
def sure_from_the_start(s: Script, gain: float) -> Script:
    """The head starts with weights so large that it is sure of wrong answers."""
    name = "NET.head" if s.has("output") else "NET[-2]" if s.has("final") or s.has("on-output") else "NET[-1]"
    only_if(not (s.has("final") and len(s.texts("final")) > 1), "the head is elsewhere")
    return s.after_build("with torch.no_grad():", f"    {name}.weight *= {gain}")


@fault(
    "exploding-gradient", (2.0, 4.0), attribute="initialisation", visible="start", also=("initialisation",)
)
def growing_recurrence(s: Script, gain: float) -> Script:
    """Recurrent weights that grow the state at every step."""
    only_if(s.facts["family"] in ("gru", "lstm"), "no recurrence")
    s = s.sub("rnn", r"nn\.(GRU|LSTM)\(", 'nn.RNN(nonlinearity="relu", input_size=')
    s = s.sub("rnn", r"(input_size=\d+), (\d+)", r"\1, hidden_size=\2")
    return s.after_build(f"nn.init.orthogonal_(NET.rnn.weight_hh_l0, gain={gain})")


@fault("exploding-gradient", (6, 10), attribute="initialisation", visible="start", also=("initialisation",))
def growing_depth(s: Script, depth: int) -> Script:
    """A deep network whose weights are drawn with a standard deviation of 1."""
    only_if(s.facts["family"] == "mlp" and not s.facts.get("norm"), "no plain MLP")
    width = s.facts["width"]
    more = [f"        nn.Linear({width}, {width}),", "        nn.ReLU(),"] * (depth - s.facts["depth"])
    s = s.after("activation", *more)
    return s.after_build(EACH, "    if parameter.ndim > 1:", "        nn.init.normal_(parameter, std=1.0)")


@fault("dead-units", (-20.0, -5.0), attribute="initialisation", visible="start", also=("initialisation",))
def bias_below_all(s: Script, bias: float) -> Script:
    """The biases of a layer under rectifiers start so low that no unit ever fires."""
    only_if(s.facts["activation"] == "relu" and not s.facts.get("norm"), "no rectifiers")
    if s.facts["family"] == "mlp_class":
        return s.after_build(f"nn.init.constant_(NET.hidden{s.facts['depth']}.bias, {bias})")
    if s.facts["family"] == "cnn_class":
        return s.after_build(f"nn.init.constant_(NET.hidden.bias, {bias})")
    only_if(s.facts["family"] in ("mlp", "cnn"), "no rectifiers")
    items = [line.tag for line in s.lines]
    inside = items[items.index("open") + 1 : items.index("close")]
    layer = max(k for k, tag in enumerate(inside) if tag in ("hidden", "conv"))
    return s.after_build(f"nn.init.constant_(NET[{layer}].bias, {bias})")


@fault(
    "saturation",
    (30.0, 100.0),
    attribute="initialisation",
    visible="start",
    also=("initialisation", "wrong-activation"),
)
def flat_ends(s: Script, gain: float) -> Script:
    """Hidden units at the flat ends of tanh from the start."""
    only_if(not s.facts.get("norm"), "normalised")
    if s.has("activation"):
        only_if(s.facts["family"] in ("mlp", "cnn"), "no plain stack")
        s = s.sub("activation", r"nn\.\w+\(\)", "nn.Tanh()")
    else:
        only_if(s.facts["family"] in ("mlp_class", "cnn_class", "bag", "conv1d"), "no plain stack")
        s = s.sub("step", r"(torch\.\w+|nn\.functional\.(?:gelu|silu))\((?=self)", "torch.tanh(")
    return s.after_build(
        "with torch.no_grad():", "    for parameter in NET.parameters():", f"        parameter *= {gain}"
    )


@fault("batch-leak", attribute="network", visible="start")
def softmax_over_samples(s: Script, _: Any) -> Script:
    """Log-softmax over the batch instead of the classes."""
    only_if(s.facts["head"] == "nll", "no log-softmax")
    tag = "on-output" if s.has("on-output") else "output"
    return s.sub(tag, "dim=1", "dim=0")


@fault("batch-leak", attribute="network", visible="start")
def batch_read_as_time(s: Script, _: Any) -> Script:
    """The recurrent or attention layer takes the first axis as time, and the data have samples there."""
    tag = "rnn" if s.has("rnn") else "layer"
    return s.sub(tag, r", batch_first=True", "")


@fault("batch-leak", attribute="network", visible="start")
def reshaped_across_samples(s: Script, _: Any) -> Script:
    """A transpose before a reshape: the numbers of several samples end up in one row."""
    only_if(s.has("output") and "self.head(x)" in s.texts("output")[-1], "no place")
    return s.sub("output", r"self\.head\(x\)", "self.head(x.t().reshape(x.shape))")


@fault("ignores-input", attribute="network", visible="start")
def first_step_only(s: Script, _: Any) -> Script:
    """The answer is read at the first step of the sequence, or from one place only."""
    only_if(s.has("pooling"), "no steps")
    tag, text = "pooling", s.texts("pooling")[0]
    if "states" in text:
        return s.replace(tag, "        x = states[:, 0]")
    if "amax" in text:
        return s.replace(tag, "        x = x[:, :, -1]")
    only_if("flatten" not in text, "all places")
    return s.sub(tag, r"\.mean\(1\)", "[:, -1]")


@fault("ignores-input", (1, 3), attribute="network", visible="start")
def wrong_slice(s: Script, count: int) -> Script:
    """A slice left from another data set: all but a few features are set to zero."""
    only_if(s.has("def-forward") and s.facts["kind"] in ("table", "image"), "no features")
    where = f"x[:, {count}:]" if s.facts["kind"] == "table" else f"x[..., {count}:]"
    return s.after("def-forward", "        x = x.clone()", f"        {where} = 0.0")


@fault("ignores-input", (0.0, 1e-3), attribute="network", visible="start", also=("initialisation",))
def gate_that_is_shut(s: Script, gate: float) -> Script:
    """What the body says is multiplied by (nearly) nothing before the head."""
    only_if(s.has("output") and "self.head(x)" in s.texts("output")[-1], "no place")
    return s.sub("output", r"self\.head\(x\)", f"self.head({gate} * x)")
