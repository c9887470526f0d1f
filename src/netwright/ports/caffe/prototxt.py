"""Protocol buffers as text, the way Caffe's prototxt files are written: a parser and a printer of our own.

A message is a frozen value, field name -> the values given for it, in order. Text knows no field numbers and
no types, so an enum's name is kept as a `Word` and `true` as a bool; what a field means is for the reader of
the message.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from attrs import field, frozen

from netwright.values import UserError

MAX_BYTES = 32 << 20
MAX_DEPTH = 64
MAX_MESSAGES = 200_000

Value: TypeAlias = Any  # bool, int, float, str, Word or Message; an array where weights were read


class Word(str):
    """A bare word, which names a value of an enum: `MAX` in `pool: MAX`."""

    __slots__ = ()


def _frozen_fields(fields: Mapping[str, Any]) -> Mapping[str, tuple[Value, ...]]:
    return MappingProxyType({name: tuple(values) for name, values in fields.items() if len(values)})


@frozen
class Message:
    """Fields by name, each with all its values in order, and the line the message starts on (0: built)."""

    fields: Mapping[str, tuple[Value, ...]] = field(converter=_frozen_fields, factory=dict)
    line: int = field(default=0, eq=False)

    def all(self, name: str) -> tuple[Value, ...]:
        """Every value of a field, none if it is not there."""
        return self.fields.get(name, ())

    def last(self, name: str, default: Any = None) -> Any:
        """The value of a field given once; of several the last counts, as in protocol buffers."""
        values = self.fields.get(name)
        return values[-1] if values else default


def message(**fields: Any) -> Message:
    """A message built from values, messages and lists of them; fields that are None are left out."""
    given = {name: value for name, value in fields.items() if value is not None}
    return Message({name: value if isinstance(value, list) else [value] for name, value in given.items()})


# Text -> message ---------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\f\v]+|\#[^\n]*)
      | (?P<newline>\n)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?)(?![A-Za-z0-9_]))
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<mark>[-{}<>\[\]:;,])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_CLOSING = {"{": "}", "<": ">"}


def parse(text: str, file: str = "prototxt") -> Message:
    """The message that `text` spells; `file` is what errors name."""
    if len(text) > MAX_BYTES:
        raise UserError(
            f"{len(text):,} characters are more than the {MAX_BYTES:,} read of a prototxt", file=file
        )
    return _Parser(text, file).message("", 1, 0)


def read_prototxt(path: str | Path) -> Message:
    """The message in a file, which errors then name."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"larger than the {MAX_BYTES:,} bytes read of a prototxt", file=path.name)
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"not text (byte {error.start}); is it a caffemodel?", file=path.name) from None
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", file=str(path)) from None
    return parse(text, path.name)


