"""Loops of a user's own: each bug is told apart from the others, and sound loops are left alone."""

import copy
import inspect
import math

import pytest
import torch
from torch import nn

import netwright as nw


def small(dropout=False):
    torch.manual_seed(0)
    layers = [nn.Linear(8, 16), nn.ReLU(), *([nn.Dropout(0.2)] if dropout else []), nn.Linear(16, 3)]
    return nn.Sequential(*layers)


def batches(count, size=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randn(8, 3, generator=generator)
    for _ in range(count):
        x = torch.randn(size, 8, generator=generator)
        yield x, (x @ truth).argmax(1)


def sgd(network, lr=0.05, **settings):
    return torch.optim.SGD(network.parameters(), lr=lr, **settings)


def loss_of(network, x, y):
    return nn.functional.cross_entropy(network(x), y)


# --- loops with a bug ----------------------------------------------------------------------------------


def never_zeroed(steps=24):
    network = small()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(steps):
        loss = loss_of(network, x, y)
        loss.backward()
        optimizer.step()
        trace.step(loss)
    return trace, network, optimizer


def zeroed_before_the_step(steps=24, to_none=True):
    network = small()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(steps):
        loss = loss_of(network, x, y)
        trace.step(loss)
        loss.backward()
        optimizer.zero_grad(set_to_none=to_none)
        optimizer.step()
    return trace, network, optimizer


def zeroed_in_place_before_the_step():
    return zeroed_before_the_step(to_none=False)


def step_before_backward(steps=24, zero_first=True, note_first=False, to_none=True, network=None):
    network = network or small()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(steps):
        if zero_first:
            optimizer.zero_grad(set_to_none=to_none)
        loss = loss_of(network, x, y)
        if note_first:
            trace.step(loss)
        optimizer.step()
        if not zero_first:
            optimizer.zero_grad(set_to_none=to_none)
        loss.backward()
        if not note_first:
            trace.step(loss)
    return trace, network, optimizer


def step_before_backward_with_zeros():
    return step_before_backward(to_none=False, note_first=True, network=nn.Linear(8, 3))


def step_on_the_gradients_of_the_batch_before():
    return step_before_backward(zero_first=False, network=nn.Linear(8, 3))


def step_before_backward_noted_first():
    return step_before_backward(zero_first=False, note_first=True, network=nn.Linear(8, 3))


def step_never_called(steps=24):
    network = small()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(steps):
        optimizer.zero_grad()
        loss = loss_of(network, x, y)
        loss.backward()
        trace.step(loss)
    return trace, network, optimizer


def step_never_called_and_nothing_zeroed():
    network = small()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(150):
        loss = loss_of(network, x, y)
        loss.backward()
        trace.step(loss)
    return trace, network, optimizer


def evaluation_mode(epochs=4, from_epoch=0):
    network = small(dropout=True)
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for epoch in range(epochs):
        if epoch >= from_epoch:
            network.eval()
        for x, y in batches(20):
            optimizer.zero_grad()
            loss = loss_of(network, x, y)
            loss.backward()
            optimizer.step()
            trace.step(loss)
        network.eval()
        with torch.no_grad():
            network(x)
    return trace, network, optimizer


def evaluation_mode_after_the_first_validation():
    return evaluation_mode(from_epoch=1)


def output_detached(steps=24, step=True):
    network = small()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(x).detach(), y).requires_grad_()
        loss.backward()
        optimizer.step()
        trace.step(loss)
    return trace, network, optimizer


def loss_made_anew():
    network = small()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(24):
        optimizer.zero_grad()
        loss = torch.tensor(loss_of(network, x, y).item(), requires_grad=True)
        trace.step(loss)
        loss.backward()
        optimizer.step()
    return trace, network, optimizer


def forward_without_gradients():
    network = small()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(24):
        optimizer.zero_grad()
        with torch.no_grad():
            loss = loss_of(network, x, y)
        loss.requires_grad_()
        loss.backward()
        optimizer.step()
        trace.step(loss)
    return trace, network, optimizer


