"""A recipe file as tagged lines, so that a fault can be planted at the line where a programmer would make
it."""

from __future__ import annotations

import difflib
import re
from typing import Any

import attrs
from attrs import field, frozen

TENSOR = "from torch import Tensor, nn"


@frozen
class Line:
    """One line of source; the tag says what it is for: 'head', 'activation', 'training.lr', 'scale-
    inputs'."""

    tag: str
    text: str


class NotApplicable(Exception):
    """The fault has no place in this recipe."""


def lines(*pairs: tuple[str, str] | str) -> tuple[Line, ...]:
    """Lines of (tag, text) pairs; a bare text has no tag."""
    return tuple(Line("", p) if isinstance(p, str) else Line(*p) for p in pairs)


@frozen
class Script:
    """The lines of a recipe file and the facts that faults ask for (kind, goal, classes, loss, shape,
    ...)."""

    lines: tuple[Line, ...]
    facts: dict[str, Any] = field(factory=dict)

    def render(self) -> str:
        """The source, without imports that nothing uses."""
        body = "\n".join(line.text for line in self.lines if line.tag != "import")
        used = {"import numpy as np": r"\bnp\.", "import torch": r"\btorch\.", TENSOR: r"\bTensor\b"}
        out = []
        for line in self.lines:
            if line.tag == "import" and line.text in used and not re.search(used[line.text], body):
                if line.text == TENSOR:
                    out.append("from torch import nn")
                continue
            out.append(line.text)
        return "\n".join(out) + "\n"

    def has(self, tag: str) -> bool:
        return any(line.tag == tag for line in self.lines)

    def texts(self, tag: str) -> list[str]:
        return [line.text for line in self.lines if line.tag == tag]

    def _need(self, tag: str) -> None:
        if not self.has(tag):
            raise NotApplicable(f"no line is {tag}")

    def replace(self, tag: str, *texts: str, only: int | None = None) -> Script:
        """The lines of `tag` (or the one that is number `only`, from 0) become `texts`."""
        self._need(tag)
        out, seen = [], -1
        for line in self.lines:
            if line.tag == tag:
                seen += 1
                if only is None or seen == only:
                    out += [Line(tag, t) for t in texts]
                    continue
            out.append(line)
        return attrs.evolve(self, lines=tuple(out))

    def drop(self, tag: str, only: int | None = None) -> Script:
        return self.replace(tag, only=only)

    def after(self, tag: str, *texts: str, new: str = "planted") -> Script:
        """`texts` after the last line of `tag`."""
        self._need(tag)
        last = max(k for k, line in enumerate(self.lines) if line.tag == tag)
        added = tuple(Line(new, t) for t in texts)
        return attrs.evolve(self, lines=(*self.lines[: last + 1], *added, *self.lines[last + 1 :]))

    def sub(self, tag: str, pattern: str, new: str, only: int | None = None) -> Script:
        """`pattern` becomes `new` in the lines of `tag`; not applicable where nothing matches."""
        self._need(tag)
        out, seen, hits = [], -1, 0
        for line in self.lines:
            if line.tag == tag:
                seen += 1
                if only is None or seen == only:
                    text, count = re.subn(pattern, new, line.text)
                    hits += count
                    out.append(Line(tag, text))
                    continue
            out.append(line)
        if not hits:
            raise NotApplicable(f"{tag} does not match {pattern}")
        return attrs.evolve(self, lines=tuple(out))

    def setting(self, name: str) -> str | None:
        """The source of a training setting, or `None` where it is not given."""
        found = self.texts(f"training.{name}")
        return found[0].partition("=")[2].rstrip(",") if found else None

    def with_setting(self, name: str, source: str | None) -> Script:
        """A training setting changed, added, or (with `None`) taken out."""
        tag = f"training.{name}"
        if source is None:
            return self.drop(tag) if self.has(tag) else self
        text = f"        {name}={source},"
        if self.has(tag):
            return self.replace(tag, text)
        return self.after("training.loss", text, new=tag)

    def with_import(self, text: str) -> Script:
        if text in [line.text for line in self.lines]:
            return self
        return self.after("import", text, new="import")

    def before_recipe(self, *texts: str) -> Script:
        """A function of the user's own, above the data."""
        return self.after("network-end", "", "", *texts, new="helper")

    def after_build(self, *texts: str) -> Script:
        """Lines that run when the network has been built; `NET` in them is the network."""
        if self.has("built"):  # a module: at the end of __init__, before the blank line
            at = next(k for k, line in enumerate(self.lines) if line.tag == "built")
            added = tuple(Line("planted", f"        {t.replace('NET', 'self')}") for t in texts)
            return attrs.evolve(self, lines=(*self.lines[:at], *added, *self.lines[at:]))
        inside = [f"    {t.replace('NET', 'net')}" for t in texts]
        if self.has("return-net"):
            at = next(k for k, line in enumerate(self.lines) if line.tag == "return-net")
            added = tuple(Line("planted", t) for t in inside)
            return attrs.evolve(self, lines=(*self.lines[:at], *added, *self.lines[at:]))
        opened = self.sub("open", "return nn.Sequential", "net = nn.Sequential")
        opened = opened.after("close", *inside)
        at = max(k for k, line in enumerate(opened.lines) if line.tag in ("close", "planted"))
        end = (*opened.lines[: at + 1], Line("return-net", "    return net"), *opened.lines[at + 1 :])
        return attrs.evolve(opened, lines=end)

    def on_output(self, layer: str, expression: str) -> Script:
        """The head's output goes through `layer` (in a Sequential) or `expression` with OUT (in a
        forward)."""
        if self.has("output"):
            old = self.texts("output")[-1].strip().removeprefix("return ")
            return self.replace("output", f"        return {expression.replace('OUT', old)}")
        return self.after("head", f"        {layer},", new="on-output")


def changed_lines(before: str, after: str) -> list[int]:
    """Line numbers (from 1) of `after` where it differs; where lines went away, the lines around the gap.

    Imports come and go with what needs them and are no place of a fault.
    """
    old, new = _numbered(before), _numbered(after)
    matcher = difflib.SequenceMatcher(None, [t for _, t in old], [t for _, t in new], autojunk=False)
    found: set[int] = set()
    for kind, _, _, low, high in matcher.get_opcodes():
        if kind in ("replace", "insert"):
            found |= set(range(low, high))
        elif kind == "delete":
            found |= {max(low - 1, 0), min(low, len(new) - 1)}
    return sorted(new[k][0] for k in found)


def _numbered(source: str) -> list[tuple[int, str]]:
    """Lines with their numbers, without blank lines and imports."""
    lines_ = enumerate(source.splitlines(), start=1)
    return [(n, t) for n, t in lines_ if t.strip() and not t.startswith(("import ", "from "))]
