"""Reading weights that exist: safetensors, a Hugging Face folder, `.pt` and `.ckpt` without unpickling
objects."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from netwright.values import UserError

_PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.", "state_dict.")


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name. Raises `UserError` where it is missing or no checkpoint."""
    import torch
    from safetensors.torch import load_file

    file = Path(path)
    if file.is_dir():
        file = next(
            (file / n for n in ("model.safetensors", "pytorch_model.bin") if (file / n).is_file()), file
        )
    if not file.is_file():
        raise UserError(f"{path}: no checkpoint there; name a .safetensors, .pt or .ckpt file")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as broken:  # torch raises whatever the bytes of a broken pickle lead to
        reason = next(iter(str(broken).splitlines()), type(broken).__name__)[:120]
        raise UserError(
            f"{path}: not a checkpoint that can be read safely ({reason}); save it as safetensors"
        ) from broken
    for key in ("state_dict", "model_state_dict", "model_state", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = (
        {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        raise UserError(f"{path}: holds no tensors; save network.state_dict()")
    return tensors


def load_into(network: nn.Module, path: str | Path, *, partial: bool = False) -> tuple[str, ...]:
    """Copy a checkpoint into `network` and return the names that were filled.

    Known prefixes are stripped. Raises `UserError`, with the missing and unexpected names, unless all fit or
    `partial`.
    """
    wanted: dict[str, Any] = dict(network.state_dict())
    given = _without_prefix(read_weights(path), wanted)
    fits = {k: v for k, v in given.items() if k in wanted and v.shape == wanted[k].shape}
    missing = [k for k in wanted if k not in fits and not k.endswith("num_batches_tracked")]
    if (missing or len(fits) < len(given)) and not (partial and fits):
        unexpected = [k for k in given if k not in wanted]
        shapes = [
            f"{k} {tuple(v.shape)} for {tuple(wanted[k].shape)}"
            for k, v in given.items()
            if k in wanted and k not in fits
        ]
        parts = [
            f"{what} {', '.join(names[:4])}{' …' if len(names) > 4 else ''}"
            for what, names in (("missing", missing), ("unexpected", unexpected), ("other shape", shapes))
            if names
        ]
        raise UserError(
            f"{path}: does not fit the network: {len(fits)} of {len(wanted)} tensors match;"
            f" {'; '.join(parts)}; --partial loads what fits"
        )
    network.load_state_dict(fits, strict=False)
    return tuple(fits)


def _without_prefix(given: dict[str, Tensor], wanted: Mapping[str, Any]) -> dict[str, Tensor]:
    best = given
    stripped = given
    for _ in range(3):
        prefix = next((p for p in _PREFIXES if stripped and all(k.startswith(p) for k in stripped)), None)
        if prefix is None:
            break
        stripped = {k.removeprefix(prefix): v for k, v in stripped.items()}
        if len(stripped.keys() & wanted.keys()) > len(best.keys() & wanted.keys()):
            best = stripped
    return best
