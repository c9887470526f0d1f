"""Small ONNX models, the zoo's networks as ONNX, and what ONNX Runtime makes of them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

runtime = pytest.importorskip("onnxruntime")

Shape = Sequence[int | str | None]


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def layers_of(network: nn.Module) -> dict[str, nn.Module]:
    return dict(network.named_children())


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Shape],
    outputs: Sequence[str] = ("y",),
    constants: Mapping[str, np.ndarray] | None = None,
    opset: int = 17,
    kinds: Mapping[str, int] | None = None,
    **more: Any,
) -> bytes:
    """A model of `nodes`; its inputs are floats unless `kinds` says otherwise."""
    kinds = kinds or {}
    slots = [
        helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), shape)
        for name, shape in inputs.items()
    ]
    results = [
        helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), None) for name in outputs
    ]
    stored = [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "graph", slots, results, stored)
    opsets = [helper.make_opsetid("", opset)]
    made = helper.make_model(graph, opset_imports=[*opsets, *more.pop("domains", [])], ir_version=8, **more)
    return made.SerializeToString()


def one(
    operator: str, inputs: Sequence[str], opset: int = 17, shape: Shape = (2, 3, 4), **rest: Any
) -> bytes:
    """A model of a single node named 'it' from x to y; numpy arrays among `rest` are its constants."""
    constants = {name: value for name, value in rest.items() if isinstance(value, np.ndarray)}
    attributes = {name: value for name, value in rest.items() if not isinstance(value, np.ndarray)}
    node = helper.make_node(operator, list(inputs), ["y"], name="it", **attributes)
    return model([node], {"x": shape}, constants=constants, opset=opset)


def by_runtime(content: bytes, *inputs: Tensor) -> list[Tensor]:
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feed = {slot.name: tensor.numpy() for slot, tensor in zip(session.get_inputs(), inputs, strict=True)}
    return [torch.from_numpy(np.asarray(output)) for output in session.run(None, feed)]


def outputs_of(network: nn.Module, *inputs: Tensor) -> list[Tensor]:
    with torch.no_grad():
        outputs = network(*inputs)
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def exported(network: nn.Module, inputs: tuple[Tensor, ...]) -> bytes:
    pytest.importorskip("onnxscript", reason="torch.onnx.export needs onnxscript")
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(network, inputs, dynamo=True, verbose=False)
    assert program is not None
    program.save(file)
    return file.getvalue()


def assert_same(ours: Sequence[Tensor], theirs: Sequence[Tensor], tolerance: float = 1e-4) -> None:
    """Equal shapes and types, and values within `tolerance` of the largest."""
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.shape, mine.dtype) == (other.shape, other.dtype)
        if mine.numel():
            scale = max(1e-2, float(other.abs().max())) if other.dtype != torch.bool else 1.0
            torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
