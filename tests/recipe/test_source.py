"""Where in the user's source a value was made and a layer was built."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from torch import nn

import netwright as nw
from netwright.recipe.source import Birthplace, argument, layer_places, shown


def here() -> int:
    """The line of the caller."""
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def test_a_value_remembers_the_line_of_its_constructor():
    training, line = nw.Training(loss="mse"), here()
    assert training.made_at == Birthplace(__file__, line)


def test_the_short_forms_of_data_remember_the_users_line_and_not_ours():
    data, line = nw.Data.arrays([[1.0]] * 9, [0.0] * 9), here()
    assert data.made_at == Birthplace(__file__, line)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)


def test_every_layer_is_traced_to_the_line_that_made_it():
    with layer_places() as places:
        block, line = Block(), here()
    inner = inspect.getsourcelines(Block.__init__)[1] + 2
    assert places[id(block)] == Birthplace(__file__, line)
    assert places[id(block.inner)] == Birthplace(__file__, inner)


def test_layers_that_torch_makes_inside_are_traced_to_the_users_line():
    with layer_places() as places:
        layer, line = nn.TransformerEncoderLayer(8, 2, batch_first=True), here()
    assert {places[id(m)].line for m in layer.modules()} == {line}


def test_tracing_ends_with_its_block_even_when_it_raises():
    original = nn.Module.__init__
    with pytest.raises(RuntimeError), layer_places():
        raise RuntimeError
    assert nn.Module.__init__ is original


def test_a_path_is_shown_relative_to_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown(str(tmp_path / "deep" / "digits.py")) == str(Path("deep") / "digits.py")
    assert shown(str(tmp_path.parent / "digits.py")) == "digits.py"
    assert shown("<notebook cell 3>") == "<notebook cell 3>"


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("Training(lr=0.1)", 1, ("lr=0.1", True, 1)),
        ("nw.Training(\n    lr=0.1,\n)", 1, ("lr=0.1", True, 2)),
        ("RATE = 3\nTraining(lr=RATE)", 2, ("RATE = 3", True, 1)),
        ("RATE = 3\nRATE = 4\nTraining(lr=RATE)", 3, ("RATE", False, 3)),
        ("RATE = 3\nRATE += 4\nTraining(lr=RATE)", 3, ("RATE", False, 3)),
        ("RATE: float = 3\nTraining(lr=RATE)", 2, ("RATE: float = 3", True, 1)),
        ("Training(lr=args.lr)", 1, ("args.lr", False, 1)),
        ("Training(lr=10 ** -3)", 1, ("10 ** (-3)", False, 1)),
        ("Training(**given)", 1, ("given['lr']", False, 1)),
        ("Training('mse', 'sgd', 0.1)", 1, ("0.1", True, 1)),
        ("RATE = 3\nTraining('mse', 'sgd', RATE)", 2, ("RATE = 3", True, 1)),
        ("Training(*given)", 1, (None, False, 1)),
        ("Training()", 1, (None, False, 1)),
        ("Recipe(\n    training=Training(\n        lr=2,\n    ),\n)", 2, ("lr=2", True, 3)),
        ("make(lr=5)", 1, (None, False, 1)),
        ("this is no Python", 1, (None, False, 1)),
    ],
)
def test_an_argument_is_found_where_it_is_written(file, text, line, expected):
    path = file(text)
    found = argument(Birthplace(str(path), line), ("Training",), "lr", 0.1, ("loss", "optimizer", "lr"))
    assert (found.source, found.literal, found.place.line) == expected


def test_a_value_of_unknown_origin_has_no_place():
    found = argument(Birthplace(), ("Training",), "lr", 0.1)
    assert (found.place.file, found.place.line, found.is_set) == (None, None, False)
