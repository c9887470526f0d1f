"""Weights that exist are read safely, fitted by name and shape, or refused with what does not fit."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

import netwright as nw
from netwright.recipe.weights import load_into, read_weights
from netwright.values import UserError


def linear(value: float = 0.0) -> nn.Module:
    network = nn.Sequential(nn.Linear(3, 2))
    nn.init.constant_(network[0].weight, value)
    return network


def saved(folder: Path, name: str, value: float = 7.0, prefix: str = "") -> Path:
    """A checkpoint of `linear(value)` in the form that its name asks for."""
    path = folder / name
    state = {prefix + key: tensor for key, tensor in linear(value).state_dict().items()}
    match path.suffix:
        case ".safetensors":
            save_file(state, path)
        case ".ckpt":
            torch.save({"state_dict": state, "epoch": 3}, path)
        case _:
            torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.ckpt"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.module."])
def test_checkpoints_of_every_kind_fill_the_network(tmp_path, name, prefix):
    network = linear()
    filled = load_into(network, saved(tmp_path, name, prefix=prefix))
    assert set(filled) == {"0.weight", "0.bias"}
    assert bool((network[0].weight == 7).all())


def test_a_folder_with_a_model_file_is_a_checkpoint(tmp_path):
    saved(tmp_path, "model.safetensors")
    assert set(read_weights(tmp_path)) == {"0.weight", "0.bias"}


def test_what_is_missing_or_unexpected_is_listed(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"0.weight": torch.zeros(2, 3), "1.weight": torch.zeros(1), "0.bias": torch.zeros(5)}, path)
    with pytest.raises(UserError) as refused:
        load_into(linear(), path)
    message = str(refused.value)
    assert "1 of 2 tensors match" in message
    assert "missing 0.bias" in message
    assert "unexpected 1.weight" in message
    assert "(5,) for (2,)" in message


def test_a_partial_load_fills_what_fits_and_says_what(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"0.weight": torch.ones(2, 3), "head.weight": torch.zeros(9)}, path)
    network = linear()
    assert load_into(network, path, partial=True) == ("0.weight",)
    assert bool((network[0].weight == 1).all())


def test_nothing_that_fits_is_refused_even_when_partial(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"head.weight": torch.zeros(9)}, path)
    with pytest.raises(UserError, match="0 of 2 tensors match"):
        load_into(linear(), path, partial=True)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="no checkpoint there"):
        read_weights(tmp_path / "none.pt")


class Trap:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path, capsys):
    path = tmp_path / "trap.pt"
    torch.save({"weights": Trap()}, path)
    with pytest.raises(UserError, match="not a checkpoint that can be read safely"):
        read_weights(path)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match="not a checkpoint that can be read safely"):
        read_weights(path)
    assert capsys.readouterr().out == ""


@given(st.binary(max_size=64), st.sampled_from([".pt", ".ckpt", ".safetensors"]))
def test_any_bytes_are_refused_in_a_sentence(content, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"bytes{suffix}"
        path.write_bytes(content)
        with pytest.raises(UserError):
            read_weights(path)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.zeros(1)], torch.zeros(1)])
def test_a_file_without_named_tensors_is_refused(tmp_path, content):
    path = tmp_path / "w.pt"
    torch.save(content, path)
    with pytest.raises(UserError, match="holds no tensors"):
        read_weights(path)


def test_a_recipe_starts_from_its_checkpoint_whatever_the_seed(recipe, tmp_path):
    start = tmp_path / "start.pt"
    torch.save(recipe.build(5).state_dict(), start)
    started = attrs.evolve(recipe, start=start)
    for seed in (0, 1):
        assert torch.equal(started.build(seed)[0].weight, recipe.build(5)[0].weight)


def test_an_edited_network_is_restored_with_its_edits(recipe, tmp_path):
    path = tmp_path / "digits.safetensors"
    edit = nw.Edit("replace-activation", {"layers": ["1"], "to": "gelu"})
    network = recipe.with_edits(edit).build(3)
    edits = '[{"kind": "replace-activation", "parameters": {"layers": ["1"], "to": "gelu"}}]'
    save_file(network.state_dict(), path, metadata={"edits": edits})
    restored = recipe.restore(path)
    assert isinstance(restored[1], nn.GELU)
    assert torch.equal(restored[0].weight, network[0].weight)
