"""Sound loops of many kinds: every function gives the trace and what must be kept alive."""

import torch
from torch import nn

import netwright as nw

from .buggy_loops import batches, loss_of, sgd, small


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
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=4, line_search_fn="strong_wolfe")
    trace = nw.watch(network, optimizer)
    (whole,) = batches(1)  # its curvature is of one loss: other batches would mislead it
    for x, y in [whole] * 20:

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
