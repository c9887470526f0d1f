"""Computing constants while reading, within the room that a file of its size deserves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only


class TooLarge(Exception):
    """The result would take more memory than there is room for; it is left for the run."""


class _Room(TorchDispatchMode):
    """Before an operation runs, asks a run without data how much memory it will take."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        empty_args, empty_options = tree_map_only(Tensor, _without_data, (args, options))
        if "device" in empty_options:
            empty_options["device"] = torch.device("meta")
        try:
            planned = func(*empty_args, **empty_options)
        except (
            RuntimeError,
            NotImplementedError,
        ):  # its result depends on data, and is no larger than they are
            planned = None
        needed = sum(
            leaf.numel() * leaf.itemsize for leaf in tree_flatten(planned)[0] if isinstance(leaf, Tensor)
        )
        if needed > self.room:
            raise TooLarge
        return func(*args, **options)


def _without_data(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def folded(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], room: int
) -> tuple[Any, int]:
    """What `function` gives and the room left after it."""
    with torch.no_grad(), _Room(room):
        value = function(*args, **kwargs)
    made = sum(leaf.numel() * leaf.itemsize for leaf in tree_flatten(value)[0] if isinstance(leaf, Tensor))
    if made > room:
        raise TooLarge
    return value, room - made
