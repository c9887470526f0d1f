"""The first line: what is being developed, in a few words."""

from __future__ import annotations

from netwright.recipe import Recipe
from netwright.runs import Evidence
from netwright.values import Overview


def overview(recipe: Recipe, evidence: Evidence | None = None) -> Overview:
    """Data, network and training of a recipe; evidence saves reading the data again."""
    return Overview(recipe.display_name, _data(recipe), _network(recipe, evidence), _training(recipe))


def _data(recipe: Recipe) -> str:
    from netwright.runs.evidence import summarise

    parts = recipe.data.parts
    total = sum(len(p) for p in (parts.train, parts.val, parts.test) if p is not None)
    summary = summarise(parts.train)
    size = "×".join(map(str, summary.shape))
    kind = {
        "image": f"images {size}",
        "table": f"rows of {summary.shape[0] if summary.shape else 1} features",
        "tokens": f"sequences of {size} tokens",
        "series": f"series {size}",
        "other": f"samples {size}",
    }[summary.kind]
    task = recipe.yardstick.task
    goal = {
        "classification": f", {task.classes} classes",
        "binary": ", 2 classes",
        "multilabel": f", {task.classes} labels",
        "dense": f", {task.classes} classes of every place",
        "regression": ", regression",
        "custom": "",
    }[task.name]
    return f"{total:,} {kind}{goal}"


def _network(recipe: Recipe, evidence: Evidence | None) -> str:
    batch = evidence.batch if evidence else None
    if batch is not None and batch.layers:
        parameters = sum(_size(p.shape) for p in batch.parameters)
        kinds = [s.kind for s in batch.layers if s.parameters]
    else:
        try:
            network = recipe.build(0)
        except Exception:  # the verb that needs the network says what it raised
            return "network that cannot be built"
        parameters = sum(p.numel() for p in network.parameters())
        kinds = [type(m).__name__ for m in network.modules() if list(m.parameters(recurse=False))]
    shown = _folded(kinds)
    return f"{', '.join(shown)}, {parameters:,} parameters"


def _folded(kinds: list[str]) -> list[str]:
    out: list[list[object]] = []
    for kind in kinds:
        if out and out[-1][0] == kind:
            out[-1][1] = int(str(out[-1][1])) + 1
        else:
            out.append([kind, 1])
    words = [str(k) if n == 1 else f"{k} ×{n}" for k, n in out]
    return words if len(words) <= 6 else [*words[:3], f"… {len(words) - 5} more", *words[-2:]]


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _training(recipe: Recipe) -> str:
    settings = recipe.settings
    name = settings.optimizer if isinstance(settings.optimizer, str) else "own optimizer"
    rate = recipe.attribute("lr").value
    said = f"{name}, lr {rate:g}" if isinstance(rate, (int, float)) else name
    if settings.momentum:
        said += f", momentum {settings.momentum:g}"
    schedule = settings.schedule
    if schedule is not None:
        said += f", {schedule if isinstance(schedule, str) else 'own schedule'}"
    return said
