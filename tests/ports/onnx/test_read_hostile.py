"""Damaged and hostile ONNX files: one sentence, no crash, no more memory than their size deserves."""

from __future__ import annotations

import ast
import tracemalloc
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from benchmarks.ports.zoo import ZOO
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from netwright.ports.onnx.read import read
from netwright.values import UserError
from ports.onnx.models import exported, model, one, outputs_of


@cache
def sound(name: str) -> bytes:
    return exported(*ZOO[name]())


def read_or_refused(content: bytes) -> None:
    try:
        read(content)
    except UserError as refused:
        sentence = str(refused)
        assert sentence.startswith("the ONNX model: ") and len(sentence) < 500


NAMES = st.sampled_from(["class-and-box", "lstm", "text", "attention"])


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(name=NAMES, share=st.floats(0, 0.999))
def test_a_truncated_file_is_refused(name: str, share: float) -> None:
    content = sound(name)
    read_or_refused(content[: int(len(content) * share)])


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    name=NAMES, flips=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 7)), min_size=1, max_size=20)
)
def test_flipped_bits_are_read_or_refused(name: str, flips: list[tuple[float, int]]) -> None:
    content = bytearray(sound(name))
    for place, bit in flips:
        content[int(place * len(content))] ^= 1 << bit
    read_or_refused(bytes(content))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(name=NAMES, data=st.data())
def test_attributes_shapes_and_inputs_of_any_value_are_read_or_refused(
    name: str, data: st.DataObject
) -> None:
    parsed = onnx.load_model_from_string(sound(name))
    node = parsed.graph.node[data.draw(st.integers(0, len(parsed.graph.node) - 1))]
    number = data.draw(st.sampled_from([0, -1, 1, 5, 2**31, -(2**31), 2**62]))
    for attribute in node.attribute:
        attribute.i = number if attribute.type == onnx.AttributeProto.INT else attribute.i
        for at in range(len(attribute.ints)):
            attribute.ints[at] = data.draw(st.sampled_from([attribute.ints[at], number]))
    for stored in parsed.graph.initializer:
        for at in range(len(stored.dims)):
            if data.draw(st.integers(0, 9)) == 0:
                stored.dims[at] = number
    if node.input and data.draw(st.booleans()):
        node.input[data.draw(st.integers(0, len(node.input) - 1))] = data.draw(
            st.sampled_from(["", "nothing"])
        )
    node.op_type = data.draw(
        st.sampled_from([node.op_type, "Loop", "If", "Expand", "Tile", "Range", "Resize"])
    )
    read_or_refused(parsed.SerializeToString())


def with_shape(dims: list[int], data: bytes) -> bytes:
    stored = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=data)
    parsed = onnx.load_model_from_string(one("MatMul", ["x", "w"], w=np.zeros((4, 4), np.float32)))
    parsed.graph.initializer[0].CopyFrom(stored)
    return parsed.SerializeToString()


@pytest.mark.parametrize("dims", [[4, 5], [2**40, 2**40], [-4, 4], [2**62]])
def test_a_tensor_that_does_not_fit_its_data_is_refused_by_name(dims: list[int]) -> None:
    with pytest.raises(UserError, match="tensor 'w'"):
        read(with_shape(dims, bytes(64)))


