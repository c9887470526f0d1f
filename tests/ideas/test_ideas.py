"""Every idea: where it proposes an edit that can be applied and travels, and where it keeps silent."""

import time

import attrs
import numpy as np
import pytest
import torch
from torch import nn

import netwright as nw
from conftest import diabetes_data, digits_data, mlp, regressor, table_data, training
from netwright.catalogue import Catalogue
from netwright.diagnosis import static_evidence
from netwright.ideas.situation import Situation, contenders, edits_of, repairs_of, rounded
from netwright.runs import Clocks, range_test, train
from netwright.values import Edit, Finding, from_json, to_json

from .test_repairs import REPAIRS

IDEAS = Catalogue.collect().ideas
CLOCKS = Clocks(time.perf_counter, time.process_time)


def situation_of(recipe, *causes, tested=False, run=False):
    evidence = static_evidence(recipe, "cpu")[0]
    if tested:
        evidence = attrs.evolve(evidence, range_test=range_test(recipe))
    if run:
        evidence = attrs.evolve(evidence, run=_trained(recipe))
    return Situation(evidence, tuple(Finding(cause) for cause in causes))


def _trained(recipe):
    events = train(recipe, 0, clocks=CLOCKS)
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value


def recipe(data=None, network=mlp, **settings):
    return nw.Recipe(data or digits_data(), network, training(**settings))


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 32), nn.ReLU(), nn.Linear(32, 10)
    )


def sigmoids():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 10)
    )


def frozen():
    network = mlp()
    network[1].requires_grad_(False)
    return network


def regression(network=regressor, data=None, **settings):
    return nw.Recipe(data or diabetes_data(), network, training(**{"loss": "mse", "lr": 0.02, **settings}))


def with_nan():
    x, y = digits_data().train
    x = x.copy()
    x[3:9, 0, 4, 4] = np.nan
    return nw.Data.arrays(x, y)


def raw_diabetes():
    x, y = diabetes_data().train
    return nw.Data.arrays(x, y * 70 + 150)


PROPOSES = {
    "lower-learning-rate": lambda: (recipe(lr=50.0), {"tested": True}),
    "raise-learning-rate": lambda: (recipe(lr=1e-4), {"tested": True}),
    "adamw": lambda: (recipe(), {}),
    "sgd-with-momentum": lambda: (recipe(optimizer="adam", lr=1e-3, momentum=None), {}),
    "momentum": lambda: (recipe(momentum=None), {}),
    "more-weight-decay": lambda: (recipe(), {}),
    "no-weight-decay": lambda: (recipe(weight_decay=0.1), {}),
    "dropout-after-hidden-layers": lambda: (recipe(), {}),
    "smooth-labels": lambda: (recipe(), {}),
    "clip-gradients": lambda: (recipe(), {}),
    "batch-norm-after-layers": lambda: (recipe(network=convolutional), {}),
    "layer-norm-after-layers": lambda: (recipe(), {}),
    "train-longer": lambda: (recipe(), {"causes": ("too-few-epochs",)}),
    "train-shorter": lambda: (
        regression(
            lambda: nn.Sequential(mlp(10, 1, 256), nn.Flatten(0)),
            optimizer="adam",
            lr=0.01,
            momentum=None,
            epochs=60,
        ),
        {"causes": ("overfit-duration",), "run": True},
    ),
    "smaller-batches": lambda: (recipe(), {}),
    "larger-batches": lambda: (recipe(), {}),
    "cosine-schedule": lambda: (recipe(), {}),
    "one-cycle-schedule": lambda: (recipe(), {}),
    "shuffle-each-epoch": lambda: (recipe(shuffle=False), {}),
    "standardise-inputs": lambda: (recipe(), {}),
    "fill-bad-inputs": lambda: (recipe(with_nan()), {}),
    "drop-bad-samples": lambda: (recipe(with_nan()), {}),
    "shift-images": lambda: (recipe(), {}),
    "noise-on-inputs": lambda: (recipe(), {}),
    "weigh-classes": lambda: (recipe(), {"causes": ("class-imbalance",)}),
    "rectify-hidden-activations": lambda: (recipe(network=sigmoids), {}),
    "leaky-activations": lambda: (recipe(), {}),
    "gelu-activations": lambda: (recipe(), {}),
    "kaiming-initialisation": lambda: (recipe(network=convolutional), {}),
    "xavier-initialisation": lambda: (recipe(), {}),
    "orthogonal-initialisation": lambda: (recipe(), {}),
    "remove-final-softmax": lambda: (recipe(network=lambda: nn.Sequential(mlp(), nn.Softmax(1))), {}),
    "output-width-of-the-classes": lambda: (
        recipe(network=lambda: mlp(outputs=7)),
        {"causes": ("output-width",)},
    ),
    "shape-of-the-targets": lambda: (regression(lambda: mlp(10, 1)), {"causes": ("target-shape",)}),
    "unfreeze-layers": lambda: (recipe(network=frozen), {}),
    "loss-takes-logits": lambda: (recipe(loss="nll"), {}),
    "loss-for-the-task": lambda: (
        recipe(loss="mse", network=lambda: mlp(outputs=1)),
        {"causes": ("loss-output-mismatch",)},
    ),
    "huber-loss": lambda: (regression(), {}),
    "standardise-targets": lambda: (regression(data=raw_diabetes(), lr=1e-4), {}),
}

