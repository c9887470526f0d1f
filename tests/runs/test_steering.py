"""A training that is stopped at any step goes on from there to the same bits."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import netwright as nw
from conftest import digits_data, mlp, training
from netwright.runs import Clocks, Halted, train

CLOCKS = Clocks(lambda: 0.0, lambda: 0.0)


class Stops:
    """Saves and stops after a number of steps, or keeps every epoch; taps what it is told to."""

    def __init__(self, folder, start=None, at_step=None, taps=lambda step: False, at_epoch=None):
        self.folder, self.start, self.at_step, self._taps, self.at_epoch = (
            folder,
            start,
            at_step,
            taps,
            at_epoch,
        )
        self.columns = {}

    def taps(self, step):
        return self._taps(step)

    def stepped(self, at):
        if self._taps(at.steps_done - 1):
            self.columns[at.steps_done] = dict(at.column)
        self.last = at
        if at.steps_done != self.at_step:
            return True
        at.save(self.folder / "state.pt")
        return False

    def between(self, at):
        self.last = at
        at.save(self.folder / f"epoch-{at.epochs_done}.pt")
        return at.epochs_done != self.at_epoch

    @property
    def state(self):
        """Network, buffers and optimizer of the training's end."""
        return self.last.network.state_dict(), self.last.optimizer.state_dict()


def run_of(recipe, steering, seed=3, **options):
    events = train(recipe, seed, clocks=CLOCKS, steering=steering, keep_weights=True, **options)
    seen = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return end.value, seen
        except Halted:
            return None, seen