def backward_never_called():
    network = small()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(24):
        optimizer.zero_grad()
        loss = loss_of(network, x, y)
        optimizer.step()
        trace.step(loss)
    return trace, network, optimizer


def optimizer_of_another_network():
    network = small()
    optimizer = sgd(network)
    network = small()
    trace = nw.watch(network, optimizer)
    for x, y in batches(24):
        optimizer.zero_grad()
        loss = loss_of(network, x, y)
        loss.backward()
        optimizer.step()
        trace.step(loss)
    return trace, network, optimizer


def network_made_again(number=False, keep=False):
    network = small()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    old = [network] if keep else []
    for _ in range(3):
        for x, y in batches(20):
            optimizer.zero_grad()
            loss = loss_of(network, x, y)
            loss.backward()
            optimizer.step()
            trace.step(loss.item() if number else loss)
        network = small()
    return trace, network, optimizer, old


def network_made_again_and_losses_as_numbers():
    return network_made_again(number=True)


def network_made_again_and_the_old_one_kept():
    return network_made_again(keep=True)


BUGS = {
    never_zeroed: "never zeroed",
    zeroed_before_the_step: "zeroed before the step",
    zeroed_in_place_before_the_step: "zeroed before the step",
    step_before_backward: "step before backward",
    step_before_backward_with_zeros: "step before backward",
    step_on_the_gradients_of_the_batch_before: "step before backward",
    step_before_backward_noted_first: "step before backward",
    step_never_called: "no step",
    step_never_called_and_nothing_zeroed: "no step",
    evaluation_mode: "evaluation mode",
    evaluation_mode_after_the_first_validation: "evaluation mode",
    output_detached: "no graph",
    loss_made_anew: "no graph",
    forward_without_gradients: "no graph",
    backward_never_called: "no graph",
    optimizer_of_another_network: "another network",
    network_made_again: "made again",
    network_made_again_and_losses_as_numbers: "made again",
    network_made_again_and_the_old_one_kept: "made again",
}
SAYS = {
    never_zeroed: "zero_grad() once in every iteration, before loss.backward()",
    zeroed_before_the_step: "Move optimizer.zero_grad() to before loss.backward()",
    step_before_backward: "Move optimizer.step() to the line after loss.backward()",
    step_never_called: "Call optimizer.step() after loss.backward()",
    evaluation_mode: "Call model.train()",
    output_detached: "Take the .detach()",
    forward_without_gradients: "gradients switched off",
    backward_never_called: "Call loss.backward() before optimizer.step()",
    optimizer_of_another_network: "SGD(model.parameters(), ...)",
    network_made_again: "Make the network once, before the loop",
}


@pytest.mark.parametrize("loop", BUGS, ids=lambda f: f.__name__)
def test_a_bug_of_the_loop_is_named_and_told_apart(loop):
    found = nw.diagnose(loop()[0]).findings
    assert [(f.cause, f.evidence.get("bug")) for f in found] == [("loop-bug", BUGS[loop])]


@pytest.mark.parametrize("loop", SAYS, ids=lambda f: f.__name__)
def test_the_line_to_change_is_said(loop):
    assert SAYS[loop] in nw.diagnose(loop()[0]).findings[0].explanation


def test_the_place_is_the_line_that_notes_the_loss():
    where = nw.diagnose(never_zeroed()[0]).findings[0].where
    lines, first = inspect.getsourcelines(never_zeroed)
    assert where.file.endswith("test_loop_checks.py")
    assert "trace.step" in lines[where.line - first]


# --- sound loops -------------------------------------------------------------------------------------