SILENT = {
    "adamw": lambda: (recipe(optimizer="adamw", lr=1e-3, momentum=None), {}),
    "sgd-with-momentum": lambda: (recipe(), {}),
    "momentum": lambda: (recipe(momentum=0.9), {}),
    "no-weight-decay": lambda: (recipe(), {}),
    "dropout-after-hidden-layers": lambda: (
        recipe(network=lambda: nn.Sequential(mlp(), nn.Dropout(0.1))),
        {},
    ),
    "smooth-labels": lambda: (regression(), {}),
    "batch-norm-after-layers": lambda: (
        recipe(
            network=lambda: nn.Sequential(
                nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Linear(16, 10)
            )
        ),
        {},
    ),
    "train-longer": lambda: (recipe(), {}),
    "train-shorter": lambda: (recipe(), {"run": True}),
    "cosine-schedule": lambda: (recipe(schedule="cosine"), {}),
    "shuffle-each-epoch": lambda: (recipe(), {}),
    "standardise-inputs": lambda: (nw.Recipe(table_data(), lambda: mlp(30, 2), training()), {}),
    "fill-bad-inputs": lambda: (recipe(), {}),
    "drop-bad-samples": lambda: (recipe(), {}),
    "shift-images": lambda: (regression(), {}),
    "weigh-classes": lambda: (recipe(), {}),
    "rectify-hidden-activations": lambda: (recipe(), {}),
    "remove-final-softmax": lambda: (recipe(), {}),
    "output-width-of-the-classes": lambda: (recipe(), {}),
    "shape-of-the-targets": lambda: (recipe(), {}),
    "unfreeze-layers": lambda: (recipe(), {}),
    "loss-takes-logits": lambda: (recipe(), {}),
    "loss-for-the-task": lambda: (recipe(), {}),
    "huber-loss": lambda: (recipe(), {}),
    "standardise-targets": lambda: (regression(), {}),
}


def proposed(name, make):
    made, options = make()
    causes = options.pop("causes", ())
    return made, list(edits_of(IDEAS[name], made, situation_of(made, *causes, **options)))


@pytest.mark.parametrize("name", PROPOSES)
def test_it_proposes_an_edit_that_travels_and_trains(name):
    made, edits = proposed(name, PROPOSES[name])
    assert edits
    for edit in edits:
        assert edit.attribute == IDEAS[name].attribute
        assert edit.label
        again = from_json(to_json(edit), Edit)
        assert again == edit
        changed = made.with_edits(again)
        assert changed.fingerprint != made.fingerprint
        short = changed.with_edits(Edit.set("training.epochs", 1))
        assert np.isfinite(_trained(short).scores["val"])


@pytest.mark.parametrize("name", SILENT)
def test_it_keeps_silent_where_it_does_not_apply(name):
    assert proposed(name, SILENT[name])[1] == []


def test_every_idea_is_tried_here():
    elsewhere = {*REPAIRS, "still-frozen-statistics", "no-dropout"}
    assert set(PROPOSES) | elsewhere == set(IDEAS)


def test_there_are_many_ideas_over_many_attributes():
    assert len(IDEAS) >= 20
    assert len({idea.attribute for idea in IDEAS.values()}) >= 10


@pytest.mark.parametrize("idea", IDEAS.values(), ids=lambda i: i.id)
def test_every_idea_has_a_docstring_and_a_source(idea):
    assert idea.source
    assert len(idea.function.__doc__.split("Source:")[0].split()) >= 3
    assert 0 < idea.prior < 1


def test_no_idea_wipes_a_pretrained_layer(tmp_path):
    torch.save(mlp().state_dict(), tmp_path / "w.pt")
    pretrained = nw.Recipe(digits_data(), mlp, training(), start=tmp_path / "w.pt")
    situation = situation_of(pretrained, tested=True)
    for contender in contenders(IDEAS, pretrained, situation):
        changed = pretrained.with_edits(*contender.edits).build(3)
        kept = [
            p
            for p in changed.parameters()
            if any(p.shape == q.shape and torch.equal(p, q) for q in pretrained.build(3).parameters())
        ]
        assert len(kept) == 4, contender.id


def test_what_a_finding_names_comes_first():
    made = recipe(network=frozen)
    order = [c.id for c in contenders(IDEAS, made, situation_of(made, "untrained-parameters"))]
    assert order[0] == "unfreeze-layers"


def test_what_was_tried_is_not_proposed_again():
    made = recipe()
    situation = situation_of(made)
    first = contenders(IDEAS, made, situation)
    again = contenders(IDEAS, made, situation, [e for c in first[:5] for e in c.edits])
    assert not {c.edits for c in first[:5]} & {c.edits for c in again}


def test_the_repair_that_a_finding_names_is_the_first():
    made = recipe(network=sigmoids)
    finding = Finding("vanishing-gradient", ideas=("rectify-hidden-activations",))
    situation = Situation(static_evidence(made, "cpu")[0], (finding,))
    assert repairs_of("vanishing-gradient", IDEAS, made, situation)[0].kind == "replace-activation"


@pytest.mark.parametrize(("rate", "typed"), [(0.0333, 0.03), (1.7, 2.0), (4.4e-5, 4e-5), (0.1, 0.1)])
def test_rates_are_rounded_to_what_one_would_type(rate, typed):
    assert rounded(rate) == pytest.approx(typed)


def test_a_cause_suspected_first_and_confirmed_later_is_confirmed(digits_recipe):
    from netwright.diagnosis import Diagnosis
    from netwright.improvement.state import State, note_findings
    from netwright.trials.race import Ledger

    def found(status):
        evidence = static_evidence(digits_recipe, "cpu")[0]
        return Diagnosis(
            digits_recipe, evidence, (Finding("input-scale", status=status),), (), {}, None, None
        )

    state = State(digits_recipe, digits_recipe, Ledger(1))
    note_findings(state, found("suspected"))
    note_findings(state, found("confirmed"))
    assert [(f.cause, f.status) for f in state.findings] == [("input-scale", "confirmed")]
