from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from netwright.catalogue import Target, entries_of
from netwright.ports import Program
from netwright.ports.running import Unsupported
from netwright.ports.workshop import Died, Workshop, here
from ports import odd_targets
from ports.networks import images, small

TARGETS = {entry.id: entry for entry in entries_of(odd_targets) if isinstance(entry, Target)}


@pytest.fixture
def program(tmp_path):
    made = Program.of(small(), (images(),))
    made.save(tmp_path / "program.pt2")
    return made.about(), tmp_path / "program.pt2"


def test_a_converter_that_dies_leaves_its_signal_and_its_last_words(program, tmp_path):
    with (
        Workshop(TARGETS["dies"], tmp_path / "log.txt") as workshop,
        pytest.raises(Died, match=r"ended by signal SIGABRT; its last words are in .*log\.txt"),
    ):
        workshop.build(*program, tmp_path / "made")
    assert "nobody expects this" in (tmp_path / "log.txt").read_text()


def test_after_it_died_the_next_question_starts_it_anew(program, tmp_path):
    with Workshop(TARGETS["dies"], tmp_path / "log.txt") as workshop:
        for _ in range(2):
            with pytest.raises(Died):
                workshop.build(*program, tmp_path / "made")


def test_what_a_converter_raises_is_one_sentence_of_its_innermost_cause(program, tmp_path):
    with (
        Workshop(TARGETS["raises"], tmp_path / "log.txt") as workshop,
        pytest.raises(Unsupported, match=r"^KeyError: 'inner'$"),
    ):
        workshop.build(*program, tmp_path / "made")


def test_a_converter_that_never_ends_is_ended(program, tmp_path):
    with (
        Workshop(TARGETS["sleeps"], tmp_path / "log.txt", longest=1.0) as workshop,
        pytest.raises(Died, match="did not finish within 1 s"),
    ):
        workshop.build(*program, tmp_path / "made")


def test_a_port_runs_in_its_process_and_gives_what_was_asked_for(program, tmp_path):
    with Workshop(TARGETS["scales"], tmp_path / "log.txt") as workshop:
        files = workshop.build(*program, tmp_path / "made")
        assert "stem" in workshop.open(files, program[0])
        outputs, read = workshop.run([images().numpy()], ["stem"])
    assert np.allclose(read["stem"], small().stem(images()).detach().numpy(), atol=1e-6)
    assert outputs[0].shape == (6, 10)


def test_times_are_of_the_runs_that_were_asked_for(program, tmp_path):
    with Workshop(TARGETS["scales"], tmp_path / "log.txt") as workshop:
        workshop.open(workshop.build(*program, tmp_path / "made"), program[0])
        assert len(workshop.time([images().numpy()], 5)) == 5


def test_what_a_target_needs_and_lacks_is_named():
    assert here(TARGETS["absent"]) == "no_such_runtime"
    assert here(TARGETS["scales"]) is None


def test_a_script_without_a_guard_is_run_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "print('runs')\n"
        "import netwright as nw, torch\n"
        "net, inputs = torch.nn.Linear(2, 1), torch.zeros(3, 2)\n"
        f"print(nw.port(net, inputs, to='torchscript', folder={str(tmp_path)!r}))\n"
    )
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert ran.stdout.count("runs") == 1 and "parity" in ran.stdout
