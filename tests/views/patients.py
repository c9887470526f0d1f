"""Results with invented numbers, as realistic as those of a real run."""

import math
import random

from netwright.values import (
    Attribute,
    AttributesResult,
    Change,
    Curve,
    DiagnoseResult,
    Edit,
    Finding,
    ImproveResult,
    LayerLine,
    LookResult,
    MetricName,
    Overview,
    Pattern,
    Place,
    ScanResult,
    Spent,
    TestEffect,
    Verdict,
)

OVERVIEW = Overview(
    "digits", "1,797 images 1×8×8, 10 classes", "Conv2d, Linear, 5,930 parameters", "sgd, lr 10"
)

TOO_HIGH = Finding(
    cause="lr-too-high",
    where=Place(file="digits.py", line=17, attribute="lr"),
    evidence={
        "rate": 10.0,
        "largest_falling_rate": 0.5,
        "best_rate": 0.21,
        "first_step_factor": 400.3,
        "training_skill": 0.004,
        "loss_after_epoch_3": None,
        "written": "lr=10.0",
    },
    explanation=(
        "The first step makes the loss 400 times larger. It falls steadily up to a rate of 0.5"
        " (range test, 60 steps); this one is 20 times that."
    ),
    ideas=("lower-learning-rate",),
    check="lr-too-high",
    confidence=0.97,
    status="confirmed",
    severity="error",
    confuses="inputs of a large scale, which make every rate too high; a loss that is summed over the batch",
    reference="Smith, Cyclical Learning Rates (2017), section 3.3",
    confirmation={
        "symptom": "training skill stays under 0.3",
        "horizon_epochs": 10,
        "seeds": 5,
        "repair": "lr 10 → 0.1",
        "effect": 0.85,
        "low": 0.84,
        "high": 0.87,
        "gone_on": 5,
        "sham": "weight decay 0 → 1e-07 (sham)",
        "sham_gone_on": 0,
        "rival": "input-scale",
        "rival_repair": "inputs standardised",
        "rival_gone_on": 0,
        "better_than_rival": 0.84,
    },
)

UNSCALED = Finding(
    cause="input-scale",
    where=Place(file="digits.py", line=15, attribute="input_scaling"),
    evidence={"offset": 2.1, "spread": 31.0, "size": 7.7},
    explanation="Inputs have a size of about 7.7 where the initial weights assume about 1.",
    ideas=("standardise-inputs",),
    check="input-scale",
    confidence=0.31,
    severity="warning",
    confuses="sparse counts, where large spreads are natural; a rate that is too high for any scale",
    reference="LeCun et al., Efficient BackProp (1998), section 4.3",
)

DEAD = Finding(
    cause="dead-units",
    where=Place(layer="features.1", file="digits.py", line=9),
    evidence={"share_dead": 0.04},
    explanation="Units that never fire: 4 % of them.",
    check="dead-units",
    confidence=0.05,
    status="refuted",
    severity="note",
    confirmation={
        "symptom": "validation scores lower than with the repair",
        "seeds": 5,
        "repair": "ReLU → LeakyReLU",
        "effect": -0.01,
        "low": -0.03,
        "high": 0.01,
        "gone_on": None,
    },
)


def _verdict(
    label: str, word: str, effect: float | None, low: float | None, high: float | None, **more: object
) -> Verdict:
    known: dict[str, object] = {
        "margin": 0.009,
        "seeds": 5,
        "epochs": 10,
        "edit": Edit.set("training.lr", 0.1),
    }
    if low is not None and high is not None:
        known |= {
            "low_samples": low - 0.009,
            "high_samples": high + 0.006,
            "p_value": 0.0004,
            "p_adjusted": 0.003,
        }
    return Verdict(
        label.replace(" ", "-"),
        label.split()[0],
        word,  # type: ignore[arg-type]
        effect,
        low,
        high,
        label=label,
        **(known | more),  # type: ignore[arg-type]
    )


