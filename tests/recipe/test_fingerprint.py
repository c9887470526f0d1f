"""A fingerprint is the same in every process and changes with anything that changes the training."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import netwright as nw
from netwright.recipe.fingerprint import digest

WIDTH = 8
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=6,
)

CHANGES = {
    "loss": "nll",
    "optimizer": "adam",
    "lr": 0.2,
    "momentum": 0.9,
    "weight_decay": 0.1,
    "batch_size": 17,
    "epochs": 4,
    "schedule": "cosine",
    "clip": 1.0,
    "augment": "noise",
    "label_smoothing": 0.1,
    "shuffle": False,
    "precision": "bf16",
    "options": {"nesterov": True},
    "step": lambda network, batch: network(batch[0]).sum(),
    "class_weights": (1.0, 2.0, 3.0),
    "target_scaling": ((0.0,), (1.0,)),
}


def test_the_changes_below_cover_every_field_of_the_training():
    assert set(CHANGES) == {a.name for a in attrs.fields(nw.Training) if a.init}


@pytest.mark.parametrize("name", CHANGES)
def test_every_field_of_the_training_changes_the_fingerprint(recipe, name):
    changed = attrs.evolve(recipe, training=attrs.evolve(recipe.training, **{name: CHANGES[name]}))
    assert changed.fingerprint != recipe.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"metric": "accuracy"},
        {"task": "classification"},
        {"start": "weights.pt"},
        {"network": lambda: nn.Linear(4, 3)},
    ],
)
def test_the_other_fields_of_a_recipe_change_the_fingerprint(recipe, change):
    assert attrs.evolve(recipe, **change).fingerprint != recipe.fingerprint


def test_an_edit_changes_the_fingerprint_and_its_label_does_not(recipe):
    first = recipe.with_edits(nw.Edit.set("training.lr", 0.3, label="one")).fingerprint
    second = recipe.with_edits(nw.Edit.set("training.lr", 0.3, label="two")).fingerprint
    assert first == second != recipe.fingerprint


def test_the_contents_of_a_checkpoint_change_the_fingerprint(recipe, tmp_path):
    start = tmp_path / "start.pt"
    prints = []
    for content in (b"one", b"two", b"one"):
        start.write_bytes(content)
        prints.append(attrs.evolve(recipe, start=start).fingerprint)
    assert prints[0] == prints[2] != prints[1]


FILE = """
import functools
import numpy as np
import netwright as nw
from torch import nn

NAMES = {"relu", "tanh", "gelu", "elu", "selu"}

class Config:
    width = 8
    kinds = ["a", "b"]

def layer(config, width=Config.width):
    return nn.Sequential(nn.Linear(3, width), *(nn.ReLU() for name in NAMES if name in {"relu", "tanh"}))

x = np.arange(90.0).reshape(30, 3)
recipe = nw.Recipe(
    data=nw.Data.arrays(x, np.arange(30) % 2),
    network=functools.partial(layer, Config()),
    training=nw.Training(loss=nn.CrossEntropyLoss(label_smoothing=0.1), optimizer="sgd", lr=0.1),
)
"""


def test_a_second_process_computes_the_same_fingerprint(file):
    path = file(FILE)
    program = f"from netwright.recipe import load; print(load({str(path)!r}).fingerprint)"
    prints = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert prints == {nw.load(str(path)).fingerprint}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("width = 8", "width = 9"),
        ('kinds = ["a", "b"]', 'kinds = ["a", "c"]'),
        ("nn.ReLU()", "nn.Tanh()"),
        ('"selu"}', '"mish"}'),
        ("label_smoothing=0.1", "label_smoothing=0.2"),
        ("functools.partial(layer, Config())", "functools.partial(layer, Config(), 16)"),
        ("np.arange(90.0)", "np.arange(1, 91.0)"),
        ("nn.Linear(3, width)", "nn.Linear(3, width, bias=False)"),
    ],
)
def test_a_change_of_the_users_code_changes_the_fingerprint(file, old, new):
    first, second = file(FILE, "first.py"), file(FILE.replace(old, new), "second.py")
    assert old in FILE
    assert nw.load(str(first)).fingerprint != nw.load(str(second)).fingerprint


def test_comments_docstrings_and_line_numbers_do_not_count(file):
    moved = "# a comment\n\n\n" + FILE.replace(
        "):\n    return nn", '):\n    """Words."""\n    # more\n    return nn'
    )
    assert moved.count("Words.") == 1
    first, second = file(FILE, "first.py"), file(moved, "second.py")
    assert nw.load(str(first)).fingerprint == nw.load(str(second)).fingerprint


@given(PLAIN)
def test_equal_values_have_equal_digests(value):
    assert digest(value) == digest(value)


@given(PLAIN, PLAIN)
def test_different_values_have_different_digests(first, second):
    assert (digest(first) == digest(second)) == (repr(_ordered(first)) == repr(_ordered(second)))


def _ordered(value):
    """With dictionaries in the order of their keys, which the digest does not look at."""
    if isinstance(value, dict):
        return {k: _ordered(value[k]) for k in sorted(value, key=repr)}
    return [_ordered(v) for v in value] if isinstance(value, list) else value


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=8), st.integers(0, 7))
def test_one_number_of_an_array_changes_the_digest(values, place):
    array = np.array(values)
    changed = array.copy()
    changed[place % len(values)] += 1
    assert digest(array) != digest(changed)
    assert digest(torch.from_numpy(array)) == digest(array)
    assert digest(array.astype(float)) != digest(array)


class Privately:
    def __init__(self, width):
        self._width = width

    def __call__(self):
        return nn.Linear(4, self._width)


@attrs.frozen
class InSlots:
    width: int


class Counted:
    sizes = [1, 2]  # noqa: RUF012

    @property
    def size(self):
        return 3


class CountedOtherwise:
    sizes = [1, 2]  # noqa: RUF012

    @property
    def size(self):
        return 4


CountedOtherwise.__qualname__ = Counted.__qualname__


def build(width=WIDTH):
    return nn.Linear(4, width)


def reading_a_name():
    return nn.Linear(4, WIDTH)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (functools.partial(build, 8), functools.partial(build, 9)),
        (functools.partial(build, width=8), functools.partial(build, width=9)),
        (Privately(8), Privately(9)),
        (InSlots(8), InSlots(9)),
        (Counted, CountedOtherwise),
        (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.1)),
        (nn.CrossEntropyLoss(weight=torch.ones(2)), nn.CrossEntropyLoss(weight=torch.zeros(2))),
        (torch.relu, torch.tanh),
        (Path("a.pt"), Path("b.pt")),
        (torch.float32, torch.float64),
        (range(3), range(4)),
        (functools.cache(lambda: 1), functools.cache(lambda: 2)),
        (lambda: 1, lambda: 2),
        (lambda x=1: x, lambda x=2: x),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_user_refers_to_counts_by_what_it_holds(first, second):
    assert digest(first) == digest(first)
    assert digest(first) != digest(second)


def test_a_name_that_a_function_reads_counts_by_its_value(monkeypatch):
    before = digest(reading_a_name)
    monkeypatch.setitem(globals(), "WIDTH", 9)
    assert digest(reading_a_name) != before


def test_functions_that_refer_to_each_other_have_a_digest():
    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)

    assert digest(even) == digest(even)
