"""The training loop: repeatable, resumable, and honest about what it saw."""

import attrs
import numpy as np
import pytest
import torch
from torch import nn

import netwright as nw
from conftest import digits_data, mlp, training
from netwright.runs import Clocks, Run, predict, range_test, train

CLOCKS = Clocks(lambda: 0.0, lambda: 0.0)


def run_of(recipe, seed=0, **options):
    events = train(recipe, seed, clocks=CLOCKS, **options)
    seen = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return end.value, seen


def test_the_same_seed_gives_the_same_bits(digits_recipe):
    one, _ = run_of(digits_recipe, 5, keep_weights=True)
    other, _ = run_of(digits_recipe, 5, keep_weights=True)
    assert np.array_equal(one.step_loss, other.step_loss)
    assert all(np.array_equal(one.weights[k], other.weights[k]) for k in one.weights)


def test_recording_layers_does_not_change_the_training(digits_recipe):
    tapped, _ = run_of(digits_recipe, 1, tapped=True)
    plain, _ = run_of(digits_recipe, 1, tapped=False)
    assert np.array_equal(tapped.step_loss, plain.step_loss)
    assert tapped.layers.names and not plain.layers.names


def test_the_global_random_state_is_left_as_it_was(digits_recipe):
    torch.manual_seed(9)
    np.random.seed(9)
    expected = torch.get_rng_state(), np.random.get_state()[1].copy()
    run_of(digits_recipe)
    assert torch.equal(torch.get_rng_state(), expected[0])
    assert np.array_equal(np.random.get_state()[1], expected[1])


def dropout_network():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 10))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"schedule": "cosine", "augment": "noise"},
        {"optimizer": "adamw", "lr": 1e-3, "momentum": None},
    ],
)
def test_a_training_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path, settings):
    recipe = nw.Recipe(digits_data(), dropout_network, training(epochs=5, **settings))
    whole, _ = run_of(recipe, 2, keep_weights=True)
    path = tmp_path / "state.pt"
    ticks = iter(np.arange(0, 1e6, 31.0))  # every epoch is longer than the checkpoint interval
    events = train(recipe, 2, clocks=Clocks(lambda: float(next(ticks)), lambda: 0.0), checkpoint=path)
    for _ in range(4):
        next(events)
    events.close()  # killed after the third epoch
    assert path.is_file()
    resumed, seen = run_of(recipe, 2, checkpoint=path, keep_weights=True)
    assert len(seen) < 7
    assert np.array_equal(whole.step_loss, resumed.step_loss)
    assert all(np.array_equal(whole.weights[k], resumed.weights[k]) for k in whole.weights)
    assert not path.exists()


def test_a_checkpoint_of_another_recipe_is_not_taken(tmp_path, digits_recipe):
    path = tmp_path / "state.pt"
    ticks = iter(np.arange(0, 1e6, 31.0))
    events = train(digits_recipe, 0, clocks=Clocks(lambda: float(next(ticks)), lambda: 0.0), checkpoint=path)
    for _ in range(3):
        next(events)
    events.close()
    other = digits_recipe.with_edits(nw.Edit.set("training.lr", 0.01))
    resumed, _ = run_of(other, checkpoint=path)
    fresh, _ = run_of(other)
    assert np.array_equal(resumed.step_loss, fresh.step_loss)


def test_scores_are_over_samples_with_a_short_last_batch():
    data = digits_data(count=333)
    recipe = nw.Recipe(data, mlp, training(batch_size=100))
    run, _ = run_of(recipe, keep_weights=True)
    network = recipe.build(0)
    network.load_state_dict({k: torch.from_numpy(v) for k, v in run.weights.items()})
    outputs, targets = predict(network, data.parts.val)
    assert run.scores["val"] == pytest.approx(float((outputs.argmax(1) == targets).float().mean()))
    assert run.scores["train"] == pytest.approx(float(run.contributions["train"].mean()))
    sizes = [min(100, 233 - start) for start in range(0, 233, 100)]
    first = run.step_loss[: len(sizes)]
    assert run.epoch_loss[0] == pytest.approx(float(np.average(first, weights=sizes)))


def test_a_loss_that_is_not_finite_ends_the_training_and_is_said():
    recipe = nw.Recipe(digits_data(scale=1e-3), mlp, training(lr=1e6, loss="cross_entropy"))
    run, events = run_of(recipe)
    assert run.diverged
    assert len(run.epoch_loss) < 6
    assert 0 <= run.scores["val"] <= 1
    assert events[-1].diverged


def test_stopping_early_is_the_callers_word(digits_recipe):
    run, _ = run_of(digits_recipe, stop=lambda event: event.epoch == 2)
    assert (len(run.epoch_loss), run.stopped_early) == (2, True)


def test_a_shorter_training_compresses_its_schedule():
    recipe = nw.Recipe(digits_data(), mlp, training(schedule="linear", epochs=10))
    network_rates = []

    class Spy(torch.optim.SGD):
        def step(self, closure=None):
            network_rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    spied = attrs.evolve(recipe, training=attrs.evolve(recipe.training, optimizer=lambda p, **g: Spy(p, **g)))
    run_of(spied, epochs=2)
    assert network_rates[0] == pytest.approx(0.1)
    assert network_rates[-1] < 0.01


