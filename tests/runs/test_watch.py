"""Two lines in a loop that the user already has."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

import netwright as nw


def loop(network, steps=5, before_backward=True, freeze=None, every=2):
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    trace = nw.watch(network, optimizer, every=every)
    for _ in range(steps):
        x, y = torch.randn(16, 8), torch.randint(3, (16,))
        loss = nn.functional.cross_entropy(network(x), y)
        if before_backward:
            trace.step(loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if not before_backward:
            trace.step(loss)
    return trace, optimizer, network


def small():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


@pytest.mark.parametrize("before_backward", [True, False])
def test_step_may_stand_anywhere_after_the_loss(before_backward):
    trace, *_kept = loop(small(), before_backward=before_backward)
    assert trace.steps == 5
    evidence = trace.evidence()
    assert all(p.gradient is not None for p in evidence.batch.parameters)
    assert [s.kind for s in evidence.batch.layers] == ["Linear", "ReLU", "Linear"]
    assert nw.diagnose(trace).findings == ()


def test_a_layer_that_the_user_froze_is_noted_and_no_finding():
    network = small()
    network[0].requires_grad_(False)
    trace, *_kept = loop(network)
    result = nw.diagnose(trace)
    assert result.findings == () and not result.healthy
    assert any("2 of 4 parameters are frozen" in note for note in result.notes)


def test_a_watched_loop_trains_to_the_same_bits():
    def weights(watched):
        torch.manual_seed(0)
        network = small()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        trace = nw.watch(network, optimizer) if watched else None
        for _ in range(4):
            loss = nn.functional.cross_entropy(network(torch.randn(16, 8)), torch.randint(3, (16,)))
            if trace:
                trace.step(loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return network[0].weight

    assert torch.equal(weights(True), weights(False))


def test_closing_leaves_no_hook():
    trace, _, network = loop(small())
    trace.close()
    assert all(not m._forward_hooks for m in network.modules())


def test_a_loss_of_several_values_is_refused():
    network = small()
    trace = nw.watch(network, torch.optim.SGD(network.parameters(), lr=0.1))
    with pytest.raises(nw.UserError, match="the loss has 4 values"):
        trace.step(torch.zeros(4))


# --- whatever the loop is made of, the bits stay ---------------------------------------------------------


class Pieces(nn.Module):
    """A shared layer, one called twice in a pass, randomness, statistics, and a dictionary as result."""

    def __init__(self, returns=dict):
        super().__init__()
        self.first, self.shared = nn.Linear(8, 16), nn.Linear(16, 16)
        self.again, self.norm, self.drop = self.shared, nn.BatchNorm1d(16), nn.Dropout(0.3)
        self.head, self.returns = nn.Linear(16, 3), returns

    def forward(self, x):
        x = self.norm(self.first(x)).relu_()
        x = self.drop(self.again(self.shared(x).relu()))
        return self.returns({"hidden": x, "logits": self.head(x)}.items())


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.first(x).relu())


def logits_of(result):
    return dict(result)["logits"] if isinstance(result, (dict, tuple)) else result


def trained(watched, make, run, steps=14, wrap=lambda network: network):
    """State of the network, losses, and states of all random generators after a loop."""
    torch.manual_seed(0)
    network = make()
    called = wrap(network)
    optimizers = [
        torch.optim.SGD(list(network.parameters())[:2], lr=0.1, momentum=0.9),
        torch.optim.AdamW(list(network.parameters())[2:], lr=1e-2),
    ]
    trace = nw.watch(called, optimizers) if watched else None
    losses = []
    for k in range(steps):
        x, y = torch.randn(16, 8), torch.randint(3, (16,))
        loss = run(called, x, y)
        loss.backward()
        if trace is not None:
            trace.step(loss)
        if k % 2:
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
        losses.append(loss.detach())
    if trace is not None:
        assert nw.diagnose(trace).findings == ()
        np.testing.assert_allclose(trace.losses, torch.stack(losses).double().numpy(), rtol=1e-6)
    numpy_state = np.random.get_state()[1]
    return [
        *network.state_dict().values(),
        *losses,
        torch.get_rng_state(),
        torch.from_numpy(numpy_state.copy()),
    ], (random.getstate())


def plainly(network, x, y):
    return nn.functional.cross_entropy(logits_of(network(x)), y)


def in_bfloat16(network, x, y):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return plainly(network, x, y)


def checkpointed(network, x, y):
    from torch.utils.checkpoint import checkpoint

    result = checkpoint(network, x, use_reentrant=False)
    return nn.functional.cross_entropy(logits_of(result), y)


@pytest.mark.parametrize("run", [plainly, in_bfloat16, checkpointed])
@pytest.mark.parametrize(
    "make", [Pieces, lambda: Pieces(tuple), small], ids=["dictionary", "tuple", "tensor"]
)
def test_watching_changes_no_bit_and_no_random_state(make, run):
    (one, generator), (other, also) = trained(True, make, run), trained(False, make, run)
    assert generator == also
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("in_place", [False, True])
def test_watching_a_compiled_network_changes_no_bit_and_compiles_nothing_more(in_place):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def wrap(network):
        if in_place:
            network.compile(backend=backend)
            return network
        return torch.compile(network, backend=backend)

    compiled = []
    results = []
    for watched in (True, False):
        torch._dynamo.reset()
        graphs.clear()
        results.append(trained(watched, Plain, plainly, wrap=wrap)[0])
        compiled.append(len(graphs))
    assert compiled[0] == compiled[1] > 0
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_an_interrupted_loop_can_be_read_and_left_clean():
    network = small()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    trace = nw.watch(network, optimizer)
    for k in range(6):
        loss = nn.functional.cross_entropy(network(torch.randn(16, 8)), torch.randint(3, (16,)))
        trace.step(loss)
        optimizer.zero_grad()
        handle = network[0].weight.register_hook(interrupt) if k == 2 else None
        try:
            loss.backward()
        except KeyboardInterrupt:
            break
        assert handle is None
        optimizer.step()
    assert nw.diagnose(trace).findings == ()
    handle.remove()
    trace.close()
    assert no_hooks(network, optimizer)


def interrupt(_):
    raise KeyboardInterrupt


def no_hooks(network, optimizer):
    return not (
        any(m._forward_hooks for m in network.modules())
        or any(p._backward_hooks or p._post_accumulate_grad_hooks for p in network.parameters())
        or optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
    )


def test_a_watched_network_can_be_copied_and_saved(tmp_path):
    network = small()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    trace = nw.watch(network, optimizer)
    twin = copy.deepcopy(network)
    torch.save(network, tmp_path / "network.pt")
    loaded = torch.load(tmp_path / "network.pt", weights_only=False)
    for each in (twin, loaded):
        each(torch.randn(4, 8)).sum().backward()
    assert trace.evidence().loop.iterations == () and trace.evidence().batch is None


def test_hooks_are_on_the_network_only_at_sampled_iterations():
    trace, optimizer, network = loop(small(), steps=20, every=None)
    assert not any(m._forward_hooks for m in network.modules())
    assert not any(p._backward_hooks for p in network.parameters())
    assert [i.number for i in trace.evidence().loop.iterations] == [2, 3, 4, 9, 10, 11]
    trace.close()
    assert no_hooks(network, optimizer)


def test_losses_stay_where_they_are_and_keep_their_values():
    network = small()
    trace = nw.watch(network, torch.optim.SGD(network.parameters(), lr=0.1))
    for k in range(1100):
        loss = torch.tensor(float(k))
        trace.step(loss if k % 3 else float(k))
        loss += 1000.0  # what happens to it afterwards is the loop's own business
    assert trace.losses.tolist() == [float(k) for k in range(1100)]


def test_something_that_is_no_optimizer_is_refused():
    with pytest.raises(nw.UserError, match="a float is no optimizer of torch"):
        nw.watch(small(), 0.1)
    with pytest.raises(nw.UserError, match="no optimizer was given"):
        nw.watch(small(), [])
    with pytest.raises(nw.UserError, match=r"0\.weight has no shape yet"):
        nw.watch(nn.Sequential(nn.LazyLinear(3)), torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1))


def one_process(rank, folder, watched):
    """A process of two: watched on rank 0 only."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet-{watched}", rank=rank, world_size=2
    )
    torch.manual_seed(0)
    network = small()
    parallel = nn.parallel.DistributedDataParallel(network)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
    trace = nw.watch(parallel, optimizer) if watched and rank == 0 else None
    torch.manual_seed(rank)
    for _ in range(12):
        loss = nn.functional.cross_entropy(parallel(torch.randn(16, 8)), torch.randint(3, (16,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if trace is not None:
            trace.step(loss)
    if trace is not None:
        evidence = trace.evidence()
        assert [s.name for s in evidence.batch.layers] == ["0", "1", "2"]
        assert all(u.zeroed and not u.behind for u in evidence.loop.updates if u.zeroed is not None)
        assert nw.diagnose(trace).findings == ()
    torch.save(network.state_dict(), f"{folder}/{watched}-{rank}.pt")
    torch.distributed.destroy_process_group()


def test_rank_0_of_two_processes_can_be_watched(tmp_path):
    for watched in (True, False):
        torch.multiprocessing.spawn(one_process, (str(tmp_path), watched), nprocs=2)
    one, other = (torch.load(tmp_path / f"{watched}-0.pt") for watched in (True, False))
    assert all(torch.equal(one[name], other[name]) for name in one)
