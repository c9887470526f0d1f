"""Confirmation: what makes the symptom go is confirmed, what does not is not, and a sham never is."""

import time

import numpy as np
import pytest
from torch import nn

import netwright as nw
from conftest import digits_data, mlp, table_data, table_mlp, training
from netwright.diagnosis import Diagnosis, Symptom, confirm, confirmation, rivals_of
from netwright.runs import Clocks, Evidence
from netwright.trials import InlineEngine, Job
from netwright.values import Edit, Finding, Place

ENGINE = InlineEngine(Clocks(time.perf_counter, time.process_time))
LOWER = Edit.set("training.lr", 0.003, "lr → 0.003")
SCALED = Edit("standardise-inputs", {"mean": [5.0], "std": [6.0]}, "input_scaling", "inputs standardised")


def settle(recipe, findings, repairs, symptom=None, explained=()):
    run = next(item[1] for item in ENGINE.run([Job(recipe, 0)]) if isinstance(item, tuple))
    events = confirm(
        recipe,
        findings,
        symptom or Symptom.of(run, recipe),
        repairs=lambda cause: repairs.get(cause, []),
        rivals=rivals_of,
        engine=ENGINE,
        seeds=[100, 101, 102, 103, 104, 105],
        explained=explained,
    )
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value


def test_the_true_cause_is_confirmed_beside_a_sham_and_a_rival():
    recipe = nw.Recipe(digits_data(scale=1.0), mlp, training(lr=50.0))
    finding = Finding("lr-too-high", Place(attribute="lr"), confidence=0.9)
    done = settle(recipe, [finding], {"lr-too-high": [LOWER], "input-scale": [SCALED]})
    settled = done.findings[0]
    assert (settled.status, settled.confidence) == ("confirmed", 0.97)
    assert settled.confirmation["gone_on"] == 5
    assert settled.confirmation["sham_gone_on"] == 0
    assert settled.confirmation["rival"] == "input-scale"
    assert done.repairs[settled.id] == (LOWER,)


def test_a_false_accusation_of_a_sound_recipe_is_not_confirmed():
    recipe = nw.Recipe(table_data(), table_mlp, training(epochs=8))
    finding = Finding("input-scale", Place(attribute="input_scaling"), confidence=0.8)
    change = Edit(
        "standardise-inputs", {"mean": [0.0] * 30, "std": [1.0] * 30}, "input_scaling", "standardised"
    )
    done = settle(recipe, [finding], {"input-scale": [change]})
    assert done.findings[0].status in ("refuted", "suspected")
    assert done.repairs == {}


def test_a_change_that_does_nothing_to_a_dead_network_leaves_the_finding_unconfirmed():
    recipe = nw.Recipe(digits_data(), mlp, training(lr=1e-9))
    finding = Finding("initialisation", Place(attribute="initialisation"), confidence=0.8)
    sham = Edit.set("training.weight_decay", 1e-9, "weight decay 1e-9")
    done = settle(recipe, [finding], {"initialisation": [sham]})
    assert done.findings[0].status != "confirmed"
    assert done.repairs == {}


def test_a_rival_that_does_as_well_leaves_both_as_one_set():
    recipe = nw.Recipe(digits_data(), mlp, training(lr=1e-5, epochs=15))
    finding = Finding("lr-too-low", Place(attribute="lr"), confidence=0.9)
    other = Edit("swap-optimizer", {"optimizer": "adam", "lr": 0.003}, "optimizer", "adam")
    done = settle(
        recipe, [finding], {"lr-too-low": [Edit.set("training.lr", 0.05)], "too-few-epochs": [other]}
    )
    settled = done.findings[0]
    assert settled.status == "suspected"
    assert settled.also == ("too-few-epochs",)


