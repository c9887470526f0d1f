"""Patterns planted into networks are named at their layer, and sound networks have none of them."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from netwright.atlas import Material, Wanted, look_at
from netwright.recipe import Task, TensorSamples

EVERYTHING = Wanted(beliefs=True, details=())


def digits(count=600):
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x[:count] / 16, dtype=torch.float32), torch.tensor(y[:count])


def trained(network, x, y, epochs=60):
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
    return network


def atlas_of(network, x, y, wanted=EVERYTHING):
    samples = TensorSamples(x, y, "input")
    return look_at(Material(network, samples, task=Task("classification", 10)), wanted).atlas


def named(atlas, name):
    return next((p for p in atlas.patterns if p.name == name), None)


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))


def test_a_sound_network_collapses_no_class_and_has_no_idle_layer():
    x, y = digits()
    atlas = atlas_of(trained(small(), x, y), x, y)
    for name in ("collapses-two-classes", "adds-nothing", "not-finite", "nothing-passes"):
        assert named(atlas, name) is None, name


class Decided(nn.Module):
    """1 for the class that is more likely than not, 0 for the others: nothing else of the input is left."""

    def forward(self, logits):
        return (logits.softmax(1) > 0.5).float()


def test_a_layer_that_mixes_up_two_classes_is_named_with_them():
    x, y = digits()
    sound = trained(small(), x, y)
    merging = nn.Linear(10, 10, bias=False)
    with torch.no_grad():
        merging.weight.copy_(torch.eye(10))
        merging.weight[:, 3] = merging.weight[:, 8] = torch.eye(10)[8]
    atlas = atlas_of(nn.Sequential(*sound, Decided(), merging), x, y)
    found = named(atlas, "collapses-two-classes")
    assert found is not None and set(found.classes) == {3, 8}
    assert found.rows == (5, 6)
    assert "3 and 8" in found.title


def test_a_layer_that_adds_nothing_is_named():
    x, y = digits()
    sound = trained(small(), x, y)
    idle = nn.Linear(32, 32)
    with torch.no_grad():
        idle.weight.copy_(torch.eye(32))
        idle.bias.zero_()
    network = nn.Sequential(sound[0], sound[1], sound[2], idle, sound[3], sound[4])
    found = named(atlas_of(network, x, y), "adds-nothing")
    assert found is not None and found.rows == (3,)


def test_inputs_with_wrong_labels_are_the_ones_nobody_believes():
    x, y = digits()
    network = trained(small(), x, y)
    wrong = [5, 77, 200, 431]
    labels = y.clone()
    labels[wrong] = (labels[wrong] + 5) % 10
    found = named(atlas_of(network, x, labels), "doubtful-labels")
    assert found is not None
    assert len(set(found.inputs) & set(wrong)) >= 3
    assert len(found.inputs) <= 8


def test_inputs_from_elsewhere_are_unlike_any_other():
    x, y = digits()
    network = trained(small(), x, y)
    reference = TensorSamples(x[:500], y[:500], "train")
    strange = x[500:560].clone()
    strange[:3] = torch.rand(3, 64, generator=torch.Generator().manual_seed(0)) * 4
    samples = TensorSamples(strange, y[500:560], "val")
    material = Material(network, samples, task=Task("classification", 10), reference=reference)
    found = named(look_at(material, EVERYTHING).atlas, "unlike-any-other")
    assert found is not None and set(found.inputs) >= {0, 1, 2}
    assert len(found.inputs) <= 6


def test_the_first_row_with_values_that_are_not_finite_is_named():
    x, y = digits(100)
    network = small()
    with torch.no_grad():
        network[2].bias[0] = float("inf")
    found = named(atlas_of(network, x, y), "not-finite")
    assert found is not None and found.rows == (2,) and len(found.inputs) == 100


def test_a_layer_that_nothing_passes_is_named():
    x, y = digits(100)
    network = small()
    with torch.no_grad():
        network[0].bias.fill_(-100.0)
    found = named(atlas_of(network, x, y), "nothing-passes")
    assert found is not None and found.rows == (1,)


def test_inputs_that_are_right_only_at_the_end_are_the_hard_ones():
    x, y = digits()
    network = trained(small(), x, y)
    atlas = atlas_of(network, x, y)
    depths = np.array(atlas.depths)
    found = named(atlas, "flip-late")
    late = set(np.flatnonzero(depths >= 4))
    assert (found is None) == (not late)
    if found is not None:
        assert set(found.inputs) == late
