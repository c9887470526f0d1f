"""Caffe's binary networks, `.caffemodel`: protocol buffers on the wire, read and written by the schema.

Weights are never copied here: reading maps the file and hands out arrays that look into it, writing hands
the arrays' own memory to the file. Every length is checked against what is left of the file before it is
used, the schema is four messages deep and so is the reader, and the number of messages is bounded; so a
hostile file costs no more than its own size.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from attrs import define

from netwright.ports.caffe.prototxt import Message, Word
from netwright.ports.caffe.schema import BY_NUMBER, ENUM_WORDS, ENUMS, MESSAGES, Field
from netwright.ports.wire import varint
from netwright.values import UserError

MAX_MESSAGES = 200_000
MAX_DIMENSIONS = 32
_ARRAYS = {"floats": "<f4", "doubles": "<f8"}
_FIXED = {"float": "<f", "double": "<d"}
_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5


class _Corrupt(Exception):
    """What is wrong, and at which byte."""


# Reading -----------------------------------------------------------------------------------------------


def read_caffemodel(path: str | Path) -> Message:
    """The NetParameter in a file; its weights look into the file, which stays mapped as long as they live."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:  # of a network without weights, and nothing that could be mapped
                return Message()
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", file=str(path)) from None
    return decode(data, path.name)


def decode(data: bytes | memoryview, file: str = "caffemodel", kind: str = "NetParameter") -> Message:
    """The message of a `kind` of the schema that `data` is; `file` is what errors name."""
    view = memoryview(data)
    try:
        return _Reader(view).message(0, len(view), kind)
    except _Corrupt as error:
        raise UserError(f"not a caffemodel, or a damaged one: {error}", file=file) from None


@define
class _Reader:
    view: memoryview
    messages: int = 0

    def count(self, position: int) -> None:
        self.messages += 1
        if self.messages > MAX_MESSAGES:
            raise _Corrupt(f"more than {MAX_MESSAGES:,} messages at byte {position:,}")

    def message(self, position: int, end: int, kind: str) -> Message:
        self.count(position)
        known, fields = BY_NUMBER[kind], dict[str, list[Any]]()
        while position < end:
            key, start = self.varint(position, end)
            field, wire = known.get(key >> 3), key & 7
            if key >> 3 == 0:
                raise _Corrupt(f"field number 0 at byte {position:,}")
            if field is not None and field.kind in _ARRAYS and wire in (_FOUR, _EIGHT):
                value, position = self.loose_numbers(position, end, field)
            else:
                begin, position = self.extent(start, end, wire)
                if field is None:
                    continue
                value = self.value(begin, position, field, wire)
            if field.repeated or field.kind in _ARRAYS:
                fields.setdefault(field.name, []).extend(value)
            else:
                fields[field.name] = list(value)
        return Message(fields)

    def varint(self, position: int, end: int) -> tuple[int, int]:
        """A number of seven bits a byte, and where it ends."""
        number = 0
        for shift in range(0, 70, 7):
            if position >= end:
                raise _Corrupt(f"a number is cut off at byte {position:,}")
            byte = self.view[position]
            position += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number & 0xFFFF_FFFF_FFFF_FFFF, position
        raise _Corrupt(f"a number is longer than ten bytes at byte {position:,}")

    def extent(self, position: int, end: int, wire: int) -> tuple[int, int]:
        """Where the value of a field begins and ends, inside the message that ends at `end`."""
        if wire == _VARINT:
            return position, self.varint(position, end)[1]
        if wire == _LENGTH:
            size, position = self.varint(position, end)
        elif wire in (_FOUR, _EIGHT):
            size = 4 if wire == _FOUR else 8
        else:
            raise _Corrupt(f"wire type {wire}, which Caffe does not use, at byte {position:,}")
        if size > end - position:
            raise _Corrupt(f"{size:,} bytes are announced at byte {position:,}, {end - position:,} are left")
        return position, position + size

    def value(self, begin: int, end: int, field: Field, wire: int) -> Iterable[Any]:
        """The values in one occurrence of a field: one, or all of a packed one."""
        kind = field.kind
        if kind in BY_NUMBER:
            self.expect(wire == _LENGTH, begin, field)
            return (self.message(begin, end, kind),)
        if kind == "string":
            self.expect(wire == _LENGTH, begin, field)
            return (bytes(self.view[begin:end]).decode("utf-8", "surrogateescape"),)
        if kind in _ARRAYS:
            itemsize = 4 if kind == "floats" else 8
            self.expect(wire == _LENGTH and (end - begin) % itemsize == 0, begin, field)
            if begin == end:
                return ()
            self.count(begin)
            return (np.frombuffer(self.view[begin:end], dtype=_ARRAYS[kind]),)
        if kind in _FIXED:
            size = struct.calcsize(_FIXED[kind])
            packed = wire == _LENGTH and field.repeated and (end - begin) % size == 0
            self.expect(packed or wire == (_FOUR if size == 4 else _EIGHT), begin, field)
            return (value for (value,) in struct.iter_unpack(_FIXED[kind], self.view[begin:end]))
        self.expect(wire == _VARINT or (wire == _LENGTH and field.repeated), begin, field)
        return self.integers(begin, end, kind)

    def expect(self, condition: bool, position: int, field: Field) -> None:
        if not condition:
            raise _Corrupt(f"{field.name} is no {field.kind} at byte {position:,}")

    def integers(self, position: int, end: int, kind: str) -> Iterator[Any]:
        while position < end:
            number, position = self.varint(position, end)
            if kind == "bool":
                yield bool(number)
            elif kind in ENUMS:
                word = ENUM_WORDS[kind].get(number)
                yield number if word is None else Word(word)
            elif kind == "uint32":
                yield number & 0xFFFF_FFFF
            else:  # int32 and int64 are both sent as 64 bits
                yield number - (1 << 64) if number >> 63 else number

    def loose_numbers(self, position: int, end: int, field: Field) -> tuple[list[Any], int]:
        """A run of numbers that each carry their field's key, as old files have them, as one strided view."""
        itemsize = 4 if field.kind == "floats" else 8
        key = self.view[position]
        self.expect(key == field.number << 3 | (_FOUR if itemsize == 4 else _EIGHT), position, field)
        step = itemsize + 1
        keys = np.frombuffer(self.view[position:end], dtype=np.uint8)[::step]
        count = _run_length(keys, key)
        if position + count * step > end:
            raise _Corrupt(f"{field.name} is cut off at byte {end:,}")
        self.count(position)
        record = np.dtype(
            {"names": ["v"], "formats": [_ARRAYS[field.kind]], "offsets": [1], "itemsize": step}
        )
        run = np.frombuffer(self.view[position : position + count * step], dtype=record)
        return [run["v"]], position + count * step


