"""The command line as scripts use it: one document, the documented exit code, and whose fault it is."""

import contextlib
import io
import json
import signal
import subprocess
import sys
import time

import pytest

from netwright.app.cli import app
from netwright.app.surface import Surface
from netwright.runs import Clocks
from netwright.trials import InlineEngine
from netwright.values import Note

HEAD = """\
import os
import netwright as nw
import numpy as np
from sklearn.datasets import load_digits
from torch import nn

x, y = load_digits(return_X_y=True)
x, y = x[:300].reshape(-1, 1, 8, 8) / 16, y[:300]
data = nw.Data.arrays(x, y)
how = nw.Training(loss="cross_entropy", optimizer="sgd", lr=0.1, batch_size=64, epochs=2)

def network(outputs=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))

"""
SOUND = "recipe = nw.Recipe(data, network, how)\n"
TALKS = """
print("talks while it is imported")

class Talks(nn.Linear):
    def forward(self, x):
        print("talks in forward")
        os.write(1, b"talks past Python\\n")
        return super().forward(x)

recipe = nw.Recipe(data, lambda: nn.Sequential(nn.Flatten(), Talks(64, 10)), how)
"""
PATIENTS = {
    "labels that start at 1": ("recipe = nw.Recipe(nw.Data.arrays(x, y + 1), network, how)", "output-width"),
    "labels below 0": ("recipe = nw.Recipe(nw.Data.arrays(x, y - 1), network, how)", "output-width"),
    "NaN in the inputs": (
        "x[::7, 0, 3, 3] = np.nan\nrecipe = nw.Recipe(nw.Data.arrays(x, y), network, how)",
        "bad-values",
    ),
    "NaN in the labels": (
        "y = np.where(np.arange(300) % 50 == 0, np.nan, y)\n"
        "recipe = nw.Recipe(nw.Data.arrays(x, y), network, how)",
        "bad-values",
    ),
    "shapes that broadcast": (
        "recipe = nw.Recipe(nw.Data.arrays(x, x.mean((1, 2, 3)) * 5), lambda: network(1),\n"
        "                   nw.Training(loss='mse', optimizer='sgd', lr=0.01, epochs=2))",
        "target-shape",
    ),
}


@pytest.fixture
def file(tmp_path):
    def write(text, head=HEAD):
        path = tmp_path / "mine.py"
        path.write_text(head + text)
        return str(path)

    return write


@pytest.fixture
def cli(capfd, monkeypatch):
    """The command in this process, its trainings too: exit code, document of stdout, text of stderr."""
    clocks = Clocks(time.perf_counter, time.process_time)
    monkeypatch.setattr("netwright.app.work.LocalEngine", lambda *_, **__: InlineEngine(clocks))

    def run(*arguments):
        try:
            code = app([*map(str, arguments), "--json"], standalone_mode=False) or 0
        except SystemExit as left:
            code = left.code
        out, err = capfd.readouterr()
        return code, json.loads(out) if out else None, err

    return run


def process(*arguments):
    command = [sys.executable, "-m", "netwright", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_what_the_users_code_prints_in_any_process_is_not_in_the_document(file, tmp_path):
    done = process("diagnose", file(TALKS), "--json", "--budget", "30 epochs", "--journal", tmp_path / "j")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["recipe"] == "mine"
    for line in ("talks while it is imported", "talks in forward", "talks past Python"):
        assert line in done.stderr


def test_a_pipe_gets_the_words_without_colour_or_bars(file):
    done = process("attributes", file(SOUND))
    assert done.returncode == 0
    assert "lr" in done.stdout and "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("scan",),
        ("look",),
        ("attributes",),
        ("diagnose", "--budget", "20 epochs"),
        ("improve", "--budget", "20 epochs"),
        ("improve", "--plan", "--budget", "20 epochs"),
    ],
    ids=" ".join,
)
def test_every_verb_answers_with_one_document(cli, file, tmp_path, arguments):
    verb, *options = arguments
    held = ["--journal", tmp_path / "j"] if verb in ("diagnose", "improve") else []
    code, document, _ = cli(verb, file(SOUND), *options, *held)
    assert code == 0
    assert "error" not in document


