"""The whole line: a network that fails goes in, one that works comes out, with what was wrong and what to
change."""

import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import netwright as nw
from netwright.app import verbs
from netwright.journal import Journal
from netwright.values import RunEnded

ROOT = Path(__file__).parents[2]
DIGITS = str(ROOT / "examples" / "digits.py")
BUDGET = "1200 epochs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("journal")


@pytest.fixture(scope="module")
def result(folder):
    return verbs.improve(DIGITS, budget=BUDGET, journal=folder)


def test_the_broken_digits_work_and_the_true_cause_comes_first(result):
    assert result.outcome == "improved"
    assert result.before["test"] <= 0.3
    assert result.after["test"] >= 0.95
    first = result.findings[0]
    assert (first.cause, first.status) == ("lr-too-high", "confirmed")
    assert first.confirmation["gone_on"] == 5
    assert first.confirmation["sham_gone_on"] == 0


def test_the_change_names_the_line_of_the_users_own_file(result):
    change = next(c for c in result.changes if c.attribute == "lr")
    assert Path(change.file).name == "digits.py"
    assert Path(DIGITS).read_text().splitlines()[change.line - 1].strip().find("lr=10.0") >= 0
    assert change.old == "lr=10.0"
    assert re.fullmatch(r"lr=0\.\d+", change.new)


def test_a_verdict_that_helps_has_both_intervals_above_zero_and_a_control(result):
    helped = [v for v in result.verdicts if v.verdict == "helps"]
    assert helped
    for verdict in helped:
        assert verdict.low > 0 and verdict.low_samples > 0
        assert verdict.seeds >= 5
        assert "unchanged recipe" in verdict.control


def test_the_test_part_is_looked_at_once_for_both(result):
    assert (result.test.looks, result.test.samples) == (1, 270)
    assert result.test.low <= result.test.effect <= result.test.high


