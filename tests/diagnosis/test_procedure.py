"""The diagnosis as a whole: what cannot be answered is said, and is not taken for health."""

import time
import types

import attrs
import pytest

import netwright as nw
from conftest import digits_data, mlp, training
from netwright.catalogue import Check, Needs
from netwright.diagnosis import THRESHOLD, Diagnosis, Tools, diagnose, diagnose_all, probing
from netwright.diagnosis.conclusion import by_weight, is_likely, tried_in_vain, without_a_symptom
from netwright.runs import Clocks, Evidence
from netwright.trials import InlineEngine, Meter, Seeds
from netwright.values import Budget, Edit, Finding

from .cases import value_of

CLOCKS = Clocks(time.perf_counter, time.process_time)


def fires_never(_):
    yield from ()


def fails(_):
    raise ZeroDivisionError("no rows")


def nothing(*_):
    return lambda _: []


def asked(check, task=None, metric=None, propose=nothing, **settings):
    """The diagnosis of a recipe by one check alone: a sound one, unless its settings spoil it."""
    recipe = nw.Recipe(digits_data(300), mlp, training(**{"epochs": 2, **settings}), task=task, metric=metric)
    meter = Meter(Budget.parse("60s"), time.perf_counter)
    tools = Tools(InlineEngine(CLOCKS), meter, Seeds(0), (check,))
    return value_of(diagnose(recipe, tools, propose))


def check(run, *probes):
    return Check("own", Needs.RECIPE, "", run, probes)


def test_a_recipe_that_every_check_passes_is_healthy():
    assert asked(check(fires_never)).outcome == "healthy"


def test_a_recipe_that_learns_nothing_is_not_even_where_no_check_says_why():
    done = asked(check(fires_never), lr=1e-6)
    assert done.outcome == "inconclusive"
    assert done.notes[0].startswith(
        "No check says why it does not learn. A single batch of 32 samples is learnt"
    )


def test_of_a_metric_of_the_users_own_nobody_knows_what_nothing_learnt_is():
    def hundredth(outputs, targets):
        return float((outputs.argmax(1) == targets).double().mean()) / 100

    assert asked(check(fires_never), task="custom", metric=hundredth).outcome == "healthy"


def test_a_check_that_fails_leaves_it_open_whether_the_recipe_is_healthy():
    done = asked(check(fails))
    assert done.outcome == "inconclusive"
    assert done.skipped == {"own": "failed: ZeroDivisionError: no rows"}


@pytest.mark.parametrize("probe", ["batch-mixing", "label-shift", "trained-modes"])
def test_so_does_a_probe_that_fails(probe, monkeypatch):
    monkeypatch.setattr(probing, "ask", lambda *_: fails(None))
    done = asked(check(fires_never, probe))
    assert done.outcome == "inconclusive"
    assert done.skipped == {"own": f"failed: the probe {probe}: ZeroDivisionError: no rows"}


@pytest.mark.parametrize(
    ("told", "odds"),
    [
        ({"effect": None}, 4 / 3),  # nothing on the first seed
        ({"effect": 0.1, "high": 0.5}, 4 / 2),  # helped, not beyond doubt
        ({"effect": 0.3, "high": 0.9}, 4),  # helped much, and not on every seed
        ({"effect": -0.1, "high": 0.2}, 4 / 3),
        ({"effect": 0.01, "high": 0.02}, 4 / 6),  # bounded by little
    ],
)
def test_a_repair_that_did_not_clearly_help_weighs_by_what_is_known_of_it(told, odds):
    finding = Finding("duplicates", confidence=0.8, confirmation={"repair": "copies dropped", **told})
    assert tried_in_vain(finding) == pytest.approx(odds / (1 + odds))


def test_what_helped_much_is_told_by_the_way_from_trivial_to_perfect():
    told = {"repair": "copies dropped", "effect": 0.3, "high": 0.9}
    finding = Finding("duplicates", confidence=0.8, confirmation=told)
    assert tried_in_vain(finding, scale=1.0) == pytest.approx(0.8)
    assert tried_in_vain(finding, scale=100.0) == pytest.approx(4 / 6 / (1 + 4 / 6))


