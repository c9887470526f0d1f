"""Training: settings are checked where they are written, and mean what torch means by them."""

from __future__ import annotations

import math

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import netwright as nw
from netwright.recipe.training import LOSSES, OPTIMIZERS, SCHEDULES
from netwright.values import UserError

NONSENSE = [
    {"loss": "mean_squared"},
    {"loss": 3},
    {"loss": None},
    {"optimizer": "sdg"},
    {"optimizer": None},
    {"optimizer": ["sgd"]},
    {"lr": -0.1},
    {"lr": "0.1"},
    {"lr": float("nan")},
    {"lr": float("inf")},
    {"lr": True},
    {"momentum": -1},
    {"weight_decay": "none"},
    {"batch_size": 0},
    {"batch_size": 1.5},
    {"epochs": 0},
    {"epochs": True},
    {"schedule": "cosinus"},
    {"clip": 0},
    {"augment": "everything"},
    {"label_smoothing": 1.5},
    {"label_smoothing": None},
    {"shuffle": "yes"},
    {"shuffle": None},
    {"precision": "float16"},
    {"precision": None},
    {"precision": len},
    {"options": 3},
    {"options": [("betas", 1)]},
    {"options": {1: 2}},
    {"step": 3},
    {"class_weights": 3},
    {"class_weights": ("a", "b")},
]


@pytest.mark.parametrize("given", NONSENSE, ids=repr)
def test_a_setting_that_makes_no_sense_is_refused_by_its_name(given):
    with pytest.raises(UserError, match=f"training: .*{next(iter(given))}"):
        nw.Training(**{"loss": "mse", **given})


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers())
)


@given(st.sampled_from([a.name for a in attrs.fields(nw.Training) if a.init]), ANYTHING)
def test_any_value_of_any_setting_is_taken_or_refused_in_a_sentence(name, value):
    try:
        nw.Training(**{"loss": "mse", name: value})
    except UserError as refused:
        assert str(refused).startswith("training: ")


@pytest.mark.parametrize("setting", ["lr", "weight_decay", "momentum"])
def test_a_setting_of_zero_is_a_patient_and_no_error(setting):
    assert getattr(nw.Training(loss="mse", **{setting: 0}), setting) == 0


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"sparseadam", "muon"}))
def test_every_optimizer_of_torch_is_known_in_lower_case(name):
    optimizer = nw.Training(loss="mse", optimizer=name, lr=0.01).make_optimizer(nn.Linear(2, 1))
    assert type(optimizer).__name__.lower() == name
    assert optimizer.param_groups[0]["lr"] == 0.01


def test_a_setting_that_was_not_given_is_left_to_torch():
    optimizer = nw.Training(loss="mse", optimizer="adamw").make_optimizer(nn.Linear(2, 1))
    assert optimizer.defaults["lr"] == torch.optim.AdamW([nn.Parameter(torch.ones(1))]).defaults["lr"]


def test_momentum_is_the_first_beta_of_the_adam_family():
    training = nw.Training(loss="mse", optimizer="adam", momentum=0.5, options={"betas": (0.9, 0.99)})
    assert training.make_optimizer(nn.Linear(2, 1)).defaults["betas"] == (0.5, 0.99)


def test_options_reach_the_optimizer():
    training = nw.Training(loss="mse", optimizer="sgd", lr=0.1, momentum=0.9, options={"nesterov": True})
    assert training.make_optimizer(nn.Linear(2, 1)).defaults["nesterov"]


def test_a_setting_that_the_optimizer_does_not_take_is_refused():
    with pytest.raises(UserError, match="adagrad does not take these settings"):
        nw.Training(loss="mse", optimizer="adagrad", momentum=0.9).make_optimizer(nn.Linear(2, 1))


def test_the_optimizer_holds_only_what_may_learn():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    network[0].requires_grad_(False)
    optimizer = nw.Training(loss="mse", optimizer="sgd", lr=0.1).make_optimizer(network)
    assert len(optimizer.param_groups[0]["params"]) == 2


def test_an_optimizer_of_the_user_gets_the_settings_that_were_given():
    given = {}

    def mine(parameters, **settings):
        given.update(settings)
        return torch.optim.SGD(parameters, lr=settings["lr"])

    nw.Training(loss="mse", optimizer=mine, lr=0.3, weight_decay=0.1).make_optimizer(nn.Linear(2, 1))
    assert given == {"lr": 0.3, "weight_decay": 0.1}


