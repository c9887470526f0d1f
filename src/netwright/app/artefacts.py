"""The files that `improve` leaves beside the journal: the network, how to load it, the report."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from netwright import values
from netwright.recipe import Recipe
from netwright.runs import Run
from netwright.values import UserError

_LOAD = """from pathlib import Path
import netwright as nw
here = Path(__file__).resolve().parent
recipe = nw.load(str(here / "{source}") + ":{name}")
network = recipe.restore(here / "{weights}")
"""


def write_network(folder: Path, recipe: Recipe, run: Run) -> tuple[str | None, str | None]:
    """The run's weights as safetensors, with the edits that they need, and a `load.py` of five lines.

    The paths of both; the second is `None` for a recipe that lives in no file.
    """
    from safetensors.numpy import save_file

    if run.weights is None:
        return None, None
    path = folder / f"{recipe.display_name}.safetensors"
    edits = [values.to_json(edit) for edit in recipe.edits]
    metadata = {
        "edits": json.dumps(edits),
        "fingerprint": run.fingerprint,
        "seed": str(run.seed),
        "validation": f"{run.scores.get('val', float('nan')):.6g}",
    }
    try:
        save_file({k: np.ascontiguousarray(v) for k, v in run.weights.items()}, path, metadata)
    except OSError as failed:
        raise UserError(
            f"{path}: cannot be written ({failed.strerror}); make room or name another --journal"
        ) from failed
    source = recipe.origin.source if recipe.origin else ""
    if not source.endswith(".py"):
        return _shown(path), None
    relative = Path(os.path.relpath(Path(source).resolve(), folder.resolve())).as_posix()
    load = folder / f"{recipe.display_name}_load.py"
    assert recipe.origin is not None
    load.write_text(
        _LOAD.format(source=relative, name=recipe.origin.name, weights=path.name), encoding="utf-8"
    )
    return _shown(path), _shown(load)


def write_report(folder: Path, result: values.ImproveResult, attributes: values.AttributesResult) -> str:
    """The self-contained page; its path."""
    from netwright.views.report import report_html

    path = folder / f"{result.recipe}.html"
    try:
        path.write_text(report_html(result, attributes), encoding="utf-8")
    except OSError as failed:
        raise UserError(
            f"{path}: cannot be written ({failed.strerror}); make room or name another --journal"
        ) from failed
    return _shown(path)


def _shown(path: Path) -> str:
    """Relative where it lies below the working folder, else whole."""
    relative = os.path.relpath(path)
    return str(path.resolve()) if relative.startswith("..") else relative
