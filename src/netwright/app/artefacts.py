"""The files that `improve` leaves beside the journal: the network, how to load it, the report."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
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
    with _written(path):
        save_file({k: np.ascontiguousarray(v) for k, v in run.weights.items()}, path, metadata)
    source = recipe.origin.source if recipe.origin else ""
    if not source.endswith(".py"):
        return _shown(path), None
    relative = Path(os.path.relpath(Path(source).resolve(), folder.resolve())).as_posix()
    load = folder / f"{recipe.display_name}_load.py"
    assert recipe.origin is not None
    with _written(load):
        text = _LOAD.format(source=relative, name=recipe.origin.name, weights=path.name)
        load.write_text(text, encoding="utf-8")
    return _shown(path), _shown(load)


def write_report(folder: Path, result: values.ImproveResult, attributes: values.AttributesResult) -> str:
    """The self-contained page; its path."""
    from netwright.views.report import report_html

    path = folder / f"{result.recipe}.html"
    page = report_html(result, attributes, getattr(result, "look", None))
    with _written(path):
        path.write_text(page, encoding="utf-8")
    return _shown(path)


@contextmanager
def _written(path: Path) -> Generator[None, None, None]:
    """Inside, a file that cannot be written is the user's to mend; what was trained stays in the journal."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as failed:
        reason = getattr(failed, "strerror", None) or str(failed)
        raise UserError(
            f"{path}: cannot be written ({reason}); make room or name another --journal:"
            " what was trained is kept"
        ) from failed


def _shown(path: Path) -> str:
    """Relative where it lies below the working folder, else whole."""
    relative = os.path.relpath(path)
    return str(path.resolve()) if relative.startswith("..") else relative
