"""An ONNX file as a model whose every size has been checked before a byte is allocated for it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto
from torch import Tensor

from netwright.values import UserError

DTYPES: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.UINT8: torch.uint8,
    TensorProto.INT8: torch.int8,
    TensorProto.UINT16: torch.uint16,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.BOOL: torch.bool,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.UINT32: torch.uint32,
    TensorProto.UINT64: torch.uint64,
    TensorProto.COMPLEX64: torch.complex64,
    TensorProto.COMPLEX128: torch.complex128,
    TensorProto.BFLOAT16: torch.bfloat16,
    TensorProto.FLOAT8E4M3FN: torch.float8_e4m3fn,
    TensorProto.FLOAT8E4M3FNUZ: torch.float8_e4m3fnuz,
    TensorProto.FLOAT8E5M2: torch.float8_e5m2,
    TensorProto.FLOAT8E5M2FNUZ: torch.float8_e5m2fnuz,
}
_HALVES = (TensorProto.UINT4, TensorProto.INT4)  # two in a byte
_OLDEST, _NEWEST = 7, 28


class ModelFile:
    """A parsed model, its name for messages, and the folder that its external data must lie in."""

    def __init__(self, source: str | Path | bytes) -> None:
        if isinstance(source, bytes):
            self.name, self.folder, content = "the ONNX model", None, source
        else:
            self.name, self.folder = str(source), Path(source).parent
            content = _content(Path(source), self.name)
        try:
            self.model: ModelProto = onnx.load_model_from_string(content)
        except DecodeError as broken:
            raise self.error("not an ONNX model, or a truncated one; export it again") from broken
        if not self.model.HasField("graph") or not self.model.graph.output:
            raise self.error("holds no graph with outputs; it is no ONNX model or a truncated one")
        versions = {entry.domain: entry.version for entry in self.model.opset_import}
        self.opset: int = versions.get("", versions.get("ai.onnx", 0))
        if not _OLDEST <= self.opset <= _NEWEST:
            reason = f"uses opset {self.opset} where {_OLDEST} to {_NEWEST} are read"
            raise self.error(f"{reason}; convert it with onnx.version_converter")
        self.bytes = len(content)

    def error(self, message: str) -> UserError:
        return UserError(message, file=self.name)

    def tensor(self, stored: TensorProto) -> Tensor:
        """The tensor that `stored` says it is; an error where its dimensions do not fit its data."""
        where = f"tensor '{stored.name[:80]}'"
        if any(size < 0 for size in stored.dims):
            raise self.error(f"{where} has a negative dimension; export the model again")
        count = math.prod(stored.dims)
        kind = stored.data_type
        halves = kind in _HALVES
        if not halves and kind not in DTYPES:
            label = TensorProto.DataType.Name(kind) if kind in TensorProto.DataType.values() else str(kind)
            raise self.error(f"{where} has the type {label}, which PyTorch lacks; cast it before the export")
        dtype = torch.uint8 if halves else DTYPES[kind]
        raw = self._raw(stored, where)
        if raw is None:
            values = _typed(stored, dtype, halves)
        else:
            values = torch.frombuffer(bytearray(raw), dtype=torch.uint8) if raw else torch.empty(0).byte()
        expected = (count + 1) // 2 if halves else count * dtype.itemsize
        if values.numel() * values.itemsize != expected:
            held = values.numel() * values.itemsize
            reason = f"{where} says {list(stored.dims)[:8]} but holds {held} bytes instead of {expected}"
            raise self.error(f"{reason}; the file is damaged, export it again")
        if halves:
            return _unpacked(values, count, signed=kind == TensorProto.INT4).reshape(tuple(stored.dims))
        return (
            values.view(dtype).reshape(tuple(stored.dims))
            if count
            else torch.empty(tuple(stored.dims), dtype=dtype)
        )

    def _raw(self, stored: TensorProto, where: str) -> bytes | None:
        if stored.data_location == TensorProto.EXTERNAL:
            return self._external(stored, where)
        return stored.raw_data if stored.HasField("raw_data") else None

    def _external(self, stored: TensorProto, where: str) -> bytes:
        """Bytes of a file beside the model and inside its folder; nothing else is opened."""
        entries = {entry.key: entry.value for entry in stored.external_data}
        location = entries.get("location", "")
        if self.folder is None:
            raise self.error(f"{where} lies in a file of its own; read the model by its path")
        inside = self.folder.resolve()
        beside = inside / location
        outside = not location or "\0" in location or os.path.isabs(location) or ".." in Path(location).parts
        if outside or "\\" in location or beside.resolve() != beside or not beside.is_file():
            reason = f"{where} names the file '{location[:80]}', which is not a file in the model's folder"
            raise self.error(f"{reason}; keep the data beside the model")
        size = beside.stat().st_size
        try:
            offset = int(entries.get("offset", "0"))
            length = int(entries.get("length", str(size - offset)))
        except ValueError as broken:
            raise self.error(f"{where} has an offset that is no number; export the model again") from broken
        if offset < 0 or length < 0 or offset + length > size:
            reason = f"{where} names bytes {offset} to {offset + length} of '{location}', which has {size}"
            raise self.error(f"{reason}; the data is truncated, export it again")
        with beside.open("rb") as file:
            file.seek(offset)
            return file.read(length)


def _content(path: Path, name: str) -> bytes:
    if not path.is_file():
        raise UserError("no such file; name an ONNX model", file=name)
    return path.read_bytes()


def _typed(stored: TensorProto, dtype: torch.dtype, halves: bool) -> Tensor:
    """Data in the fields that protobuf knows the type of."""
    if dtype in (torch.float32, torch.complex64):
        return torch.tensor(list(stored.float_data), dtype=torch.float32)
    if dtype in (torch.float64, torch.complex128):
        return torch.tensor(list(stored.double_data), dtype=torch.float64)
    if dtype == torch.int64:
        return torch.tensor(list(stored.int64_data), dtype=dtype)
    if dtype in (torch.uint32, torch.uint64):
        return torch.tensor(list(stored.uint64_data), dtype=torch.uint64).to(dtype)
    bits = torch.tensor(list(stored.int32_data), dtype=torch.int32)
    if halves or dtype.is_floating_point:  # the bit patterns of small floats
        return bits.to(torch.int16 if dtype.itemsize == 2 else torch.uint8)
    return bits.to(dtype)


def _unpacked(packed: Tensor, count: int, *, signed: bool) -> Tensor:
    """Two numbers of four bits in each byte, the lower first."""
    numbers = torch.stack([packed & 15, packed >> 4], -1).flatten()[:count]
    return ((numbers.to(torch.int8) ^ 8) - 8) if signed else numbers


def attributes_of(node: NodeProto, given: dict[str, AttributeProto] | None = None) -> dict[str, Any]:
    """A node's attributes by name as plain values; those of a function's body that refer to the function's
    own attributes are looked up in `given`."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            if given is None or attribute.ref_attr_name not in given:
                continue
            found[attribute.name] = _plain(given[attribute.ref_attr_name])
        else:
            found[attribute.name] = _plain(attribute)
    return found


def _plain(attribute: AttributeProto) -> Any:
    kinds = AttributeProto
    if attribute.type == kinds.INTS:
        return list(attribute.ints)
    if attribute.type == kinds.FLOATS:
        return list(attribute.floats)
    if attribute.type == kinds.STRING:
        return attribute.s.decode("utf-8", "replace")
    if attribute.type == kinds.STRINGS:
        return [text.decode("utf-8", "replace") for text in attribute.strings]
    if attribute.type in (kinds.INT, kinds.FLOAT, kinds.TENSOR, kinds.GRAPH):
        return onnx.helper.get_attribute_value(attribute)
    return None


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def free_names(graph: GraphProto) -> list[str]:
    """Names that a subgraph takes from the graphs around it, in the order of their use."""
    inside = {value.name for value in graph.input} | {stored.name for stored in graph.initializer}
    free: dict[str, None] = {}
    for node in graph.node:
        wanted: Iterable[str] = [
            *node.input,
            *(name for inner in subgraphs(node) for name in free_names(inner)),
        ]
        free.update((name, None) for name in wanted if name and name not in inside)
        inside.update(node.output)
    free.update((value.name, None) for value in graph.output if value.name not in inside)
    return list(free)
