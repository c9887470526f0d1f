"""The bar to clear: what the simplest models make of the same data."""

from __future__ import annotations

import warnings

import attrs
import numpy as np
import torch
from attrs import field, frozen
from numpy.typing import NDArray

from netwright.recipe import Recipe, Yardstick, labels_of
from netwright.runs.evidence import DataEvidence, PartSummary

MOST_ROWS, MOST_FEATURES = 1500, 400
NEIGHBOURS, TELLS = 5, 0.2
HOLDS = 0.3  # of the gain that the best shift shows where it was chosen, at least this elsewhere
Array = NDArray[np.float64]


@frozen(eq=False)
class SimpleModels:
    """Validation skill (0 for ignoring the inputs, 1 for perfect) of a linear model and of the five nearest
    neighbours on standardised inputs, and what chance gives them: the highest skill of either over
    permutations of the labels. `neighbour_votes` (M, C) are the shares of each class among the neighbours
    of a training sample, itself left out, `linear_odds` (M, C) those of a linear model fitted without it;
    `rows` (M,) its row. `linear_errors` is that model's error rate on the `judged` validation samples."""

    linear: float
    neighbours: float
    by_chance: float
    neighbour_votes: NDArray[np.float64] = field(factory=lambda: np.empty((0, 0)))
    linear_odds: NDArray[np.float64] = field(factory=lambda: np.empty((0, 0)))
    linear_errors: float | None = None
    judged: int = 0
    rows: NDArray[np.int64] = field(factory=lambda: np.empty(0, dtype=np.int64))

    @property
    def best(self) -> float:
        return max(self.linear, self.neighbours)


def simple_models(data: DataEvidence, yardstick: Yardstick, seed: int = 0) -> SimpleModels | None:
    """A linear model and nearest neighbours, fitted on up to 1,500 training samples.

    Whole-number sequences count as bags of tokens. `None` for targets that are neither one class nor numbers.
    Source: Karpathy, A Recipe for Training Neural Networks (2019), 'get dumb baselines'.
    """
    task = data.task
    if task.name not in ("classification", "binary", "regression"):
        return None
    rows = _spread(data.train.looked_at, MOST_ROWS)
    x, v = features(data.train, rows), features(data.val, _spread(data.val.looked_at, MOST_ROWS))
    width = max(x.shape[1], v.shape[1])
    x, v = _padded(x, width), _padded(v, width)
    x, v = _standardised(x, v, seed)
    y, goal = (
        _targets(data.train, rows, task.name),
        _targets(data.val, _spread(data.val.looked_at, MOST_ROWS), task.name),
    )
    known, judged = np.isfinite(x).all(1), np.isfinite(v).all(1)
    if task.name == "regression":
        known, judged = known & np.isfinite(y).all(1), judged & np.isfinite(goal).all(1)
    if task.name != "regression":  # targets that are no finite number are of no class
        known, judged = known & (y >= 0), judged & (goal >= 0)
    x, y, v, goal, rows = x[known], y[known], v[judged], goal[judged], rows[known]
    if len(x) < 10 or len(v) < 5 or len(np.unique(y)) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if task.name == "regression":
            return _regression(x, y, v, goal, seed)
        return _classes(x, y, v, goal, rows, seed)


