"""Probes answer what they are asked, and leave everything of the user's as it was."""

import copy
import random
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import netwright as nw
from conftest import diabetes_data, digits_data, mlp, regressor, training
from diagnosis import faulty
from diagnosis import test_checks_sequences as sequences
from diagnosis.networks import Convolutional, Recurrent, Transformer, rows_of_digits, with_dropout
from netwright.app.asking import probe
from netwright.diagnosis.probing import PROBES
from netwright.runs.batch import examine_start
from netwright.runs.probes import BATCH_PROBES, STEP_PROBES, TRAINED_PROBES
from netwright.runs.subject import Subject

IMAGES = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(16) % 10


def recipe(network=mlp, data=None, **settings):
    return nw.Recipe(data or digits_data(300), network, training(**{"epochs": 2, **settings}))


def asked(name, network=mlp, data=None, **settings):
    return BATCH_PROBES[name](examine_start(recipe(network, data, **settings)).subject)


def steps(name, made, **options):
    return STEP_PROBES[name](made, **{"steps": 60, **options})


# --- one batch


@pytest.mark.parametrize("network", [mlp, Convolutional, with_dropout])
def test_samples_of_a_sound_network_do_not_mix(network):
    assert asked("batch-mixing", network).others == 0


@pytest.mark.parametrize("network", [faulty.MeanOverSamples, faulty.SoftmaxOverSamples])
def test_samples_that_mix_are_told_by_their_gradients(network):
    answer = asked("batch-mixing", network)
    assert answer.others > 1e-4
    assert answer.by == "gradient"


def test_attention_sees_the_order_only_of_what_is_marked():
    assert asked("order-seen", sequences.Attends, sequences.which_half(60)).change < 1e-4
    assert asked("order-seen", lambda: sequences.Attends(True), sequences.which_half(60)).change > 0.01
    assert asked("order-seen", Recurrent, rows_of_digits(60)).change > 0.01


def test_images_have_no_order_of_steps():
    assert asked("order-seen", Convolutional) is None


def test_a_batch_of_one_cannot_mix():
    assert asked("batch-mixing", batch_size=1) is None


def test_all_of_the_input_is_used():
    answer = asked("input-use", Recurrent, rows_of_digits(200))
    assert (answer.share_used, answer.axis_used, answer.unused) == (1.0, 1.0, ())


def test_the_share_of_the_input_that_is_used_is_told():
    answer = asked("input-use", faulty.OneRowOnly)
    assert answer.share_used == pytest.approx(1 / 8)
    assert (answer.axis, answer.axis_used) == (1, pytest.approx(1 / 8))


@pytest.mark.parametrize("network", [faulty.Detached, faulty.ThroughData, faulty.ThroughNumPy])
def test_a_gradient_that_is_cut_says_nothing_of_the_input(network):
    assert asked("input-use", network) is None


def test_a_blind_network_uses_nothing():
    assert asked("input-use", faulty.Blind).share_used == 0


def test_the_first_loss_is_near_that_of_knowing_nothing():
    answer = asked("start-loss")
    assert answer.expected == pytest.approx(np.log(10), abs=1e-4)
    assert answer.loss == pytest.approx(answer.expected, rel=0.2)


def test_the_first_loss_of_a_network_that_is_sure_and_wrong_is_far_from_it():
    def sure():
        network = mlp()
        with torch.no_grad():
            network[3].weight.mul_(300)
        return network

    answer = asked("start-loss", sure)
    assert answer.loss > 3 * answer.expected


def plain_cross_entropy(outputs, targets):
    return F.cross_entropy(outputs, targets)


def unguarded(outputs, targets):
    return -torch.log(torch.softmax(outputs, 1))[torch.arange(len(targets)), targets].mean()


@pytest.mark.parametrize(
    ("loss", "failing"), [("cross_entropy", 0), (plain_cross_entropy, 0), (unguarded, 1)]
)
def test_outputs_for_which_a_loss_is_not_finite_are_told(loss, failing):
    assert len(asked("loss-extremes", loss=loss).failing) == failing


@pytest.mark.parametrize("network", [mlp, with_dropout, Convolutional])
def test_evaluation_repeats_itself(network):
    assert asked("evaluation-modes", network).repeated == 0


def test_dropout_that_stays_on_does_not_repeat_itself():
    assert asked("evaluation-modes", faulty.DropoutStaysOn).repeated > 0.01


def test_dropout_makes_training_differ_from_evaluation():
    assert asked("evaluation-modes", mlp).training == 0
    assert asked("evaluation-modes", with_dropout).training > 0.1


@pytest.mark.parametrize(("network", "wrong"), [(faulty.RightBackward, False), (faulty.WrongBackward, True)])
def test_a_gradient_by_hand_is_held_against_differences(network, wrong):
    answer = asked("gradient-check", network)
    assert len(answer.functions) == 1
    assert (answer.error > 0.1) is wrong
    assert answer.error < 1e-4 or wrong


def test_without_a_gradient_by_hand_there_is_nothing_to_check():
    assert asked("gradient-check", Convolutional) is None


def test_float32_loses_nothing():
    assert asked("precision") is None


def test_what_half_precision_loses_is_told():
    def loud():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), Loud(), nn.Linear(32, 10))

    sound, broken = asked("precision", precision="fp16"), asked("precision", loud, precision="fp16")
    assert (sound.finite, sound.finite_in_full) == (True, True)
    assert (broken.finite, broken.finite_in_full) == (False, True)


class Loud(nn.Module):
    def forward(self, x):
        return x.relu() * 1e6


# --- a few steps


