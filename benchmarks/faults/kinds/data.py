"""Faults of inputs and targets, of how they are prepared and split."""

from __future__ import annotations

from typing import Any

from benchmarks.faults.kinds.registry import fault, only_if
from benchmarks.faults.script import Script

RNG = "rng = np.random.default_rng(0)"


def _numeric(s: Script) -> None:
    only_if(s.facts["kind"] != "text", "token ids")


def _prepared(s: Script) -> str:
    """The tag after which inputs and targets are as the network gets them."""
    tags = ("shape-targets", "scale-targets", "scale-inputs", "load")
    order = [line.tag for line in s.lines]
    return max((t for t in tags if t in order), key=lambda t: max(k for k, o in enumerate(order) if o == t))


@fault("input-scale", attribute="input_scaling", visible="data", also=("lr-too-high",))
def inputs_as_they_come(s: Script, _: Any) -> Script:
    """Pixels 0 to 255, table columns in their own units."""
    return s.drop("scale-inputs")


@fault("input-scale", (1e3, 1e5), attribute="input_scaling", visible="data")
def one_column_in_other_units(s: Script, factor: float) -> Script:
    """One feature is in millimetres where all others are about 1."""
    only_if(s.facts["kind"] == "table", "no columns")
    return s.after("scale-inputs", "for part in (x, x_val, x_test):", f"    part[:, 1] *= {factor:g}")


@fault(
    "input-scale",
    (100.0, 1e-3),
    attribute="input_scaling",
    visible="data",
    also=("lr-too-high", "lr-too-low"),
)
def inputs_of_another_size(s: Script, factor: float) -> Script:
    """Inputs scaled twice, or by the wrong constant."""
    _numeric(s)
    return s.after(
        "scale-inputs", f"x, x_val, x_test = {factor:g} * x, {factor:g} * x_val, {factor:g} * x_test"
    )


@fault("input-scale", (30.0, 300.0), attribute="input_scaling", visible="data")
def inputs_far_from_zero(s: Script, offset: float) -> Script:
    """An offset far larger than the spread."""
    _numeric(s)
    return s.after("scale-inputs", f"x, x_val, x_test = x + {offset}, x_val + {offset}, x_test + {offset}")


@fault(
    "target-scale",
    ("raw", 1000),
    attribute="target_scaling",
    visible="data",
    also=("lr-too-high", "lr-too-low"),
)
def targets_as_they_come(s: Script, strength: Any) -> Script:
    """A regression towards amounts in their own units."""
    if strength == "raw":
        return s.drop("scale-targets")
    return s.after(
        "scale-targets", f"y, y_val, y_test = (np.float32({strength}) * part for part in (y, y_val, y_test))"
    )


@fault("bad-values", (0.0005, 0.02), attribute="data_repairs", visible="data")
def missing_inputs(s: Script, share: float) -> Script:
    """Some inputs are NaN."""
    _numeric(s)
    tag = _prepared(s)
    return s.after(
        tag,
        RNG,
        "for part in (x, x_val):",
        f"    part[rng.random(part.shape) < {share}] = np.nan",
    )


@fault("bad-values", (0.003, 0.03), attribute="data_repairs", visible="data", also=("input-scale",))
def sentinel_inputs(s: Script, share: float) -> Script:
    """-999 stands for 'not measured' and is scaled with the rest."""
    only_if(s.facts["kind"] in ("table", "series"), "no measurements")
    return s.after(
        "load", RNG, "for part in (x, x_val):", f"    part[rng.random(part.shape) < {share}] = -999.0"
    )


@fault("bad-values", ("nan", "inf"), attribute="data_repairs", visible="data")
def missing_targets(s: Script, value: str) -> Script:
    """A few targets of a regression are not numbers."""
    only_if(s.facts["goal"] == "amount", "no amounts")
    return s.after(_prepared(s), f"y[::97] = np.{value}")


@fault("too-little-data", (12, 25, 50), attribute="data", visible="data", lossy=True)
def few_samples(s: Script, count: int) -> Script:
    """Training on the first few rows, left from a quick try; of classes on the first few of each."""
    return s.after("load", *_first(s, count), "x, y = x[first], y[first]")


@fault("duplicates", (15, 40), attribute="data", visible="data", also=("too-little-data",), lossy=True)
def copies_of_few(s: Script, count: int) -> Script:
    """An oversampling that draws from a few rows only."""
    drawn = "drawn = first[rng.integers(0, len(first), len(y))]"
    return s.after("load", RNG, *_first(s, count), drawn, "x, y = x[drawn], y[drawn]")


