"""The listing on the screen and on the page: calm on a simple network, folded on a deep one, whole in any
width."""

import io
import re

import attrs
import pytest
from rich.console import Console

from netwright.values import Comparison, LookResult, ModuleLine, compared, cost
from netwright.views import look_html, words
from netwright.views.listing import listing
from values.layers import line

HISTOGRAM = (1, 2, 3, 4, 5, 6, 7, 8) * 2


def shown(result, width=120, **console):
    out = io.StringIO()
    Console(file=out, width=width, **console).print(listing(result))
    return "\n".join(text.rstrip() for text in out.getvalue().splitlines())


def result_of(lines, modules=(), **changes):
    named = {"modules": tuple(modules), "total": cost(lines), **changes}
    return LookResult("net", "as it is", tuple(lines), 8, **named)


SIMPLE = [
    line(
        "0",
        "Conv2d",
        input_shape=(1, 8, 8),
        output_shape=(16, 6, 6),
        parameters=160,
        flops=103_680,
        file="d.py",
        line=7,
        behaviour={"histogram": HISTOGRAM, "gradient": 0.011},
        bytes=2304,
        seconds=2e-3,
    ),
    line(
        "1",
        "ReLU",
        input_shape=(16, 6, 6),
        output_shape=(16, 6, 6),
        parameters=0,
        flops=None,
        trainable=None,
        behaviour={"zeros": 0.61, "gradient": None},
        bytes=2304,
        seconds=3e-5,
    ),
    line(
        "3",
        "Linear",
        input_shape=(16,),
        output_shape=(10,),
        parameters=170,
        flops=320,
        trainable=False,
        bytes=40,
        behaviour={"zeros": 0.0, "gradient": None},
    ),
]


def deep(blocks=12):
    lines = [line("stem", "Conv2d")]
    for n in range(blocks):
        zeros = {"zeros": 0.4 + n / 100, "gradient": None}
        lines += [
            line(f"body.{n}.attention", "MultiheadAttention", behaviour={"gradient": 10.0 ** -(1 + n % 3)}),
            line("", "relu", f"body.{n}", behaviour=zeros, file="net.py", line=31),
        ]
    modules = [
        ModuleLine("body", "Sequential", (4,), (4,)),
        *[ModuleLine(f"body.{n}", "Block", (4,), (4,), "net.py", 40) for n in range(blocks)],
    ]
    return result_of([*lines, line("head")], modules)


AGREED = """\
net       as it is · behaviour over 8 inputs

layer     in → out        params  MFLOP     mem    time  zero  behaviour  gradient
Conv2d 0  1×8×8 → 16×6×6     160   0.10  2.3 kB  2.0 ms        ▂▄▆█▂▄▆█     1.1e-2  ●         d.py:7
ReLU 1    16×6×6                         2.3 kB   30 µs  61 %
Linear 3  16 → 10            170  <0.01    40 B   10 µs   0 %                       ● frozen

total     330 parameters, 160 trainable · 0.10 MFLOP · 4.6 kB of outputs · 2.0 ms for 8 inputs"""


def test_a_simple_network_is_a_line_a_layer_and_a_total():
    assert shown(result_of(SIMPLE)) == AGREED


def test_a_narrow_window_does_without_memory_and_time_first():
    head = shown(result_of(SIMPLE), 80).splitlines()[2]
    assert "mem" not in head and "time" not in head and "gradient" in head
    assert "d.py:7" not in shown(result_of(SIMPLE), 84)


def test_a_deep_network_is_folded_under_its_modules_with_ranges():
    text = shown(deep())
    assert [re.sub(r"\s{2,}.*", "", t) for t in text.splitlines()[3:8]] == [
        "Conv2d stem", "Sequential body", "", "", "",
    ]  # fmt: skip
    assert "  Block ×12 0 … 11" in text and "    MultiheadAttention attention" in text
    assert "40–51 %" in text and "1.0e-3…1.0e-1" in text
    assert "    relu" in text and text.count("relu") == 1
    assert re.search(r"Block ×12 0 … 11 .* 240 .*net.py:40", text)


def test_a_closed_module_tells_of_what_is_wrong_inside():
    result = deep(3)
    ill = tuple(
        attrs.evolve(x, findings=("dead-units",)) if x.name.startswith("body.1") else x for x in result.layers
    )
    text = shown(attrs.evolve(result, layers=ill, depth=1))
    assert re.search(r"Sequential body .*● dead-units", text)
    assert "Block" not in text