class _Parser:
    """One token ahead through the text; every method eats what it names."""

    def __init__(self, text: str, file: str) -> None:
        self.file, self.messages = file, 0
        self.tokens = self._tokens(text)
        self.kind, self.token, self.line = next(self.tokens)

    def _tokens(self, text: str) -> Iterator[tuple[str, str, int]]:
        line, position = 1, 0
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                raise self._wrong(f"cannot read {text[position : position + 12]!r}", line)
            position, kind = found.end(), found.lastgroup or ""
            if kind == "newline":
                line += 1
            elif kind != "space":
                yield kind, found.group(), line
        yield "end", "", line

    def _wrong(self, what: str, line: int | None = None) -> UserError:
        return UserError(
            f"{what}; prototxt is protobuf's text format", file=self.file, line=line or self.line
        )

    def _next(self) -> str:
        eaten = self.token
        self.kind, self.token, self.line = next(self.tokens, ("end", "", self.line))
        return eaten

    def _eat(self, mark: str) -> bool:
        if self.kind == "mark" and self.token == mark:
            self._next()
            return True
        return False

    def message(self, closing: str, line: int, depth: int) -> Message:
        self.messages += 1
        if depth > MAX_DEPTH:
            raise self._wrong(f"messages nested deeper than {MAX_DEPTH}")
        if self.messages > MAX_MESSAGES:
            raise self._wrong(f"more than {MAX_MESSAGES:,} messages")
        fields: dict[str, list[Value]] = {}
        while not (closing and self._eat(closing)):
            if self.kind == "end" and not closing:
                break
            if self.kind != "word":
                found = repr(self.token) if self.token else "the end of the file"
                raise self._wrong(f"a field's name is expected, not {found}")
            values = fields.setdefault(self._next(), [])
            separated = self._eat(":")
            if self._eat("["):
                while not self._eat("]"):
                    values.append(self._value(True, depth))
                    self._eat(",")
            else:
                values.append(self._value(separated, depth))
            _ = self._eat(";") or self._eat(",")
        return Message(fields, line)

    def _value(self, separated: bool, depth: int) -> Value:
        line = self.line
        for opening, closing in _CLOSING.items():
            if self._eat(opening):
                return self.message(closing, line, depth + 1)
        if not separated:
            raise self._wrong("':' or '{' is expected after a field's name")
        if self.kind == "string":
            parts = [self._string()]
            while self.kind == "string":
                parts.append(self._string())
            return "".join(parts)
        sign = -1 if self._eat("-") else 1
        if self.kind == "number":
            return sign * self._number()
        if self.kind != "word":
            found = repr(self.token) if self.token else "the end of the file"
            raise self._wrong(f"a value is expected, not {found}")
        word = self._next()
        if word.lower() in ("inf", "infinity", "nan"):
            return sign * float(word)
        if sign < 0:
            raise self._wrong(f"a number is expected after '-', not {word!r}", line)
        return word == "true" if word in ("true", "false") else Word(word)

    def _number(self) -> int | float:
        token = self._next()
        if token[:2] in ("0x", "0X"):
            return self._within(int(token, 16))
        if token.isdigit():
            octal = len(token) > 1 and token[0] == "0" and not set(token) & set("89")
            return self._within(int(token[:40], 8 if octal else 10))
        return float(token.rstrip("fF"))

    def _within(self, number: int) -> int:
        if number >= 1 << 64:
            raise self._wrong("a number does not fit into 64 bits")
        return number

    def _string(self) -> str:
        inside = self._next()[1:-1]
        if "\\" not in inside:
            return inside
        raw = bytearray()
        position = 0
        for escape in _ESCAPE.finditer(inside):
            raw += inside[position : escape.start()].encode()
            raw += _unescaped(escape.group(1))
            position = escape.end()
        raw += inside[position:].encode()
        return raw.decode("utf-8", "surrogateescape")


def _unescaped(escape: str) -> bytes:
    """What stands behind a backslash, as the bytes it means."""
    if escape[0] in "01234567":
        return bytes([int(escape, 8) & 0xFF])
    if escape[0] in "xX" and len(escape) > 1:
        return bytes([int(escape[1:], 16)])
    if escape[0] in "uU" and len(escape) > 1:
        code = int(escape[1:], 16)
        return chr(code if code < 0x110000 else 0xFFFD).encode("utf-8", "replace")
    return _LETTERS.get(escape, escape).encode()


# Message -> text ---------------------------------------------------------------------------------------


def text_of(message: Message) -> str:
    """The message as prototxt, a field a line, two spaces a level; `parse` gives the same message back."""
    return "".join(_lines(message, ""))


def _lines(message: Message, indent: str) -> Iterator[str]:
    for name, values in message.fields.items():
        for value in values:
            if isinstance(value, Message):
                yield f"{indent}{name} {{\n"
                yield from _lines(value, indent + "  ")
                yield f"{indent}}}\n"
            else:
                yield f"{indent}{name}: {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Word):
        return str(value)
    if isinstance(value, str):
        return '"' + "".join(_escaped(character) for character in value) + '"'
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    return str(int(value))


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, kept by surrogateescape
        return f"\\{code - 0xDC00:03o}"
    return f"\\{code:03o}" if code < 32 or code == 127 else character
