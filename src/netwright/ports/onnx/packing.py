"""One ONNX file of a model and the file of its weights, without ever holding the weights.

ONNX's own writer builds the message and then its bytes, each as large as the weights. A protobuf message is
its fields one after the other in any order, so the weights can be copied to where they belong, file to file.
Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import IO, Any

from netwright.ports.wire import varint

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # of a model, of a graph, of a tensor


def pack(model: Path, file: Path) -> None:
    """Write `model`, whose weights lie in files beside it, as one `file`."""
    onnx: Any = importlib.import_module("onnx")
    whole = onnx.load(model, load_external_data=False)
    kept, outside = [], []
    for tensor in whole.graph.initializer:
        (outside if tensor.data_location == onnx.TensorProto.EXTERNAL else kept).append(tensor)
    heads: list[tuple[bytes, Path, int, int]] = []
    for tensor in outside:
        told = {entry.key: entry.value for entry in tensor.external_data}
        head = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        place = model.with_name(told["location"]), int(told.get("offset", 0)), int(told["length"])
        heads.append((head.SerializeToString(), *place))
    graph = onnx.GraphProto()
    graph.CopyFrom(whole.graph)
    del graph.initializer[:]
    graph.initializer.extend(kept)
    whole.ClearField("graph")
    inner = graph.SerializeToString()
    sizes = [len(head) + len(_head(_RAW_DATA, length)) + length for head, _, _, length in heads]
    total = len(inner) + sum(len(_head(_INITIALIZER, size)) + size for size in sizes)
    with file.open("wb") as out:
        out.write(whole.SerializeToString())
        out.write(_head(_GRAPH, total))
        out.write(inner)
        for (head, data, offset, length), size in zip(heads, sizes, strict=True):
            out.write(_head(_INITIALIZER, size) + head + _head(_RAW_DATA, length))
            with data.open("rb") as weights:
                weights.seek(offset)
                _copy(weights, out, length)


def _head(field: int, length: int) -> bytes:
    """The tag and the length of a field of bytes."""
    return varint(field << 3 | 2) + varint(length)


def _copy(weights: IO[bytes], out: IO[bytes], length: int) -> None:
    while length > 0:
        part = weights.read(min(length, 1 << 20))
        if not part:
            raise OSError("the weights end early")
        out.write(part)
        length -= len(part)