def _first(s: Script, count: int) -> tuple[str, ...]:
    """Lines that choose the first `count` rows, of each class as many, so that none is missing as well."""
    if s.facts["goal"] != "classes":
        return (f"first = np.arange({count})",)
    classes = int(s.facts["classes"])
    each = max(1, round(count / classes))
    return (f"first = np.concatenate([np.flatnonzero(y == k)[:{each}] for k in range({classes})])",)


@fault("leakage", (1.0, 0.5), attribute="data", visible="data", by_construction=True)
def validation_in_training(s: Script, share: float) -> Script:
    """Validation rows are also training rows."""
    rows = "" if share == 1.0 else f"[: int({share} * len(y_val))]"
    return s.after("load", f"x, y = np.concatenate([x, x_val{rows}]), np.concatenate([y, y_val{rows}])")


@fault("leakage", (0.0, 0.1), attribute="data", visible="data", by_construction=True)
def target_among_features(s: Script, noise: float) -> Script:
    """A column that is made from the target came along."""
    only_if(s.facts["kind"] == "table", "no columns")
    only_if(s.facts["width"] != s.facts["shape"][0], "the layer that reads the inputs cannot be told")
    s = _one_more_input(s)
    return s.after(
        "load",
        RNG,
        "x, x_val, x_test = (",
        f"    np.column_stack([part, goal + {noise} * y.std() * rng.standard_normal(len(goal))])",
        "    for part, goal in ((x, y), (x_val, y_val), (x_test, y_test))",
        ")",
        "x, x_val, x_test = x.astype(np.float32), x_val.astype(np.float32), x_test.astype(np.float32)",
    )


def _one_more_input(s: Script) -> Script:
    """The first layer takes one feature more."""
    width = s.facts["shape"][0]
    return s.sub("hidden", rf"Linear\({width}, ", f"Linear({width + 1}, ")


@fault("split-drift", attribute="input_scaling", visible="data", by_construction=True)
def only_training_is_scaled(s: Script, _: Any) -> Script:
    """Validation and test rows are forgotten in the scaling."""
    texts = s.texts("scale-inputs")
    only_if(texts, "nothing is scaled")
    formula = texts[-1]
    if "for part in" in formula:
        new = "x = (x - mean) / std"
    else:
        new = formula.split(" = ")[0].split(",")[0] + " = " + formula.split(" = ")[1].split(",")[0]
    return s.replace("scale-inputs", new, only=len(texts) - 1)


@fault("split-drift", (1.0, 3.0), attribute="data", visible="data", by_construction=True)
def validation_from_elsewhere(s: Script, size: float) -> Script:
    """Validation rows were measured by another instrument: shifted and stretched."""
    _numeric(s)
    return s.after("scale-inputs", f"x_val = {1 + size} * x_val + {size} * x.std()")


@fault(
    "destructive-augmentation",
    ("noise", "upside down", "shuffled", "blank"),
    attribute="augment",
    visible="recipe",
)
def augmentation_that_destroys(s: Script, how: str) -> Script:
    """What the label says is gone, or belongs to another sample, after the augmentation."""
    _numeric(s)
    image = s.facts["kind"] == "image"
    only_if(image or how != "upside down", "no image")
    body = {
        "noise": "    return inputs + 3 * inputs.std() * torch.randn_like(inputs)",
        "upside down": "    return inputs.flip(2, 3)",
        "shuffled": "    return inputs[torch.randperm(len(inputs))]",
        "blank": "    return inputs * (torch.rand_like(inputs) < 0.05)",
    }[how]
    s = s.before_recipe("def augment(inputs: Tensor) -> Tensor:", body)
    return s.with_setting("augment", "augment")


@fault("outlier-batch", (1e3, 1e5), attribute="data_repairs", visible="data", also=("bad-values",))
def a_few_giants(s: Script, factor: float) -> Script:
    """A few samples are a thousand times larger than all others."""
    _numeric(s)
    if s.facts["goal"] == "amount":
        return s.after(_prepared(s), f"y[::199] *= {factor:g}")
    return s.after(_prepared(s), f"x[::199] *= {factor:g}")


@fault("noisy-validation", (8, 15), attribute="split", visible="data", by_construction=True)
def tiny_validation(s: Script, count: int) -> Script:
    """A handful of validation rows."""
    return s.after("load", f"x_val, y_val = x_val[:{count}], y_val[:{count}]")


@fault("noisy-validation", attribute="split", visible="data", by_construction=True, also=("missing-classes",))
def validation_of_one_class(s: Script, _: Any) -> Script:
    """The validation rows are the first of a sorted file: (almost) one class."""
    only_if(s.facts["goal"] == "classes" and s.facts["classes"] > 2, "no classes")
    return s.after(
        "load", 'order = np.argsort(y_val, kind="stable")[:20]', "x_val, y_val = x_val[order], y_val[order]"
    )