OUTPUTS = torch.tensor([[0.3, -1.0, 0.2], [2.0, 0.1, -0.4]])
LABELS = torch.tensor([2, 0])
LOGITS, HITS = torch.tensor([0.3, -1.2]), torch.tensor([1, 0])


@pytest.mark.parametrize(
    ("name", "outputs", "targets", "expected"),
    [
        ("cross_entropy", OUTPUTS, LABELS, F.cross_entropy(OUTPUTS, LABELS)),
        ("nll", OUTPUTS, LABELS, F.nll_loss(OUTPUTS, LABELS)),
        ("bce_with_logits", LOGITS, HITS, F.binary_cross_entropy_with_logits(LOGITS, HITS.float())),
        ("bce", LOGITS.sigmoid(), HITS, F.binary_cross_entropy(LOGITS.sigmoid(), HITS.float())),
        ("mse", LOGITS, HITS, F.mse_loss(LOGITS, HITS.float())),
        ("l1", LOGITS, HITS, F.l1_loss(LOGITS, HITS.float())),
        ("huber", LOGITS, HITS, F.huber_loss(LOGITS, HITS.float())),
    ],
)
def test_a_named_loss_is_the_arithmetic_of_torch(name, outputs, targets, expected):
    assert name in LOSSES
    assert torch.equal(nw.Training(loss=name).make_loss()(outputs, targets), expected)


def test_class_weights_and_smoothing_reach_the_loss():
    training = nw.Training(loss="cross_entropy", class_weights=[1, 2, 3], label_smoothing=0.1)
    expected = F.cross_entropy(OUTPUTS, LABELS, weight=torch.tensor([1.0, 2, 3]), label_smoothing=0.1)
    assert torch.equal(training.make_loss()(OUTPUTS, LABELS), expected)


def test_two_class_weights_weigh_the_positives_of_a_single_logit():
    loss = nw.Training(loss="bce_with_logits", class_weights=(1, 3)).make_loss()
    expected = F.binary_cross_entropy_with_logits(LOGITS, HITS.float(), pos_weight=torch.tensor(3.0))
    assert torch.equal(loss(LOGITS, HITS), expected)


def test_a_loss_of_the_user_is_called_as_it_is():
    def mine(outputs, targets):
        return (outputs - targets).abs().max()

    assert nw.Training(loss=mine).make_loss() is mine


def test_scaled_targets_give_the_loss_in_units_of_their_spread():
    training = nw.Training(loss="mse", target_scaling=((100.0,), (10.0,)))
    assert float(training.make_loss()(torch.tensor([120.0]), torch.tensor([110.0]))) == 1.0


def test_a_recipe_with_a_step_needs_no_loss():
    training = nw.Training(step=lambda network, batch: network(batch[0]).sum())
    with pytest.raises(UserError, match="no loss="):
        training.make_loss()


@given(st.sampled_from(SCHEDULES), st.floats(0, 1))
def test_every_schedule_stays_between_nothing_and_the_full_rate(schedule, done):
    assert 0 <= nw.Training(loss="mse", schedule=schedule).factor(done) <= 1


@pytest.mark.parametrize(
    ("schedule", "start", "end"),
    [
        ("constant", 1, 1),
        ("linear", 1, 0),
        ("cosine", 1, 0),
        ("step", 1, 0.01),
        ("warmup", 0.01, 1),
        ("one_cycle", 0.04, 0),
    ],
)
def test_a_schedule_begins_and_ends_where_its_name_says(schedule, start, end):
    training = nw.Training(loss="mse", schedule=schedule)
    assert math.isclose(training.factor(0.0), start, abs_tol=1e-9)
    assert math.isclose(training.factor(1.0), end, abs_tol=1e-9)


def test_a_schedule_of_the_user_is_a_function_of_the_share_that_is_done():
    assert nw.Training(loss="mse", schedule=lambda done: 1 - done / 2).factor(0.5) == 0.75


def test_without_a_schedule_the_rate_stays():
    assert nw.Training(loss="mse").factor(0.7) == 1