VERDICTS = (
    _verdict("momentum 0 → 0.9", "helps", 0.02, 0.012, 0.031),
    _verdict("batch norm after Conv2d", "unclear", 0.003, -0.008, 0.012),
    _verdict("lr 10 → 0.1", "helps", 0.851, 0.838, 0.866),
    _verdict("dropout 0.5 before Linear", "hurts", -0.034, -0.051, -0.017),
    _verdict("weight decay 0 → 1e-4", "no difference", 0.0004, -0.0031, 0.0035),
    _verdict(
        "lr 10 → 3",
        "failed",
        None,
        None,
        None,
        reason="the loss stops being finite on 5 of 5 seeds",
        diverged=5,
    ),
    _verdict(
        "duplicates dropped",
        "yardstick changed",
        -0.012,
        -0.02,
        -0.004,
        reason="13 samples straddled the parts",
    ),
    _verdict(
        "cosine schedule",
        "unclear",
        None,
        None,
        None,
        screened=0.011,
        horizon=0.3,
        seeds=1,
        reason="not put to confirmation: the budget was spent",
    ),
)

CHANGES = (
    Change("digits.py", 17, "lr", "lr=10.0", "lr=0.1"),
    Change("digits.py", 17, "momentum", "not set", "momentum=0.9"),
)


def _curves(healthy: bool) -> tuple[Curve, ...]:
    chance = random.Random(7 + healthy)
    curves = []
    for seed in range(5):
        loss: list[float | None] = []
        score: list[float | None] = []
        for epoch in range(10):
            wobble = chance.uniform(0.9, 1.1)
            if healthy:
                loss.append((0.05 + 1.9 * math.exp(-0.55 * epoch)) * wobble)
                score.append(min(0.985, 0.985 - 0.6 * math.exp(-0.7 * epoch) * wobble))
            elif seed == 3 and epoch >= 4:
                loss.append(None)
                score.append(None)
            else:
                loss.append((2.3 + 900 * math.exp(-0.9 * epoch)) * wobble * (30 if seed == 3 else 1))
                score.append(0.1 * wobble)
        val = tuple(None if v is None else v * 1.15 for v in loss)
        curves.append(Curve("after" if healthy else "before", seed, tuple(loss), val, tuple(score)))
    return tuple(curves)


IMPROVED = ImproveResult(
    recipe="digits.py:recipe",
    fingerprint="9f2c61d0",
    outcome="improved",
    metric=MetricName("accuracy", True, 0.1018, 1.0),
    before={"train": 0.101, "val": 0.1, "test": 0.111},
    after={"train": 0.996, "val": 0.974, "test": 0.981},
    findings=(TOO_HIGH, UNSCALED),
    considered=(DEAD,),
    verdicts=VERDICTS,
    changes=CHANGES,
    test=TestEffect(1, 270, 0.87, 0.84, 0.9),
    weights=".netwright/digits.safetensors",
    load=".netwright/load.py",
    spent=Spent(98.2, 212, 4770, 16),
    report=".netwright/digits.html",
    overview=OVERVIEW,
    edits=(
        Edit.set("training.lr", 0.1, "lr 10 → 0.1"),
        Edit.set("training.momentum", 0.9, "momentum 0 → 0.9"),
    ),
    budget="2 min 00 s",
    plan="1 training ≈ 0.4 s; 2 min 00 s buys a baseline, two confirmations and about 16 trials",
    baseline="validation 0.10, chance is 0.10 · 5 seeds × 10 epochs",
    curves_before=_curves(False),
    curves_after=_curves(True),
    weights_score=0.9778,
    weights_run="seed 12",
    screened=11,
    failed=3,
    notes=("Without groups= or time= the split is random; say so if samples are not independent.",),
    skipped={"batch-leak": "needs an optimizer", "split-drift": "muted in pyproject.toml"},
)

STUCK = ImproveResult(
    recipe="house.py:recipe",
    fingerprint="77aa",
    outcome="not improved",
    metric=MetricName("r2", True, 0.0, 1.0),
    before={"train": 0.61, "val": 0.583, "test": None},
    after={"train": 0.61, "val": 0.583, "test": None},
    findings=(),
    considered=(DEAD, UNSCALED),
    verdicts=(VERDICTS[1], VERDICTS[4]),
    changes=(),
    test=None,
    weights=None,
    load=None,
    spent=Spent(3600.0, 0, 20000, 9),
    report=None,
    overview=Overview(
        "california-housing", "20,640 rows of 8 features", "4 × Linear, 12,345 parameters", "adam, lr 1e-3"
    ),
    baseline="validation 0.58, chance is 0.00 · 5 seeds × 40 epochs",
    next_steps=(
        "more data: the gap between training and validation is closed",
        "a wider network: depth and width were not tried",
    ),
)

