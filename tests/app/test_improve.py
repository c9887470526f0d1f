"""Improving small recipes: patients repaired, what is written where, and how often a test is looked at."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import netwright as nw
from netwright.app import verbs
from netwright.journal import Journal
from netwright.runs import Clocks, predict
from netwright.trials import InlineEngine

HEAD = """\
import netwright as nw
from sklearn.datasets import load_digits
from torch import nn

def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))

x, y = load_digits(return_X_y=True)
x = x[:500].reshape(-1, 1, 8, 8) / 16
y = y[:500]
"""
SLOW = """
recipe = nw.Recipe(
    nw.Data.arrays(x, y),
    network,
    nw.Training(loss="cross_entropy", optimizer="sgd", lr=1e-5, batch_size=32, epochs=3),
)
"""
FROM_ONE = """
recipe = nw.Recipe(
    nw.Data.arrays(x, y + 1),
    network,
    nw.Training(loss="cross_entropy", optimizer="sgd", lr=0.1, momentum=0.9, batch_size=32, epochs=4),
)
"""
LEAKING = """
import numpy as np

x = x.reshape(500, 64)
x = np.concatenate([x[:, :63], y[:, None]], 1)
recipe = nw.Recipe(
    nw.Data((x[:300], y[:300]), (x[300:400], y[300:400]), (x[400:], y[400:])),
    network,
    nw.Training(loss="cross_entropy", optimizer="adam", lr=1e-2, batch_size=32, epochs=4),
)
"""
OVERLAPPING = """
recipe = nw.Recipe(
    nw.Data((x[:300], y[:300]), (x[250:350], y[250:350]), (x[400:], y[400:])),
    network,
    nw.Training(loss="cross_entropy", optimizer="adam", lr=1e-2, batch_size=32, epochs=4),
)
"""
SHORTCUT = """
import numpy as np

x = x.reshape(500, 64)
said = np.where(np.arange(500) < 300, y, np.random.default_rng(0).permutation(y))
x = np.concatenate([x[:, :63], said[:, None]], 1)
recipe = nw.Recipe(
    nw.Data((x[:300], y[:300]), (x[300:400], y[300:400]), (x[400:], y[400:])),
    network,
    nw.Training(loss="cross_entropy", optimizer="adam", lr=1e-2, batch_size=32, epochs=4),
)
"""
LATE = """
import numpy as np

