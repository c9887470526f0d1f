"""Faults of the labels and of how rows and labels belong together; planted in training and validation
rows."""

from __future__ import annotations

from typing import Any

from benchmarks.faults.kinds.registry import fault, only_if
from benchmarks.faults.script import Script

RNG = "rng = np.random.default_rng(0)"


def _classes(s: Script) -> int:
    only_if(s.facts["goal"] == "classes", "no classes")
    return int(s.facts["classes"])


@fault("label-noise", (0.2, 0.4, 0.6), attribute="labels", visible="data", also=("overfit-memorised-noise",))
def wrong_labels(s: Script, share: float) -> Script:
    """A share of the labels is any class."""
    count = _classes(s)
    return s.after(
        "load",
        RNG,
        "for labels in (y, y_val):",
        f"    wrong = rng.random(len(labels)) < {share}",
        f"    labels[wrong] = rng.integers(0, {count}, wrong.sum())",
    )


@fault("label-noise", (0.3, 0.5), attribute="labels", visible="data", also=("overfit-memorised-noise",))
def confused_classes(s: Script, share: float) -> Script:
    """Many of one class carry the label of another."""
    _classes(s)
    return s.after(
        "load",
        RNG,
        "for labels in (y, y_val):",
        f"    labels[(labels == 0) & (rng.random(len(labels)) < {share})] = 1",
    )


@fault("label-noise", (1.0, 3.0), attribute="targets", visible="data", also=("overfit-memorised-noise",))
def noisy_amounts(s: Script, size: float) -> Script:
    """A third of the amounts is off by several times their spread."""
    only_if(s.facts["goal"] == "amount", "no amounts")
    return s.after(
        "load",
        RNG,
        "for amounts in (y, y_val):",
        "    wrong = rng.random(len(amounts)) < 0.33",
        f"    amounts[wrong] += {size} * y.std() * rng.standard_normal(wrong.sum())",
    )


@fault(
    "label-misalignment",
    ("shifted", "shuffled", "sorted"),
    attribute="labels",
    visible="data",
    lossy=("shuffled", "sorted"),
)
def labels_apart(s: Script, how: str) -> Script:
    """Inputs and labels were reordered separately."""
    change = {
        "shifted": ("y, y_val = np.roll(y, 1), np.roll(y_val, 1)",),
        "shuffled": (RNG, "y = rng.permutation(y)"),
        "sorted": ("x = x[np.argsort(x.reshape(len(x), -1)[:, 0])]", "y = y[np.argsort(y, kind='stable')]"),
    }[how]
    return s.after("load", *change)


@fault("label-misalignment", (0.5, 0.8), attribute="labels", visible="data", also=("label-noise",))
def half_shifted(s: Script, share: float) -> Script:
    """From some row on the labels are one row late."""
    return s.after("load", f"first = int({1 - share:.1f} * len(y))", "y[first:] = np.roll(y[first:], 1)")


@fault(
    "class-imbalance",
    (10, 30, 100),
    attribute="class_weights",
    visible="data",
    also=("too-little-data",),
    lossy=True,
)
def rare_classes(s: Script, ratio: int) -> Script:
    """All classes but the first are rare in training and validation; of none is nothing left."""
    count = _classes(s)
    keep = f"(rng.random(len(labels)) < 1 / {ratio})"
    some = f"np.isin(np.arange(len(labels)), [np.flatnonzero(labels == k)[0] for k in range({count})])"
    return s.after(
        "load",
        RNG,
        f"kept, kept_val = ((labels == 0) | {keep} | {some} for labels in (y, y_val))",
        "x, y, x_val, y_val = x[kept], y[kept], x_val[kept_val], y_val[kept_val]",
    )


@fault("missing-classes", (1, 2), attribute="data", visible="data", lossy=True)
def class_never_shown(s: Script, count: int) -> Script:
    """The training rows lack classes that validation and test have."""
    only_if(_classes(s) > count + 1, "too few classes")
    return s.after("load", f"kept = y >= {count}", "x, y = x[kept], y[kept]")


@fault("missing-classes", attribute="labels", visible="recipe", also=("output-width",))
def labels_from_one(s: Script, _: Any) -> Script:
    """Labels start at 1 and the network has as many outputs as classes."""
    only_if(s.facts["head"] in ("cross_entropy", "nll"), "no class numbers")
    return s.after("load", "y, y_val, y_test = y + 1, y_val + 1, y_test + 1")


@fault("unshuffled", (8, 32), attribute="shuffle", visible="data")
def sorted_batches(s: Script, size: int) -> Script:
    """Rows are sorted by label and served in that order."""
    s = s.after("load", 'order = np.argsort(y, kind="stable")', "x, y = x[order], y[order]")
    epochs = max(2, min(s.facts["epochs"], 8000 * size // s.facts["size"]))
    return (
        s.with_setting("shuffle", "False")
        .with_setting("batch_size", str(size))
        .with_setting("epochs", str(epochs))
    )
