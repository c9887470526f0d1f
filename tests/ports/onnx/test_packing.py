from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from netwright.ports.onnx.packing import pack


def parts(folder, arrays):
    """A model that adds its weights, which lie in a file beside it."""
    tensors = [numpy_helper.from_array(array, f"w{i}") for i, array in enumerate(arrays)]
    nodes = [helper.make_node("Sum", ["x", *(t.name for t in tensors)], ["y"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", "m"]) for name in "xy"]
    graph = helper.make_graph(nodes, "sum", values[:1], values[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    model.metadata_props.add(key="made", value="here")
    file = folder / "parts.onnx"
    onnx.save(model, file, save_as_external_data=True, location="parts.data", size_threshold=0)
    return file


def test_a_packed_file_is_the_model_with_its_weights_inside(tmp_path):
    arrays = [np.random.default_rng(i).normal(size=(i + 1, 300)).astype(np.float32) for i in range(3)]
    pack(parts(tmp_path, arrays), tmp_path / "one.onnx")
    one = onnx.load(tmp_path / "one.onnx", load_external_data=False)
    onnx.checker.check_model(one)
    assert [numpy_helper.to_array(t).tolist() for t in one.graph.initializer] == [a.tolist() for a in arrays]
    assert one.metadata_props[0].value == "here" and one.graph.node[0].op_type == "Sum"
    assert not any(t.data_location == TensorProto.EXTERNAL for t in one.graph.initializer)


def test_weights_that_end_early_are_said(tmp_path):
    file = parts(tmp_path, [np.ones((5, 5), np.float32)])
    (tmp_path / "parts.data").write_bytes(b"1234")
    with pytest.raises(OSError, match="end early"):
        pack(file, tmp_path / "one.onnx")
