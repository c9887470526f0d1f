"""What the cases of all checks share: the evidence that a check needs, gathered in this process."""

import time
from collections.abc import Callable, Mapping

import attrs
import pytest

import netwright as nw
from conftest import diabetes_data, digits_data, mlp, regressor, training
from netwright.catalogue import Catalogue, Needs
from netwright.diagnosis import examine, static_evidence
from netwright.diagnosis.probing import ask_all, train_copies
from netwright.runs import Clocks, range_test, train
from netwright.trials import InlineEngine
from netwright.values import Finding

CHECKS = Catalogue.collect().checks
OF_LOOPS = {name for name, check in CHECKS.items() if Needs.LOOP in check.needs}
CLOCKS = Clocks(time.perf_counter, time.process_time)
AFTER_A_RUN = ("lr-too-high", "dead-units", "saturation", "class-imbalance", "exploding-gradient",
               "unstable-arithmetic", "train-eval-gap", "label-noise", "loss-output-mismatch",
               "input-scale", "order-unseen")  # fmt: skip
Table = Mapping[str, Mapping[str, Callable[[], nw.Recipe]]]


def value_of(events):
    """What a generator returns at its end."""
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value


def gather(recipe, checks, *, seed=0, run=True, steps=30):
    """The evidence of both asked seeds with everything that the checks need; a run where `run` is."""
    evidence = ask_all(static_evidence(recipe, "cpu"), checks, "batch", "cpu")
    changes = {}
    if run and evidence[0].batch.error is None:
        changes["run"] = value_of(train(recipe, seed, clocks=CLOCKS, keep_weights=True))
    if any(Needs.RANGE_TEST in check.needs for check in checks):
        changes["range_test"] = range_test(recipe, steps=steps)
    evidence = [attrs.evolve(e, **changes) for e in evidence]
    for level in ("trained", "data"):
        evidence = ask_all(evidence, checks, level, "cpu")
    if "run" in changes:
        evidence = value_of(train_copies(evidence, checks, InlineEngine(CLOCKS), "cpu", None))
    return evidence


def findings(check, recipe, *, seed=0):
    """What one check states of a recipe, with all the evidence that it needs."""
    asked = CHECKS[check]
    trained = Needs.RUN in asked.needs or check in AFTER_A_RUN
    evidence = gather(recipe, [asked], seed=seed, run=trained)
    return [f for f in examine(evidence, [asked]) if isinstance(f, Finding)]


def recipe(data=None, network=mlp, task=None, start=None, **settings):
    return nw.Recipe(data or digits_data(), network, training(**settings), task=task, start=start)


def adam(data=None, network=mlp, **settings):
    return recipe(data, network, **{"optimizer": "adam", "lr": 3e-3, "momentum": None, **settings})


def regression(data=None, network=regressor, **settings):
    return nw.Recipe(data or diabetes_data(), network, training(**{"loss": "mse", "lr": 0.02, **settings}))


def cases(table: Table):
    return [
        pytest.param(check, make, id=f"{check}: {name}")
        for check, named in table.items()
        for name, make in named.items()
    ]


CAUSE_OF = {  # checks that see a cause by another sign than the check of its name
    "growing-recurrence": "exploding-gradient",
    "linear-network": "capacity-too-small",
    "very-short-training": "too-few-epochs",
    "less-than-simple": "collapse",
    "shortcut": "overfit-situation",
    "better-at-a-lower-rate": "lr-too-high",
    "a-handful-of-samples": "too-little-data",
    "padding-before-the-state": "ignores-input",
    "order-unseen": "ignores-input",
    "gradient-cut-inside": "untrained-parameters",
}


def assert_fires(check, recipe):
    """The check states its cause once, with everything that a reader of it needs."""
    found = findings(check, recipe)
    assert [f.cause for f in found] == [CAUSE_OF.get(check, check)]
    finding = found[0]
    assert finding.check == check
    assert finding.explanation.endswith((".", "?"))
    assert finding.evidence
    assert finding.where.file or finding.where.attribute or finding.where.samples
    assert finding.confuses and finding.reference
    assert set(finding.ideas) <= set(Catalogue.collect().ideas)
    return finding
