"""Values go to JSON and back without loss; what JSON lacks becomes null or a list."""

from __future__ import annotations

import json
import math
from typing import get_args

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netwright import values
from netwright.values import (
    Attribute,
    Budget,
    Divergence,
    Edit,
    Event,
    Finding,
    Latency,
    LayerParity,
    Limit,
    Picture,
    Place,
    Plan,
    RunEnded,
    Spent,
    TargetPort,
    Verdict,
    from_json,
    to_json,
)

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), NUMBERS, st.text(max_size=8))
WORDS = st.text(max_size=8)
PLACES = st.builds(
    Place,
    layer=st.none() | WORDS,
    file=st.none() | WORDS,
    line=st.none() | st.integers(1, 99),
    samples=st.none() | st.lists(WORDS, max_size=2).map(tuple),
    attribute=st.none() | WORDS,
)
EDITS = st.builds(
    Edit,
    kind=WORDS,
    parameters=st.dictionaries(WORDS, PLAIN | st.lists(PLAIN, max_size=3), max_size=3),
    attribute=WORDS,
    label=WORDS,
)
FINDINGS = st.builds(
    Finding,
    cause=WORDS,
    where=PLACES,
    evidence=st.dictionaries(WORDS, PLAIN, max_size=3),
    explanation=WORDS,
    ideas=st.lists(WORDS, max_size=2).map(tuple),
    also=st.lists(WORDS, max_size=2).map(tuple),
    confidence=st.none() | st.floats(0, 1),
    status=st.sampled_from(["confirmed", "suspected", "refuted"]),
    severity=st.sampled_from(["error", "warning", "note"]),
)
VERDICTS = st.builds(
    Verdict,
    idea=WORDS,
    attribute=WORDS,
    verdict=st.sampled_from(["helps", "hurts", "no difference", "unclear", "failed", "yardstick changed"]),
    effect=st.none() | NUMBERS,
    low=st.none() | NUMBERS,
    high=st.none() | NUMBERS,
    seeds=st.integers(0, 9),
    edit=st.none() | EDITS,
)
RUNS_ENDED = st.builds(
    RunEnded,
    run=WORDS,
    seed=st.integers(0, 9),
    epochs=st.integers(0, 99),
    steps=st.integers(0, 99),
    seconds=NUMBERS,
    scores=st.dictionaries(WORDS, NUMBERS, max_size=3),
    diverged=st.booleans(),
)
BUDGETS = st.builds(Budget, amount=st.floats(1e-3, 1e9), unit=st.sampled_from(["seconds", "epochs", "steps"]))


@given(st.one_of(PLACES, EDITS, FINDINGS, VERDICTS, RUNS_ENDED, BUDGETS))
def test_a_value_survives_json(value):
    text = json.dumps(to_json(value), allow_nan=False)
    assert from_json(json.loads(text), type(value)) == value


PLAN = Plan("probes", 1.5, 20, 3, 2.5, 3, 1, 0, "what it buys")
EXAMPLES = {
    str: "words",
    float: 0.5,
    int: 3,
    bool: True,
    tuple[str, ...]: ("a", "b"),
    Plan: PLAN,
    Edit: Edit.set("training.lr", 0.1),
    Finding: Finding("lr-too-high", Place(layer="0")),
    Verdict: Verdict("lower-lr", "lr", "helps", effect=0.1),
    TargetPort: TargetPort(
        "onnx",
        "ONNX",
        "differs",
        relative_error=0.5,
        first_divergence=Divergence("conv", "padding", pictures=(Picture("port", ((1.0, 2.0),)),)),
        layers=(LayerParity("conv", "Conv2d", "net.py", 3, 0.5, 0.5, 0.9, 1.0, False),),
        latency=Latency(0.1, 0.2, 1, 2, 50),
        limits=(Limit("conv", "net.py", 3, "pads otherwise", "pad"),),
        files=("network.onnx",),
    ),
}


def example(kind: type) -> object:
    """An event with every field filled; the fields' kinds are read off the annotations."""
    given = {}
    for spec in attrs.fields(attrs.resolve_types(kind)):
        words = str(spec.type)
        if words.startswith("tuple") and not words.endswith("None"):
            given[spec.name] = (EXAMPLES[get_args(spec.type)[0]],)
        elif "Mapping" in words:
            given[spec.name] = {"val": (0.5, None) if "tuple" in words else 0.5}
        else:
            kinds = [k for k in (get_args(spec.type) or (spec.type,)) if k is not type(None)]
            given[spec.name] = EXAMPLES[kinds[0]]
    return kind(**given)


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_every_event_survives_json(kind):
    event = example(kind)
    assert from_json(json.loads(json.dumps(to_json(event))), kind) == event


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_no_event_can_be_changed(kind):
    event = example(kind)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(event, attrs.fields(kind)[0].name, "other")


@given(st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_number_that_is_not_finite_becomes_null(number):
    assert to_json({"a": [number], "b": np.float32(number), "c": torch.tensor(number)}) == {
        "a": [None],
        "b": None,
        "c": None,
    }


def test_null_for_a_number_is_read_back_as_not_a_number():
    document = to_json(Spent(seconds=math.nan))
    assert document["seconds"] is None
    assert math.isnan(from_json(document, Spent).seconds)


def test_numbers_of_numpy_and_torch_become_plain_ones():
    document = to_json(
        {"n": np.int64(3), "a": np.ones((2, 1)), "t": torch.tensor([True]), "f": np.float64(0.5)}
    )
    assert json.loads(json.dumps(document)) == {"n": 3, "a": [[1.0], [1.0]], "t": [True], "f": 0.5}


def test_a_function_is_shown_by_its_name():
    assert to_json(Attribute("loss", math.sqrt, Place()))["value"] == "sqrt"


def test_keys_that_are_not_known_are_passed_over():
    assert from_json({"layer": "0", "colour": "red"}, Place) == Place(layer="0")


def test_a_finding_carries_its_id():
    finding = Finding("dead-units", Place(layer="3"), check="dead-rectifier")
    assert to_json(finding)["id"] == finding.id == "dead-rectifier@3"


def test_every_public_value_has_its_name_in_the_room():
    assert all(hasattr(values, name) for name in values.__all__)
    assert values.__all__ == sorted(values.__all__)
