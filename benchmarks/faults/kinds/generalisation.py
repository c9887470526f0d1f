"""Faults that show between training and validation."""

from __future__ import annotations

from benchmarks.faults.kinds.registry import fault, only_if
from benchmarks.faults.recipes import script
from benchmarks.faults.script import Script

FACTS = ("kind", "goal", "classes", "outputs", "shape", "size")


def _again(s: Script, **changes: object) -> Script:
    """The parent written anew with other settings; what is `None` is not set."""
    settings = {k: v for k, v in s.facts.items() if k not in FACTS} | changes
    return script({k: v for k, v in settings.items() if v is not None})


def _bounded(s: Script, factor: int, most: int) -> int:
    steps = s.facts["steps"] / s.facts["epochs"]
    return int(max(2, min(s.facts["epochs"] * factor, most / max(steps, 1))))


@fault(
    "overfit-duration",
    (10, 30),
    attribute="epochs",
    visible="end",
    also=("overfit-capacity", "too-little-data"),
    lossy=True,
)
def trained_far_too_long(s: Script, factor: int) -> Script:
    """Many times the epochs, at a constant rate, on few rows and without regularisation."""
    epochs = _bounded(s, factor, 9000)
    s = _again(s, weight_decay=None, dropout=None, schedule=None, epochs=epochs)
    return s.after("load", "x, y = x[: len(x) // 3], y[: len(y) // 3]")


@fault(
    "overfit-capacity",
    (8, 16),
    attribute="width",
    visible="end",
    also=("overfit-duration", "too-little-data"),
    lossy=True,
)
def far_too_wide(s: Script, factor: int) -> Script:
    """Many times the width on a quarter of the rows, without regularisation."""
    only_if("mlp" in s.facts["family"], "others grow too dear")
    width = min(s.facts["width"] * factor, 512)
    s = _again(s, width=width, weight_decay=None, dropout=None, schedule=None, epochs=_bounded(s, 3, 3000))
    return s.after("load", "x, y = x[: len(x) // 4], y[: len(y) // 4]")


@fault(
    "overfit-memorised-noise",
    (0.2, 0.35),
    attribute="labels",
    visible="end",
    also=("label-noise", "overfit-duration"),
)
def noise_learnt_by_heart(s: Script, share: float) -> Script:
    """Wrong labels among the training rows, and training goes on until they are known by heart."""
    only_if(s.facts["goal"] == "classes", "no classes")
    only_if(s.facts["family"] not in ("resnet", "transformer"), "too dear")
    width = s.facts["width"] * (4 if "mlp" in s.facts["family"] else 2)
    s = _again(s, width=width, weight_decay=None, dropout=None, schedule=None, epochs=_bounded(s, 4, 3000))
    return s.after(
        "load",
        "rng = np.random.default_rng(0)",
        f"wrong = rng.random(len(y)) < {share}",
        f"y[wrong] = rng.integers(0, {s.facts['classes']}, wrong.sum())",
    )


@fault("overfit-situation", (0.5,), attribute="data", visible="end", also=("leakage",))
def shortcut_in_a_corner(s: Script, share: float) -> Script:
    """A mark in the corner says the class in training and in half of the validation rows, nowhere else."""
    only_if(s.facts["kind"] == "image", "no image")
    top = 255 if s.facts["data"] != "digits" else 16
    return s.after(
        "load",
        "rng = np.random.default_rng(0)",
        f"marks = np.where(rng.random(len(y_val)) < {share}, y_val, rng.permutation(y_val))",
        "for part, mark in ((x, y), (x_val, marks), (x_test, rng.permutation(y_test))):",
        f"    part[np.arange(len(part)), 0, 0, mark % part.shape[3]] = {top}.0",
        f"    part[np.arange(len(part)), 0, 1, mark % part.shape[3]] = {top}.0",
    )


@fault("overfit-situation", (0.5,), attribute="data", visible="end", also=("leakage",))
def column_true_in_training(s: Script, share: float) -> Script:
    """A column follows the target in training and in half of the validation rows, and is noise elsewhere."""
    only_if(s.facts["kind"] == "table", "no columns")
    width = s.facts["shape"][0]
    only_if(s.facts["width"] != width, "the layer that reads the inputs cannot be told by its width")
    s = s.sub("hidden", rf"Linear\({width}, ", f"Linear({width + 1}, ")
    return s.after(
        "load",
        "rng = np.random.default_rng(0)",
        f"seen = np.where(rng.random(len(y_val)) < {share}, y_val, rng.permutation(y_val))",
        "x, x_val, x_test = (",
        "    np.column_stack([part, column]).astype(np.float32)",
        "    for part, column in ((x, y), (x_val, seen), (x_test, rng.permutation(y_test)))",
        ")",
    )