def test_the_weights_load_in_five_lines_and_score_what_was_said(result):
    load = Path(result.load)
    assert len(load.read_text().strip().splitlines()) == 5
    code = (
        load.read_text().replace("__file__", repr(str(load))) + "\nfrom netwright.runs import predict"
        "\noutputs, targets = predict(network, recipe.data.parts.val)"
        "\nprint(recipe.yardstick.metric.score(outputs, targets))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(result.weights_score, abs=1e-6)


def test_the_report_opens_offline_and_says_it(result):
    page = Path(result.report).read_text()
    assert "lr-too-high" in page and "lr=10.0" in page
    assert "http" not in re.sub(r"<script.*?</script>", "", page, flags=re.S).replace("http-equiv", "")
    assert 'data-view="atlas"' in page and '"label":"before"' in page and '"label":"after"' in page
    assert "default-src 'none'" in page and "script-src 'sha256-" in page and "connect-src" not in page


def test_the_document_has_the_keys_of_the_contract(result):
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert {
        "recipe", "fingerprint", "outcome", "metric", "before", "after", "findings", "verdicts", "changes",
        "test", "weights", "load", "spent", "report",
    } <= set(document)  # fmt: skip
    assert set(document["findings"][0]) >= {
        "id", "check", "cause", "also", "confidence", "status", "severity", "where", "evidence",
        "explanation", "ideas",
    }  # fmt: skip
    assert set(document["verdicts"][0]) >= {
        "idea", "attribute", "verdict", "effect", "low", "high", "low_samples", "high_samples", "margin",
        "horizon", "control", "seeds", "epochs", "reason",
    }  # fmt: skip
    assert set(document["test"]) == {"looks", "samples", "effect", "low", "high"}


def test_the_same_work_again_trains_nothing_and_looks_no_second_time(result, folder):
    seen = []
    again = verbs.improve(DIGITS, budget=BUDGET, journal=folder, on_event=seen.append)
    assert all(e.remembered for e in seen if isinstance(e, RunEnded))
    assert again.test.looks == 1
    assert again.after == result.after
    assert again.changes == result.changes


def test_the_split_is_kept_by_sample_id(result, folder):
    recipe = nw.load(DIGITS)
    with Journal.open(folder) as journal:
        ids = journal.split(recipe.data.parts.fingerprint)
    assert {part: len(names) for part, names in ids.items()} == {"train": 1258, "val": 269, "test": 270}
    assert len(set().union(*ids.values())) == 1797


def test_the_listing_shows_the_best_run_of_the_journal(result, folder):
    assert "run " in verbs.look(DIGITS, journal=folder).run


def test_what_was_killed_goes_on_and_nothing_finished_is_trained_again(tmp_path):
    command = [
        sys.executable,
        "-m",
        "netwright",
        "improve",
        DIGITS,
        "--budget",
        BUDGET,
        "--journal",
        str(tmp_path),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for (
        line
    ) in process.stderr:  # a line a stage: by the confirmation, trainings are finished and others under way
        if "confirming" in line:
            break
    process.kill()
    process.wait()
    process.stderr.close()
    finished = _keys(tmp_path / "journal.db")
    assert len(finished) >= 2
    seen = []
    result = verbs.improve(DIGITS, budget=BUDGET, journal=tmp_path, on_event=seen.append)
    trained = {e.run for e in seen if isinstance(e, RunEnded) and not e.remembered}
    assert not trained & finished
    assert result.outcome == "improved"
    with Journal.open(tmp_path) as journal:
        assert len(journal.sessions()) == 1


def _keys(database):
    connection = sqlite3.connect(database)
    try:
        return {row[0] for row in connection.execute("select key from runs")}
    finally:
        connection.close()


def test_a_sealed_test_part_is_not_looked_at(tmp_path):
    result = verbs.improve(DIGITS, budget="150 epochs", journal=tmp_path, test=False)
    assert result.test is None
    assert result.after["test"] is None
    digest = nw.load(DIGITS).data.parts.test.digest()
    with Journal.open(tmp_path) as journal:
        assert journal.looks(digest) == 0


@pytest.mark.parametrize("budget", ["1 epochs", "8 epochs", "60 epochs"])
def test_a_budget_too_small_for_claims_makes_none(tmp_path, budget):
    result = verbs.improve(DIGITS, budget=budget, journal=tmp_path)
    assert result.outcome == "inconclusive"
    assert "no verdicts" in result.plan
    assert all(v.verdict != "helps" for v in result.verdicts)
    assert any("buys verdicts" in step for step in result.next_steps)


def test_the_plan_is_made_without_spending_the_budget(tmp_path):
    plan = verbs.plan(DIGITS, budget="1200 epochs", journal=tmp_path)
    assert plan.level == "claims"
    assert plan.training_epochs == 10
    assert "1 training" in plan.sentence


SHAM = """
import netwright as nw

def sham(k):
    def idea(recipe, situation):
        '''A weight decay too small to matter.

        Source: none; it should change nothing.
        '''
        yield nw.Edit.set('training.weight_decay', 1e-12 * (k + 1), f'sham {k}')
    idea.__name__ = f'sham_{k}'
    return nw.idea(attribute='weight_decay', prior=0.5)(idea)

shams = [sham(k) for k in range(6)]
"""


def test_ideas_that_change_nothing_never_help(tmp_path, monkeypatch):
    """A whole small run of `improve` on a sound recipe, its only ideas shams."""
    from netwright.catalogue import Catalogue

    path = tmp_path / "shams.py"
    path.write_text(SHAM)
    module = {}
    exec(SHAM, module)  # the same file, read here for its ideas alone
    ideas = {f"sham-{k}": getattr(f, "__netwright_entry__") for k, f in enumerate(module["shams"])}  # noqa: B009
    recipe = nw.load(str(ROOT / "examples" / "breast_cancer_healthy.py"))
    installed = Catalogue.collect()
    import attrs

    only_shams = attrs.evolve(recipe, catalogue=attrs.evolve(installed, ideas=ideas))
    object.__setattr__(only_shams, "made_at", recipe.made_at)
    result = verbs.improve(only_shams, budget="2000 epochs", journal=tmp_path / "j")
    assert result.outcome == "already good"
    assert result.changes == ()
    assert all(v.verdict != "helps" for v in result.verdicts)
    assert result.screened == 6
