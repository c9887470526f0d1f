"""Trainings in worker processes: what they yield, and what becomes of one that dies."""

import textwrap

import numpy as np
import pytest

import netwright as nw
from conftest import digits_data, training
from netwright.runs import Run
from netwright.trials import Failure, InlineEngine, Job, LocalEngine
from netwright.values import EpochEnded, RunEnded, RunFailed, RunStarted

FILE = """
import os, signal
import netwright as nw
from sklearn.datasets import load_digits
from torch import nn

def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

class Dies(nn.Linear):
    def forward(self, x):
        if self.training:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)

class Raises(nn.Linear):
    def forward(self, x):
        raise ValueError("no such colour: mauve")

x, y = load_digits(return_X_y=True)
data = nw.Data.arrays(x.reshape(-1, 1, 8, 8) / 16, y)
how = nw.Training(loss="cross_entropy", optimizer="sgd", lr=0.1, batch_size=64, epochs=2)
recipe = nw.Recipe(data, network, how)
dies = nw.Recipe(data, lambda: nn.Sequential(nn.Flatten(), Dies(64, 10)), how)
raises = nw.Recipe(data, lambda: nn.Sequential(nn.Flatten(), Raises(64, 10)), how)
print("a line that the user's own code prints")
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("engine") / "recipes.py"
    path.write_text(textwrap.dedent(FILE))
    return str(path)


@pytest.fixture(scope="module")
def engine():
    engine = LocalEngine(2)
    yield engine
    engine.close()


def results(engine, jobs):
    items = list(engine.run(jobs))
    return [item for item in items if isinstance(item, tuple)], [i for i in items if not isinstance(i, tuple)]


def test_a_worker_trains_to_the_same_bits_as_another(engine, file):
    recipe = nw.load(f"{file}:recipe")
    done, events = results(engine, [Job(recipe, 3), Job(recipe, 3), Job(recipe, 4)])
    by_seed = {}
    for job, run in done:
        by_seed.setdefault(job.seed, []).append(run)
    one, other = by_seed[3]
    assert np.array_equal(one.step_loss, other.step_loss)
    assert not np.array_equal(one.step_loss, by_seed[4][0].step_loss)
    kinds = {type(event) for event in events}
    assert kinds == {RunStarted, EpochEnded, RunEnded}


def test_a_process_that_dies_fails_its_training_and_no_other(engine, file):
    jobs = [
        Job(nw.load(f"{file}:dies"), 0),
        Job(nw.load(f"{file}:recipe"), 0),
        Job(nw.load(f"{file}:recipe"), 1),
    ]
    done, events = results(engine, jobs)
    outcome = {job.recipe.origin.name: result for job, result in done}
    assert isinstance(outcome["recipe"], Run)
    assert isinstance(outcome["dies"], Failure)
    assert outcome["dies"].kind == "died"
    assert "signal 9" in outcome["dies"].reason
    assert sum(isinstance(event, RunFailed) for event in events) == 1


def test_what_the_users_code_raises_comes_back_with_its_own_traceback(engine, file):
    done, _ = results(engine, [Job(nw.load(f"{file}:raises"), 0)])
    failure = done[0][1]
    assert failure.kind == "user-code"
    assert "no such colour: mauve" in failure.reason
    assert "recipes.py" in failure.traceback
    assert "netwright/runs" not in failure.traceback


def test_a_recipe_without_a_file_travels_by_value(engine):
    from torch import nn

    recipe = nw.Recipe(
        digits_data(), lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), training(epochs=1)
    )
    ((_, run),) = results(engine, [Job(recipe, 0)])[0]
    assert isinstance(run, Run)
    assert run.fingerprint == recipe.fingerprint


def test_edits_travel_with_the_recipe(engine, file):
    recipe = nw.load(f"{file}:recipe").with_edits(nw.Edit.set("training.epochs", 1))
    ((_, run),) = results(engine, [Job(recipe, 0)])[0]
    assert run.epochs == 1
    assert run.fingerprint == recipe.fingerprint


def test_a_file_that_makes_other_data_each_time_is_refused(engine, tmp_path):
    path = tmp_path / "random_data.py"
    path.write_text(FILE.replace("/ 16, y)", "/ 16 + __import__('numpy').random.rand(), y)"))
    ((_, failure),) = results(engine, [Job(nw.load(f"{path}:recipe"), 0)])[0]
    assert failure.kind == "user"
    assert "makes other data each time" in failure.reason


def test_a_training_that_takes_too_long_is_a_failed_one(digits_recipe):
    from netwright.runs import Clocks

    ticks = iter(range(10_000))
    engine = InlineEngine(Clocks(lambda: float(next(ticks)), lambda: 0.0))
    ((_, failure),) = results(engine, [Job(digits_recipe, 0, max_seconds=2.0)])[0]
    assert failure.kind == "time"
