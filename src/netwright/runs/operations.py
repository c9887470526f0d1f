"""What a forward pass computes, operation by operation, whether it was written as a layer or as a function.

Layers are not enough to know a network: activations, softmax and `.detach()` mostly stand in `forward` as
functions. One pass under a `TorchFunctionMode` notes every call with what it reads, the layer that was
running and the line of the user's source, and leaves the network and its results as they are.
"""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from attrs import field, frozen
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from netwright.recipe.edits import core
from netwright.recipe.rewiring import call_name, picked_places
from netwright.recipe.source import Birthplace, is_ours
from netwright.runs.calls import (
    BOUNDED,
    LEAVING,
    LINEAR,
    LOSS_NAMES,
    MATMUL,
    OVER_AN_AXIS,
    RECTIFIERS,
    SCALING,
    SHAPING,
    WEIGHTED,
)
from netwright.runs.listening import unrecorded
from netwright.runs.taps import fires_by_unit

_LOOKED_FOR = (
    "dim", "p", "training", "dtype", "momentum", "normalized_shape", "num_groups", "reduction",
    "label_smoothing",
)  # fmt: skip
_MOST = 20_000


@frozen
class Operation:
    """One call. `reads` and `makes` number the values of the pass; `parameters` are those it was given by
    name; `settings` holds `dim`, `p`, `training` and the like where the call has them, `by`, the number that
    it multiplies with or divides by, `picked`, the axes along which it takes a single place, with that place,
    and `sliced`, whether it takes a stretch of some axis; writing into a part of a value (`setitem`) makes a
    new one. `cuts` says that
    what it read had a gradient and what it made has none; a call that leaves torch (`item`, `numpy`) makes
    value -1. `nth` counts the calls of the same name since the network was entered, from 0, and is -1 for
    one that an edit put there. `hidden` says that it multiplies by a parameter that the network does not
    list as its own. Of activations: `dead`, the share of units that are 0 for every input, `saturated`,
    the share of values within 2 % of the ends of their range."""

    name: str
    layer: str
    place: Birthplace
    reads: tuple[int, ...]
    makes: int
    shape: tuple[int, ...]
    parameters: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(factory=dict)
    cuts: bool = False
    nth: int = 0
    hidden: bool = False
    dead: float | None = None
    saturated: float | None = None

    @property
    def weighted(self) -> bool:
        """Whether it multiplies by a parameter."""
        return self.name in WEIGHTED or (self.name in MATMUL and bool(self.parameters))

    @property
    def linear(self) -> bool:
        """Whether its result is linear (affine) in the data that it reads."""
        if self.name in LINEAR or self.weighted:
            return True
        if self.name in SCALING or self.name in MATMUL:
            return len(self.reads) < 2  # by a constant or a parameter
        return False

    @property
    def factor(self) -> float | None:
        """The constant by which it multiplies what it reads; `None` for any other call."""
        by = self.settings.get("by")
        if by is None or len(self.reads) != 1 or self.name not in SCALING or self.name == "rtruediv":
            return None
        return by if "mul" in self.name else 1 / by if by else None

    @property
    def shapes_only(self) -> bool:
        """Whether it only moves values about or drops some."""
        return self.name in SHAPING