def plain(steps=200, to_none=True, optimizer=sgd, number=False):
    network = small()
    optimizer = optimizer(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(steps):
        optimizer.zero_grad(set_to_none=to_none)
        loss = loss_of(network, x, y)
        loss.backward()
        optimizer.step()
        trace.step(loss.item() if number else loss)
    return trace, network, optimizer


def zeroed_in_place():
    return plain(to_none=False)


def losses_as_numbers():
    return plain(number=True)


def zeroed_by_the_old_idiom():
    network = small()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(60):
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.grad.data.zero_()
        loss = loss_of(network, x, y)
        loss.backward()
        optimizer.step()
        trace.step(loss)
    return trace, network, optimizer


def accumulation(count=4, steps=160):
    network = small()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for k, (x, y) in enumerate(batches(steps)):
        loss = loss_of(network, x, y) / count
        loss.backward()
        trace.step(loss)
        if (k + 1) % count == 0:
            optimizer.step()
            optimizer.zero_grad()
    return trace, network, optimizer


def long_accumulation():
    return accumulation(50, 120)


def accumulation_before_its_first_update():
    return accumulation(64, 60)


def two_optimizers():
    network = small()
    first, second = (
        torch.optim.SGD(network[0].parameters(), lr=0.05),
        torch.optim.Adam(network[2].parameters()),
    )
    trace = nw.watch(network, [first, second])
    for x, y in batches(100):
        loss = loss_of(network, x, y)
        first.zero_grad()
        second.zero_grad()
        loss.backward()
        first.step()
        second.step()
        trace.step(loss)
    return trace, network, first, second


def adversarial(critics=1, rounds=60):
    torch.manual_seed(0)
    maker, judge = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8)), small()
    both = nn.ModuleList([maker, judge])
    of_maker, of_judge = torch.optim.Adam(maker.parameters()), torch.optim.Adam(judge.parameters())
    trace = nw.watch(both, of_maker, of_judge)
    only = nw.watch(judge, of_judge)
    for k, (x, _) in enumerate(batches(rounds)):
        made = maker(torch.randn(16, 4))
        of_judge.zero_grad()
        loss = (1 - judge(x)[:, 0]).relu().mean() + (1 + judge(made.detach())[:, 0]).relu().mean()
        loss.backward()
        of_judge.step()
        if k % critics == 0:
            of_maker.zero_grad()
            against = -judge(made)[:, 0].mean()
            against.backward()
            of_maker.step()
        trace.step(loss)
        only.step(loss)
    return trace, only, maker, judge, both, of_maker, of_judge


def adversarial_with_rare_steps():
    return adversarial(critics=5)


def closures():
    network = small()
    optimizer = torch.optim.LBFGS(network.parameters(), lr=0.1, max_iter=4)
    trace = nw.watch(network, optimizer)
    for x, y in batches(20):

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = loss_of(network, x, y)
            loss.backward()
            return loss

        trace.step(optimizer.step(closure))
    return trace, network, optimizer


def scaler_that_skips():
    network = small()
    optimizer = sgd(network)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=1000)
    trace = nw.watch(network, optimizer)
    for x, y in batches(120):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(network, x, y)
        scaler.scale(loss * 100).backward()
        scaler.step(optimizer)
        scaler.update()
        trace.step(loss)
    return trace, network, optimizer


def clipped():
    network = small()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(60):
        loss = loss_of(network, x, y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        optimizer.step()
        trace.step(loss)
    return trace, network, optimizer


def zero_initialised_head():
    network = small()
    nn.init.zeros_(network[2].weight)
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(60):
        optimizer.zero_grad()
        loss = loss_of(network, x, y)
        loss.backward()
        optimizer.step()
        trace.step(loss)
    return trace, network, optimizer


class Adapted(nn.Module):
    """A frozen layer and a low-rank one beside it that starts at zero, as in LoRA."""

    def __init__(self):
        super().__init__()
        self.base, self.down, self.up = (
            nn.Linear(8, 16),
            nn.Linear(8, 2, bias=False),
            nn.Linear(2, 16, bias=False),
        )
        self.head = nn.Linear(16, 3)
        self.base.requires_grad_(False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.head((self.base(x) + self.up(self.down(x))).relu())


def fine_tuning(network=None):
    torch.manual_seed(0)
    network = network or Adapted()
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-2)
    trace = nw.watch(network, optimizer)
    for x, y in batches(60):
        optimizer.zero_grad()
        loss = loss_of(network, x, y)
        loss.backward()
        optimizer.step()
        trace.step(loss)
    return trace, network, optimizer


def statistics_held_fixed():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3)
    )
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(60):
        network.train()
        network[1].eval()
        optimizer.zero_grad()
        loss = loss_of(network, x, y)
        loss.backward()
        optimizer.step()
        trace.step(loss)
    return trace, network, optimizer


