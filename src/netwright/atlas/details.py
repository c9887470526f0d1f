"""One input through all layers: what a person can look at of every output."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from netwright.atlas.arrays import floats
from netwright.recipe.rewiring import call_name
from netwright.runs.by_input import Call, Output, listening, looked_at, size_of
from netwright.runs.forward import forward
from netwright.runs.listening import unrecorded
from netwright.values import Detail, DetailKind

MAPS, SIDE = 16, 32  # feature maps of a layer, and the places to a side
STEPS, HEADS, VALUES = 64, 8, 256


def details(
    network: nn.Module,
    inputs: Any,
    rows: Mapping[tuple[str, int], int],
    chosen: Sequence[int] = (0,),
    call: Call = forward,
) -> tuple[tuple[Detail, ...], ...]:
    """Of the `chosen` inputs of a batch (B, ...), each in execution order. Feature maps are those that fire
    most, named by their channel; what is larger than a screen is pooled, and `of` says how many there are.

    The whole batch is run: what a network makes of an input may hang on how many there are.
    """
    found: list[list[Detail]] = [[] for _ in chosen]
    attention = _Attention()

    def hear(output: Output) -> None:
        row = rows.get((output.spot.name, output.spot.call))
        if row is None:
            return
        weights_of = [w for w in attention.taken() if len(w) == len(output.values)]
        for into, n in zip(found, chosen, strict=True):
            into += [_attention(row, weights[n]) for weights in weights_of]
            if output.spot.kind == "softmax" and output.values.ndim == 4:
                into.append(_attention(row, output.values[n]))
            else:
                into.append(_detail(row, output, n))

    # The attention's mode is asked inside the listener's, so that weights are kept before their row is heard.
    with looked_at(network), _no_fast_path(), attention, listening(network, hear, [size_of(inputs)]):
        call(network, inputs)
    return tuple(tuple(items) for items in found)


@contextmanager
def _no_fast_path() -> Generator[None, None, None]:
    """torch's fused attention, which keeps its weights to itself, is not taken in the block."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _detail(row: int, output: Output, n: int) -> Detail:
    values = output.values[n].float()  # (...) of the one input
    if values.ndim == 3:
        return _maps(row, values)
    if values.ndim == 2 and output.spot.kind.lower().endswith("1d"):
        values = values.T  # (C, L) as steps × channels
    if values.ndim == 2:
        kind: DetailKind = "states"
        steps = values if len(values) <= STEPS else F.adaptive_avg_pool1d(values.T[None], STEPS)[0].T
        shown = steps[:, :VALUES]
        return Detail(row, kind, floats(shown.cpu().numpy()), of=values.shape[1])
    flat = values.reshape(-1)
    return Detail(row, "vector", floats(flat[:VALUES].cpu().numpy()), of=flat.numel())


def _maps(row: int, values: Tensor) -> Detail:
    """(C, H, W) as the maps that fire most, by their norm."""
    strength = torch.nan_to_num(values.flatten(1)).square().sum(1)
    chosen = strength.topk(min(MAPS, len(values))).indices.sort().values
    shown = values[chosen]
    if max(shown.shape[1:]) > SIDE:
        shown = F.adaptive_avg_pool2d(shown[None], (min(SIDE, shown.shape[1]), min(SIDE, shown.shape[2])))[0]
    names = tuple(f"channel {int(c)}" for c in chosen)
    return Detail(row, "maps", floats(shown.cpu().numpy()), of=len(values), names=names)


def _attention(row: int, weights: Tensor) -> Detail:
    """(heads, to, from) of the first heads and steps."""
    shown = weights[:HEADS, :STEPS, :STEPS].detach().float()
    return Detail(row, "attention", floats(shown.cpu().numpy()), of=len(weights))


class _Attention(TorchFunctionMode):
    """Keeps the attention weights of calls that do not return them; `taken()` gives those since it was last
    asked, each (B, heads, to, from)."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[Tensor] = []

    def taken(self) -> Sequence[Tensor]:
        kept, self._kept = self._kept, []
        return kept

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = call_name(func)
        if name == "attention" and "need_weights" in kwargs:
            wanted, averaged = kwargs["need_weights"], kwargs.get("average_attn_weights", True)
            output, weights = func(*args, **{**kwargs, "need_weights": True, "average_attn_weights": False})
            if weights is not None:
                self._kept.append(weights if weights.ndim == 4 else weights[None])
            if not wanted:
                return output, None
            return output, weights.mean(-3) if averaged and weights is not None else weights
        result = func(*args, **kwargs)
        if name == "scaled_dot_product_attention":
            with unrecorded():
                weights = attention_weights(*args, **kwargs)
            if weights is not None:
                self._kept.append(weights)
        return result


def attention_weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor | None:
    """(B, heads, to, from): the weights that `scaled_dot_product_attention` uses inside, by its
    documentation; `None` for another layout."""
    if query.ndim != 4:
        return None
    if enable_gqa:
        key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(ahead, float("-inf"))
    if attn_mask is not None:
        masked = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, float("-inf")) if masked else scores + attn_mask
    return scores.softmax(-1)