def test_a_cause_of_degree_whose_repair_gains_nothing_that_matters_is_not_said():
    told = {"repair": "a higher rate", "effect": 0.1, "high": 0.5}
    assert tried_in_vain(Finding("lr-too-low", confidence=0.95, confirmation=told)) < THRESHOLD


@pytest.mark.parametrize(("cause", "lowered"), [("too-little-data", False), ("duplicates", True)])
def test_what_can_only_be_eased_is_no_less_likely_where_that_does_little(cause, lowered):
    def accuses(_):
        yield Finding(cause)

    useless = Edit.set("training.weight_decay", 1e-9, "weight decay → 1e-9")
    found = asked(check(accuses), propose=lambda *_: lambda _: [useless])
    told = (*found.findings, *found.considered)
    assert [f.cause for f in told] == [cause] and told[0].confirmation["repair"] == useless.label
    untried = asked(check(accuses))
    before = (*untried.findings, *untried.considered)[0].confidence
    assert (told[0].confidence < before) == lowered


def accuses(cause, at=lambda evidence: True, needs=Needs.DATA, probes=(), check_id=None):
    def run(evidence):
        if at(evidence):
            yield Finding(cause)

    return Check(check_id or cause, needs, "", run, probes)


def told_by(*checks, propose=nothing, **settings):
    recipe = nw.Recipe(digits_data(300), mlp, training(**{"epochs": 2, **settings}))
    meter = Meter(Budget.parse("60s"), time.perf_counter)
    return value_of(diagnose(recipe, Tools(InlineEngine(CLOCKS), meter, Seeds(0), checks), propose))


def test_copies_that_were_spared_are_trained_where_what_spared_them_falls_away():
    first = Seeds(0).screening(1)[0]
    settled = accuses("lr-too-low", lambda e: e.run.seed == first, Needs.RUN)
    asks = accuses("overfit-capacity", needs=Needs.RUN, probes=("half-the-data",))
    assert [f.cause for f in told_by(settled, asks).findings] == ["overfit-capacity"]


def test_what_a_cause_explained_stands_by_itself_where_that_cause_was_tried_in_vain():
    useless = Edit.set("training.weight_decay", 1e-9, "weight decay → 1e-9")

    def propose(*_):
        return lambda cause: [useless] if cause == "outlier-batch" else []

    checks = accuses("outlier-batch"), accuses("input-scale")
    assert [f.cause for f in told_by(*checks).findings] == ["outlier-batch"]
    found = told_by(*checks, propose=propose)
    assert [f.cause for f in found.findings] == ["input-scale"]
    assert "outlier-batch" in {f.cause for f in found.considered}


def test_a_recipe_is_not_called_healthy_where_a_check_was_not_asked():
    asks = accuses("overfit-capacity", lambda e: False, Needs.RUN, ("half-the-data",))
    recipe = nw.Recipe(digits_data(300), mlp, training(epochs=2))
    meter = Meter(Budget.parse("5 epochs"), time.perf_counter)
    found = value_of(diagnose(recipe, Tools(InlineEngine(CLOCKS), meter, Seeds(0), (asks,)), nothing))
    assert found.outcome == "inconclusive"


def test_what_is_seen_without_a_run_stands_where_fresh_seeds_do_not_show_the_symptom():
    checks = accuses("loss-output-mismatch"), accuses("lr-too-high", needs=Needs.RUN)
    findings = tuple(Finding(c.id, check=c.id, confidence=0.9) for c in checks)
    found = Diagnosis(None, Evidence(), findings, (), {}, None, None, reproduced=False)
    left = without_a_symptom(found, checks)
    assert [f.cause for f in left.findings] == ["loss-output-mismatch"]
    assert [f.cause for f in left.considered] == ["lr-too-high"]
    assert left.outcome == "findings" and left.notes
    alone = attrs.evolve(found, findings=findings[1:])
    assert without_a_symptom(alone, checks).outcome == "inconclusive"