DIAGNOSED = DiagnoseResult(
    recipe="digits.py:recipe",
    fingerprint="9f2c61d0",
    healthy=False,
    outcome="findings",
    findings=(TOO_HIGH, UNSCALED),
    considered=(DEAD,),
    spent=Spent(12.3, 62, 1400, 0),
    overview=OVERVIEW,
    run="trained, seed 0",
    notes=("The labels of 3 samples were taken on trust.",),
    skipped={"batch-leak": "needs an optimizer"},
)

HEALTHY = DiagnoseResult(
    "digits.py:recipe", "9f2c61d0", True, "healthy", (), (), Spent(4.0, 10, 220, 0), OVERVIEW
)

SCANNED = ScanResult(
    data="1,797 images 1×8×8, 10 classes",
    patterns=(
        Pattern(
            "duplicates",
            0.012,
            ("12", "845", "1203"),
            0.99,
            "13 samples are in training and in validation.",
            "drop them",
        ),
        Pattern(
            "label-noise",
            None,
            tuple(str(n) for n in range(40)),
            0.62,
            "About 2 % of the labels look wrong.",
            "look at them",
        ),
    ),
    spent=Spent(1.4),
    notes=("first 1,000 of 1,797 samples were compared pair by pair",),
)

_COUNTS = (2, 5, 9, 20, 55, 130, 260, 400, 390, 270, 120, 60, 22, 8, 4, 1)


def _layer(
    name: str,
    kind: str,
    given: tuple[int, ...] | None,
    made: tuple[int, ...] | None,
    parameters: int,
    flops: int | None,
    **more: object,
) -> LayerLine:
    known: dict[str, object] = {
        "depth": 1,
        "trainable": True if parameters else None,
        "file": "digits.py",
        "line": 9,
        "behaviour": {},
        "findings": (),
    }
    return LayerLine(
        name, kind, input_shape=given, output_shape=made, parameters=parameters, flops=flops, **(known | more)
    )  # type: ignore[arg-type]


LOOKED = LookResult(
    name="digits",
    run="untrained, seed 0",
    inputs=64,
    layers=(
        _layer(
            "features.0",
            "Conv2d",
            (1, 8, 8),
            (16, 6, 6),
            160,
            103_680,
            behaviour={"zeros": 0.02, "histogram": _COUNTS, "gradient": 0.0112},
        ),
        _layer(
            "features.1",
            "ReLU",
            (16, 6, 6),
            (16, 6, 6),
            0,
            0,
            depth=2,
            behaviour={"zeros": 0.61, "histogram": (900, *[40] * 15), "gradient": None},
            findings=("dead-units@features.1",),
        ),
        _layer("flatten", "Flatten", (16, 6, 6), (576,), 0, None),
        _layer(
            "head",
            "Linear",
            (576,),
            (10,),
            5770,
            11_520,
            behaviour={"zeros": 0.0, "histogram": _COUNTS[::-1], "gradient": 0.3},
            findings=(TOO_HIGH.id,),
        ),
        _layer("old", "Linear", None, (10,), 110, 200, trainable=False),
    ),
    findings=(TOO_HIGH, DEAD),
    notes=("zeros: first 16 of 64 inputs",),
)

ATTRIBUTES = AttributesResult(
    "digits.py:recipe",
    (
        Attribute("lr", 10.0, Place(file="digits.py", line=17, attribute="lr"), True, True, "lr=10.0"),
        Attribute("momentum", 0, Place(file="digits.py", line=17, attribute="momentum")),
        Attribute(
            "batch_size",
            64,
            Place(file="digits.py", line=18, attribute="batch_size"),
            True,
            False,
            'config["batch"]',
        ),
        Attribute("schedule", None, Place(file="digits.py", line=17, attribute="schedule")),
        Attribute("width", [16, 10], Place(file="digits.py", line=9, attribute="width"), True),
    ),
)