def test_a_run_survives_the_journal(digits_recipe):
    run, _ = run_of(digits_recipe)
    again = Run.restore(run.document(), run.arrays())
    assert again.scores == run.scores
    assert np.array_equal(again.layers.values, run.layers.values, equal_nan=True)
    assert np.array_equal(again.contributions["val"], run.contributions["val"])


def test_a_step_of_the_users_own_serves_several_losses_and_dictionaries():
    x, y = digits_data().train
    rows = [{"pixels": a, "label": int(b)} for a, b in zip(x.astype("float32"), y, strict=True)]

    def step(network, batch):
        logits = network(batch["pixels"])
        main = nn.functional.cross_entropy(logits, batch["label"])
        return {"loss": main + 1e-4 * logits.square().mean(), "main": main}

    recipe = nw.Recipe(nw.Data(rows), mlp, training(loss=None, step=step))
    run, _ = run_of(recipe)
    assert run.scores["val"] > 0.7


def test_loaders_of_the_users_own_are_run_as_they_are():
    from torch.utils.data import DataLoader, TensorDataset

    x, y = digits_data().train
    dataset = TensorDataset(torch.tensor(x, dtype=torch.float32), torch.tensor(y))
    made = []

    def loader(batch, shuffle):
        def make():
            made.append(batch)
            return DataLoader(dataset, batch_size=batch, shuffle=shuffle)

        return make

    recipe = nw.Recipe(
        nw.Data.loaders(train=loader(48, True), val=loader(99, False)), mlp, training(batch_size=7)
    )
    run, _ = run_of(recipe)
    assert run.steps == 6 * 13  # 600 samples in the loader's batches of 48, not in the recipe's of 7
    assert run.scores["val"] > 0.9


@pytest.mark.parametrize("name", ["noise", "shift", "flip"])
def test_an_augmentation_depends_on_the_sample_and_not_on_its_batch(name):
    from netwright.runs.augment import augmentation

    images = torch.rand(32, 1, 8, 8)
    rows = torch.arange(32)
    augment = augmentation(name, 32, 5)
    whole = augment(images, rows)
    assert whole.shape == images.shape
    assert not torch.equal(whole, images)
    halves = torch.cat([augment(images[:16], rows[:16]), augment(images[16:], rows[16:])])
    assert torch.equal(whole, halves)


@pytest.mark.parametrize("background", [0.0, 300.0])
def test_a_shift_moves_pixels_and_brings_in_the_background(background):
    from netwright.runs.augment import augmentation

    images = torch.full((50, 1, 8, 8), background)
    images[..., 2:6, 2:6] = torch.arange(1, 17).reshape(4, 4) + background
    moved = augmentation("shift", 50, 1)(images, torch.arange(50))
    assert not torch.equal(moved, images)
    for image in moved:
        assert sorted(image[image > background].tolist()) == [background + k for k in range(1, 17)]
        assert (image >= background).all()


@pytest.mark.parametrize("change", [lambda x: x > 0, lambda x: x.to(torch.uint8)])
def test_images_of_whole_numbers_and_masks_are_shifted_too(change):
    from netwright.runs.augment import augmentation

    images = change(torch.arange(64).float().reshape(1, 1, 8, 8).repeat(20, 1, 1, 1))
    moved = augmentation("shift", 20, 1)(images, torch.arange(20))
    assert moved.dtype == images.dtype and moved.shape == images.shape


def test_the_spread_that_noise_is_made_by_leaves_out_what_is_not_finite():
    from netwright.runs.augment import spread_of

    inputs = torch.randn(40, 3)
    inputs[::7, 1] = float("nan")
    inputs[3, 2] = float("inf")
    spread = spread_of(inputs)
    assert torch.allclose(spread[0], inputs[:, 0].std())
    assert torch.allclose(spread[1], inputs[~inputs[:, 1].isnan(), 1].std())
    assert torch.isfinite(spread).all()


def test_an_optimizer_that_evaluates_the_loss_itself_is_served():
    recipe = nw.Recipe(
        digits_data(200), mlp, training(optimizer="lbfgs", lr=0.5, momentum=None, epochs=2, batch_size=200)
    )
    run, _ = run_of(recipe)
    assert run.scores["train"] > 0.9


def test_a_loss_that_is_summed_over_thousands_has_its_rates_looked_for_further_down():
    x = torch.linspace(-3, 3, 2000)
    recipe = nw.Recipe(
        nw.Data.arrays(torch.stack([x, x**2, x**3], 1), torch.sin(x)),
        lambda: nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)),
        training(loss=nn.MSELoss(reduction="sum"), lr=1e-3, batch_size=2000),
    )
    answer = range_test(recipe)
    assert 1e-7 < answer.largest_falling_rate < 1e-4
    assert dict(zip(answer.rates, answer.falls, strict=True))[answer.rates[-1]] == -1.0