def test_a_cause_that_is_plain_to_see_is_repaired_for_once_to_see_what_it_hides():
    """Steps clipped to nothing, at a rate that is too low: neither repair shows anything without the
    other, and the rate is accused only once the steps are seen."""
    clipped = accuses("optimizer-misuse", lambda e: e.recipe.settings.clip == 1e-9)
    slow = accuses(
        "lr-too-low",
        lambda e: e.recipe.settings.clip is None and e.recipe.settings.lr < 1e-3,
        Needs.RUN,
    )
    unclipped = Edit.set("training.clip", None, "no clipping")
    faster = Edit.set("training.lr", 0.1, "lr 1e-07 → 0.1")

    def propose(evidence, findings):
        known = {"optimizer-misuse": [unclipped]}
        if evidence.recipe.settings.clip is None:
            known["lr-too-low"] = [faster]
        return lambda cause: known.get(cause, [])

    done = told_by(clipped, slow, propose=propose, lr=1e-7, clip=1e-9, epochs=6)
    assert {f.cause: f.status for f in done.findings} == {
        "optimizer-misuse": "confirmed",
        "lr-too-low": "confirmed",
    }
    assert set(done.repairs.values()) == {(unclipped, faster)}


def after_a_run(train_skill):
    """Evidence of a run with this skill on its training data, by an accuracy from 0 to 1."""
    run = types.SimpleNamespace(diverged=False, scores={"train": train_skill, "val": train_skill})
    metric = types.SimpleNamespace(skill=lambda score: score, perfect=1.0, trivial=0.0)
    return Evidence(run=run, yardstick=types.SimpleNamespace(metric=metric))


@pytest.mark.parametrize(
    ("train_skill", "told"),
    [
        (0.1, ["lr-too-low", "input-scale", "leakage", "batch-size"]),
        (0.9, ["leakage", "lr-too-low", "input-scale", "batch-size"]),
    ],
)
def test_copies_in_validation_are_not_why_the_training_data_are_not_learnt(train_skill, told):
    findings = [
        Finding("leakage", evidence={"measured": True}, status="confirmed", confidence=0.93),
        Finding("lr-too-low", status="confirmed", confidence=0.9),
        Finding("input-scale", confidence=0.8),
        Finding("batch-size", confidence=0.6),
    ]
    evidence = after_a_run(train_skill)
    assert [f.cause for f in sorted(findings, key=by_weight(evidence))] == told
    alone = Diagnosis(None, evidence, tuple(findings[:1]), (), {}, None, None)
    assert alone.settled == (train_skill > 0.5)  # else the search goes on


def test_where_only_what_judges_is_at_fault_it_is_said_where_to_look_for_the_rest():
    recipe = nw.Recipe(digits_data(300), mlp, training(lr=1e-7, epochs=2))
    meter = Meter(Budget.parse("60s"), time.perf_counter)
    tools = Tools(InlineEngine(CLOCKS), meter, Seeds(0), (accuses("leakage"),))
    found = value_of(diagnose_all(recipe, tools, nothing))
    assert [f.cause for f in found.findings] == ["leakage"]
    assert any("A single batch" in note for note in found.notes)


def test_a_whole_training_tells_what_one_costs():
    recipe = nw.Recipe(digits_data(300), mlp, training(epochs=2))
    meter = Meter(Budget.parse("60s"), time.perf_counter)
    found = value_of(diagnose(recipe, Tools(InlineEngine(CLOCKS), meter, Seeds(0), ()), nothing))
    assert found.pace.seconds == found.evidence.run.seconds > 0


def test_a_repair_that_gained_much_is_likely_whatever_its_interval():
    tried = Finding("too-few-epochs", confidence=0.6, confirmation={"effect": 0.4})
    assert is_likely(tried, after_a_run(0.1))
    assert not is_likely(attrs.evolve(tried, confirmation={"effect": 0.05}), after_a_run(0.1))
