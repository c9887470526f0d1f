"""Questions to a trained network: its weights as the run left them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor, nn

from netwright.recipe import Recipe, labels_of, seeded, stream, tree_map
from netwright.runs.forward import forward, outputs_of, predict
from netwright.runs.run import Run

ROWS = 512
REGIONS = 4
HANGS, GAP = 0.3, 0.15
MANY_VALUES = 200


@frozen(eq=False)
class TrainedModes:
    """Skill on the same training samples in training mode and in evaluation mode; `outputs` (N, ...) are
    those of the validation part in evaluation mode."""

    training: float
    evaluation: float
    outputs: Tensor | None = None

    @property
    def gap(self) -> float:
        return self.training - self.evaluation


def trained(recipe: Recipe, run: Run, seed: int = 0, device: str = "cpu") -> nn.Module | None:
    """The network with the weights that the run left; `None` where it did not keep them."""
    if run.weights is None:
        return None
    network = recipe.build(run.seed).to(device)
    network.load_state_dict({k: torch.as_tensor(v) for k, v in run.weights.items()})
    return network


@torch.no_grad()
def trained_modes(recipe: Recipe, run: Run, seed: int = 0, device: str = "cpu") -> TrainedModes | None:
    """Training against evaluation mode on the same 512 training samples, in batches of the recipe's size."""
    network = trained(recipe, run, seed, device)
    if network is None or recipe.settings.step is not None:
        return None
    where = torch.device(device)
    inputs, targets = recipe.training_samples.head(ROWS)
    inputs, targets = tree_map(lambda t: t.to(where), inputs), targets.to(where)
    size = max(2, recipe.settings.batch_size)
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(stream(seed, "modes")))
    metric = recipe.yardstick.metric
    with seeded(seed, "modes"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = []
        for training in (False, True):
            network.train(training)
            outputs = []
            for rows in order.split(size):
                if training and len(rows) < 2:
                    rows = order[-2:]
                    outputs.append(
                        outputs_of(forward(network, tree_map(lambda t, r=rows: t[r], inputs)))[-1:]
                    )
                    continue
                outputs.append(outputs_of(forward(network, tree_map(lambda t, r=rows: t[r], inputs))))
            made = torch.cat(outputs)
            scores.append(metric.skill(metric.score(recipe.judged(made), targets[order])))
        shown, _ = predict(network, recipe.data.parts.val.to(where))
    return TrainedModes(scores[1], scores[0], shown.cpu())


@frozen
class Slice:
    """Validation samples with something in common, where the network does worse than on the rest."""

    name: str
    elsewhere: str
    count: int
    score: float
    rest: float
    samples: tuple[str, ...] = ()

    def words(self) -> str:
        return f"{self.name}: {self.score:.2f} on {self.count}, elsewhere {self.rest:.2f}"


@frozen
class Shortcut:
    """A part of the input, and how far skill falls when it is dealt out anew among the samples."""

    name: str
    index: tuple[int, ...]
    in_training: float
    in_validation: float


@frozen
class Situations:
    """Where a network fails: `slices`, the worst first, `shortcut` if its training skill hangs on one part of
    the input that validation does not gain from, and all `parts` looked at."""

    slices: tuple[Slice, ...] = ()
    shortcut: Shortcut | None = None
    parts: tuple[Shortcut, ...] = ()


@torch.no_grad()
def situations(recipe: Recipe, run: Run, seed: int = 0, device: str = "cpu") -> Situations | None:
    """Permute one feature, channel or region of the inputs at a time in training and in validation; and
    compare slices of validation: classes, values of table columns and of `Data(meta=)`, groups, clusters of
    the network's own last hidden layer.

    `None` without weights, or for inputs that are not one tensor of numbers.
    Source: Breiman, Random Forests (2001), section 10; Eyuboglu et al., Domino (2022).
    """
    network = trained(recipe, run, seed, device)
    val_samples = recipe.data.parts.val
    each = run.contributions.get("val")
    if network is None or each is None or recipe.settings.step is not None:
        return None
    inputs, goal = val_samples.head(ROWS * 2)
    if not isinstance(inputs, Tensor):
        return None
    train_inputs, train_goal = recipe.training_samples.head(ROWS)
    network.eval()
    where = torch.device(device)
    metric = recipe.yardstick.metric

    def skill(x: Tensor, y: Tensor) -> float:
        outputs = torch.cat([outputs_of(forward(network, part.to(where))) for part in x.split(512)])
        return metric.skill(metric.score(recipe.judged(outputs), y.to(where)))

    with seeded(seed, "situations"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        slices = _slices(recipe, network, each, device)
        parts: list[Shortcut] = []
        found: Shortcut | None = None
        if inputs.is_floating_point():
            base_train, base_val = skill(train_inputs, train_goal), skill(inputs, goal)

            def dealt(name: str, index: Tensor) -> Shortcut:
                falls = [
                    base - skill(_dealt(x, index, seed), y)
                    for x, y, base in ((train_inputs, train_goal, base_train), (inputs, goal, base_val))
                ]
                return Shortcut(name, tuple(index.tolist()), *falls)

            named = _parts(inputs)
            parts = [dealt(name, index) for name, index in named]
            if base_train - base_val >= GAP:
                found = _shortcut(parts, dealt, sliced=bool(slices))
    return Situations(slices, found, tuple(parts))


def _shortcut(
    parts: list[Shortcut], dealt: Callable[[str, Tensor], Shortcut], *, sliced: bool
) -> Shortcut | None:
    """The part, or the few parts together, that training hangs on and validation does not gain from; judged
    more strictly where a slice of validation tells as well why it scores less."""
    falls = sorted((p.in_training for p in parts), reverse=True)
    # Nothing else counts: then half is enough.
    alone = not sliced and len(falls) > 1 and falls[1] < 0.1 * falls[0]
    bound = 0.5 if alone else 0.35
    suspected = [
        p
        for p in parts
        if p.in_training > 0.05
        and p.in_training - p.in_validation > 0.05
        and p.in_validation < bound * p.in_training
    ]
    rest = max((p.in_training for p in parts if p not in suspected), default=0.0)
    if not suspected or len(suspected) > max(1, len(parts) // 4):
        return None  # what is learnt by heart hangs on everything a little
    whole = suspected[0]
    if len(suspected) > 1:
        index = torch.tensor(sorted({k for part in suspected for k in part.index}))
        shown = " and ".join(p.name for p in suspected[:2])
        more = f" and {len(suspected) - 2} more" if len(suspected) > 2 else ""
        whole = dealt(f"{shown}{more}", index)
    stands_out = rest < 0.5 * whole.in_training
    holds = whole.in_training >= HANGS and stands_out and whole.in_validation < bound * whole.in_training
    return whole if holds else None


def _parts(inputs: Tensor) -> list[tuple[str, Tensor]]:
    """Names and flat indices of the parts of one input: features of a table, a grid of regions of an image,
    channels or stretches of a series."""
    shape = inputs.shape[1:]
    flat = torch.arange(int(np.prod(shape))).reshape(shape)
    if len(shape) == 1:
        chosen = range(min(len(flat), 64))
        return [(f"feature {k}", flat[k : k + 1]) for k in chosen]
    if len(shape) == 3:
        rows, columns = (np.array_split(np.arange(n), min(REGIONS, n)) for n in shape[1:])
        found = []
        for r in rows:
            for c in columns:
                name = f"the region of rows {r[0]}–{r[-1]} and columns {c[0]}–{c[-1]}"
                found.append((name, flat[:, r[0] : r[-1] + 1, c[0] : c[-1] + 1].reshape(-1)))
        return found
    if len(shape) == 2:
        stretches = np.array_split(np.arange(shape[0]), min(8, shape[0]))
        found = [(f"positions {s[0]}–{s[-1]}", flat[s[0] : s[-1] + 1].reshape(-1)) for s in stretches]
        if shape[1] <= 32:
            found += [(f"channel {k}", flat[:, k].reshape(-1)) for k in range(shape[1])]
        return found
    return []


def _dealt(inputs: Tensor, index: Tensor, seed: int) -> Tensor:
    """The inputs with the values at `index` of each sample taken from another one."""
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(stream(seed, "dealt")))
    flat = inputs.reshape(len(inputs), -1).clone()
    flat[:, index] = flat[order][:, index]
    return flat.reshape(inputs.shape)


def _slices(recipe: Recipe, network: nn.Module, each: NDArray[np.float64], device: str) -> tuple[Slice, ...]:
    """Slices of validation with a score far below the rest, the worst first."""
    data, metric = recipe.data, recipe.yardstick.metric
    val = data.parts.val
    if metric.name not in ("accuracy", "balanced_accuracy") or len(each) < 100:
        return ()
    right = (each > 0).astype(float)
    found: list[Slice] = []
    for name, elsewhere, member in _members(recipe, network, device, len(each)):
        inside = right[member]
        outside = right[~member]
        if len(inside) < max(20, 0.05 * len(right)) or len(outside) < 20:
            continue
        low, high = float(inside.mean()), float(outside.mean())
        error = np.sqrt(low * (1 - low) / len(inside) + high * (1 - high) / len(outside) + 1e-4)
        if high - low > 0.4 and high - low > 4 * error:
            rows = np.flatnonzero(member & (right == 0))[:100]
            found.append(Slice(name, elsewhere, len(inside), low, high, val.ids(rows.tolist())))
    return tuple(sorted(found, key=lambda s: s.score - s.rest)[:5])


def _members(
    recipe: Recipe, network: nn.Module, device: str, size: int
) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """(what a slice has in common, what the rest has, (N,) who is in it)."""
    val = recipe.data.parts.val
    inputs, _ = val.head(size)
    if not isinstance(inputs, Tensor) or len(inputs) != size:
        return []
    found: list[tuple[str, str, NDArray[np.bool_]]] = []
    if recipe.yardstick.task.name in ("classification", "binary"):
        labels = labels_of(val.targets()).cpu().numpy()
        names = recipe.data.parts.classes
        for k in np.unique(labels)[:50]:
            name = names[k] if names and 0 <= k < len(names) else k
            found.append((f"the class is {name}", f"the class is not {name}", labels == k))
    flat = inputs.reshape(size, -1).float().numpy()
    features = getattr(recipe.data, "features", None)
    if inputs.ndim == 2:
        for k in range(min(flat.shape[1], 64)):
            name = features[k] if features and k < len(features) else f"feature {k}"
            found += _by_column(name, flat[:, k])
    for name, column in recipe.data.parts.val_meta.items():
        found += _by_column(name, column)
    embedded = _embedding(network, inputs, device)
    if embedded is not None and size >= 200:
        from sklearn.cluster import KMeans

        clusters: Any = KMeans
        names = clusters(min(8, size // 50), n_init=2, random_state=0).fit_predict(embedded)
        found += [
            (f"the network's own cluster {k}", "the other clusters", names == k) for k in np.unique(names)
        ]
    return found


def _by_column(name: str, column: NDArray[Any]) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Slices by the values of a column (N,) where they are few, by its lowest and highest fifth where they
    are many numbers."""
    numbers = column.dtype.kind in "fiu"
    if numbers:
        column = np.asarray(column, dtype=float)
        values = np.unique(column[np.isfinite(column)])
    else:
        column = column.astype(str)
        values = np.unique(column)
    if 2 <= len(values) <= (6 if numbers else MANY_VALUES):
        for value in values:
            shown = f"{value:g}" if numbers else str(value)
            yield f"{name} is {shown}", f"{name} is not {shown}", column == value
    elif numbers and len(values) > 6:
        low, high = np.quantile(column[np.isfinite(column)], [0.2, 0.8])
        yield f"{name} is below {low:.3g}", f"{name} is higher", column < low
        yield f"{name} is above {high:.3g}", f"{name} is lower", column > high


def _embedding(network: nn.Module, inputs: Tensor, device: str) -> NDArray[np.float32] | None:
    """(N, D) what the last layer with weights reads."""
    layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
    if not layers:
        return None
    kept: list[Tensor] = []
    handle = layers[-1].register_forward_pre_hook(
        lambda m, given: kept.append(given[0].detach().reshape(len(given[0]), -1).cpu())
    )
    try:
        for part in inputs.split(512):
            forward(network, part.to(device))
    finally:
        handle.remove()
    made = torch.cat(kept) if kept else None
    if made is None or len(made) != len(inputs) or not bool(torch.isfinite(made).all()):
        return None
    return made[:, :256].float().numpy()


@frozen
class Copy:
    """An altered copy of the recipe after a training with the same seed: training and validation skill."""

    train_skill: float
    skill: float
    what: str = ""