@frozen(eq=False)
class Operations:
    """A pass: the calls in order, the numbers of the network's inputs and of its (first) output.

    The first `forward_calls` calls are the network's, the others those of the loss.
    """

    calls: tuple[Operation, ...] = ()
    inputs: frozenset[int] = frozenset()
    output: int | None = None
    complete: bool = True
    forward_calls: int = 0

    @functools.cached_property
    def maker(self) -> Mapping[int, Operation]:
        """The call that made each value."""
        return {call.makes: call for call in self.calls}

    @property
    def forward(self) -> tuple[Operation, ...]:
        return self.calls[: self.forward_calls]

    @property
    def loss_call(self) -> Operation | None:
        """The last call of one of torch's losses after the network's own."""
        return next((c for c in reversed(self.calls[self.forward_calls :]) if c.name in LOSS_NAMES), None)

    @property
    def ends_in(self) -> Operation | None:
        """The call that gives the output its values: what only reshapes them after it is looked through."""
        return self.source_of(self.output)

    def source_of(self, value: int | None) -> Operation | None:
        """The call that gave a value its numbers, past all that only reshapes them."""
        call = self.maker.get(value) if value is not None else None
        while call is not None and call.shapes_only and call.reads:
            before = self.maker.get(call.reads[0])
            if before is None:
                return call
            call = before
        return call

    def before(self, call: Operation, past: Callable[[Operation], bool]) -> Iterator[Operation]:
        """The nearest calls upstream of `call`, walking through those for which `past` holds."""
        waiting, seen = list(call.reads), set[int]()
        while waiting:
            value = waiting.pop()
            made = self.maker.get(value)
            if value in seen or made is None:
                continue
            seen.add(value)
            if past(made):
                waiting.extend(made.reads)
            else:
                yield made

    def all_through(self, call: Operation) -> bool:
        """Whether every way from the network's inputs to its output leads through `call`."""
        if self.output is None or call.makes == self.output:
            return False
        waiting, seen = [self.output], {call.makes}
        while waiting:
            value = waiting.pop()
            if value in self.inputs:
                return False
            if value not in seen and value in self.maker:
                made = self.maker[value]
                # `expand_as` and the like take only the shape of their second tensor.
                waiting.extend(made.reads[:1] if made.name.endswith("_as") else made.reads)
            seen.add(value)
        return call.makes in self.maker

    def on_the_way(self) -> tuple[Operation, ...]:
        """The network's calls that its output depends on, in their order."""
        if self.output is None:
            return self.forward
        reached, waiting = set[int](), [self.output]
        while waiting:
            value = waiting.pop()
            if value not in reached and value in self.maker:
                waiting.extend(self.maker[value].reads)
            reached.add(value)
        return tuple(c for c in self.forward if c.makes in reached)

    def weighted_after(self, call: Operation) -> bool:
        """Whether some call with weights comes after `call` in the pass."""
        return any(c.weighted for c in self.forward[self.forward.index(call) + 1 :])

    def named(self, *names: str) -> Iterator[Operation]:
        return (call for call in self.calls if call.name in names)


class Recorder(TorchFunctionMode):
    """`with Recorder(network) as recorder: loss = run()` notes the calls of a pass through `network` and of
    what follows it; `recorder.operations()` gives them, `recorder.outputs` what the network returned, also
    where the pass was ended by an exception."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        inner = core(network)
        self._parameters = {id(p): n for n, p in inner.named_parameters()}
        self._modules = {id(m): n for n, m in inner.named_modules()}
        self._inner, self._stack = inner, [""]
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []
        self._calls: list[Operation] = []
        self._inputs: set[int] = set()
        self._next = 0
        self._handles: list[Any] = []
        self._counts: Counter[str] = Counter()
        self._entered = False
        self._grad = torch.is_grad_enabled()
        self._forward_calls = 0
        self.outputs: Any = None

    def __enter__(self) -> Recorder:
        for module in self._inner.modules():
            self._handles += [
                module.register_forward_pre_hook(self._enter, with_kwargs=True),
                module.register_forward_hook(self._leave, always_call=True),
            ]
        super().__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _enter(self, module: nn.Module, arguments: Any, named: Any) -> None:
        if module is self._inner and not self._entered:
            self._entered = True
            for value in _tensors((arguments, named)):
                self._inputs.add(self._number(value))
        if module is self._inner:
            self._counts.clear()
        self._stack.append(self._modules.get(id(module), ""))

    def _leave(self, module: nn.Module, arguments: Any, result: Any) -> None:
        self._stack.pop()
        if module is self._inner:
            self._forward_calls = len(self._calls)
            self.outputs = result

    def _number(self, value: Tensor, new: bool = False) -> int:
        if new or id(value) not in self._numbers:
            self._numbers[id(value)] = self._next
            self._kept.append(value)
            self._next += 1
        return self._numbers[id(value)]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if len(self._calls) >= _MOST or not self._entered:
            return func(*args, **kwargs)
        name = call_name(func)
        nth = self._nth(name)
        given = _tensors((args, kwargs))
        reads = tuple(
            dict.fromkeys(
                self._number(t) for t in given if id(t) not in self._parameters and id(t) in self._numbers
            )
        )
        parameters = tuple(self._parameters[id(t)] for t in given if id(t) in self._parameters)
        wanted = torch.is_grad_enabled() or self._grad
        tracked = wanted and any(t.requires_grad for t in given)
        try:
            result = func(*args, **kwargs)
        except Exception:
            if name in LOSS_NAMES:  # what was asked for is known, though it could not be answered
                self._calls.append(Operation(name, self._stack[-1], user_line(), reads, -1, (), nth=nth))
            raise
        made = _tensors(args[:1]) if name == "setitem" else _tensors(result)
        if not made and (tracked or reads) and name in LEAVING:
            self._calls.append(Operation(name, self._stack[-1], user_line(), reads, -1, (), cuts=tracked))
        if made and (reads or parameters):
            settings = _settings(name, func, args, kwargs)
            place = user_line()
            hidden = any(
                isinstance(t, nn.Parameter) and id(t) not in self._parameters and t.requires_grad
                for t in given
            )
            for value in made:
                call = Operation(
                    name,
                    self._stack[-1],
                    place,
                    reads,
                    self._number(value, new=True),
                    tuple(value.shape),
                    parameters,
                    settings,
                    tracked and value.is_floating_point() and not value.requires_grad,
                    nth,
                    hidden,
                    *_activity(name, value),
                )
                self._calls.append(call)
        return result

    def _nth(self, name: str) -> int:
        """The number of this call as `rewrite-calls` counts; -1 for one that an edit put there."""
        answered = getattr(getattr(self._inner, "_netwright_rewriting", None), "now", None)
        if answered is not None:
            return answered[1] if answered[0] == name else -1
        self._counts[name] += 1
        return self._counts[name] - 1

    def operations(self) -> Operations:
        """What was noted; the values of the pass are let go."""
        from netwright.runs.forward import outputs_of

        try:
            output = self._numbers.get(id(outputs_of(self.outputs)))
        except TypeError:
            output = None
        complete = len(self._calls) < _MOST
        calls = tuple(self._calls)
        self._kept.clear()
        return Operations(calls, frozenset(self._inputs), output, complete, self._forward_calls or len(calls))


def _tensors(tree: Any) -> list[Tensor]:
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, Mapping):
        return [t for value in tree.values() for t in _tensors(value)]
    if isinstance(tree, (tuple, list)):
        return [t for value in tree for t in _tensors(value)]
    data = getattr(tree, "data", None)  # a PackedSequence is a tuple; other containers may hold their tensor
    return [data] if isinstance(data, Tensor) else []


def _activity(name: str, value: Tensor) -> tuple[float | None, float | None]:
    """Shares of dead units and of saturated values of an activation's result (B, ...)."""
    if not value.is_floating_point() or value.ndim < 2 or value.numel() == 0:
        return None, None
    with torch.no_grad(), unrecorded():
        if name in RECTIFIERS:
            alive = fires_by_unit(value.detach().float())
            return float(1 - alive.sum() / alive.numel()), None
        if name in ("sigmoid", "tanh", "hardtanh", "hardsigmoid", "softsign"):
            low, high = BOUNDED[name]
            edge = 0.02 * (high - low)
            flat = (value < low + edge) | (value > high - edge)
            return None, float(flat.float().mean())
    return None, None


