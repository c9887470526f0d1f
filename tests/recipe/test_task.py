"""The task follows from the targets, then the output's width, then the loss; the metric from the task."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import netwright as nw
from netwright.recipe.task import Task, decisions, infer_task, labels_of, make_metric
from netwright.values import UserError

CLASSES = torch.arange(60) % 3


@pytest.mark.parametrize(
    ("targets", "width", "loss", "name", "classes"),
    [
        (CLASSES, 3, "cross_entropy", "classification", 3),
        (CLASSES.float(), 3, "mse", "classification", 3),
        (CLASSES[:, None], 3, "cross_entropy", "classification", 3),
        (CLASSES, None, None, "classification", 3),
        (torch.arange(60) % 2, 2, "cross_entropy", "classification", 2),
        (torch.arange(60) % 2, 1, "bce_with_logits", "binary", 2),
        (torch.arange(60) % 2, None, "bce", "binary", 2),
        (torch.linspace(0, 1, 60), 1, "mse", "regression", 1),
        (torch.linspace(0, 1, 60)[:, None], 1, "mse", "regression", 1),
        (torch.rand(60, 4), 4, "mse", "regression", 4),
        (torch.arange(60), 1, "mse", "regression", 60),
        (torch.eye(3)[CLASSES], 3, "cross_entropy", "classification", 3),
        (torch.eye(3)[CLASSES], 3, "bce_with_logits", "multilabel", 3),
        ((torch.arange(120).reshape(60, 2) % 2), 2, "bce_with_logits", "multilabel", 2),
        (CLASSES + 1, 3, "cross_entropy", "classification", 4),
        (torch.tensor([20.0, 30.0, 40.0]).repeat(20), 1, "mse", "regression", 1),
        (torch.full((60,), torch.nan), 1, "mse", "regression", 1),
    ],
)
def test_the_task_follows_from_the_targets(targets, width, loss, name, classes):
    task = infer_task(targets, width, loss)
    assert (task.name, task.classes) == (name, classes)


def test_one_hot_rows_leave_the_kind_of_task_in_doubt():
    assert infer_task(torch.eye(3)[CLASSES], 3, "cross_entropy").ambiguous
    assert not infer_task(CLASSES, 3, "cross_entropy").ambiguous


@given(st.integers(2, 20), st.integers(20, 60), st.integers(0, 100))
def test_whole_numbers_without_gaps_are_classes_in_any_order(classes, repeats, seed):
    shuffled = torch.arange(classes).repeat(repeats)
    shuffled = shuffled[torch.randperm(len(shuffled), generator=torch.Generator().manual_seed(seed))]
    assert infer_task(shuffled, classes, "cross_entropy") == Task("classification", classes)


def test_accuracy_is_over_samples_and_trivial_is_the_largest_class():
    metric = make_metric(None, Task("classification", 3), torch.tensor([0, 0, 1, 2]), "cross_entropy")
    outputs = torch.eye(3)[torch.tensor([0, 0, 0, 1])]
    assert (metric.name, metric.trivial) == ("accuracy", 0.5)
    assert metric.score(outputs, torch.tensor([0, 0, 1, 1])) == 0.75
    assert metric.skill(0.5) == 0
    assert metric.skill(1.0) == 1


def test_where_a_class_is_rare_the_metric_is_balanced():
    targets = torch.tensor([0] * 40 + [1] * 2)
    metric = make_metric(None, Task("classification", 2), targets, "cross_entropy")
    assert (metric.name, metric.trivial) == ("balanced_accuracy", 0.5)
    always_no = torch.tensor([1.0, 0.0]).expand(42, 2)
    assert metric.score(always_no, targets) == pytest.approx(0.5)


@given(st.lists(st.integers(0, 2), min_size=6, max_size=40), st.integers(0, 1000))
def test_balanced_accuracy_is_the_mean_of_the_recalls(labels, seed):
    targets = torch.tensor(labels)
    outputs = torch.rand(len(labels), 3, generator=torch.Generator().manual_seed(seed))
    metric = make_metric("balanced_accuracy", Task("classification", 3), targets, "cross_entropy")
    right = outputs.argmax(1) == targets
    recalls = [float(right[targets == label].float().mean()) for label in targets.unique()]
    assert metric.score(outputs, targets) == pytest.approx(np.mean(recalls))


def test_a_single_output_is_a_logit_or_a_probability_by_its_loss():
    targets = torch.tensor([0, 1, 1, 0])
    outputs = torch.tensor([[0.2], [0.6], [0.4], [0.3]])
    task = Task("binary", 2)
    assert make_metric(None, task, targets, "bce_with_logits").score(outputs, targets) == 0.5
    assert make_metric(None, task, targets, "bce").score(outputs, targets) == 0.75


def test_label_accuracy_counts_every_label_of_every_sample():
    targets = torch.tensor([[1, 0], [1, 1]])
    metric = make_metric(None, Task("multilabel", 2), targets, "bce_with_logits")
    assert metric.name == "label_accuracy"
    assert metric.score(torch.tensor([[2.0, -1.0], [-1.0, 3.0]]), targets) == 0.75


def test_a_class_of_every_place_is_a_task_of_its_own():
    """Pixels and tokens; what has one 1 in each row for as many outputs is a class in as many columns."""
    pixels, tokens = torch.randint(2, (40, 4, 4)), torch.randint(9, (40, 12))
    assert infer_task(pixels, 2, "cross_entropy") == Task("dense", 2)
    assert infer_task(tokens, 9, "nll") == Task("dense", 9)
    assert infer_task(torch.eye(3).long()[torch.randint(3, (40,))], 3, "cross_entropy").name != "dense"
    assert infer_task(pixels.float(), 1, "bce_with_logits").name == "multilabel"
    assert infer_task(tokens.float(), 12, "mse").name == "regression"


def test_under_a_loss_of_the_users_own_the_outputs_tell_classes_of_every_place_from_counts():
    whole = torch.randint(9, (40, 12))
    assert infer_task(whole, 12, None, (2, 9, 12)) == Task("dense", 9)
    assert infer_task(whole, 9, None, (2, 12, 9)) == Task("dense", 9)
    assert infer_task(whole, 12, None, (2, 12)).name == "regression"
    assert infer_task(whole, 5, None, (2, 12, 5)).name == "regression"  # no room for nine classes


@pytest.mark.parametrize("axis", ["after the samples", "last", "all places in a row"])
def test_every_place_counts_the_same_and_ignored_ones_do_not(axis):
    targets = torch.tensor([[0, 1, 2, -100], [2, 2, 0, 1]])
    metric = make_metric(None, Task("dense", 3), targets, "cross_entropy")
    right = torch.nn.functional.one_hot(targets.clamp(min=0), 3).float()  # (N, T, C)
    right[0, 0] = torch.tensor([0.0, 1.0, 0.0])  # one of the first sample's three
    outputs = {
        "last": right,
        "after the samples": right.transpose(1, 2),
        "all places in a row": right.flatten(0, 1),
    }
    assert metric.contributions(outputs[axis], targets).tolist() == pytest.approx([2 / 3, 1])
    assert metric.trivial == pytest.approx(3 / 7)


def test_constant_columns_do_not_count_and_many_count_by_their_variance():
    generator = torch.Generator().manual_seed(0)
    few = torch.randn(100, 3, generator=generator) * torch.tensor([1.0, 10.0, 0.0])
    guess = few.clone()
    guess[:, 1] = few[:, 1].mean()
    assert make_metric("r2", Task("regression", 3), few, "mse").score(guess, few) == pytest.approx(
        0.5, abs=1e-3
    )
    many = torch.randn(100, 20, generator=generator) * torch.tensor([10.0, *[0.01] * 19])
    guess = many.clone()
    guess[:, 1:] = 0.1
    assert make_metric("r2", Task("regression", 20), many, "mse").score(guess, many) > 0.99


def test_r2_is_0_for_the_training_mean_and_1_for_the_targets():
    targets = torch.linspace(-3, 5, 50)
    metric = make_metric(None, Task("regression", 1), targets, "mse")
    assert metric.score(targets.mean().expand(50, 1), targets) == pytest.approx(0, abs=1e-6)
    assert metric.score(targets[:, None], targets) == 1


def test_a_few_giants_among_the_training_targets_do_not_make_every_answer_perfect():
    targets = torch.linspace(-1, 1, 400)
    spoilt = targets.clone()
    spoilt[::100] *= 1e5
    metric = make_metric("r2", Task("regression", 1), spoilt, "mse")
    assert metric.score(torch.zeros(400, 1), targets) == pytest.approx(0, abs=0.01)
    assert metric.score(targets[:, None], targets) == 1


@given(st.sampled_from([0.0, 3.0, 1e3, 1e30, float("nan"), float("inf"), -float("inf")]))
def test_a_regression_that_diverged_is_never_worse_than_minus_one(value):
    targets = torch.linspace(0, 1, 20)
    metric = make_metric("r2", Task("regression", 1), targets, "mse")
    score = metric.score(torch.full((20, 1), value), targets)
    assert -1.0001 <= score <= 1


def test_outputs_that_are_not_finite_decide_for_no_class_that_is():
    outputs = torch.tensor([[float("nan"), 1.0], [float("nan"), float("nan")]])
    assert decisions(outputs, Task("classification", 2)).tolist() == [1, 0]


def test_a_function_of_the_user_is_the_metric_under_its_own_name():
    def within_one(outputs, targets):
        return float(((outputs[:, 0] - targets).abs() < 1).float().mean())

    metric = make_metric(within_one, Task("regression", 1), torch.zeros(3), "mse")
    assert metric.name == "within_one"
    assert metric.score(torch.tensor([[0.5], [3.0]]), torch.zeros(2)) == 0.5


@pytest.mark.parametrize(
    ("metric", "task"),
    [
        ("f1", Task("classification", 3)),
        ("accuracy", Task("regression", 1)),
        ("r2", Task("classification", 3)),
        ("r2", Task("multilabel", 3)),
        (None, Task("custom")),
    ],
)
def test_a_metric_that_does_not_fit_the_task_is_refused(metric, task):
    with pytest.raises(UserError, match="metric"):
        make_metric(metric, task, CLASSES, "cross_entropy")


def test_labels_are_read_off_columns_and_one_hot_rows():
    assert labels_of(torch.eye(3)[CLASSES]).tolist() == CLASSES.tolist()
    assert labels_of(CLASSES[:, None]).tolist() == CLASSES.tolist()


def test_edits_do_not_move_the_yardstick(recipe):
    edited = recipe.with_edits(nw.Edit.set("training.loss", "mse"))
    assert edited.yardstick is recipe.yardstick
