"""The tree of the listing: modules over their layers, equal neighbours as one, nothing lost."""

import attrs
from hypothesis import given
from hypothesis import strategies as st

from netwright.values import ModuleLine, cost, flat_rows, folded_rows
from values.layers import line


def block(path, **changes):
    return [
        line(f"{path}.linear", **changes),
        line("", "relu", path, behaviour={"zeros": 0.5}),
    ]


def network(blocks=3):
    lines = [line("stem"), *[x for n in range(blocks) for x in block(f"body.{n}")], line("head")]
    modules = [
        ModuleLine("", "Network"),
        ModuleLine("body", "Sequential"),
        *[ModuleLine(f"body.{n}", "Block") for n in range(blocks)],
    ]
    return lines, modules


def told(rows):
    return [(r.level, r.kind, r.name, r.times, r.last) for r in rows]


def test_equal_neighbours_are_one_block_with_the_range_of_their_names():
    assert told(folded_rows(*network())) == [
        (0, "Linear", "stem", 1, ""),
        (0, "Sequential", "body", 1, ""),
        (1, "Block", "0", 3, "2"),
        (2, "Linear", "linear", 1, ""),
        (2, "relu", "", 1, ""),
        (0, "Linear", "head", 1, ""),
    ]


def test_the_costs_of_a_folded_block_are_those_of_all_of_them():
    rows = folded_rows(*network())
    assert cost(rows[1].lines).parameters == cost(rows[2].lines).parameters == 3 * 20
    assert cost(rows[3].lines).parameters == 20 and len(rows[3].copies) == 3


def test_every_line_is_shown_when_asked_for():
    rows = folded_rows(*network(), unfold=True)
    assert [r.name for r in rows if r.kind == "Block"] == ["0", "1", "2"]
    assert sum(r.line is not None for r in rows) == 8


def test_below_a_depth_modules_are_closed():
    rows = folded_rows(*network(), depth=1)
    assert told(rows) == [
        (0, "Linear", "stem", 1, ""),
        (0, "Sequential", "body", 1, ""),
        (0, "Linear", "head", 1, ""),
    ]
    assert [r.closed for r in rows] == [False, True, False]
    assert len(rows[1].lines) == 6
    assert [r.kind for r in folded_rows(*network(), depth=2)] == ["Linear", "Sequential", "Block", "Linear"]


def test_a_block_with_a_finding_stands_alone():
    lines, modules = network(5)
    lines[5] = attrs.evolve(lines[5], findings=("dead-units",))
    rows = [r for r in folded_rows(lines, modules) if r.kind == "Block"]
    assert [(r.name, r.last, r.times) for r in rows] == [("0", "1", 2), ("2", "", 1), ("3", "4", 2)]


def test_a_block_that_a_finding_is_about_as_a_whole_stands_alone():
    lines, modules = network(3)
    modules[-1] = attrs.evolve(modules[-1], findings=("too-deep",))
    assert [r.times for r in folded_rows(lines, modules) if r.kind == "Block"] == [2, 1]


def test_a_frozen_block_is_not_folded_into_the_trained_ones():
    lines, modules = network(3)
    lines[3] = attrs.evolve(lines[3], trainable=False)
    assert [r.name for r in folded_rows(lines, modules) if r.kind == "Block"] == ["0", "1", "2"]


def test_blocks_of_other_shapes_or_settings_are_not_folded():
    for changed in ({"output_shape": (5,)}, {"settings": "stride=2"}, {"parameters": 21}, {"kind": "Conv2d"}):
        lines, modules = network(2)
        lines[3] = attrs.evolve(lines[3], **changed)
        assert [r.times for r in folded_rows(lines, modules) if r.kind == "Block"] == [1, 1]


def test_layers_that_repeat_without_a_module_fold_once_they_are_a_dozen():
    def layers(times):
        return [x for n in range(times) for x in (line(str(2 * n)), line(str(2 * n + 1), "ReLU"))]

    assert told(folded_rows(layers(50))) == [
        (0, "", "0", 50, "99"),
        (1, "Linear", "0", 1, ""),
        (1, "ReLU", "1", 1, ""),
    ]
    assert [len(folded_rows(layers(times))) for times in (5, 6)] == [10, 3]


def test_a_list_of_modules_that_is_never_called_has_no_row():
    lines = [line("layers.0"), line("", "relu", ""), line("layers.1", output_shape=(5,))]
    assert told(folded_rows(lines, [ModuleLine("", "Network")])) == [
        (0, "Linear", "layers.0", 1, ""),
        (0, "relu", "", 1, ""),
        (0, "Linear", "layers.1", 1, ""),
    ]


def test_a_flat_listing_has_the_whole_names():
    lines, _ = network(1)
    assert [r.name for r in flat_rows(lines)] == ["stem", "body.0.linear", "", "head"]


@given(
    st.lists(st.tuples(st.sampled_from(["", "a", "a.b", "c"]), st.sampled_from("xy")), max_size=40),
    st.none() | st.integers(1, 4),
    st.booleans(),
)
def test_whatever_the_tree_the_outermost_rows_hold_every_line_once(made, depth, unfold):
    lines = [line(f"{p}.{n}" if p else str(n), kind, p) for n, (p, kind) in enumerate(made)]
    modules = [ModuleLine(n, "M") for n in ("", "a", "a.b", "c")]
    rows = folded_rows(lines, modules, depth=depth, unfold=unfold)
    outermost = [x.name for r in rows if r.level == 0 for x in r.lines]
    assert outermost == [x.name for x in lines]
    if unfold:
        assert [r.line.name for r in rows if r.line] == [x.name for x in lines]
