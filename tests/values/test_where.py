"""Which lines an expression means, and that nothing of it is ever run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.values import UserError, Where, sorted_by
from values.layers import line

CONV = line("features.0", "Conv2d", parameters=160, behaviour={"gradient": 0.5, "mean": -1.0})
RELU = line("features.1", "ReLU", parameters=0, trainable=None, behaviour={"dead": 0.4, "zeros": 0.6})
OLD = line("old", "Linear", parameters=200_000, trainable=False, behaviour={"gradient": None}, seconds=None)
ADD = line("", "add", "features", findings=("x",), depth=1)
LINES = {"conv": CONV, "relu": RELU, "old": OLD, "add": ADD}


@pytest.mark.parametrize(
    ("expression", "meant"),
    [
        ("conv", {"conv"}),
        ("CONV2D", {"conv"}),
        ("features", {"conv", "relu"}),
        ("features and not relu", {"conv"}),
        ("'features.1'", {"relu"}),
        ("relu and dead>0.3", {"relu"}),
        ("conv and dead>0.3", set()),
        ("dead > 0.3 or zeros > 0.9", {"relu"}),
        ("params > 1e5 or frozen", {"old"}),
        ("parameters <= 160", {"conv", "relu", "add"}),
        ("10 < params < 200", {"conv"}),
        ("not relu", {"conv", "old", "add"}),
        ("frozen", {"old"}),
        ("trainable", {"conv"}),
        ("finding", {"add"}),
        ("gradient >= 0", {"conv", "relu", "add"}),
        ("seconds < 1", {"conv", "relu", "add"}),
        ("mean < -0.5", {"conv"}),
        ("mean == -1", {"conv"}),
        ("kind == 'relu' or kind == Linear", {"relu", "old"}),
        ("kind != add and depth == 1", {"conv", "relu"}),
        ("nosuchword", set()),
        ("nosuchword > 3", set()),
        ("kind > 3", set()),
        ("True", {"conv", "relu", "old", "add"}),
        ("  conv  ", {"conv"}),
    ],
)
def test_an_expression_means_these_lines(expression, meant):
    where = Where.parse(expression)
    assert {name for name, each in LINES.items() if where(each)} == meant


@pytest.mark.parametrize(
    "expression",
    [
        "", "conv and", "dead >> 3", "dead = 3", "__import__('os')", "conv.x()", "[1]", "lambda: 1",
        "dead in (1, 2)", "'\\d' >",
        "(conv and relu) > 1", "dead > (not 3)", "a if b else c", "1 + 1", "f'{dead}'", "x := 3", "conv relu",
        "~dead", "-conv", "None", "...", "b'a'", "1j", "a[0].b", "(" * 500 + ")" * 500, "not " * 400 + "conv",
        "a\nb",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_the_expression_and_an_example(expression):
    with pytest.raises(UserError) as raised:
        Where.parse(expression)
    said = str(raised.value)
    assert said.startswith("--where") and "--where 'conv and dead>0.3'" in said
    assert repr(expression)[:40].strip("'\"") in said
    assert len(said) < 250 and "\n" not in said


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_refused(text):
    try:
        where = Where.parse(text)
    except UserError:
        return
    assert where(CONV) in (True, False)


def test_the_largest_comes_first_and_what_was_not_measured_last():
    by_size = sorted_by(LINES.values(), "parameters")
    assert [x.name for x in by_size] == ["old", "features.0", "features.1", ""]
    assert [x.kind for x in sorted_by(LINES.values(), "dead")] == ["ReLU", "Conv2d", "Linear", "add"]
    assert next(iter(sorted_by(LINES.values(), "gradient"))) is CONV


def test_a_number_that_is_not_finite_is_not_the_largest():
    broken = line("nan", behaviour={"gradient": float("nan")})
    assert [x.name for x in sorted_by([broken, CONV], "gradient")] == ["features.0", "nan"]


def test_an_unknown_field_to_sort_by_is_refused_with_those_that_there_are():
    with pytest.raises(UserError, match="--sort colour: say one of parameters, flops"):
        sorted_by([], "colour")