def _run_length(keys: np.ndarray[Any, Any], key: int, block: int = 1 << 16) -> int:
    """How many of the first keys are `key`, looked at block by block."""
    for start in range(0, len(keys), block):
        other = keys[start : start + block] != key
        if other.any():
            return start + int(other.argmax())
    return len(keys)


def array_of(blob: Message) -> np.ndarray[Any, Any]:
    """A BlobProto's numbers in its shape; a view into the file where they came in one piece."""
    pieces = blob.all("data") or blob.all("double_data")
    numbers = pieces[0] if len(pieces) == 1 else np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    shape = blob.last("shape")
    if shape is not None:
        sizes = [int(size) for size in shape.all("dim")]
    else:
        sizes = [int(blob.last(name, 0)) for name in ("num", "channels", "height", "width")]
        sizes = sizes if any(sizes) else [len(numbers)]
    count = 1
    for size in sizes:
        count *= size
    if len(sizes) > MAX_DIMENSIONS or min(sizes, default=0) < 0 or count != len(numbers):
        shown = "×".join(str(size) for size in sizes[:8])
        raise UserError(f"a blob of shape {shown} has {len(numbers):,} numbers")
    return numbers.reshape(sizes)


def blob_of(array: np.ndarray[Any, Any]) -> Message:
    """An array as a BlobProto, which holds on to the array's memory. A single number has no shape: to Caffe
    and to OpenCV that means the same, a shape without axes does not."""
    flat = np.ascontiguousarray(array, dtype="<f4").reshape(-1)
    shape = {"shape": [Message({"dim": list(array.shape)})]} if array.ndim else {}
    return Message(shape | {"data": [flat]})


# Writing -----------------------------------------------------------------------------------------------


def write_caffemodel(network: Message, path: str | Path) -> None:
    """A NetParameter as a file."""
    with Path(path).open("wb") as file:
        for chunk in encode(network):
            file.write(chunk)


def encode(message: Message, kind: str = "NetParameter") -> Iterator[bytes | memoryview]:
    """The bytes of a message, in pieces; arrays are pieces as they lie in memory."""
    return iter(_pieces(message, kind)[0])


def _pieces(message: Message, kind: str) -> tuple[list[bytes | memoryview], int]:
    pieces: list[bytes | memoryview] = []
    size = 0
    known = {field.name: field for field in MESSAGES[kind]}
    for name, values in message.fields.items():
        field = known.get(name)
        if field is None:
            raise UserError(f"{kind} has no field {name!r}")
        for value in values:
            added, length = _field_pieces(field, value)
            pieces += added
            size += length
    return pieces, size


def _field_pieces(field: Field, value: Any) -> tuple[list[bytes | memoryview], int]:
    """One occurrence of a field: its key and its value."""
    kind = field.kind
    if kind in BY_NUMBER:
        body, length = _pieces(value, kind)
    elif kind in _ARRAYS:
        raw = np.ascontiguousarray(value, dtype=_ARRAYS[kind])
        body, length = [raw.data.cast("B")] if raw.size else [], raw.nbytes
    elif kind == "string":
        encoded = str(value).encode("utf-8", "surrogateescape")
        body, length = [encoded], len(encoded)
    else:
        head = _scalar_bytes(field, value)
        return [head], len(head)
    head = varint(field.number << 3 | _LENGTH) + varint(length)
    return [head, *body], len(head) + length


def _scalar_bytes(field: Field, value: Any) -> bytes:
    if field.kind in _FIXED:
        wire = _FOUR if field.kind == "float" else _EIGHT
        return varint(field.number << 3 | wire) + struct.pack(_FIXED[field.kind], value)
    if isinstance(value, Word):
        value = ENUMS[field.kind][value]
    return varint(field.number << 3 | _VARINT) + varint(int(value))
