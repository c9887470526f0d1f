from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from netwright.ports.bisection import bisect


def chain(count: int) -> tuple[list[str], dict[str, frozenset[str]]]:
    names = [f"layer{i}" for i in range(count)]
    return names, {name: frozenset(names[:i]) for i, name in enumerate(names)}


@given(st.integers(2, 300), st.data())
def test_a_chain_is_searched_in_as_many_runs_as_halving_it_takes(count, data):
    names, upstream = chain(count)
    wrong = data.draw(st.integers(0, count - 1))
    found, runs = bisect(names, upstream, lambda name: names.index(name) >= wrong, names[-1])
    assert found == names[wrong]
    assert runs <= math.ceil(math.log2(count)) + 1


@st.composite
def graphs(draw):
    count = draw(st.integers(2, 60))
    names = [f"n{i}" for i in range(count)]
    upstream: dict[str, frozenset[str]] = {}
    for i, name in enumerate(names):
        sources = draw(st.lists(st.integers(max(0, i - 4), i - 1), min_size=1, max_size=3)) if i else []
        upstream[name] = frozenset(o for s in sources for o in (names[s], *upstream[names[s]]))
    return names, upstream


@given(graphs(), st.data())
def test_in_a_network_with_branches_the_altered_layer_is_found_within_the_limit(graph, data):
    names, upstream = graph
    inside = [n for n in names if n == names[-1] or n in upstream[names[-1]]]
    wrong = data.draw(st.sampled_from(inside))
    asked: list[str] = []

    def differs(name: str) -> bool:
        asked.append(name)
        return name == wrong or wrong in upstream[name]

    found, runs = bisect(names, upstream, differs, names[-1])
    assert runs == len(asked) <= 2 * math.ceil(math.log2(max(2, len(names)))) + 2
    assert found == wrong


def test_layers_that_cannot_be_read_are_passed_over():
    names, upstream = chain(8)
    unread = {"layer3", "layer4"}
    found, _ = bisect(names, upstream, lambda n: None if n in unread else names.index(n) >= 3, names[-1])
    assert found == "layer5", "the first that can be read and differs"