def features(part: PartSummary, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(M, F) numbers of the looked-at samples: token counts of whole-number sequences, else the values."""
    chosen = part.inputs[torch.from_numpy(rows)]
    if part.kind == "tokens" and chosen.ndim == 2:
        tokens = chosen.long().clamp(min=0).numpy()
        counts = np.zeros((len(tokens), int(min(tokens.max(), 20_000)) + 1))
        for row, words in enumerate(tokens):
            np.add.at(counts[row], words.clip(max=counts.shape[1] - 1), 1.0)
        return np.log1p(counts)
    return chosen.reshape(len(chosen), -1).double().numpy()


def _spread(count: int, most: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _padded(x: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    return np.pad(x, ((0, 0), (0, width - x.shape[1]))) if x.shape[1] < width else x


def _standardised(
    x: NDArray[np.float64], v: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By the training part; more than 400 features are projected at random (Johnson–Lindenstrauss)."""
    with np.errstate(all="ignore"):
        mean, std = (
            np.nanmean(np.where(np.isfinite(x), x, np.nan), 0),
            np.nanstd(np.where(np.isfinite(x), x, np.nan), 0),
        )
    std = np.where(std > 1e-12, std, 1.0)
    x, v = ((a - mean) / std for a in (x, v))
    if x.shape[1] > MOST_FEATURES:
        mix = np.random.default_rng(seed).normal(size=(x.shape[1], MOST_FEATURES)) / MOST_FEATURES**0.5
        x, v = x @ mix, v @ mix
    return x, np.clip(v, -1e3, 1e3)


def _targets(part: PartSummary, rows: NDArray[np.int64], task: str) -> NDArray[np.float64]:
    positions = part.positions[torch.from_numpy(rows)]
    chosen = part.targets[positions.to(part.targets.device)]
    if task == "regression":
        return chosen.reshape(len(chosen), -1).double().cpu().numpy()
    return labels_of(chosen).cpu().numpy()


def _regression(x: Array, y: Array, v: Array, goal: Array, seed: int) -> SimpleModels:
    from sklearn.linear_model import Ridge
    from sklearn.neighbors import KNeighborsRegressor

    def skill(guess: NDArray[np.float64]) -> float:
        spread = ((goal - y.mean(0)) ** 2).mean(0)
        return max(
            -1.0,
            float(1 - (((guess.reshape(goal.shape) - goal) ** 2).mean(0) / np.maximum(spread, 1e-12)).mean()),
        )

    def both(y: NDArray[np.float64]) -> tuple[float, float]:
        near = KNeighborsRegressor(min(NEIGHBOURS, len(x))).fit(x, y).predict(v)
        return skill(Ridge(alpha=max(1.0, 0.01 * len(x))).fit(x, y).predict(v)), skill(near)

    linear, near = both(y)
    order = np.random.default_rng(seed)
    chance = max(max(both(y[order.permutation(len(y))])) for _ in range(5))
    return SimpleModels(linear, near, chance)


def _classes(x: Array, y: Array, v: Array, goal: Array, rows: NDArray[np.int64], seed: int) -> SimpleModels:
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.model_selection import cross_val_predict
    from sklearn.neighbors import NearestNeighbors

    names, codes = np.unique(y, return_inverse=True)
    trivial = float(np.bincount(codes).max() / len(codes))

    def skill(guess: NDArray[np.int64]) -> float:
        # Against the commonest class of either part, so that a shift of the classes is no skill.
        base = max(trivial, float(np.unique(goal, return_counts=True)[1].max() / len(goal)))
        return (float((names[guess] == goal).mean()) - base) / max(1e-9, 1 - base)

    finder = NearestNeighbors(n_neighbors=min(NEIGHBOURS + 1, len(x))).fit(x)
    nearest_of_val = finder.kneighbors(v, n_neighbors=min(NEIGHBOURS, len(x)), return_distance=False)
    nearest = finder.kneighbors(x, return_distance=False)

    def votes(found: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.stack([(codes[found] == k).mean(1) for k in range(len(names))], 1)

    def linear(codes: NDArray[np.int64]) -> float:
        return skill(np.asarray(RidgeClassifier(alpha=max(1.0, 0.01 * len(x))).fit(x, codes).predict(v)))

    order = np.random.default_rng(seed)
    chance = 0.0
    for _ in range(5):
        shuffled = codes[order.permutation(len(codes))]
        chance = max(chance, linear(shuffled), skill(votes(nearest_of_val, shuffled).argmax(1)))
    # The sample itself is its own nearest neighbour; it is left out of its votes.
    others = np.where(nearest[:, :1] == np.arange(len(x))[:, None], nearest[:, 1:], nearest[:, :-1])
    odds, errors = np.empty((0, 0)), None
    if np.bincount(codes).min() >= 3:
        model = LogisticRegression(C=0.1, max_iter=100)
        odds = np.asarray(cross_val_predict(model, x, codes, cv=3, method="predict_proba"))
        errors = float((names[model.fit(x, codes).predict(v)] != goal).mean())
    return SimpleModels(
        max(linear(codes), -1.0),
        skill(votes(nearest_of_val, codes).argmax(1)),
        chance,
        votes(others, codes),
        odds,
        errors,
        len(goal),
        rows,
    )


@frozen
class LabelShift:
    """The shift of the labels along the source (0 for none) under which the nearest neighbours of a sample
    answer best, from the source's row `first` on (0 for all), their skill then, and `before`, on the same
    samples, as the labels are; `judged` of these are moved. `in_validation`: whether that shift suits
    validation's labels, too; `holds`: whether the moved labels answer validation better, as it is or moved,
    where that can be asked."""

    shift: int
    skill: float
    before: float = 0.0
    first: int = 0
    judged: int = 0
    in_validation: bool = False
    holds: bool = True

    @property
    def sure(self) -> bool:
        """Whether neighbours then say something, and more than the luck of the best of some eighty
        arrangements."""
        lucky = 0.05 + 3 / max(1, self.judged) ** 0.5
        return self.shift != 0 and self.holds and self.skill > max(TELLS, max(0.0, self.before) + lucky)


def label_shift(recipe: Recipe, data: DataEvidence, seed: int = 0) -> LabelShift | None:
    """Nearest neighbours with the labels moved by 1 and 2 places either way along the source's order, all of
    them or those from some row on.

    `None` where that order is not known, or for targets that are no single class or number.
    """
    index = getattr(recipe.training_samples, "index", None)
    task = data.task.name
    if (
        index is None
        or task not in ("classification", "binary", "regression")
        or data.train.looked_at < data.train.size
        or data.train.size < 40
    ):
        return None
    rows = np.arange(data.train.size)
    x = features(data.train, rows)
    y = _targets(data.train, rows, task).reshape(len(rows), -1)[:, 0].astype(float)
    asked = _spread(len(rows), MOST_ROWS)
    asked = asked[np.isfinite(x[asked]).all(1) & np.isfinite(y[asked])]
    if len(asked) < 40:
        return None
    near = asked[_neighbours(_standardised(x[asked], x[asked], seed)[0])]
    place = {int(source): row for row, source in enumerate(index)}

    def moved(shift: int) -> Array:
        """(N,) the label `shift` places further along the source; NaN where there is none."""
        found = [place.get(int(source) + shift) for source in index]
        return np.array([np.nan if row is None else y[row] for row in found])

    cuts = np.unique(np.quantile(index, np.linspace(0, 0.95, 20)).astype(np.int64))
    cuts[0] = 0
    best, gain = LabelShift(0, -1.0), 0.0
    for shift in (1, -1, 2, -2):
        other = moved(shift)
        if np.isfinite(other[asked]).sum() < 40:
            continue
        for first in cuts.tolist():
            labels = np.where(index >= first, other, y)
            reached, before, count = _either_way(
                (labels[asked], labels[near]), (y[asked], y[near]), index[asked] >= first, task
            )
            # All of them is the simpler answer; one from some row on has to do better than that.
            if reached - before > gain + (0.02 if best.shift else 0.1):
                best, gain = LabelShift(shift, reached, before, first, count), reached - before
    if best.sure:
        moved_back = np.where(index >= best.first, moved(best.shift), y)
        alike, holds = _seen_in_validation(recipe, data, x[asked], y[asked], moved_back[asked], best)
        best = attrs.evolve(best, in_validation=alike, holds=holds)
    return best


def _seen_in_validation(
    recipe: Recipe, data: DataEvidence, x: Array, y: Array, moved_back: Array, found: LabelShift
) -> tuple[bool, bool]:
    """Of the training samples x (M, F) with the labels y (M,) and those `moved_back`: whether the shift suits
    validation's labels as well, and whether it answers validation's samples better at all.

    The shift was the best of some eighty on the training samples; these others did not choose it.
    """
    from sklearn.neighbors import NearestNeighbors

    rows = np.arange(data.val.looked_at)
    v = features(data.val, rows)
    if v.shape[1] != x.shape[1]:
        return False, True
    goal = _targets(data.val, rows, data.task.name).reshape(len(rows), -1)[:, 0].astype(float)
    x, v = _standardised(x, v, 0)
    judged = np.isfinite(v).all(1) & np.isfinite(goal)
    if judged.sum() < 40:
        return False, True
    finder = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(x))).fit(x)
    near = finder.kneighbors(v[judged], return_distance=False)
    task, everywhere = data.task.name, np.ones(int(judged.sum()), dtype=bool)
    now, before, _ = _either_way((goal[judged], moved_back[near]), (goal[judged], y[near]), everywhere, task)
    gains = now - before
    index = getattr(recipe.data.parts.val, "index", None)
    alike = False
    if index is not None and data.val.looked_at == data.val.size:
        place = {int(source): row for row, source in enumerate(index)}
        others = [place.get(int(source) + found.shift) for source in index]
        moved = np.array([np.nan if row is None else goal[row] for row in others])[judged]
        then, as_it_is, count = _either_way(
            (moved, moved_back[near]), (goal[judged], moved_back[near]), everywhere, task
        )
        alike = count >= 40 and then > as_it_is + 0.05 + 3 / count**0.5
        if alike:
            as_was = _either_way((moved, moved_back[near]), (goal[judged], y[near]), everywhere, task)[1]
            gains = max(gains, then - as_was)
    return alike, gains > HOLDS * (found.skill - found.before)