def blocked_twice():
    """Frozen hidden weights of zero: neither freeing them nor the other weights alone can make it learn."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    network[1].requires_grad_(False)
    for layer in (network[1], network[3]):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    network[3].requires_grad_(False)
    return network


def test_two_causes_of_which_neither_repair_alone_helps_are_found_as_a_pair():
    names = ["1.weight", "1.bias", "3.weight", "3.bias"]
    free = Edit("unfreeze", {"parameters": names}, "frozen_layers", "all parameters learn")
    anew = Edit(
        "reinitialise", {"layers": ["1", "3"], "scheme": "kaiming"}, "initialisation", "weights by Kaiming"
    )
    recipe = nw.Recipe(digits_data(), blocked_twice, training())
    findings = [
        Finding("untrained-parameters", Place(attribute="frozen_layers"), confidence=0.9),
        Finding("initialisation", Place(attribute="initialisation"), confidence=0.8),
    ]
    done = settle(recipe, findings, {"untrained-parameters": [free], "initialisation": [anew]})
    assert [f.status for f in done.findings] == ["confirmed", "confirmed"]
    assert all(f.confirmation["together"] for f in done.findings)
    assert set(map(len, done.repairs.values())) == {2}


def test_what_was_taken_for_a_symptom_enters_the_pairs():
    names = ["1.weight", "1.bias", "3.weight", "3.bias"]
    free = Edit("unfreeze", {"parameters": names}, "frozen_layers", "all parameters learn")
    anew = Edit("reinitialise", {"layers": ["1", "3"], "scheme": "kaiming"}, "initialisation", "by Kaiming")
    recipe = nw.Recipe(digits_data(), blocked_twice, training())
    leading = Finding("untrained-parameters", Place(attribute="frozen_layers"), confidence=0.9)
    folded = Finding(
        "initialisation", Place(attribute="initialisation"), confidence=0.2, check="initialisation"
    )
    repairs = {"untrained-parameters": [free], "initialisation": [anew]}
    done = settle(recipe, [leading], repairs, explained=[folded])
    assert [(f.cause, f.status) for f in done.findings] == [
        ("untrained-parameters", "confirmed"),
        ("initialisation", "confirmed"),
    ]


def test_without_a_repair_to_try_a_finding_stays_suspected(digits_recipe):
    finding = Finding("class-imbalance", confidence=0.7)
    done = settle(digits_recipe, [finding], {})
    assert done.findings == (finding,)


def test_a_symptom_is_fixed_before_anything_is_changed(digits_recipe):
    run = next(item[1] for item in ENGINE.run([Job(digits_recipe, 0)]) if isinstance(item, tuple))
    assert Symptom.of(run, digits_recipe).kind == "falls short"
    bad = digits_recipe.with_edits(Edit.set("training.lr", 1e-9))
    failing = next(item[1] for item in ENGINE.run([Job(bad, 0)]) if isinstance(item, tuple))
    symptom = Symptom.of(failing, bad)
    assert (symptom.kind, symptom.epochs) == ("does not learn", 3)
    assert symptom.shown(failing, bad) and not symptom.shown(run, bad)
    assert np.isfinite(symptom.threshold)


def test_what_a_sham_cures_too_is_not_confirmed(monkeypatch):
    recipe = nw.Recipe(digits_data(scale=1.0), mlp, training(lr=50.0))
    finding = Finding("initialisation", Place(attribute="initialisation"), confidence=0.8)
    monkeypatch.setattr("netwright.diagnosis.confirmation._shams", lambda *_: [LOWER])
    change = Edit.set("training.lr", 0.002, "lr → 0.002")
    done = settle(recipe, [finding], {"initialisation": [change]})
    settled = done.findings[0]
    assert settled.confirmation["gone_on"] == settled.confirmation["sham_gone_on"] == 5
    assert settled.status == "suspected"
    assert done.repairs == {}


def test_a_symptom_that_no_fresh_seed_shows_is_not_reproduced(digits_recipe):
    finding = Finding("lr-too-high", Place(attribute="lr"), confidence=0.9)
    seen_once = Symptom("does not learn", 6)
    done = settle(digits_recipe, [finding], {"lr-too-high": [LOWER]}, seen_once)
    assert not done.reproduced
    assert done.findings == (finding,)
    assert done.repairs == {}


def test_a_diagnosis_that_was_not_reproduced_is_inconclusive(digits_recipe):
    found = Diagnosis(
        digits_recipe,
        Evidence(),
        (Finding("lr-too-high"),),
        (),
        {},
        None,
        None,
        reproduced=False,
        complete=True,
    )
    assert found.outcome == "inconclusive"


def test_the_seed_that_chose_a_change_by_its_score_has_no_part_in_its_confirmation(digits_recipe):
    narrow = nw.Recipe(digits_data(scale=1.0), lambda: mlp(hidden=2), training(lr=0.02, epochs=8))
    finding = Finding("capacity-too-small", Place(attribute="width"), confidence=0.8)
    wider = Edit("scale-width", {"factor": 8.0, "first": ["1"], "last": ["3"]}, "width", "wider")
    done = settle(narrow, [finding], {"capacity-too-small": [wider]}, Symptom("falls short", 8))
    told = done.findings[0].confirmation
    assert told["seeds"] == 5
    assert len(done.baseline) == 6  # the first looked, five others decided


@pytest.mark.parametrize(
    ("cause", "status"), [("capacity-too-small", "suspected"), ("duplicates", "confirmed")]
)
def test_a_cause_of_degree_is_confirmed_only_by_a_gain_that_matters(cause, status, monkeypatch):
    monkeypatch.setattr("netwright.diagnosis.confirmation.MATTERS", 0.9)
    narrow = nw.Recipe(digits_data(scale=1.0), lambda: mlp(hidden=2), training(lr=0.02, epochs=8))
    wider = Edit("scale-width", {"factor": 8.0, "first": ["1"], "last": ["3"]}, "width", "wider")
    done = settle(narrow, [Finding(cause, confidence=0.8)], {cause: [wider]}, Symptom("falls short", 8))
    assert done.findings[0].status == status
    assert done.findings[0].confirmation["low"] > 0


def test_what_is_not_missed_in_a_pair_is_taken_out_again(monkeypatch):
    def in_vain(arms, stages, finding, *_):
        return finding, ()
        yield

    monkeypatch.setattr(confirmation, "_settle", in_vain)
    slow = nw.Recipe(digits_data(), mlp, training(lr=1e-6))
    faster = Edit.set("training.lr", 0.1, "lr 1e-06 → 0.1")
    anew = Edit(
        "reinitialise", {"layers": ["1", "3"], "scheme": "kaiming"}, "initialisation", "weights by Kaiming"
    )
    findings = [
        Finding("input-scale", Place(attribute="input_scaling"), confidence=0.9),
        Finding("initialisation", Place(attribute="initialisation"), confidence=0.8),
    ]
    done = settle(slow, findings, {"input-scale": [faster], "initialisation": [anew]})
    assert [(f.cause, f.status) for f in done.findings] == [
        ("input-scale", "confirmed"),
        ("initialisation", "suspected"),
    ]
    assert set(done.repairs.values()) == {(faster,)}