def equal(one, other):
    """Equal to the bit, however deep."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def assert_same(run, steering, whole, its):
    assert equal(steering.state, its.state)
    for curve in ("step_loss", "epoch_loss", "val_loss", "val_score"):
        assert np.array_equal(getattr(run, curve), getattr(whole, curve), equal_nan=True), curve
    assert np.array_equal(run.layers.values, whole.layers.values, equal_nan=True)
    assert run.scores == whole.scores and run.steps == whole.steps


def many_parts():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 10)
    )


class Draws(nn.Module):
    """Draws from NumPy and from Python while it runs, and counts in a buffer that it does not save."""

    def __init__(self):
        super().__init__()
        self.body = mlp()
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, x):
        if not self.training:
            return self.body(x)
        self.calls += 1
        noise = torch.from_numpy(np.random.normal(size=tuple(x.shape))).float()
        return self.body(x * random.uniform(0.8, 1.2) + 0.05 * random.gauss(0, 1) * noise / self.calls)


class Jittered(Dataset):
    """Draws for every sample, as augmentations inside a data set do."""

    def __init__(self, x, y):
        self.x, self.y = torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        return self.x[index] + 0.01 * torch.randn(1) + 0.01 * float(np.random.rand()), self.y[index]


def own_loader():
    x, y = digits_data(300).train
    rows = TensorDataset(torch.tensor(x, dtype=torch.float32), torch.tensor(y))
    return nw.Data.loaders(
        train=lambda: DataLoader(rows, batch_size=37, shuffle=True),
        val=lambda: DataLoader(rows, batch_size=99),
    )


RECIPES = {
    "batch norm, dropout, Adam, one cycle, noise": lambda: nw.Recipe(
        digits_data(300), many_parts,
        training(optimizer="adam", lr=3e-3, momentum=None, schedule="one_cycle", augment="noise", epochs=4),
    ),
    "a loader of its own": lambda: nw.Recipe(own_loader(), many_parts, training(schedule="cosine", epochs=4)),
    "draws in forward": lambda: nw.Recipe(
        digits_data(300), Draws, training(optimizer="adamw", lr=1e-3, momentum=None, epochs=4)
    ),
    "a data set that draws": lambda: nw.Recipe(
        nw.Data(Jittered(*digits_data(200).train), Jittered(*digits_data(60).train)), many_parts,
        training(augment=lambda x: x + 0.01 * torch.randn_like(x), epochs=3),
    ),
    "order as it is": lambda: nw.Recipe(
        digits_data(300), many_parts, training(shuffle=False, clip=1.0, augment="flip", epochs=3)
    ),
    "half precision": lambda: nw.Recipe(digits_data(300), many_parts, training(precision="bf16", epochs=3)),
    "sixteen bits, scaled": lambda: nw.Recipe(
        digits_data(300), many_parts, training(precision="fp16", epochs=3, augment="shift")
    ),
    "L-BFGS": lambda: nw.Recipe(
        digits_data(200), mlp, training(optimizer="lbfgs", lr=0.2, momentum=None, epochs=2)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_stopped_at_any_step_and_taken_up_it_comes_to_the_same_bits(tmp_path, name):
    recipe = RECIPES[name]()
    its = Stops(tmp_path / "whole")
    whole, _ = run_of(recipe, its)
    per_epoch = whole.steps // len(whole.epoch_loss)
    steps = random.Random(name).sample(range(1, whole.steps), 2)
    for step in [*steps, per_epoch]:  # in an epoch, and when its last step is done
        folder = tmp_path / str(step)
        assert run_of(recipe, Stops(folder, at_step=step))[0] is None
        torch.manual_seed(step), np.random.seed(step), random.seed(step)
        goes_on = Stops(folder, start=folder / "state.pt")
        assert_same(run_of(recipe, goes_on)[0], goes_on, whole, its)


def test_step_by_step_with_a_new_start_each_time_comes_to_the_same_bits(tmp_path):
    recipe = nw.Recipe(digits_data(200), many_parts, training(epochs=2, augment="noise"))
    its = Stops(tmp_path / "whole")
    whole, _ = run_of(recipe, its)
    run, start, step = None, None, 0
    while run is None:
        step += 1
        goes_on = Stops(tmp_path, start=start, at_step=step, taps=lambda step: True)
        run, _ = run_of(recipe, goes_on)
        start = tmp_path / "state.pt"
    assert step == whole.steps + 1
    assert_same(run, goes_on, whole, its)


def test_gone_back_to_an_earlier_epoch_it_comes_to_the_same_bits(tmp_path):
    recipe = RECIPES["batch norm, dropout, Adam, one cycle, noise"]()
    its = Stops(tmp_path)
    whole, _ = run_of(recipe, its)
    for epoch in range(recipe.settings.epochs + 1):
        again = Stops(tmp_path / "again", start=tmp_path / f"epoch-{epoch}.pt")
        run, seen = run_of(recipe, again)
        assert len(seen) == 2 + recipe.settings.epochs - epoch
        assert_same(run, again, whole, its)


def test_taps_see_every_layer_and_change_no_bit(tmp_path):
    recipe = RECIPES["batch norm, dropout, Adam, one cycle, noise"]()
    its, tapped = Stops(tmp_path / "plain"), Stops(tmp_path / "tapped", taps=lambda step: step % 2 == 0)
    whole, _ = run_of(recipe, its)
    run, _ = run_of(recipe, tapped)
    assert_same(run, tapped, whole, its)
    assert len(tapped.columns) == whole.steps // 2
    assert set(tapped.columns[1]) == {"0", "1", "2", "3", "4", "5"}


def test_a_state_is_read_without_running_code(tmp_path):
    recipe = RECIPES["draws in forward"]()
    run_of(recipe, Stops(tmp_path, at_step=5))
    content = torch.load(tmp_path / "state.pt", weights_only=True)
    assert content["epoch"] == 0 and len(content["sizes"]) == 5


def test_a_state_of_another_seed_or_length_is_not_taken(tmp_path):
    recipe = RECIPES["draws in forward"]()
    run_of(recipe, Stops(tmp_path, at_epoch=1))
    _, seen = run_of(recipe, Stops(tmp_path / "b", start=tmp_path / "epoch-1.pt"), seed=4)
    assert len(seen) == 2 + recipe.settings.epochs
    _, seen = run_of(recipe, Stops(tmp_path / "c", start=tmp_path / "epoch-1.pt"), epochs=3)
    assert len(seen) == 2 + 3


def test_a_training_that_diverged_does_not_go_on_when_it_is_taken_up(tmp_path):
    recipe = nw.Recipe(digits_data(scale=1e-3), mlp, training(lr=1e30))
    its = Stops(tmp_path)
    whole, _ = run_of(recipe, its)
    assert whole.diverged
    again = Stops(tmp_path / "again", start=tmp_path / f"epoch-{len(whole.epoch_loss)}.pt")
    run, seen = run_of(recipe, again)
    assert run.diverged and run.steps == whole.steps and len(seen) == 2