def _either_way(
    moved: tuple[Array, Array], given: tuple[Array, Array], concerned: NDArray[np.bool_], task: str
) -> tuple[float, float, int]:
    """The skill of neighbours' labels (M, K) at telling a sample's (M,), moved and as given, each over the
    same samples: those for which both are known. And how many of these the move concerns."""
    known = np.ones(len(concerned), dtype=bool)
    for labels, around in (moved, given):
        known &= np.isfinite(labels) & np.isfinite(around).all(1)
    skills = [_agreement(labels[known], around[known], task) for labels, around in (moved, given)]
    return skills[0], skills[1], int((known & concerned).sum())


def _neighbours(x: Array) -> NDArray[np.int64]:
    """(M, 5) the nearest other samples of each."""
    from sklearn.neighbors import NearestNeighbors

    found = (
        NearestNeighbors(n_neighbors=min(NEIGHBOURS + 1, len(x))).fit(x).kneighbors(x, return_distance=False)
    )
    return np.where(found[:, :1] == np.arange(len(x))[:, None], found[:, 1:], found[:, :-1])


def _agreement(labels: Array, around: Array, task: str) -> float:
    """The skill of the neighbours' labels (M, K) at telling a sample's (M,); what is NaN is left out."""
    known = np.isfinite(labels) & np.isfinite(around).all(1)
    labels, around = labels[known], around[known]
    if len(labels) < 40:
        return -1.0
    if task == "regression":
        return float(1 - ((around.mean(1) - labels) ** 2).mean() / max(float(labels.var()), 1e-12))
    names, codes = np.unique(labels, return_inverse=True)
    votes = np.stack([(around == name).sum(1) for name in names], 1)
    trivial = float(np.bincount(codes).max() / len(codes))
    return (float((votes.argmax(1) == codes).mean()) - trivial) / max(1e-9, 1 - trivial)
