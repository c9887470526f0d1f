"""What a user can get wrong: one sentence with what and where, the documented exit code, nothing lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import netwright as nw
from netwright.app import verbs

EXAMPLES = Path(__file__).parents[2] / "examples"
HEAD = """
import netwright as nw
from sklearn.datasets import load_digits
from torch import nn

def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

x, y = load_digits(return_X_y=True)
x, y = x[:400].reshape(-1, 1, 8, 8) / 16, y[:400]
data = nw.Data.arrays(x, y)
how = nw.Training(loss="cross_entropy", optimizer="sgd", lr=0.1, batch_size=64, epochs=3)
"""


@pytest.fixture
def file(tmp_path):
    def write(text, head=HEAD):
        path = tmp_path / "mine.py"
        path.write_text(head + text)
        return str(path)

    return write


def cli(*arguments, cwd=None):
    command = [sys.executable, "-m", "netwright", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def test_a_missing_file_is_one_sentence_and_exit_2(tmp_path):
    done = cli("scan", tmp_path / "nothing.py")
    assert done.returncode == 2
    assert "nothing.py: no such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_is_one_document_under_json(tmp_path):
    done = cli("diagnose", tmp_path / "nothing.py", "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert set(error) == {"kind", "message", "file", "line"}
    assert "no such file" in error["message"]


def test_what_the_file_prints_is_not_in_the_document(file):
    done = cli(
        "attributes", file("recipe = nw.Recipe(data, network, how)\nprint('hello from my file')"), "--json"
    )
    assert done.returncode == 0
    assert {a["name"] for a in json.loads(done.stdout)["attributes"]} >= {"lr", "loss", "input_scaling"}
    assert "hello from my file" in done.stderr


def test_an_exception_of_the_users_own_is_shown_with_their_frames_alone(file):
    done = cli("scan", file("raise ValueError('the lake is closed')"))
    assert done.returncode == 3
    assert "ValueError: the lake is closed" in done.stderr
    assert "mine.py" in done.stderr
    assert "netwright/recipe" not in done.stderr


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no recipe found; define one"),
        ("a = nw.Recipe(data, network, how)\nb = nw.Recipe(data, network, how)", "holds the recipes a, b"),
        (
            (
                "import torch\nw = torch.zeros(1,"
                " requires_grad=True)\nw.sum().backward()\ntorch.optim.SGD([w], lr=1).step()"
            ),
            "trains while it is imported; guard it with",
        ),
        ("recipe = nw.Recipe(data, network(), how)", "give the function that builds it"),
        ("recipe = nw.Recipe(data, network, nw.Training(loss='crossentropy'))", "is no loss; say one of"),
        ("recipe = nw.Recipe(nw.Data.arrays(x[:2], y[:2], split=(0.9, 0.1, 0)), network, how)", "is empty"),
        ("recipe = nw.Recipe(nw.Data.arrays(x, y[:5]), network, how)", "400 inputs and 5 targets"),
    ],
)
def test_a_wrong_file_is_said_in_one_sentence(file, text, sentence):
    with pytest.raises(nw.UserError, match=sentence):
        verbs.scan(file(text))


def test_a_name_that_is_no_recipe_is_said_with_those_that_are(file):
    path = file("recipe = nw.Recipe(data, network, how)\nother = 3")
    with pytest.raises(nw.UserError, match="other is a int, not a recipe; recipes there are recipe"):
        verbs.scan(f"{path}:other")


@pytest.mark.parametrize("budget", ["", "soon", "-3s", "2 bananas", "0s"])
def test_a_budget_of_nonsense_says_what_a_budget_is(file, budget):
    with pytest.raises(nw.UserError, match="say 90s, 2m, 1h, 200 epochs or 2000 steps"):
        verbs.improve(file("recipe = nw.Recipe(data, network, how)"), budget=budget)


def test_a_checkpoint_that_does_not_fit_names_what_is_missing(file, tmp_path):
    torch.save({"1.weight": torch.zeros(3, 3), "head.bias": torch.zeros(2)}, tmp_path / "old.pt")
    with pytest.raises(nw.UserError, match=r"missing 1\.weight, 1\.bias.*unexpected head\.bias.*--partial"):
        verbs.look(file("recipe = nw.Recipe(data, network, how)"), weights=tmp_path / "old.pt")


def test_a_pickle_with_code_is_not_run(file, tmp_path):
    class Boom:
        def __reduce__(self):
            return (print, ("gotcha",))

    torch.save({"w": Boom()}, tmp_path / "evil.pt")
    with pytest.raises(nw.UserError, match=r"cannot be read safely|not a checkpoint"):
        verbs.look(file("recipe = nw.Recipe(data, network, how)"), weights=tmp_path / "evil.pt")


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_trained(file, tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(nw.UserError, match="taken"):
        verbs.diagnose(file("recipe = nw.Recipe(data, network, how)"), journal=tmp_path / "taken")


def test_a_damaged_journal_is_left_as_it_is(file, tmp_path):
    folder = tmp_path / "journal"
    folder.mkdir()
    (folder / "journal.db").write_bytes(b"not a database at all" * 50)
    with pytest.raises(nw.UserError, match=r"journal\.db"):
        verbs.diagnose(file("recipe = nw.Recipe(data, network, how)"), journal=folder)
    assert (folder / "journal.db").read_bytes() == b"not a database at all" * 50


@pytest.mark.parametrize("taken", ["mine.safetensors", "mine_load.py", "mine.html"])
def test_a_result_that_cannot_be_written_keeps_what_was_trained(file, tmp_path, taken):
    folder = tmp_path / "journal"
    (folder / taken).mkdir(parents=True)  # a folder where a file belongs
    path = file("recipe = nw.Recipe(data, network, how)")
    with pytest.raises(nw.UserError, match=rf"{taken}: cannot be written .* what was trained is kept"):
        verbs.improve(path, budget="30 epochs", journal=folder)
    (folder / taken).rmdir()
    again = verbs.improve(path, budget="30 epochs", journal=folder)
    assert any("found finished in the journal" in note for note in again.notes)


def test_a_network_that_raises_in_forward_is_exit_3_with_the_layer(file):
    path = file("recipe = nw.Recipe(data, lambda: nn.Sequential(nn.Flatten(), nn.Linear(63, 10)), how)")
    with pytest.raises(nw.UserCodeError, match=r"mine\.py:13: layer 1 in the forward pass") as raised:
        verbs.look(path)
    assert raised.value.exit_code == 3
    assert "shapes cannot be multiplied" in raised.value.traceback


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("recipe = nw.Recipe(nw.Data.arrays(x, y + 1), network, how)", "output-width"),
        (
            "x[::7, 0, 3, 3] = float('nan')\nrecipe = nw.Recipe(nw.Data.arrays(x, y), network, how)",
            "bad-values",
        ),
        (
            (
                "recipe = nw.Recipe(nw.Data.arrays(x, (y > 4) * 1.0), lambda: nn.Sequential(nn.Flatten(),"
                " nn.Linear(64, 1)), nw.Training(loss='bce_with_logits', epochs=2))"
            ),
            "target-shape",
        ),
    ],
    ids=["labels outside the classes", "NaN in the inputs", "shapes that broadcast"],
)
def test_what_has_a_cause_is_a_finding_and_no_error(file, tmp_path, text, cause):
    path = file(text)
    assert cause in [f.cause for f in verbs.look(path, journal=tmp_path / "j").findings]
    assert verbs.attributes(path).attributes
    verbs.scan(path)
    result = verbs.diagnose(path, budget="60 epochs", journal=tmp_path / "j")
    assert cause in [f.cause for f in result.findings]
    assert result.outcome == "findings"


def test_fail_on_gives_exit_1_for_a_finding_that_severe(file):
    path = file("recipe = nw.Recipe(nw.Data.arrays(x, y + 1), network, how)")
    assert cli("look", path, "--fail-on", "error").returncode == 1
    assert cli("look", path).returncode == 0


def test_a_muted_check_needs_a_reason(file):
    path = file("recipe = nw.Recipe(data, network, how)")
    done = cli("diagnose", path, "--mute", "input-scale")
    assert done.returncode == 2
    assert "give the reason too" in done.stderr


def test_the_help_imports_no_torch():
    code = "import sys, netwright, netwright.app.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
