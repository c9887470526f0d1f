"""Loops of a user's own with one bug each: every function gives the trace and what must be kept alive."""

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
