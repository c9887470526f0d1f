"""Hearing what goes through a network: every layer, and on request every function called in `forward`.

The one place where hooks are put on layers. `Tap` makes statistics of a batch of what it hears, the atlas
statistics of every input.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from netwright.recipe.edits import core, leaves
from netwright.recipe.rewiring import call_name
from netwright.runs.calls import TELLING


@frozen(eq=False)
class Spot:
    """A place of a pass: a layer, or a function called outside any layer (`module` is `None` then, `kind` in
    lower case and the name like `layer1.0.relu#2`, the second there). `call` is 1 for the first time that a
    layer runs."""

    name: str
    kind: str
    parent: str
    call: int
    module: nn.Module | None


Heard = Callable[[Spot, tuple[Any, ...], Any], None]


def unrecorded() -> Any:
    """For the block no `TorchFunctionMode` sees what is called: nobody else's record of calls shows ours."""
    return torch._C.DisableTorchFunction()  # pyright: ignore[reportPrivateUsage] - there is no public name


class Hook:
    """A hook of ours on something of the user's: silent while torch compiles what it is on, and in every copy
    of it, by `copy.deepcopy` or by pickle."""

    __torch_unserializable__ = True

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> None:
        if not torch.compiler.is_compiling():
            self.function(*arguments)

    def __deepcopy__(self, memo: Any) -> Hook:
        return Hook(_silent)

    def __reduce__(self) -> tuple[Any, ...]:
        return Hook, (_silent,)


def _silent(*_: Any) -> None:
    return None


class Listener:
    """`with Listener(network, heard): network(x)` calls `heard(spot, arguments, result)` after every layer,
    in execution order; with `functions` also after the functions of `TELLING`. What it calls is not heard."""

    def __init__(self, network: nn.Module, heard: Heard, *, functions: bool = False) -> None:
        self._network, self._heard = weakref.ref(core(network)), heard  # whoever listens keeps nothing alive
        self._layers = list(leaves(network))
        self._names = {id(module): name for name, module in self._layers}
        self._handles: list[Any] = []
        self._calls: Counter[str] = Counter()
        self._inside = 0  # layers that are running now
        self._running = False
        self._mode = _Functions(self) if functions else None
        self._stack: list[str] = [""]

    def __enter__(self) -> Listener:
        put, network = self._handles.append, self._network()
        if network is None:
            return self
        put(network.register_forward_pre_hook(Hook(self._began)))
        put(network.register_forward_hook(Hook(self._ended), always_call=True))
        if self._mode is not None:
            inner = {id(module) for _, module in self._layers}
            for name, module in network.named_modules():
                if id(module) in inner or module is network:
                    continue
                put(module.register_forward_pre_hook(Hook(lambda *_, n=name: self._stack.append(n))))
                put(module.register_forward_hook(Hook(self._leaves), always_call=True))
            for _, module in self._layers:
                put(module.register_forward_pre_hook(Hook(self._entered)))
        always = self._mode is not None
        for _, module in self._layers:
            put(module.register_forward_hook(Hook(self._left), always_call=always))
        if self._mode is not None:
            self._mode.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        if self._mode is not None:
            self._mode.__exit__(*raised)
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _began(self, *_: Any) -> None:
        self._calls.clear()
        self._stack, self._inside, self._running = [""], 0, True

    def _ended(self, *_: Any) -> None:
        self._running = False

    def _leaves(self, *_: Any) -> None:
        if len(self._stack) > 1:
            self._stack.pop()

    def _entered(self, *_: Any) -> None:
        self._inside += 1

    def _left(self, module: nn.Module, arguments: tuple[Any, ...], result: Any) -> None:
        self._inside = max(0, self._inside - 1)
        name = self._names.get(id(module))
        if name is None or result is None:  # a replica of a layer, made to run elsewhere; one that raised
            return
        self._calls[name] += 1
        parent = name.rpartition(".")[0]
        spot = Spot(name, type(module).__name__, parent, self._calls[name], module)
        with unrecorded():
            self._heard(spot, arguments, result)

    def function(self, kind: str, arguments: tuple[Any, ...], result: Any) -> None:
        """A function of `forward` has given its result."""
        parent = self._stack[-1]
        name = f"{parent}.{kind}" if parent else kind
        self._calls[name] += 1
        spot = Spot(f"{name}#{self._calls[name]}", kind, parent, 1, None)
        with unrecorded():
            self._heard(spot, arguments, result)

    @property
    def between_layers(self) -> bool:
        return self._running and self._inside == 0


class _Functions(TorchFunctionMode):
    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self._listener.between_layers and isinstance(result, Tensor):
            name = call_name(func)
            if name in TELLING and (name not in _SUMS or _of_two_results(args)):
                self._listener.function("add" if name in _SUMS else name, args, result)
        return result


_SUMS = ("add", "iadd", "radd")


def _of_two_results(arguments: tuple[Any, ...]) -> bool:
    """Whether two branches are added, not a constant, a mask or a position."""
    if len(arguments) < 2:
        return False
    one, other = arguments[:2]
    tensors = isinstance(one, Tensor) and isinstance(other, Tensor)
    return tensors and one.shape == other.shape and not isinstance(other, nn.Parameter)


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor of a layer's arguments or result."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        return next((t for t in map(first_tensor, value) if t is not None), None)
    return None
