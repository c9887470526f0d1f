"""What a network read from ONNX is made of: layers of torch.nn, names of the file, code that can be read."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from benchmarks.ports.zoo import ZOO
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from netwright.ports.onnx.read import read
from ports.onnx.models import assert_same, by_runtime, exported, floats, layers_of, model, one, outputs_of


def test_names_are_those_of_the_file_and_the_code_can_be_read() -> None:
    network, inputs = ZOO["alexnet"]()
    back = read(exported(network, inputs))
    assert isinstance(layers_of(back)["features_0"], nn.Conv2d)
    assert isinstance(layers_of(back)["classifier_1"], nn.Linear)
    assert "features_0 = self.features_0(image)" in back.code


def test_weights_are_parameters_and_other_constants_buffers() -> None:
    add = helper.make_node("Add", ["x", "table"], ["a"], name="add")
    compare = helper.make_node("Less", ["a", "limits"], ["y"], name="less")
    folded = helper.make_node("Sin", ["phases"], ["waves"], name="sin")
    final = helper.make_node("Add", ["a", "waves"], ["z"], name="final")
    constants = {"table": floats(4), "limits": np.full(4, np.inf, np.float32), "phases": floats(4)}
    content = model(
        [folded, add, compare, final], {"x": (2, 4)}, ["y", "z"], constants, kinds={"y": TensorProto.BOOL}
    )
    network = read(content)
    assert [name for name, _ in network.named_parameters()] == ["table"]
    assert len(list(network.buffers())) == 2


def test_a_weight_that_two_layers_share_stays_shared() -> None:
    first = helper.make_node("MatMul", ["x", "w"], ["a"], name="first")
    second = helper.make_node("MatMul", ["a", "w"], ["y"], name="second")
    network = read(model([first, second], {"x": (2, 4)}, constants={"w": floats(4, 4)}))
    assert len(list(network.parameters())) == 1


def test_an_addition_after_a_product_is_the_bias_of_a_linear_layer() -> None:
    product = helper.make_node("MatMul", ["x", "w"], ["a"], name="product")
    add = helper.make_node("Add", ["a", "fc.bias"], ["y"], name="add")
    content = model([product, add], {"x": (2, 4)}, constants={"w": floats(4, 3), "fc.bias": floats(3)})
    network, x = read(content), torch.from_numpy(floats(2, 4))
    assert {name: type(layer) for name, layer in layers_of(network).items()} == {"fc": nn.Linear}
    assert_same(outputs_of(network, x), by_runtime(content, x))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(ZOO) - {"fcn"}))
def test_shapes_computed_in_the_model_stay_right_for_another_batch(name: str) -> None:
    network, inputs = ZOO[name]()
    names = [f"input{k}" for k in range(len(inputs))]
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old exporter warns of itself
        axes = {name: {0: "batch"} for name in names}
        torch.onnx.export(network, inputs, file, dynamo=False, input_names=names, dynamic_axes=axes)
    back = read(file.getvalue())
    fewer = tuple(tensor[:3] for tensor in inputs)
    assert_same(outputs_of(back, *fewer), outputs_of(network, *fewer))


def branching(condition: onnx.NodeProto | None) -> bytes:
    """x · w where the flag holds, otherwise relu(x)."""

    def branch(name: str, node: onnx.NodeProto) -> onnx.GraphProto:
        output = helper.make_tensor_value_info(node.output[0], 1, None)
        return helper.make_graph([node], name, [], [output])

    then = branch("then", helper.make_node("Mul", ["x", "w"], ["t"], name="product"))
    other = branch("else", helper.make_node("Relu", ["x"], ["e"], name="relu"))
    choose = helper.make_node("If", ["flag"], ["y"], name="choice", then_branch=then, else_branch=other)
    inputs: dict[str, tuple[int, ...]] = {"x": (2, 4)} | ({} if condition is not None else {"flag": ()})
    nodes = [choose] if condition is None else [condition, choose]
    return model(nodes, inputs, constants={"w": floats(4)}, kinds={"flag": TensorProto.BOOL})


@pytest.mark.parametrize("flag", [True, False])
def test_a_branch_is_chosen_when_the_network_runs(flag: bool) -> None:
    content, x = branching(None), torch.from_numpy(floats(2, 4))
    network = read(content)
    assert list(layers_of(network)) == ["choice"]
    assert_same(outputs_of(network, x, torch.tensor(flag)), by_runtime(content, x, torch.tensor(flag)))


def test_a_branch_that_is_known_is_drawn_in_place() -> None:
    known = helper.make_node("Constant", [], ["flag"], value=numpy_helper.from_array(np.array(True), "flag"))
    network = read(branching(known))
    assert layers_of(network) == {}
    assert [name for name, _ in network.named_parameters()] == ["w"]


def test_functions_of_the_model_are_drawn_in_place() -> None:
    body = [
        helper.make_node("Mul", ["a", "b"], ["c"]),
        helper.make_node("LeakyRelu", ["c"], ["d"]),
    ]
    slope = body[1].attribute.add()
    slope.name, slope.ref_attr_name, slope.type = "alpha", "slope", onnx.AttributeProto.FLOAT
    opset = helper.make_opsetid("", 17)
    function = helper.make_function("own", "Scaled", ["a", "b"], ["d"], body, [opset], ["slope"])
    nodes = [
        helper.make_node("Scaled", ["x", "w"], ["h"], name="one", domain="own", slope=0.2),
        helper.make_node("Scaled", ["h", "w"], ["y"], name="two", domain="own", slope=0.4),
    ]
    domains = [helper.make_opsetid("own", 1)]
    content = model(nodes, {"x": (2, 4)}, constants={"w": floats(4)}, functions=[function], domains=domains)
    x = torch.from_numpy(floats(2, 4))
    assert_same(outputs_of(read(content), x), by_runtime(content, x))


def test_quantised_weights_are_trained_as_the_numbers_they_stand_for() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["dense"], name="dequantise", axis=0),
        helper.make_node("QuantizeLinear", ["x", "step", "none"], ["q"], name="quantise"),
        helper.make_node("DequantizeLinear", ["q", "step", "none"], ["xq"], name="back"),
        helper.make_node("MatMul", ["xq", "dense"], ["y"], name="product"),
    ]
    constants = {
        "w": np.arange(-6, 6, dtype=np.int8).reshape(4, 3),
        "scale": np.array([0.1, 0.2, 0.3, 0.4], np.float32),
        "zero": np.array([0, 1, -1, 2], np.int8),
        "step": np.array(0.05, np.float32),
        "none": np.array(128, np.uint8),
    }
    content = model(nodes, {"x": (2, 4)}, constants=constants)
    network, x = read(content), torch.from_numpy(floats(2, 4)).requires_grad_()
    assert_same(outputs_of(network, x.detach()), by_runtime(content, x.detach()))
    network(x).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert len(list(network.parameters())) == 1


def test_weights_in_half_precision_stay_so() -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="it")
    kinds = {"x": TensorProto.FLOAT16, "y": TensorProto.FLOAT16}
    content = model([node], {"x": (2, 4)}, constants={"w": floats(4, 3).astype(np.float16)}, kinds=kinds)
    network, x = read(content), torch.from_numpy(floats(2, 4)).half()
    assert all(parameter.dtype == torch.float16 for parameter in network.parameters())
    assert_same(outputs_of(network, x), by_runtime(content, x), tolerance=1e-2)


def test_weights_in_a_file_beside_the_model_are_read(tmp_path: Path) -> None:
    parsed = onnx.load_model_from_string(one("MatMul", ["x", "w"], w=floats(4, 64)))
    onnx.save(
        parsed, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0
    )
    network, x = read(tmp_path / "net.onnx"), torch.from_numpy(floats(2, 3, 4))
    expected: Tensor = x @ torch.from_numpy(floats(4, 64))
    torch.testing.assert_close(outputs_of(network, x)[0], expected)