def validation_between():
    network = small(dropout=True)
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for _ in range(6):
        network.train()
        for x, y in batches(10):
            optimizer.zero_grad()
            loss = loss_of(network, x, y)
            loss.backward()
            optimizer.step()
            trace.step(loss)
        network.eval()
        loss_of(network, x, y)  # validation that forgets no_grad
    return trace, network, optimizer


def without_modes_in_evaluation():
    network = small().eval()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(60):
        optimizer.zero_grad()
        loss = loss_of(network, x, y)
        loss.backward()
        optimizer.step()
        trace.step(loss)
    return trace, network, optimizer


def a_second_pass_for_the_metric():
    network = small()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(60):
        optimizer.zero_grad()
        loss = loss_of(network, x, y)
        loss.backward()
        network(x).argmax(1)
        optimizer.step()
        trace.step(loss)
    return trace, network, optimizer


def another_optimizer_not_given():
    network = small()
    first, second = (
        torch.optim.SGD(network[0].parameters(), lr=0.05),
        torch.optim.Adam(network[2].parameters()),
    )
    trace = nw.watch(network, first)
    for x, y in batches(60):
        loss = loss_of(network, x, y)
        first.zero_grad()
        second.zero_grad()
        loss.backward()
        first.step()
        second.step()
        trace.step(loss)
    return trace, network, first, second


def by_hand():
    network = small()
    optimizer = sgd(network)  # made and never used
    trace = nw.watch(network, optimizer)
    for x, y in batches(60):
        loss = loss_of(network, x, y)
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                parameter -= 0.05 * gradient
        trace.step(loss)
    return trace, network, optimizer


def a_wrapper_nobody_keeps():
    network = small()
    optimizer = sgd(network)
    trace = nw.watch(nn.DataParallel(network), optimizer)
    for x, y in batches(60):
        optimizer.zero_grad()
        loss = loss_of(network, x, y)
        loss.backward()
        optimizer.step()
        trace.step(loss)
    return trace, network, optimizer


def a_model_deleted_after_the_loop():
    trace, _, optimizer = plain(60)
    return trace, optimizer


SOUND = [
    plain,
    zeroed_in_place,
    losses_as_numbers,
    zeroed_by_the_old_idiom,
    accumulation,
    long_accumulation,
    accumulation_before_its_first_update,
    two_optimizers,
    adversarial,
    adversarial_with_rare_steps,
    closures,
    scaler_that_skips,
    clipped,
    zero_initialised_head,
    fine_tuning,
    statistics_held_fixed,
    validation_between,
    without_modes_in_evaluation,
    a_second_pass_for_the_metric,
    another_optimizer_not_given,
    by_hand,
    a_wrapper_nobody_keeps,
    a_model_deleted_after_the_loop,
]


@pytest.mark.parametrize("loop", SOUND, ids=lambda f: f.__name__)
def test_a_sound_loop_is_left_alone(loop):
    for trace in (kept for kept in loop() if hasattr(kept, "losses")):
        result = nw.diagnose(trace)
        assert [(f.cause, f.explanation) for f in result.findings] == []
        assert [(f.cause, f.explanation) for f in result.considered] == []


def test_all_frozen_is_named_and_some_frozen_is_noted():
    network = small()
    optimizer = sgd(network)
    network.requires_grad_(False)
    trace = nw.watch(network, optimizer)
    for x, y in batches(12):
        trace.step(loss_of(network, x, y))
    assert [f.cause for f in nw.diagnose(trace).findings] == ["untrained-parameters"]
    trace, *_kept = fine_tuning()
    assert "2 of 6 parameters are frozen, which is taken as meant" in nw.diagnose(trace).notes