BOMBS = {
    "ConstantOfShape": helper.make_node("ConstantOfShape", ["big"], ["bomb"], name="bomb"),
    "Expand": helper.make_node("Expand", ["one", "big"], ["bomb"], name="bomb"),
    "Tile": helper.make_node("Tile", ["one", "big"], ["bomb"], name="bomb"),
    "Range": helper.make_node("Range", ["start", "end", "start"], ["bomb"], name="bomb"),
    "OneHot": helper.make_node("OneHot", ["start", "end", "pair"], ["bomb"], name="bomb"),
    "Pad": helper.make_node("Pad", ["one", "pads"], ["bomb"], name="bomb"),
    "Add": helper.make_node("Add", ["column", "row"], ["bomb"], name="bomb"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_constant_that_unfolds_beyond_the_size_of_the_file_is_not_computed_while_reading(kind: str) -> None:
    constants = {
        "big": np.array([2**16, 2**16]),
        "one": np.ones((1, 1), np.float32),
        "start": np.array(1),
        "end": np.array(2**33),
        "pair": np.array([0, 1], np.float32),
        "pads": np.array([0, 2**16, 0, 2**16]),
        "column": np.ones((20_000, 1), np.float32),
        "row": np.ones((1, 20_000), np.float32),
    }
    last = helper.make_node("Identity", ["bomb"], ["y"], name="last")
    content = model([BOMBS[kind], last], {"x": (1,)}, constants=constants)
    tracemalloc.start()
    before = torch_bytes()
    read_or_refused(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 128 * 2**20 and torch_bytes() - before < 256 * 2**20


def torch_bytes() -> int:
    """The most memory the process has held."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_a_cycle_and_a_missing_input_are_named() -> None:
    first = helper.make_node("Add", ["x", "b"], ["a"], name="first")
    second = helper.make_node("Relu", ["a"], ["b"], name="second")
    with pytest.raises(UserError, match=r"node 'first' \(Add\) uses 'b'"):
        read(model([first, second], {"x": (2,)}, ["b"]))


def test_an_operator_that_is_not_read_is_named_with_what_to_do() -> None:
    content = one("RoiAlign", ["x", "x", "x"])
    with pytest.raises(
        UserError, match=r"node 'it' \(RoiAlign\) is an operator that is not read; replace it"
    ):
        read(content)


def test_an_attribute_that_is_not_read_is_refused_rather_than_passed_over() -> None:
    content = one("Relu", ["x"], slope=0.5)
    with pytest.raises(UserError, match=r"node 'it' \(Relu\) has the attribute 'slope'"):
        read(content)


@pytest.mark.parametrize("depth", [5, 30])
def test_branches_nested_in_branches_are_read_or_refused(depth: int) -> None:
    output = helper.make_tensor_value_info("y", 1, None)
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "innermost", [], [output])
    leaf = graph
    for _ in range(depth):
        node = helper.make_node("If", ["flag"], ["y"], then_branch=graph, else_branch=leaf)
        graph = helper.make_graph([node], "around", [], [output])
    read_or_refused(model(list(graph.node), {"x": (2,), "flag": ()}, kinds={"flag": TensorProto.BOOL}))


def test_functions_that_call_themselves_are_refused() -> None:
    body = [helper.make_node("Again", ["a"], ["b"], domain="own")]
    function = helper.make_function("own", "Again", ["a"], ["b"], body, [helper.make_opsetid("own", 1)])
    node = helper.make_node("Again", ["x"], ["y"], domain="own", name="it")
    domains = [helper.make_opsetid("own", 1)]
    with pytest.raises(UserError, match="nested"):
        read(model([node], {"x": (2,)}, functions=[function], domains=domains))


def test_functions_that_unfold_without_end_are_refused() -> None:
    opset, functions = helper.make_opsetid("own", 1), []
    for depth in range(30):
        inner = f"F{depth + 1}" if depth < 29 else "Relu"
        domain = "own" if depth < 29 else ""
        body = [helper.make_node(inner, ["a"], [f"b{k}"], domain=domain) for k in range(4)]
        functions.append(helper.make_function("own", f"F{depth}", ["a"], ["b0"], body, [opset]))
    node = helper.make_node("F0", ["x"], ["y"], domain="own", name="it")
    with pytest.raises(UserError, match="unfold without end"):
        read(model([node], {"x": (2,)}, functions=functions, domains=[opset]))


@pytest.mark.parametrize(
    "name",
    [
        "x): import os; os.abort() #",
        "__import__('os').abort()",
        "self",
        "class",
        "a\nb",
        "forward",
        "",
        "é",
        "1x",
    ],
)
def test_no_name_of_a_file_becomes_code(name: str) -> None:
    wanted = name or "unnamed"
    nodes = [
        helper.make_node("MatMul", [wanted, wanted + "w"], [wanted + "1"], name=name),
        helper.make_node("Conv", [wanted + "1", wanted + "k"], [wanted + "2"], name=name + ";"),
        helper.make_node("Add", [wanted + "2", wanted + "b"], [wanted + "3"], name=name),
    ]
    constants = {
        wanted + "w": np.ones((5, 5), np.float32),
        wanted + "k": np.ones((3, 3, 1), np.float32),
        wanted + "b": np.ones((3, 1), np.float32),
    }
    network = read(model(nodes, {wanted: (2, 3, 5)}, [wanted + "3"], constants))
    tree = list(ast.walk(ast.parse(network.code.strip())))
    assert not [node for node in tree if isinstance(node, ast.Import | ast.ImportFrom)]
    called = [ast.unparse(node.func) for node in tree if isinstance(node, ast.Call)]
    assert all(name.startswith(("self.", "torch.", "netwright_")) for name in called)
    assert outputs_of(network, torch.ones(2, 3, 5))[0].shape == (2, 3, 5)


def external(folder: Path, location: str, **entries: str) -> Path:
    parsed = onnx.load_model_from_string(one("MatMul", ["x", "w"], w=np.zeros((4, 4), np.float32)))
    stored = parsed.graph.initializer[0]
    stored.ClearField("raw_data")
    stored.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        stored.external_data.add(key=key, value=value)
    path = folder / "net.onnx"
    path.write_bytes(parsed.SerializeToString())
    return path


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/passwd", "link", "", "missing", "inside/../../secret", "."]
)
def test_data_outside_the_models_folder_is_never_opened(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(64))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="not a file in the model's folder"):
        read(external(folder, location))


@pytest.mark.parametrize(
    "entries",
    [{"offset": "8"}, {"length": "4096"}, {"offset": "-4"}, {"offset": "many"}, {"offset": str(2**70)}],
)
def test_data_of_another_size_is_refused(tmp_path: Path, entries: dict[str, str]) -> None:
    (tmp_path / "data").write_bytes(bytes(64))
    with pytest.raises(UserError, match="tensor 'w'"):
        read(external(tmp_path, "data", **entries))


def test_data_beside_a_model_of_bytes_asks_for_the_path(tmp_path: Path) -> None:
    content = external(tmp_path, "data").read_bytes()
    with pytest.raises(UserError, match="read the model by its path"):
        read(content)


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 100, b"not a model", numpy_helper.from_array(np.ones(3)).SerializeToString()]
)
def test_what_is_no_model_is_called_so(content: bytes) -> None:
    with pytest.raises(UserError, match="ONNX model"):
        read(content)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"net\.onnx: no such file"):
        read(tmp_path / "net.onnx")