def test_one_batch_can_be_learnt_by_heart():
    answer = steps("overfit-batch", recipe())
    assert answer.skill == 1.0
    assert answer.reached < 0.1 * answer.start


def test_a_blind_network_learns_no_batch_by_heart():
    assert steps("overfit-batch", recipe(faulty.Blind)).skill < 0.5


def test_true_labels_are_learnt_better_than_shuffled_ones():
    answer = steps("shuffled-labels", recipe())
    assert answer.loss < 0.6 * answer.altered_loss
    assert answer.skill > answer.altered_skill + 0.3


def test_labels_that_say_nothing_are_learnt_like_shuffled_ones():
    x, y = digits_data(300).train
    noise = nw.Data.arrays(x, np.random.default_rng(0).permutation(y))
    answer = steps("shuffled-labels", recipe(data=noise))
    assert answer.loss == pytest.approx(answer.altered_loss, rel=0.2)


def test_inputs_that_are_used_teach_more_than_one_and_the_same():
    answer = steps("constant-inputs", recipe())
    assert answer.loss < 0.6 * answer.altered_loss


def test_inputs_that_are_not_used_teach_nothing():
    answer = steps("constant-inputs", recipe(faulty.Blind))
    assert answer.loss == pytest.approx(answer.altered_loss, rel=0.1)


# --- by name


@pytest.mark.parametrize("name", [n for n in PROBES if n not in ("range-test", "seeds-apart")])
def test_every_probe_answers_by_its_name_or_says_that_it_does_not_apply(name):
    result = probe(recipe(), name)
    assert (result.answer is None) == (
        name in ("gradient-check", "precision", "without-augmentation", "order-seen")
    )
    assert result.question


def test_seeds_are_told_apart():
    answer = probe(recipe(), "seeds-apart").answer
    assert len(answer["scores"]) == 3
    assert answer["standard_error"] > 0


def test_an_augmentation_is_left_out():
    assert probe(recipe(augment="noise"), "without-augmentation").answer["skill"] > 0


# --- nothing of the user's is touched


class Counts(nn.Module):
    """With everything that a pass may change: statistics, a counter that is replaced, dropout."""

    def __init__(self):
        super().__init__()
        self.body, self.norm = nn.Linear(64, 16), nn.BatchNorm1d(16)
        self.head = nn.Linear(16, 10)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("last", torch.zeros(()), persistent=False)

    def forward(self, x):
        self.seen += 1
        self.last = x.detach().mean()
        return self.head(F.dropout(self.norm(self.body(x.flatten(1))).relu(), 0.2, self.training))


class Locked(Counts):
    """The same, of which no copy can be made."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


def used(kind):
    """A network in the middle of a training, and its optimizer."""
    torch.manual_seed(0)
    network = kind()
    network.body.bias.requires_grad_(False)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(network(IMAGES), LABELS).backward()
        optimizer.step()
    network.norm.eval()
    return network, optimizer


def state_of(network, optimizer):
    """Everything that must stay, as plain values."""
    return {
        "weights": [p.detach().clone() for p in network.parameters()],
        "buffers": [b.clone() for b in network.buffers()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in network.parameters()],
        "wanted": [p.requires_grad for p in network.parameters()],
        "modes": [m.training for m in network.modules()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in network.modules()],
        "optimizer": copy.deepcopy(optimizer.state_dict()),
        "random": (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()),
    }


def assert_same(before, after):
    torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=True)


def subject(network, optimizer):
    def loss(network, inputs, targets):
        return F.cross_entropy(network(inputs), targets)

    return Subject(network, IMAGES, LABELS, optimizer, loss)


@pytest.mark.parametrize("name", BATCH_PROBES)
def test_a_probe_of_one_batch_changes_nothing(name):
    network, optimizer = used(Counts)
    before = state_of(network, optimizer)
    BATCH_PROBES[name](subject(network, optimizer))
    assert_same(before, state_of(network, optimizer))


@pytest.mark.parametrize("kind", [Counts, Locked])
def test_examining_changes_nothing(kind):
    network, optimizer = used(kind)
    before = state_of(network, optimizer)
    nw.examine(network, (IMAGES, LABELS), "cross_entropy", optimizer)
    assert_same(before, state_of(network, optimizer))


@pytest.mark.parametrize("kind", [Counts, Locked])
def test_examining_a_network_that_fails_changes_nothing(kind):
    network, optimizer = used(kind)
    before = state_of(network, optimizer)
    with pytest.raises(nw.UserCodeError):
        nw.examine(network, (IMAGES[:, :, :4], LABELS), "cross_entropy", optimizer)
    assert_same(before, state_of(network, optimizer))


@pytest.mark.parametrize("name", [*STEP_PROBES, *TRAINED_PROBES, "simple-models", "half-the-data"])
def test_a_probe_of_a_recipe_leaves_the_random_states(name):
    made = recipe(with_dropout)
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    probe(made, name)
    found = random.random(), np.random.rand(), float(torch.rand(()))
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    assert found == (random.random(), np.random.rand(), float(torch.rand(())))


@pytest.mark.parametrize("name", [*STEP_PROBES, *TRAINED_PROBES, "simple-models", *BATCH_PROBES])
def test_a_probe_answers_the_same_twice(name):
    made = nw.Recipe(diabetes_data(), regressor, training(loss="mse", lr=0.02, epochs=2))
    assert probe(made, name).answer == probe(made, name).answer


def test_attention_is_asked_too():
    answer = asked("batch-mixing", Transformer, rows_of_digits(100))
    assert answer.others == 0