def test_the_listing_is_filtered_sorted_and_compared_as_asked(cli, file):
    path = file(SOUND + "other = nw.Recipe(data, lambda: nn.Sequential(network(), nn.ReLU()), how)\n")
    code, document, _ = cli("look", f"{path}:recipe", "--where", "params > 0", "--sort", "flops", "--unfold")
    assert (code, [x["kind"] for x in document["layers"]], document["hidden"]) == (0, ["Linear"], 1)
    code, document, _ = cli("look", f"{path}:recipe", "--against", f"{path}:other")
    told = [(p["left"], p["right"]) for p in document["against"]["pairs"]]
    assert (code, told) == (0, [(0, 0), (1, 1), (None, 2)])


def test_the_journal_lists_what_was_done_and_a_session_of_it(cli, file, tmp_path):
    path, held = file(SOUND), ["--journal", tmp_path / "j"]
    cli("diagnose", path, "--budget", "20 epochs", *held)
    code, sessions, _ = cli("journal", path, *held)
    assert code == 0
    assert [s["verb"] for s in sessions] == ["diagnose"]
    _, events, _ = cli("journal", path, "--session", sessions[0]["id"], *held)
    assert events[0]["event"] == "StageStarted"


def test_a_session_that_there_is_not_is_said(cli, file, tmp_path):
    path, held = file(SOUND), ["--journal", tmp_path / "j"]
    cli("improve", path, "--plan", *held)
    code, document, _ = cli("journal", path, "--session", 99, *held)
    assert code == 2
    assert "no session 99" in document["error"]["message"]


@pytest.mark.parametrize("verb", ["scan", "look", "attributes", "diagnose", "improve"])
@pytest.mark.parametrize("patient", PATIENTS)
def test_a_patient_is_shown_and_is_no_error(cli, file, tmp_path, verb, patient):
    text, cause = PATIENTS[patient]
    held = ["--journal", tmp_path / "j", "--budget", "30 epochs"] if verb in ("diagnose", "improve") else []
    code, document, err = cli(verb, file(text), *held)
    assert code == 0, err
    if verb in ("look", "diagnose", "improve"):
        assert document["findings"][0]["cause"] == cause
        assert [f["cause"] for f in document["findings"]].count(cause) == 1
    if verb == "improve":
        assert document["outcome"] in ("improved", "inconclusive", "not improved")
        assert document["outcome"] == "improved" or document["next_steps"]


@pytest.mark.parametrize(
    ("text", "line", "kind"),
    [
        ("raise ValueError('closed')", "raise ValueError", "ValueError"),
        ("def network():\n    raise KeyError('width')\n" + SOUND, "raise KeyError", "KeyError"),
        (
            "def loss(outputs, targets):\n    raise ZeroDivisionError('oh')\n"
            "recipe = nw.Recipe(data, network, nw.Training(loss=loss, lr=0.1, optimizer='sgd'))",
            "raise ZeroDivisionError",
            "ZeroDivisionError",
        ),
        (
            "class Picky(nn.Linear):\n    def forward(self, x):\n"
            "        assert self.training, 'only in training'\n        return super().forward(x)\n"
            "recipe = nw.Recipe(data, lambda: nn.Sequential(nn.Flatten(), Picky(64, 10)), how)",
            "assert self.training",
            "AssertionError",
        ),
        ("import argparse\nargparse.ArgumentParser().parse_args(['--no'])", "parse_args", "SystemExit"),
    ],
    ids=["while imported", "in the network's function", "in the loss", "in evaluation", "by leaving"],
)
def test_the_users_own_exception_names_their_line_and_shows_no_frame_of_ours(cli, file, text, line, kind):
    path = file(text)
    code, document, err = cli("look", path)
    assert code == 3
    error = document["error"]
    number = next(k for k, row in enumerate((HEAD + text).splitlines(), 1) if line in row)
    assert (error["kind"], error["file"], error["line"]) == ("user-code", "mine.py", number)
    assert error["message"].startswith(f"mine.py:{number}: raised {kind}")
    assert line in err
    assert "/netwright/" not in err


def test_a_file_that_is_not_python_names_the_line(cli, file):
    code, document, _ = cli("scan", file("def f(:\n", head="import os\n"))
    assert code == 3
    assert (document["error"]["file"], document["error"]["line"]) == ("mine.py", 2)
    assert "SyntaxError" in document["error"]["message"]