def test_a_replaced_layer_is_found():
    network = small()
    optimizer = sgd(network)
    network[2] = nn.Linear(16, 3)
    trace = nw.watch(network, optimizer)
    for x, y in batches(20):
        optimizer.zero_grad()
        loss = loss_of(network, x, y)
        loss.backward()
        optimizer.step()
        trace.step(loss)
    (finding,) = nw.diagnose(trace).findings
    assert (finding.cause, finding.where.layer) == ("untrained-parameters", "2")


# --- what the losses show ------------------------------------------------------------------------------


def noted(losses, network=None, lr=0.05):
    network = network or small()
    optimizer = sgd(network, lr)
    trace = nw.watch(network, optimizer)
    for value in losses:
        trace.step(value)
    return trace, network, optimizer


def causes(kept):
    return [f.cause for f in nw.diagnose(kept[0]).findings]


def test_a_rate_that_makes_the_loss_explode_is_named():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 1))
    optimizer = sgd(network, 3.0)
    trace = nw.watch(network, optimizer)
    for x, _ in batches(40):
        optimizer.zero_grad()
        loss = (network(x) - x[:, :1]).square().mean()
        loss.backward()
        optimizer.step()
        trace.step(loss)
    found = nw.diagnose(trace).findings
    assert found[0].cause == "lr-too-high"
    assert "since iteration" in found[0].explanation


def test_a_loss_that_is_not_a_number_says_since_when():
    kept = noted([1.0, 0.9, 0.8, 0.7] + [math.nan] * 6)
    found = nw.diagnose(kept[0]).findings[0]
    assert (found.cause, found.evidence["since"]) == ("unstable-arithmetic", 5)
    assert causes(noted([math.nan] * 6)) == ["unstable-loss"]


def test_inputs_that_are_not_finite_are_named():
    network = small()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(10):
        x[0, 0] = math.nan
        optimizer.zero_grad()
        loss = loss_of(network, x, y)
        loss.backward()
        optimizer.step()
        trace.step(loss)
    assert nw.diagnose(trace).findings[0].cause == "bad-values"


@pytest.mark.parametrize(
    "losses",
    [
        [1.0, math.inf, 0.9, 0.8, math.nan, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1],
        [2.3 * 0.9**k for k in range(100)],
        [0.001 + k for k in range(50)],
        [-(1.5**k) for k in range(40)],
        [5.0 + k for k in range(400)],
        [0.5, *(20.0 * (k % 7) for k in range(60))],
        [0.0] * 300,
    ],
    ids=[
        "a-scaler-at-work",
        "falling",
        "from-nearly-zero",
        "negative",
        "growing-tenfold",
        "jumping",
        "nothing",
    ],
)
def test_losses_that_say_nothing_are_left_alone(losses):
    kept = noted(losses)
    assert not {"lr-too-high", "unstable-arithmetic", "vanishing-gradient"} & set(causes(kept))


def test_a_loss_that_grows_and_stays_there_is_named():
    assert causes(noted([2.3, 700.0, *[900.0 + k % 5 for k in range(60)]])) == ["lr-too-high"]


def test_a_rate_of_zero_is_named():
    assert causes(plain(30, optimizer=lambda network: sgd(network, 0.0))) == ["schedule-mismatch"]


def test_a_dead_network_stands_still():
    network = small()
    nn.init.constant_(network[0].bias, -1e4)
    nn.init.zeros_(network[2].weight)
    network[2].bias.requires_grad_(False)
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(220):
        optimizer.zero_grad()
        loss = loss_of(network, x, y)
        loss.backward()
        optimizer.step()
        trace.step(loss)
    found = {f.check for f in (*nw.diagnose(trace).findings, *nw.diagnose(trace).considered)}
    assert "loss-stands-still" in found


def test_a_copy_of_a_watched_network_is_not_watched():
    trace, network, _ = plain(3)
    twin = copy.deepcopy(network)
    steps = trace.evidence().loop.iterations
    twin(torch.randn(4, 8)).sum().backward()
    assert trace.evidence().loop.iterations == steps
