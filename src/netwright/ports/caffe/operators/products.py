"""Products of matrices, and attention, which is made of them and of masks.

Caffe multiplies by weights only, so a product of two activations is written out: (R, T, D) @ (R, D, S)
repeats the second factor T times, multiplies it by the first in a Scale layer, and sums over D by a
convolution with ones. R matrices (inputs and heads), T queries, S keys, D features.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import fx

from netwright.ports.caffe.operators.activations import power, times
from netwright.ports.caffe.operators.arithmetic import affine
from netwright.ports.caffe.operators.windows import inner_product
from netwright.ports.caffe.prototxt import Word
from netwright.ports.caffe.steps import (
    Array,
    Shape,
    Step,
    Unsayable,
    along,
    broadcast,
    fixed,
    held_for_each,
    reshaped,
    shape_of,
    writes,
)

MAX_VALUES = 1 << 29  # of all products of a network written out, which Caffe holds twice: 4 GiB
_MASKED = np.float32(-1e30)  # e to its power is 0, as that of -inf, which times 0 would be no number


@writes("matmul", "mm", "bmm")
def product(step: Step, input: Any, other: Any = None, mat2: Any = None, **_: Any) -> str:
    """An activation times weights, weights times an activation, or two activations."""
    other = mat2 if other is None else other
    shape, wide = shape_of(input), shape_of(other)
    if step.is_constant(other) and len(wide) == 2:
        return inner_product(step, input, step.array(other).T)
    if step.is_constant(input) and len(shape) == 2 and len(wide) > 2:
        return along(step, step.blob(other), wide, len(wide) - 2, step.array(input))
    like = other if step.is_constant(input) else input
    blob, factor = (held_for_each(step, node, like) for node in (input, other))
    return multiplied(step, blob, shape, factor, wide, step.shape)


@writes("baddbmm")
def added_product(step: Step, input: Any, batch1: Any, batch2: Any, beta: float = 1, alpha: float = 1) -> str:
    """beta · input + alpha · batch1 · batch2."""
    made = product(step, batch1, batch2)
    if step.is_constant(input):
        return affine(step, made, step.shape, bias=step.array(input) * np.float32(beta), scale=alpha)
    settings = {"operation": Word("SUM"), "coeff": [float(alpha), float(beta)]}
    other = broadcast(step, step.blob(input), shape_of(input), step.shape)
    return step("Eltwise", made, other, part="sum", eltwise_param=settings)


@writes("masked_fill")
def masked_fill(step: Step, input: fx.Node, mask: fx.Node, value: Any) -> str:
    """x · (1 - mask) + value · mask."""
    number, shape = step.number(value), step.shape
    if number is None:
        raise Unsayable("fills in a value that is computed", "fill in a number")
    blob = broadcast(step, step.blob(input), shape_of(input), shape)
    if step.is_constant(mask):
        filled = step.array(mask) > 0
        added = np.where(filled, np.float32(number), np.float32(0))
        return affine(step, blob, shape, weight=~filled, bias=added)
    if not math.isfinite(number):
        raise Unsayable(f"fills in {number} where the input says so", "fill in a number such as -1e9")
    marks = broadcast(step, step.blob(mask), shape_of(mask), shape)
    kept = times(step, blob, power(step, marks, scale=-1, shift=1))
    settings = {"operation": Word("SUM"), "coeff": [1.0, number]}
    return step("Eltwise", kept, marks, part="sum", eltwise_param=settings)


@writes("scaled_dot_product_attention")
def attention(
    step: Step,
    query: fx.Node,
    key: fx.Node,
    value: fx.Node,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> str:
    """softmax(Q · Kᵀ · scale + mask) · V."""
    if dropout_p:
        raise Unsayable(
            "drops at random what it attends to", "give dropout_p=0 where the network is not trained"
        )
    nodes = (query, key, value)
    like = next(node for node in nodes if not step.is_constant(node))
    q, k, v = (held_for_each(step, node, like) for node in nodes)
    wide, keys, values = (shape_of(node) for node in nodes)
    rank = len(wide)
    if rank < 3:
        raise _over_the_batch()
    if enable_gqa and keys[-3] != wide[-3]:
        heads, groups = fixed((wide[-3], keys[-3]))
        rows = np.eye(groups).repeat(heads // groups, 0)
        k, v = (along(step, b, s, rank - 3, rows) for b, s in ((k, keys), (v, values)))
        keys, values = ((*shape[:-3], heads, *shape[-2:]) for shape in (keys, values))
    size = fixed(wide[-1:])[0]
    q = power(step, q, scale=1 / math.sqrt(size) if scale is None else scale)
    k = step("Permute", k, part="keys", permute_param={"order": [*range(rank - 2), rank - 1, rank - 2]})
    turned: Shape = (*keys[:-2], keys[-1], keys[-2])
    scores: Shape = (*step.shape[:-1], keys[-2])
    made = multiplied(step, q, wide, k, turned, scores)
    added = _mask(step, attn_mask, scores, is_causal)
    if added is not None:
        made = affine(step, made, scores, bias=added)
    made = step("Softmax", made, softmax_param={"axis": rank - 1})
    return multiplied(step, made, scores, v, values, step.shape)


def _mask(step: Step, mask: Any, scores: Shape, causal: bool) -> Array | None:
    """What is added to the scores."""
    added: Array
    if causal:
        queries, keys = fixed(scores[-2:])
        added = np.where(np.tri(queries, keys) > 0, 0.0, _MASKED)
    elif mask is None:
        return None
    elif not step.is_constant(mask):
        raise Unsayable("has a mask that is computed from the input", "mask alike for all inputs")
    elif mask.meta["val"].dtype is torch.bool:
        added = np.where(step.array(mask) > 0, 0.0, _MASKED)
    else:
        added = np.maximum(step.array(mask), _MASKED)
    if (added <= _MASKED).all(-1).any():
        raise Unsayable("masks all keys of a query", "leave each query a key")
    return added


def multiplied(step: Step, blob: str, shape: Shape, other: str, wide: Shape, to: Shape) -> str:
    """(…, T, D) @ (…, D, S) in the shape `to`."""
    if min(len(shape), len(wide)) < 3:
        raise _over_the_batch()
    blob = broadcast(step, blob, shape, (*to[:-2], *shape[-2:]))
    other = broadcast(step, other, wide, (*to[:-2], *wide[-2:]))
    rows, size, columns = fixed((shape[-2], *wide[-2:]))
    _within_memory(step, rows * size * columns)
    matrices = to[0] if len(to) == 3 else "matrices"
    blob = reshaped(step, blob, (*to[:-2], rows, size), (matrices, rows, size))
    other = reshaped(step, other, (*to[:-2], size, columns), (matrices, 1, size, columns))
    tiled = along(step, other, (matrices, 1, size, columns), 1, np.ones((rows, 1)))
    each = step("Scale", tiled, blob, part="times", scale_param={"axis": 0})
    summed = along(step, each, (matrices, rows, size, columns), 2, np.ones((1, size)))
    return reshaped(step, summed, (matrices, rows, 1, columns), to)


def _within_memory(step: Step, values: int) -> None:
    """Counts the values of a product, for a batch like that which the program was read with."""
    for size in step.results[0].shape[:-2]:
        values *= size if isinstance(size, int) else int(getattr(size.node, "hint", None) or 1)
    step.held.products.append(values)
    total = sum(step.held.products)
    if total > MAX_VALUES:
        raise Unsayable(
            f"brings the products of activations, written out, to {total / 1e6:,.0f} M values",
            f"keep them to {MAX_VALUES / 1e6:,.0f} M by fewer tokens or a smaller batch, or port to another "
            "technology",
        )


def _over_the_batch() -> Unsayable:
    return Unsayable("multiplies the inputs of a batch with each other", "multiply within each input")
