"""A recipe is found in the user's file; what is wrong with it is said in one sentence."""

from __future__ import annotations

import pytest

import netwright as nw
from netwright.values import UserCodeError, UserError

HEAD = """
import numpy as np
import netwright as nw
import torch
from torch import nn

def make(lr):
    return nw.Recipe(
        data=nw.Data.arrays(np.arange(60.0).reshape(30, 2), np.arange(30) % 2),
        network=lambda: nn.Linear(2, 2),
        training=nw.Training(loss="cross_entropy", lr=lr),
    )
"""


def test_the_recipe_named_recipe_is_taken(file):
    path = file(HEAD + "other = make(0.2)\nrecipe = make(0.1)\n")
    assert nw.load(str(path)).settings.lr == 0.1


def test_a_single_recipe_is_found_whatever_its_name(file):
    recipe = nw.load(str(file(HEAD + "mine = make(0.1)\n")))
    assert (recipe.settings.lr, recipe.origin.name) == (0.1, "mine")


def test_a_recipe_is_taken_by_name(file):
    path = file(HEAD + "recipe = make(0.1)\nother = make(0.2)\n")
    assert nw.load(f"{path}:other").settings.lr == 0.2


def test_the_line_that_made_the_recipe_survives_loading(file):
    path = file(HEAD + "recipe = make(0.1)\n")
    recipe = nw.load(str(path))
    assert (recipe.made_at.file, recipe.made_at.line) == (str(path), 8)


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("", None, "no recipe found; define one"),
        ("a = make(1)\nb = make(2)\n", None, "holds the recipes a, b; name one"),
        ("a = make(1)\n", "b", "b is not defined; recipes there are a"),
        ("a = make(1)\nb = 3\n", "b", "b is a int, not a recipe"),
    ],
)
def test_a_recipe_that_is_not_there_is_named(file, text, name, words):
    path = file(HEAD + text)
    with pytest.raises(UserError, match=words):
        nw.load(f"{path}:{name}" if name else str(path))


@pytest.mark.parametrize(
    "spec", ["nowhere.py", "nowhere/digits.py", "no_such_module_anywhere", "digits.py:12", ""]
)
def test_a_file_that_is_not_there_is_said_to_be_missing(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no such file|neither a file nor a module"):
        nw.load(spec)


def test_a_file_that_is_no_python_is_refused(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("lr: 0.1")
    with pytest.raises(UserError, match=r"not a Python file; give a \.py file"):
        nw.load(str(path))


TRAINS = (
    HEAD
    + """
network = nn.Linear(2, 2)
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
{guard}
    network(torch.zeros(1, 2)).sum().backward()
    optimizer.step()
recipe = make(0.1)
"""
)


def test_a_file_that_trains_while_it_is_imported_is_told_how_to_guard_it(file):
    with pytest.raises(UserError, match="trains while it is imported; guard it with"):
        nw.load(str(file(TRAINS, guard="if True:")))


def test_a_guarded_training_is_not_run(file):
    assert nw.load(str(file(TRAINS, guard='if __name__ == "__main__":'))).settings.lr == 0.1


def test_training_is_allowed_again_after_a_file_was_refused(file):
    import torch

    with pytest.raises(UserError):
        nw.load(str(file(TRAINS, guard="if True:")))
    parameter = torch.nn.Parameter(torch.ones(1))
    parameter.grad = torch.ones(1)
    torch.optim.SGD([parameter], lr=1.0).step()
    assert not parameter.any()


def test_an_exception_of_the_file_is_shown_with_the_users_lines_alone(file):
    path = file("def deep():\n    return 1 / 0\n\ndeep()\n")
    with pytest.raises(UserCodeError) as raised:
        nw.load(str(path))
    assert str(raised.value) == "written.py:2: raised ZeroDivisionError: division by zero"
    assert raised.value.traceback.count("File ") == 2
    assert "netwright/" not in raised.value.traceback


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("recipe = (", "raised SyntaxError"),
        ("import no_such_module_anywhere", "raised ModuleNotFoundError"),
        ("import argparse; argparse.ArgumentParser().exit(2)", "raised SystemExit"),
        ("raise RuntimeError", "raised RuntimeError"),
    ],
)
def test_whatever_the_file_raises_is_the_users_error(file, text, words):
    with pytest.raises(UserCodeError, match=words):
        nw.load(str(file(text)))


def test_a_file_that_raised_is_read_anew_the_next_time(file):
    path = file("1 / 0\n")
    with pytest.raises(UserCodeError):
        nw.load(str(path))
    path.write_text(HEAD + "recipe = make(0.1)\n")
    assert nw.load(str(path)).settings.lr == 0.1


def test_a_wrong_recipe_is_the_users_error_and_not_an_exception(file):
    with pytest.raises(UserError, match="lr=-1"):
        nw.load(str(file(HEAD + "recipe = make(-1)\n")))


def test_a_module_is_found_in_the_working_folder(tmp_path, monkeypatch):
    package = tmp_path / "flower_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "petals.py").write_text(HEAD + "recipe = make(0.3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert nw.load("flower_package.petals:recipe").settings.lr == 0.3


def test_a_package_that_raises_is_the_users_error(tmp_path, monkeypatch):
    package = tmp_path / "broken_package"
    package.mkdir()
    (package / "__init__.py").write_text("1 / 0")
    (package / "petals.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserCodeError, match="ZeroDivisionError"):
        nw.load("broken_package.petals")


def test_a_file_imports_its_neighbours(file):
    file("SIZE = 7\n", "neighbour_of_the_recipe.py")
    path = file(HEAD + "from neighbour_of_the_recipe import SIZE\nrecipe = make(SIZE)\n")
    assert nw.load(str(path)).settings.lr == 7


EXTENSION = """
import netwright as nw

@nw.edit("sharpen", on="training")
def sharpen(training, *, lr):
    import attrs
    return attrs.evolve(training, lr=lr)
"""


def test_what_a_file_declares_belongs_to_its_recipe(file):
    recipe = nw.load(str(file(HEAD + EXTENSION + "recipe = make(0.1)\n")))
    assert recipe.with_edits(nw.Edit("sharpen", {"lr": 0.5})).settings.lr == 0.5


def test_extensions_are_read_from_other_files(file):
    extension = file(EXTENSION, "extension.py")
    recipe = nw.load(str(file(HEAD + "recipe = make(0.1)\n")), extensions=(str(extension),))
    assert recipe.with_edits(nw.Edit("sharpen", {"lr": 0.5})).settings.lr == 0.5