def test_a_training_that_raises_later_on_is_the_users_error_too(cli, file, tmp_path):
    text = (
        "class Tires(nn.Linear):\n    def forward(self, x):\n        self.n = getattr(self, 'n', 0) + 1\n"
        "        if self.n > 9: raise RuntimeError('tired')\n        return super().forward(x)\n"
        "recipe = nw.Recipe(data, lambda: nn.Sequential(nn.Flatten(), Tires(64, 10)), how)"
    )
    code, document, err = cli("diagnose", file(text), "--budget", "90 epochs", "--journal", tmp_path / "j")
    assert code == 3
    assert "raised RuntimeError: tired" in document["error"]["message"]
    assert "/netwright/" not in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("look", "{}", "--device", "tpu"), "tpu"),
        (("diagnose", "{}", "--device", "tpu"), "tpu"),
        (("look", "{}", "--weights", "nothing.pt"), "nothing.pt: no checkpoint there"),
        (("look", "{}", "--fail-on", "fatal"), "say note, warning, error or never"),
        (("look", "{}", "--where", "dead >"), "--where 'dead >': cannot be read"),
        (("look", "{}", "--sort", "colour"), "--sort colour: say one of parameters"),
        (("look", "{}", "--depth", "0"), "--depth 0: say 1 or more"),
        (("look", "{}", "--against", "{}:other"), "other is not defined; recipes there are recipe"),
        (("diagnose", "{}", "--fail-on", "fatal"), "say note, warning, error or never"),
        (("diagnose", "{}", "--mute", "input-scael=known"), "input-scael"),
        (("diagnose", "{}", "--with", "nothing.py"), "nothing.py: no such file"),
        (("diagnose", "{}", "--budget", "2 bananas"), "say 90s, 2m, 1h"),
        (("scan", "{}:other"), "other is not defined; recipes there are recipe"),
        (("scan", "."), "neither a file nor a module"),
        (("scan", "no.such.module"), "neither a file nor a module"),
        (("scan", "json:loads"), "loads is a function, not a recipe"),
        (("journal", "{}"), "no journal there yet"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_input_is_one_document_and_exit_2(cli, file, arguments, sentence):
    path = file(SOUND)
    code, document, err = cli(*(a.format(path) for a in arguments))
    assert code == 2
    assert list(document) == ["error"]
    assert sentence in document["error"]["message"]
    assert "Traceback" not in err


def test_an_option_that_there_is_not_is_a_document_too():
    done = process("scan", "mine.py", "--json", "--nonsense")
    assert done.returncode == 2
    assert "--nonsense" in json.loads(done.stdout)["error"]["message"]
    assert "Usage" in done.stderr


def test_a_severity_that_there_is_not_is_said_before_anything_is_trained(cli, file, tmp_path):
    code, _, _ = cli("diagnose", file(SOUND), "--fail-on", "fatal", "--journal", tmp_path / "j")
    assert code == 2
    assert not (tmp_path / "j").exists()


@pytest.mark.parametrize(("severity", "code"), [("error", 1), ("warning", 1), ("never", 0)])
def test_fail_on_counts_findings_of_that_severity_or_more(cli, file, severity, code):
    path = file(PATIENTS["labels that start at 1"][0])
    found, document, _ = cli("look", path, "--fail-on", severity)
    assert found == code
    assert document["findings"][0]["severity"] == "error"


def test_a_muted_check_is_left_out_and_said_with_its_reason(cli, file, tmp_path):
    path = file(PATIENTS["labels that start at 1"][0])
    _, document, _ = cli(
        "diagnose", path, "--mute", "output-width=known", "--budget", "20 epochs", "--journal", tmp_path / "j"
    )
    # Without the check nothing explains what the loss raises: it is then the user's own exception.
    assert document["error"]["kind"] == "user-code"


@pytest.mark.parametrize("verb", ["improve", "diagnose", "scan", "look", "attributes", "journal"])
def test_every_verb_has_its_help(capfd, verb):
    assert not app([verb, "--help"], standalone_mode=False)
    assert "RECIPE" in capfd.readouterr().out


def test_an_interruption_that_a_library_swallows_is_seen_at_the_next_event():
    def verb(heard):
        with contextlib.suppress(KeyboardInterrupt):  # as a destructor would
            signal.raise_signal(signal.SIGINT)
        heard(Note("the next event"))

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        Surface(False, io.StringIO()).run(verb)
    assert signal.getsignal(signal.SIGINT) is before
