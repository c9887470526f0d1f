"""Whether two networks do the same: their results over the same inputs, layer by layer.

The error of a layer is the largest absolute difference over the layer's own largest value, over all inputs:
rounding grows with the size of the numbers, so a fixed absolute tolerance would be strict where values are
large and blind where they are small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from netwright.ports.layers import Layer
from netwright.values import LayerParity

# By the arithmetic of the port. 32 bits: sums in another order over some thousand terms leave about 1e-6,
# fast convolutions (Winograd) about 1e-5; a wrong epsilon, pad or rounding leaves 1e-3 and more.
TOLERANCES = {"float64": 1e-6, "float32": 1e-4, "float16": 2e-2, "bfloat16": 5e-2, "int8": 2e-1}
SMALLEST = 1e-6  # of a layer's largest value: below it everything is rounding


class Agreement:
    """One layer of two networks, collected batch by batch."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self.max_error = self.largest = 0.0
        self._errors: list[np.ndarray] = []  # the largest difference of every input, (B,)
        self._dot = self._one = self._other = 0.0
        # Of the input that differs most, where it differs by more than the tolerance.
        self.worst: tuple[np.ndarray, np.ndarray] | None = None

    def add(self, original: np.ndarray, ported: np.ndarray) -> None:
        """Results of one batch, (B, …), of both. Shapes that differ count as wholly different."""
        if original.shape != ported.shape:
            if original.size == ported.size and squeezed(original) == squeezed(ported):
                ported = ported.reshape(original.shape)
            else:
                self._errors.append(np.full(len(original) if original.ndim else 1, np.inf))
                self.max_error = math.inf
                if original.ndim and ported.ndim:
                    self.worst = original[0], ported[0]
                return
        one = np.atleast_1d(original).astype(np.float64, copy=False)
        other = np.atleast_1d(ported).astype(np.float64, copy=False)
        alike = (one == other) | (np.isnan(one) & np.isnan(other))
        with np.errstate(invalid="ignore"):
            distance = np.where(alike, 0.0, np.abs(one - other))
        distance = np.where(np.isnan(distance), np.inf, distance)
        each = distance.reshape(len(distance), -1).max(1, initial=0.0)
        self._errors.append(each)
        finite = np.isfinite(one) & np.isfinite(other)
        first, second = one[finite], other[finite]
        self.largest = max(self.largest, float(np.abs(first).max(initial=0.0)))
        most = float(each.max(initial=0.0))
        if most > max(self.max_error, self.tolerance * self.largest):
            row = int(each.argmax())
            self.worst = np.array(one[row]), np.array(other[row])
        self.max_error = max(self.max_error, most)
        self._dot += float(first @ second)
        self._one += float(first @ first)
        self._other += float(second @ second)

    @property
    def seen(self) -> bool:
        return bool(self._errors)

    @property
    def relative_error(self) -> float:
        return self.max_error / max(self.largest, SMALLEST)

    @property
    def within(self) -> bool:
        return self.relative_error <= self.tolerance

    @property
    def beyond(self) -> float:
        errors = np.concatenate(self._errors) if self._errors else np.zeros(0)
        return float((errors > self.tolerance * max(self.largest, SMALLEST)).mean()) if len(errors) else 0.0

    @property
    def cosine(self) -> float:
        scale = math.sqrt(self._one) * math.sqrt(self._other)
        return self._dot / scale if scale > 0 else float(self._one == self._other)

    @property
    def distance(self) -> float:
        """The root mean square of the difference over that of the original."""
        squared = max(0.0, self._one + self._other - 2 * self._dot)
        return math.sqrt(squared / self._one) if self._one > 0 else math.sqrt(squared)

    def of(self, layer: Layer) -> LayerParity:
        return LayerParity(
            layer.name,
            layer.kind,
            layer.place.file,
            layer.place.line,
            self.max_error,
            self.relative_error,
            self.cosine,
            self.beyond,
            self.within,
        )


def squeezed(array: np.ndarray) -> tuple[int, ...]:
    return tuple(n for n in array.shape if n != 1)


def first_to_diverge(order: Mapping[str, bool], upstream: Mapping[str, frozenset[str]]) -> str | None:
    """Of layers in execution order, each within its tolerance or not, the first that is not though all that
    it depends on is."""
    bad = [name for name, within in order.items() if not within]
    return next((name for name in bad if not any(o in upstream.get(name, frozenset()) for o in bad)), None)