def test_a_filter_says_how_much_it_hides():
    text = shown(result_of(SIMPLE[:1], hidden=2, where="conv"), 140)
    assert "2 of 3 lines hidden by --where 'conv'" in text


def test_a_line_that_did_not_run_and_shared_weights_are_said():
    lines = [line("a", calls=0), line("b", calls=7), line("c", shares="a")]
    text = shown(result_of(lines))
    assert "not called" in text and "7 calls" in text and "shares a" in text


def test_a_layer_that_gets_no_gradient_is_not_called_healthy():
    text = shown(result_of([line("a", behaviour={"gradient": 0.0}), line("b")]))
    [dead, healthy] = text.splitlines()[3:5]
    assert dead.endswith("● no gradient") and healthy.endswith("●")


def against(**changes):
    other = [
        attrs.evolve(SIMPLE[0], output_shape=(32, 6, 6), parameters=320, settings="stride=2"),
        line("1", "BatchNorm2d", parameters=64),
        attrs.evolve(SIMPLE[1], name="2"),
        attrs.evolve(SIMPLE[2], settings="bias=False"),
    ]
    pairs = compared(SIMPLE, other)
    beside = Comparison("other", "seed 0", tuple(other), cost(other), pairs)
    return result_of(SIMPLE, against=attrs.evolve(beside, **changes))


def test_two_networks_stand_side_by_side_with_signs():
    lines = shown(against(), 140).splitlines()
    starts = [re.sub(r"\s{2,}", "|", x)[:1] for x in lines[5:9]]
    assert starts == ["≠", "+", "|", "≠"]
    assert "1×8×8 → 32×6×6" in lines[5] and "BatchNorm2d 1" in lines[6] and "bias=False" in lines[8]
    assert any(re.match(r"parameters\s+330\s+554\s+\+224", x) for x in lines)
    assert any(re.match(r"time .*×1\.0", x) for x in lines)


def test_in_a_narrow_window_what_differs_is_below_each_other():
    lines = shown(against(), 60).splitlines()
    assert any(x.startswith("− Conv2d 0") for x in lines) and any(x.startswith("+ Conv2d 0") for x in lines)
    assert any(x.startswith("  ReLU 1") for x in lines)


def test_long_stretches_of_equal_lines_are_counted():
    lines = [line(str(n), parameters=n) for n in range(40)]
    beside = Comparison("other", "", tuple(lines), cost(lines), compared(lines, lines))
    result = result_of(lines, against=beside)
    assert "… 38 equal lines" in shown(result)
    assert shown(attrs.evolve(result, unfold=True)).count("Linear") == 80


VIEWS = {
    "simple": result_of(SIMPLE),
    "deep": deep(),
    "against": against(),
    "flat": result_of(SIMPLE, sort="flops"),
}


@pytest.mark.parametrize("width", [30, 60, 80, 100, 120, 160, 240])
@pytest.mark.parametrize("name", VIEWS)
def test_no_line_is_wider_than_the_window_or_160(name, width):
    assert max(len(x) for x in shown(VIEWS[name], width).splitlines()) <= min(width, 160)


@pytest.mark.parametrize("name", VIEWS)
def test_a_page_shows_the_same_rows(name):
    page = look_html(VIEWS[name])
    seen = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.partition("</style>")[2]))
    said = {"simple": "d.py:7", "deep": "×12 0 … 11", "against": "BatchNorm2d 1", "flat": "Linear 3"}[name]
    assert said in re.sub(r" +", " ", seen)
    assert "None" not in seen


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(8e-6, "8 µs"), (9.996e-4, "1.0 ms"), (0.0023, "2.3 ms"), (0.25, "250 ms"), (1.25, "1.2 s"), (None, "")],
)
def test_a_short_time_is_said_in_its_own_unit(seconds, said):
    assert words.moment(seconds) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [(0, "0 B"), (512, "512 B"), (2304, "2.3 kB"), (392_000, "392 kB"), (3_100_000, "3.1 MB"), (None, "")],
)
def test_bytes_are_said_in_their_own_unit(amount, said):
    assert words.size(amount) == said


def test_what_differs_is_coloured_beside_its_sign():
    text = shown(against(), 140, force_terminal=True, color_system="standard")
    changed = next(x for x in text.splitlines() if "32×6×6" in x)
    assert (
        "\x1b[33m≠" in changed and "\x1b[33m1×8×8 → 32×6×6" in changed and "\x1b[33m1×8×8 → 16" not in changed
    )