y[:300], y[300:400] = np.roll(y[:300], 1), np.roll(y[300:400], 1)
recipe = nw.Recipe(
    nw.Data((x[:300], y[:300]), (x[300:400], y[300:400]), (x[400:], y[400:])),
    network,
    nw.Training(loss="cross_entropy", optimizer="adam", lr=1e-2, batch_size=32, epochs=4),
)
"""
BUDGET = "300 epochs"


@pytest.fixture(autouse=True, scope="module")
def in_this_process():
    """Trainings of a tenth of a second are not worth a process of their own."""
    clocks = Clocks(time.perf_counter, time.process_time)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("netwright.app.work.LocalEngine", lambda *_, **__: InlineEngine(clocks))
        yield


def written(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(HEAD + text)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def slow(home):
    return verbs.improve(str(written(home, SLOW)), budget=BUDGET)


def test_a_rate_that_is_too_low_is_raised(slow):
    assert slow.outcome == "improved"
    assert slow.after["val"] > slow.before["val"] + 0.3
    assert "lr-too-low" in [f.cause for f in slow.findings]


def test_everything_is_written_into_the_journals_folder_and_the_users_file_is_left(slow, home):
    assert (home / "mine.py").read_text() == HEAD + SLOW
    assert {p.name for p in home.iterdir()} - {"__pycache__"} == {"mine.py", ".netwright"}
    kept = {p.name for p in (home / ".netwright").iterdir()}
    assert {"journal.db", "mine.safetensors", "mine_load.py", "mine.html"} <= kept


def test_the_scores_before_and_after_are_means_over_the_same_seeds(slow):
    assert [c.seed for c in slow.curves_before] == [c.seed for c in slow.curves_after]
    assert len(slow.curves_after) == 5


def test_a_look_is_counted_by_the_test_samples_whichever_recipe_looked(slow, home):
    other = SLOW.replace("lr=1e-5", "lr=2e-5")
    again = verbs.improve(str(written(home, other, "other.py")), budget=BUDGET)
    assert (slow.test.looks, again.test.looks) == (1, 2)


def test_a_sealed_test_stays_sealed_and_uncounted(slow, home):
    digest = nw.load(str(home / "mine.py")).data.parts.test.digest()
    with Journal.open(home / ".netwright") as journal:
        before = journal.looks(digest)
    sealed = verbs.improve(str(home / "mine.py"), budget=BUDGET, test=False)
    assert sealed.test is None
    assert sealed.before["test"] is None and sealed.after["test"] is None
    with Journal.open(home / ".netwright") as journal:
        assert journal.looks(digest) == before


def test_labels_that_start_at_1_get_their_output(tmp_path):
    path = written(tmp_path, FROM_ONE)
    result = verbs.improve(str(path), budget=BUDGET)
    assert result.outcome == "improved"
    assert (result.findings[0].cause, result.findings[0].status) == ("output-width", "confirmed")
    change = next(c for c in result.changes if c.attribute == "output_layer")
    assert "nn.Linear(16, 10)" in path.read_text().splitlines()[change.line - 1]
    assert change.new == "out_features=11"


def test_a_recipe_that_lives_in_no_file_is_improved_and_restored(tmp_path):
    parts = {}
    exec(HEAD + SLOW, parts)
    recipe = parts["recipe"]
    result = nw.improve(recipe, budget=BUDGET, journal=tmp_path)
    assert result.outcome == "improved"
    assert result.load is None
    weights = tmp_path / Path(result.weights).name
    outputs, targets = predict(recipe.restore(weights), recipe.data.parts.val)
    assert recipe.yardstick.metric.score(outputs, targets) == pytest.approx(result.weights_score, abs=1e-6)


def test_without_a_test_part_the_result_says_that_nothing_unseen_was_scored(tmp_path):
    text = SLOW.replace("nw.Data.arrays(x, y)", "nw.Data((x[:350], y[:350]), (x[350:], y[350:]))")
    result = verbs.improve(str(written(tmp_path, text)), budget=BUDGET)
    assert result.outcome == "improved"
    assert result.test is None and result.after["test"] is None
    assert any("nothing unseen was scored" in note for note in result.notes)


def test_a_network_as_good_as_it_gets_is_left_alone(tmp_path):
    """Two clouds far apart: there is nothing to gain, and nothing is said to help."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(400) % 2
    x = torch.randn(400, 6, generator=generator) + 8 * y[:, None] - 4
    training = nw.Training(loss="cross_entropy", optimizer="sgd", lr=0.1, batch_size=32, epochs=3)
    recipe = nw.Recipe(nw.Data.arrays(x, y), lambda: torch.nn.Linear(6, 2), training)
    result = nw.improve(recipe, budget=BUDGET, journal=tmp_path)
    assert result.outcome == "already good"
    assert result.changes == () and result.edits == ()
    assert not [v for v in result.verdicts if v.verdict == "helps"]
    assert result.before == result.after


def test_an_interruption_leaves_a_journal_that_goes_on(tmp_path):
    path = written(tmp_path, SLOW)
    command = [sys.executable, "-m", "netwright", "improve", str(path), "--budget", BUDGET]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "confirming" in line:
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert "the same command goes on from here" in err and "Traceback" not in err
    result = verbs.improve(str(path), budget=BUDGET)
    assert result.outcome == "improved"
    assert any("found finished in the journal" in note for note in result.notes)
    with Journal.open(tmp_path / ".netwright") as journal:
        assert len(journal.sessions()) == 1


@pytest.mark.parametrize(
    ("fault", "cause", "mended_by"),
    [
        (LEAKING, "leakage", "without feature 63"),
        (OVERLAPPING, "leakage", "50 samples that are in validation too"),
        (SHORTCUT, "overfit-situation", "without feature 63"),
        (LATE, "label-misalignment", "targets moved by -1, validation's too"),
    ],
)
def test_a_yardstick_is_mended_before_anything_is_compared(fault, cause, mended_by, tmp_path):
    result = nw.improve(str(written(tmp_path, fault)), budget=BUDGET, journal=tmp_path / "j", test=False)
    mended = [v for v in result.verdicts if v.verdict == "yardstick changed"]
    assert len(mended) == 1 and mended_by in mended[0].label
    assert mended[0].effect is None  # scores of two versions are never subtracted
    assert mended_by in result.edits[0].label
    assert [f.status for f in result.findings if f.cause == cause] == ["confirmed"]
