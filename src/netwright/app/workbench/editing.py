"""An input that was changed on the page: what the network makes of it, beside what it makes of the
original."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netwright.app.atlas import Pinned
from netwright.app.workbench.keeping import Keeping, read
from netwright.atlas import largest, small_pictures
from netwright.recipe import Recipe, TensorSamples, seeded, tree_map
from netwright.values import Atlas, AtlasRow, UserError

WIDEST = 512  # numbers of an input that the page can change
MOST = 200_000  # of all inputs together


class Editor:
    """Answers changes of the pinned inputs by the network of the state that was kept last."""

    def __init__(
        self, recipe: Recipe, pinned: Pinned, rows: Sequence[AtlasRow], keeping: Keeping, seed: int
    ) -> None:
        self._recipe, self._pinned, self._keeping, self._seed = recipe, pinned, keeping, seed
        self._rows = [(row.name, row.call) for row in rows]
        samples = pinned.material.samples
        assert isinstance(samples, TensorSamples)
        self._inputs = tree_map(lambda t: t.cpu(), samples.inputs)
        self._targets = samples.all_targets.cpu()
        self._main = largest(self._inputs)
        self._pictures = small_pictures(self._inputs) if pinned.material.kind == "image" else None
        self._network: nn.Module | None = None
        self._stamp: int | None = None
        self._lock = threading.Lock()

    def values(self) -> list[list[float]] | None:
        """The numbers of every input that is no picture, where there are not too many."""
        if self._pictures is not None or self._main is None:
            return None
        flat = self._main.reshape(len(self._main), -1)
        if flat.shape[1] > WIDEST or flat.numel() > MOST:
            return None
        return [[float(f"{v:.6g}") for v in row] for row in flat.tolist()]

    def note(self) -> str | None:
        """What is to be said of drawing on a picture that is shown smaller than it is."""
        if self._pictures is None or self._main is None:
            return None
        shown, (high, wide) = tuple(self._pictures.shape[2:]), _size(self._main)
        if shown == (high, wide):
            return None
        return (
            f"pictures are shown at {shown[0]} × {shown[1]} of {high} × {wide} pixels: what is drawn changes"
            " whole patches of the input"
        )

    def answer(self, index: int, values: Sequence[float | None]) -> dict[str, Any]:
        """The message `edited`. Raises `UserError` where the values are none of this input."""
        if not 0 <= index < len(self._targets):
            raise UserError(f"there is no input {index}")
        with self._lock, seeded(0, "edit"):
            both = self.both(index, values)
            network = self._now()
            try:
                seen = self._pinned.glance_at(both, self._targets[[index, index]], network)
            except UserError:
                raise
            except Exception as raised:  # whatever the network says to an input that it was not made for
                said = str(raised).strip().partition("\n")[0]
                raise UserError(
                    f"the network does not take this input: {type(raised).__name__}: {said}"
                ) from raised
        before, after = self._by_row(seen, 0), self._by_row(seen, 1)
        return {"type": "edited", "input": index, "before": before, "after": after}

    def _by_row(self, seen: Atlas, column: int) -> dict[str, list[float | None]]:
        at = {(row.name, row.call): n for n, row in enumerate(seen.rows)}
        places = [at.get(key) for key in self._rows]
        found: dict[str, list[float | None]] = {}
        for grid in seen.now.grids:
            numbers = [grid.values.at(n, column) if n is not None else math.nan for n in places]
            found[grid.name] = [float(f"{v:.5g}") if math.isfinite(v) else None for v in numbers]
        return found

    def _now(self) -> nn.Module:
        """The network as it was kept last."""
        path = self._keeping.latest
        stamp = path.stat().st_mtime_ns if path.is_file() else 0
        if self._network is None:
            self._network = self._recipe.build(self._seed).to(self._pinned.device)
        if stamp != self._stamp and (kept := read(path)) is not None:
            self._network.load_state_dict(kept["network"])
        self._stamp = stamp
        return self._network

    def both(self, index: int, values: Sequence[float | None]) -> Any:
        """The input as it is and as it was changed, (2, ...)."""
        main = self._main
        assert main is not None
        numbers = np.asarray([math.nan if v is None else v for v in values], dtype=np.float64)
        given = torch.from_numpy(numbers).float()
        picture = self._pictures
        size = picture[0].numel() if picture is not None else main[0].numel()
        if len(given) != size:
            raise UserError(f"{len(given)} values for an input of {size}")
        if picture is None:
            changed = _typed(given.reshape(main.shape[1:]), main)
        else:
            changed = _drawn(
                main[index], picture[index], given.reshape(*picture.shape[2:], -1).permute(2, 0, 1)
            )

        def pair(tensor: Tensor) -> Tensor:
            one = tensor[index]
            return torch.stack([one, changed if tensor is main else one])

        return tree_map(pair, self._inputs)


def _typed(values: Tensor, like: Tensor) -> Tensor:
    if like.is_floating_point():
        return values.to(like.dtype)
    if like.dtype == torch.bool:
        return values > 0.5
    range_ = torch.iinfo(like.dtype)
    return values.nan_to_num().round().clamp(range_.min, range_.max).to(like.dtype)


def _size(images: Tensor) -> tuple[int, int]:
    """Height and width of (N, H, W), (N, C, H, W) or (N, H, W, C)."""
    shape = images.shape[1:]
    last = len(shape) == 3 and shape[0] not in (1, 3) and shape[2] in (1, 3)
    return (int(shape[0]), int(shape[1])) if last else (int(shape[-2]), int(shape[-1]))


def _drawn(image: Tensor, small: Tensor, given: Tensor) -> Tensor:
    """The image with what was drawn on its small picture, (C, h, w) in its own scale; `given` (C, h, w)
    is from 0, the darkest value of the picture, to 1. What was not touched keeps every bit."""
    low, top = small.min(), small.max()
    span = (top - low).clamp(min=1e-12)
    shown = ((small - low) / span * 255).round()
    touched = (given * 255 - shown).abs() > 0.5
    values = low + given * (span if top > low else torch.tensor(1.0))
    last = image.ndim == 3 and image.shape[0] not in (1, 3) and image.shape[2] in (1, 3)
    laid = image[None] if image.ndim == 2 else image.permute(2, 0, 1) if last else image
    (high, wide), (h, w) = laid.shape[1:], small.shape[1:]
    down = torch.arange(high) * h // high
    across = torch.arange(wide) * w // wide
    changed = laid.clone()
    some = changed[: len(small)]
    place = touched[:, down][:, :, across]
    some[place] = _typed(values[:, down][:, :, across], image)[place]
    return changed[0] if image.ndim == 2 else changed.permute(1, 2, 0) if last else changed