@functools.lru_cache(maxsize=512)
def _signature(func: Any) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(func).parameters)
    except (TypeError, ValueError):
        return ()


def _settings(name: str, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a call that some check reads, whether given by name or by position."""
    found = {k: kwargs[k] for k in _LOOKED_FOR if k in kwargs}
    try:
        names = _signature(func)
    except TypeError:
        names = ()
    for key, value in zip(names, args, strict=False):
        if key in _LOOKED_FOR and not isinstance(value, Tensor):
            found.setdefault(key, value)
    if "dim" not in found and name in OVER_AN_AXIS:
        given = (kwargs.get("axis"), *args[1:])
        axis = next((a for a in given if isinstance(a, (int, tuple, list)) and not isinstance(a, bool)), None)
        if axis is not None:
            found["dim"] = axis if isinstance(axis, int) else tuple(axis)
    if name in SCALING:
        by = next((float(a) for a in args if isinstance(a, (int, float))), None)
        found |= {"by": by} if by is not None else {}
    if name == "getitem" and len(args) > 1 and isinstance(args[0], Tensor):
        found |= {"picked": picked} if (picked := picked_places(args[1], args[0].ndim)) else {}
        parts = args[1] if isinstance(args[1], tuple) else (args[1],)
        found |= {"sliced": True} if any(isinstance(p, slice) and p != slice(None) for p in parts) else {}
    return found


_TORCH = str(Path(torch.__file__).resolve().parent)


def user_line() -> Birthplace:
    """The innermost frame of the user's between torch's and ours; none where a layer was called by torch
    alone."""
    frame = inspect.currentframe()
    noting = True  # still in the frames that note the call
    while frame is not None:
        file = frame.f_code.co_filename
        if is_ours(file):
            if not noting and not file.endswith(("operations.py", "rewiring.py")):
                return Birthplace()
        elif not file.startswith((_TORCH, "<")):
            return Birthplace(file, frame.f_lineno)
        else:
            noting = False
        frame = frame.f_back
    return Birthplace()
