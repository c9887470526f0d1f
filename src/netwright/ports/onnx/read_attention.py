"""Attention and rotary positions, which ONNX has as operators of their own since opset 23.

Shapes: B batch, H heads of the queries, G heads of the keys, T queries, S keys, D size of a head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from netwright.ports.onnx.read_call import Call, Emit
from netwright.ports.onnx.read_graph import Value

# Functions of the network


def heads_of(x: Tensor, heads: int) -> Tensor:
    """(B, T, H · D) as (B, H, T, D)."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def allowed(queries: int, keys: int, past: int, lengths: Tensor | None, like: Tensor) -> Tensor:
    """Which keys each query sees where it sees only what was before it, (B or 1, 1, T, S)."""
    row = torch.arange(queries, device=like.device)[:, None]
    column = torch.arange(keys, device=like.device)[None, :]
    offset = past if lengths is None else (lengths.to(torch.int64) - queries).reshape(-1, 1, 1, 1)
    return column <= row + offset if isinstance(offset, Tensor) else (column <= row + offset)[None, None]


def attended(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    lengths: Tensor | None = None,
    heads: tuple[int, int] | None = None,
    causal: bool = False,
    scale: float | None = None,
    softcap: float = 0.0,
    shown: int = 0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The attended values, the keys and values of all steps so far, and the scores at the stage `shown`."""
    flat = q.ndim == 3 and heads is not None
    if flat and heads is not None:
        q, k, v = heads_of(q, heads[0]), heads_of(k, heads[1]), heads_of(v, heads[1])
    past = 0 if past_key is None else past_key.shape[2]
    k = k if past_key is None else torch.cat([past_key, k], 2)
    v = v if past_value is None else torch.cat([past_value, v], 2)
    groups = q.shape[1] // k.shape[1]
    key, value = (part.repeat_interleave(groups, 1) if groups > 1 else part for part in (k, v))
    factor = math.sqrt(1 / math.sqrt(q.shape[3]) if scale is None else scale)
    scores = (q * factor) @ (key * factor).transpose(2, 3)  # (B, H, T, S)
    raw = scores
    capped = softcap * torch.tanh(scores / softcap) if softcap else scores
    seen = torch.ones(1, 1, q.shape[2], key.shape[2], dtype=torch.bool, device=q.device)
    if causal:
        seen = seen & allowed(q.shape[2], key.shape[2], past, lengths if past_key is None else None, q)
    if lengths is not None:
        inside = torch.arange(key.shape[2], device=q.device) < lengths.to(torch.int64)[:, None]
        seen = seen & inside[:, None, None, :]
    biased = capped
    if mask is not None:
        short = key.shape[2] - mask.shape[-1]
        if short > 0:  # the keys that a short mask does not reach are not seen
            mask = torch.nn.functional.pad(
                mask, (0, short), value=False if mask.dtype == torch.bool else -math.inf
            )
        if mask.dtype == torch.bool:
            seen = seen & mask
        else:
            biased = biased + mask
    biased = biased.masked_fill(~seen, -math.inf)
    weights = torch.nan_to_num(torch.softmax(biased, -1))  # a query that sees nothing takes nothing
    made = weights @ value
    made = made.transpose(1, 2).flatten(2) if flat else made
    return made, k, v, (raw, capped, biased, weights)[shown if shown in (1, 2, 3) else 0]


def rotated(
    x: Tensor, cosine: Tensor, sine: Tensor, places: Tensor | None, heads: int, size: int, interleaved: bool
) -> Tensor:
    """The first `size` features of each head turned by the angle of their place; all where `size` is 0."""
    flat = x.ndim == 3
    parts = x.unflatten(2, (heads, -1)) if flat else x.transpose(1, 2)  # (B, T, H, D)
    size = size or parts.shape[3]
    if places is not None:
        cosine, sine = cosine[places.to(torch.int64)], sine[places.to(torch.int64)]
    cosine, sine = cosine.unsqueeze(2), sine.unsqueeze(2)  # (B, T, 1, size / 2)
    turned, rest = parts[..., :size], parts[..., size:]
    if interleaved:
        first, second = turned[..., 0::2], turned[..., 1::2]
    else:
        first, second = turned.chunk(2, -1)
    real, imaginary = cosine * first - sine * second, sine * first + cosine * second
    if interleaved:
        turned = torch.stack([real, imaginary], -1).flatten(-2)
    else:
        turned = torch.cat([real, imaginary], -1)
    made = torch.cat([turned, rest], -1)
    return made.flatten(2) if flat else made.transpose(1, 2)


# How operators are drawn


def _attention(call: Call) -> Value:
    queries, keys = call.attr("q_num_heads"), call.attr("kv_num_heads")
    made = call.call(
        attended,
        *[call.tensor(index) for index in range(7)],
        (queries, keys) if queries and keys else None,
        bool(call.attr("is_causal", 0)),
        call.attr("scale"),
        call.attr("softcap", 0.0),
        call.attr("qk_matmul_output_mode", 0),
    )
    return tuple(call.parts(made, 4))


def _rotary(call: Call) -> Value:
    heads, size = call.attr("num_heads", 0), call.attr("rotary_embedding_dim", 0)
    tensors = [call.tensor(index) for index in range(4)]
    return call.call(rotated, *tensors, heads, size, bool(call.attr("interleaved", 0)))


ATTENTION: dict[str, Emit] = {"Attention": _attention, "RotaryEmbedding": _rotary}
