"""The fault bench without downloaded data: its files run, its faults change their lines, its figures are
right."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))  # benches are a package beside src, which is not installed

from benchmarks.faults.cases import cases, changed_lines, planted, record
from benchmarks.faults.data import PARTS, data_sets, load
from benchmarks.faults.judging import named, placed
from benchmarks.faults.kinds import FAULTS
from benchmarks.faults.measure import measure, open_recipe, skill
from benchmarks.faults.recipes import parents, script
from benchmarks.faults.report import text_of
from benchmarks.faults.rules import History, autotrainer, sagemaker
from benchmarks.faults.script import NotApplicable
from benchmarks.faults.statistics import brier, clopper_pearson, rate, reliability

TRAINING = {"optimizer": "adam", "lr": 0.005, "batch_size": 32, "epochs": 4, "activation": "relu"}
DIGITS = TRAINING | {"data": "digits", "head": "cross_entropy", "scaling": "unit", "depth": 2, "width": 16}
DIGITS |= {"part": "fit", "healthy": 0.9, "steps": 136}
DIABETES = DIGITS | {
    "data": "diabetes",
    "family": "mlp",
    "head": "mse",
    "scaling": "standard",
    "healthy": 0.4,
}
CANCER = DIGITS | {"data": "breast_cancer", "family": "mlp", "scaling": "standard", "head": "bce_with_logits"}


def opened(source, folder):
    path = folder / "recipe.py"
    path.write_text(source)
    return open_recipe(path)


@pytest.mark.parametrize("family", ["mlp", "mlp_class", "residual_mlp", "cnn", "cnn_class", "resnet"])
def test_a_parent_of_every_image_family_learns(family, tmp_path):
    settings = DIGITS | {"family": family, "width": 8 if "cnn" in family or family == "resnet" else 32}
    measured = measure(opened(script(settings).render(), tmp_path), 0, classes=10)
    assert measured.error == ""
    assert measured.test > 0.5


@pytest.mark.parametrize("head", ["cross_entropy", "one_hot", "nll", "bce_with_logits", "bce"])
@pytest.mark.parametrize("family", ["mlp", "mlp_class"])
def test_every_head_of_a_classification_learns(head, family, tmp_path):
    source = script(CANCER | {"head": head, "family": family}).render()
    measured = measure(opened(source, tmp_path), 0, classes=2)
    assert measured.error == ""
    assert measured.test > 0.6


@pytest.mark.parametrize("head", ["mse", "mse_column", "huber", "l1"])
def test_every_head_of_a_regression_learns(head, tmp_path):
    measured = measure(
        opened(script(DIABETES | {"head": head, "epochs": 10}).render(), tmp_path), 0, classes=0
    )
    assert measured.error == ""
    assert measured.test > 0.15


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_fault_changes_the_source_or_says_that_it_has_no_place(name):
    applied = 0
    for parent in (
        DIGITS | {"family": "cnn_class", "norm": True},
        DIGITS | {"family": "mlp_class", "optimizer": "sgd"},
        DIGITS | {"family": "mlp", "head": "nll"},
        DIABETES,
        DIABETES | {"head": "mse_column"},
        CANCER,
        CANCER | {"head": "cross_entropy"},
        CANCER | {"head": "bce"},
        CANCER | {"data": "digits", "family": "gru", "scaling": "whole", "head": "cross_entropy"},
    ):
        for strength in FAULTS[name].strengths:
            try:
                faulty = planted(parent, [(name, strength)]).render()
            except NotApplicable:
                continue
            applied += 1
            compile(faulty, "recipe.py", "exec")
            assert changed_lines(script(parent).render(), faulty)
    assert applied


def test_a_rate_too_high_is_one_changed_line():
    parent = DIGITS | {"family": "mlp"}
    sound, faulty = script(parent).render(), planted(parent, [("rate_too_high", 100)]).render()
    (line,) = changed_lines(sound, faulty)
    assert faulty.splitlines()[line - 1].strip() == "lr=0.5,"
    assert [a for a, b in zip(sound.splitlines(), faulty.splitlines(), strict=True) if a != b] == [
        "        lr=0.005,"
    ]


def test_two_faults_are_planted_together_and_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.faults.cases.write_case", lambda case, folder: _written(case, folder))

    def _written(case, folder):
        path = folder / "case.py"
        path.write_text(planted(DIGITS | {"family": "mlp"}, case["faults"]).render())
        return path

    faults = [("rate_too_high", 1000), ("softmax_before_cross_entropy", "")]
    case, kept = record("digits-mlp", DIGITS | {"family": "mlp"}, faults, tmp_path)
    assert kept
    assert case["causes"] == ["lr-too-high", "loss-output-mismatch"]
    assert len(case["lines"]) == 2


def test_the_split_of_a_set_is_always_the_same_and_shares_no_row():
    once, again = load("breast_cancer"), load("breast_cancer")
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(once, again, strict=True))
    assert sum(len(part[1]) for part in once) == 569
    rows = {tuple(row) for x, _ in once for row in x}
    assert len(rows) == 569


def test_parts_share_no_data_set_and_no_parent():
    sets = data_sets()
    for part in PARTS:
        mine = {s["data"] for s in parents(part).values()}
        assert mine <= {name for name, entry in sets.items() if entry.part == part}
        assert {case["parent"] for case in cases(part)} <= set(parents(part))
    drawn = [
        c for entry in sets.values() for c in entry.options.get("classes", []) if entry.source == "quickdraw"
    ]
    assert len(drawn) == len(set(drawn))


def test_stored_cases_lose_a_tenth_or_spoil_the_yardstick():
    for part in PARTS:
        stored = cases(part)
        assert len({case["id"] for case in stored}) == len(stored)
        assert all(case["by_construction"] or case["lost"] >= 0.1 for case in stored)
        assert all(f in FAULTS for case in stored for f, _ in case["faults"])


def test_skill_is_zero_for_the_commonest_class_and_one_for_all_right():
    labels = torch.tensor([0, 0, 0, 1])
    assert skill(torch.tensor([[1.0, 0.0]] * 4), labels, 2, "cross_entropy") == pytest.approx(0)
    assert skill(torch.tensor([-1.0, -1.0, -1.0, 1.0]), labels, 2, "bce_with_logits") == pytest.approx(1)
    amounts = torch.tensor([1.0, 2.0, 3.0])
    assert skill(torch.full((3, 1), 2.0), amounts, 0, "mse") == pytest.approx(0)


# What two researchers would say of four lines, by hand.
def line(key, causes, found, *, healthy=False, outcome="findings", lines=(7,)):
    findings = [
        {"cause": c, "status": s, "confidence": p, "where": {"line": at, "layer": None, "attribute": None}}
        for c, s, p, at in found
    ]
    about = {"key": key, "parent": key, "data": key, "healthy": healthy, "outcome": outcome, "family": "mlp"}
    about |= {
        "causes": causes,
        "also": ["too-few-epochs"] if causes else [],
        "lines": list(lines),
        "layers": [],
    }
    about |= {
        "attributes": ["lr"],
        "faults": [["f", 1]] * len(causes or []),
        "visible": ["early"],
        "error": "",
    }
    return about | {
        "findings": findings,
        "considered": [],
        "spent": {"epochs": 5, "trials": 1},
        "wall_seconds": 2.0,
    }


FOUR = [
    line("a", ["lr-too-low"], [("lr-too-low", "confirmed", 0.9, 8)]),
    line(
        "b", ["lr-too-low"], [("batch-size", "confirmed", 0.8, 1), ("too-few-epochs", "suspected", 0.6, 30)]
    ),
    line("c", ["lr-too-low"], [], outcome="healthy"),
    line("d", None, [("lr-too-high", "suspected", 0.6, 3)], healthy=True),
]


def test_the_report_counts_what_a_reader_would_count():
    assert [named(entry, 1) for entry in FOUR[:3]] == [True, False, False]
    assert [named(entry, 3) for entry in FOUR[:3]] == [True, True, False]
    assert [placed(entry) for entry in FOUR[:3]] == [True, False, False]
    about = {
        "part": "fit",
        "date": "-",
        "netwright": "-",
        "budget": "-",
        "seed": 0,
        "device": "CPU",
        "recipes": "4",
    }
    text, document = text_of({"diagnose": FOUR}, about)
    assert document["rates"]["detected"][:2] == [2, 3]
    assert document["rates"]["named first, or an equivalent"][:2] == [1, 3]
    assert document["rates"]["false alarms on healthy recipes, a run"][:2] == [1, 1]
    confirmed = "confirmed findings that name a planted cause or an equivalent"
    assert document["rates"][confirmed][:2] == [1, 2]
    assert "| lr-too-low | 3 | 2 | 1 | 2 | 1 | 1 |" in text


def test_a_share_of_none_has_the_exact_interval_over_parents():
    assert clopper_pearson(0, 150)[1] == pytest.approx(0.0243, abs=1e-3)
    none = rate([False] * 300, ["set"] * 300, [f"p{k // 2}" for k in range(300)])
    assert (none.low, round(none.high, 4)) == (0.0, 0.0243)


def test_cases_of_one_data_set_stand_or_fall_together():
    hits = [True, True, True, False, False, False] * 5
    alone = rate(hits, [f"d{k}" for k in range(30)], [f"p{k}" for k in range(30)])
    together = rate(hits, [f"d{h}" for h in hits], [f"p{h}" for h in hits])
    assert together.high - together.low > alone.high - alone.low
    assert alone.low < 0.5 < alone.high


def test_calibration_says_what_was_stated_and_what_came_true():
    assert brier([1.0, 0.0], [True, False]) == 0
    assert brier([0.5, 0.5], [True, False]) == 0.25
    assert reliability([0.95, 0.97, 0.1], [True, False, False])[-1][1:] == (2, pytest.approx(0.96), 0.5)


def test_published_rules_fire_on_what_they_describe():
    calm = History(
        loss=[1.0, 0.9, 0.8], gradient_norm=[1.0] * 3, train_score=[0.5, 0.9], val_score=[0.5, 0.9]
    )
    calm.train_loss, calm.val_loss, calm.epochs = [0.8, 0.5], [0.8, 0.5], 2
    calm.first_last, calm.zero_gradients = [(1.0, 1.0)] * 3, [0.1] * 3
    assert autotrainer(calm) == []
    assert sagemaker(calm) == []
    calm.loss[-1] = float("nan")
    assert autotrainer(calm) == ["exploding gradient"]
    assert sagemaker(calm) == ["ExplodingTensor"]
