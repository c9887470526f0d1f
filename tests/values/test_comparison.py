"""Two networks beside each other: what belongs together is found, and nothing is lost."""

import attrs
from hypothesis import given
from hypothesis import strategies as st

from netwright.values import compared
from values.layers import line


def net(*kinds):
    return [line(str(n), kind, parameters=20 if kind == "Linear" else 0) for n, kind in enumerate(kinds)]


def told(left, right):
    pairs = compared(left, right)
    return [
        (None if p.left is None else left[p.left].name, None if p.right is None else right[p.right].name)
        for p in pairs
    ]


def test_a_network_beside_itself_has_nothing_changed():
    layers = net("Linear", "ReLU", "Linear")
    assert [(p.left, p.right, p.changed) for p in compared(layers, layers)] == [(n, n, ()) for n in range(3)]


def test_a_layer_that_was_put_in_shifts_the_names_and_not_the_pairs():
    left, right = net("Linear", "ReLU", "Linear", "ReLU"), net("Linear", "Norm", "ReLU", "Linear", "ReLU")
    assert told(left, right) == [("0", "0"), (None, "1"), ("1", "2"), ("2", "3"), ("3", "4")]


def test_a_layer_that_was_taken_out_stands_alone():
    left, right = net("Linear", "Norm", "ReLU", "Linear"), net("Linear", "ReLU", "Linear")
    assert told(left, right) == [("0", "0"), ("1", None), ("2", "1"), ("3", "2")]


def test_an_exchanged_activation_is_one_changed_line():
    left, right = net("Linear", "ReLU", "Linear"), net("Linear", "GELU", "Linear")
    assert [p.changed for p in compared(left, right)] == [(), ("kind",), ()]


def test_the_fields_that_differ_are_named():
    left = net("Linear", "ReLU")
    right = [attrs.evolve(left[0], output_shape=(8,), parameters=40, trainable=False), left[1]]
    assert compared(left, right)[0].changed == ("output_shape", "parameters", "trainable")


def test_blocks_added_at_the_end_of_a_stage_are_the_ones_that_are_new():
    def stage(name, blocks):
        return [
            line(f"{name}.{n}.{part}", kind)
            for n in range(blocks)
            for part, kind in (("a", "Linear"), ("b", "Norm"))
        ]

    left, right = [*stage("one", 2), *stage("two", 2)], [*stage("one", 3), *stage("two", 2)]
    new = [right for left, right in told(left, right) if left is None]
    assert new == ["one.2.a", "one.2.b"]


def test_two_long_networks_that_share_little_are_compared_all_the_same():
    left, right = net(*["Linear", "ReLU"] * 300), net(*["Linear", "GELU", "Norm"] * 300)
    pairs = compared(left, right)
    assert [p.left for p in pairs if p.left is not None] == list(range(600))
    assert sum(p.left is not None and p.right is not None for p in pairs) == 300


_kinds = st.lists(st.sampled_from(["Linear", "ReLU", "Norm"]), max_size=12)


@given(_kinds, _kinds)
def test_every_line_of_both_is_there_once_and_in_order(left, right):
    pairs = compared(net(*left), net(*right))
    assert [p.left for p in pairs if p.left is not None] == list(range(len(left)))
    assert [p.right for p in pairs if p.right is not None] == list(range(len(right)))
