"""The course of a pass: every layer, and every function that `forward` calls outside a layer, in execution
order, with what each costs.

A layer is known by its name, a function by the instruction of the user's code that calls it and the layer
that ran last before it: a loop over time steps is one line that was called many times, a loop over layers is
a line for each of them. Nothing is seen of what a layer does inside itself.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from attrs import define, field
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from netwright.recipe.edits import core, leaves
from netwright.recipe.rewiring import call_name
from netwright.recipe.source import Birthplace, is_ours
from netwright.runs.calls import BOUNDED, RECTIFIERS, SHAPING
from netwright.runs.listening import Hook
from netwright.runs.operations import user_line
from netwright.runs.taps import LayerState, Tap

_DROPOUT = {n for n in SHAPING if "dropout" in n}
_HIDDEN = (SHAPING - _DROPOUT - {"cat", "stack", "pad"}) | {
    "half", "double", "bfloat16", "zeros_like", "ones_like", "empty_like", "full_like", "rand_like",
    "randn_like", "new_zeros", "new_ones", "new_full", "new_tensor", "new_empty", "broadcast_to", "ravel",
    "swapdims", "moveaxis", "split_with_sizes", "copy", "view_as_real", "view_as_complex", "diagonal",
    "masked_select", "take_along_dim", "pack_padded_sequence", "pad_packed_sequence", "pad_sequence",
}  # fmt: skip
_SAID = {
    "radd": "add", "iadd": "add", "isub": "sub", "rsub": "sub", "imul": "mul", "rmul": "mul", "idiv": "div",
    "truediv": "div", "itruediv": "div", "rtruediv": "div", "rmatmul": "matmul", "ipow": "pow", "rpow": "pow",
}  # fmt: skip
_ENDS = {name: BOUNDED[name] for name in ("sigmoid", "tanh", "hardtanh", "hardsigmoid", "softsign")}
_TORCH = Path(torch.__file__).resolve().parent
_PLUMBING = frozenset(
    str(_TORCH / part)
    for part in ("overrides.py", "nn/functional.py", "functional.py", "_tensor.py", "_jit_internal.py")
)


@define(eq=False)
class Stretch:
    """A layer (`function` empty), a function, or a parameter that functions read (`parameter`), as it was met
    in a pass. Shapes and statistics are in `state`, of the last call; costs are sums over the calls.

    `layer` names the layer or the parameter; of a function, the module whose `forward` called it. `whole`
    says that it read parameters only, so that its shapes have no axis of samples.
    """

    layer: str
    function: str = ""
    parameter: bool = False
    state: LayerState | None = None
    place: Birthplace = field(factory=Birthplace)
    whole: bool = False
    calls: int = 0
    flops: int = 0
    bytes: int = 0
    seconds: float = 0.0
    key: Any = None
    module: nn.Module | None = None
    began: float = 0.0


class Course(TorchFunctionMode):
    """`with Course(network, tap=tap) as course: network(x)`, then `course.stretches()` and `course.entered`.

    With `clock` nothing is noted but the time of every layer's and every function's own forward.
    """

    def __init__(
        self, network: nn.Module, *, tap: Tap | None = None, clock: Callable[[], float] | None = None
    ) -> None:
        super().__init__()
        self._inner, self._tap, self._clock = core(network), tap, clock
        self._layers = {id(module): name for name, module in leaves(network)}
        inside = {
            id(below) for _, layer in leaves(network) for below in layer.modules() if below is not layer
        }
        self._modules = {id(m): n for n, m in self._inner.named_modules() if id(m) not in inside}
        self._hooked = [m for m in self._inner.modules() if id(m) in self._modules]
        self._parameters = {id(p): n for n, p in self._inner.named_parameters()}
        self._names: dict[Any, str] = {}
        self._found: dict[Any, Stretch] = {}
        self._stack: list[Stretch] = []
        self._inside = 0
        self._last = ""
        self._handles: list[Any] = []
        self._flops = _Flops(self) if clock is None else None
        self.entered: dict[str, list[tuple[int, ...] | None]] = {}  # shapes of what went in and came out

    def __enter__(self) -> Course:
        for module in self._hooked:
            self._handles += [
                module.register_forward_pre_hook(Hook(self._enter)),
                module.register_forward_hook(Hook(self._leave), always_call=True),
            ]
        super().__enter__()
        if self._flops is not None:
            self._flops.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        try:
            if self._flops is not None:
                self._flops.__exit__(*raised)
            super().__exit__(*raised)
        finally:
            for handle in self._handles:
                handle.remove()
            self._handles = []

    def stretches(self) -> tuple[Stretch, ...]:
        """What was met, in the order of the first call."""
        return tuple(self._found.values())

    def restart(self) -> None:
        """Forget what was met: another pass begins."""
        self._found, self._last = {}, ""

    @property
    def running(self) -> Stretch | None:
        """What works are to be put down to now."""
        return self._stack[-1] if self._stack else None

    def _enter(self, module: nn.Module, arguments: Any) -> None:
        if not self._stack and module is not self._inner:
            return
        name = self._modules.get(id(module), "")
        is_layer = id(module) in self._layers
        key = ("layer" if is_layer else "module", name)
        stretch = self._found.get(key) if is_layer else None
        if stretch is None:
            stretch = Stretch(name, key=key, module=module)
            if is_layer:
                self._found[key] = stretch
            else:
                self.entered.setdefault(name, [_shape(arguments), None])
        self._stack.append(stretch)
        if is_layer:
            self._inside += 1
            self._last = name
            stretch.calls += 1
            if self._clock is not None:
                stretch.began = self._clock()

    def _leave(self, module: nn.Module, arguments: Any, result: Any) -> None:
        now = self._clock() if self._clock is not None else 0.0
        if not self._stack or self._stack[-1].module is not module:
            return
        stretch = self._stack.pop()
        if stretch.key[0] == "module":
            self.entered[stretch.layer][1] = _shape(result)
        else:
            self._inside -= 1
            stretch.seconds += now - stretch.began
            if self._clock is None:
                stretch.bytes += _bytes(result)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._inside or not self._stack:
            return func(*args, **kwargs)
        given = list(_tensors((args, kwargs)))
        for tensor in given:
            name = self._parameters.get(id(tensor))
            if name is not None:
                self._last = name
                self._found.setdefault(("parameter", name), Stretch(name, parameter=True))
        said = self._said(func)
        if not said or not given:
            return func(*args, **kwargs)
        stretch, parent = Stretch(self._stack[-1].layer, said), self._stack[-1]
        self._stack.append(stretch)
        try:
            stretch.began = self._clock() if self._clock is not None else 0.0
            result = func(*args, **kwargs)
            stretch.seconds = self._clock() - stretch.began if self._clock is not None else 0.0
        finally:
            self._stack.pop()
        if any(t.is_floating_point() or t.is_complex() for t in _tensors(result)):
            self._met(stretch, given, args, result)
        else:
            parent.flops += stretch.flops
        return result

    def _said(self, func: Any) -> str:
        """How a call is listed; empty for what is not."""
        try:
            return self._names[func]
        except (KeyError, TypeError):  # what cannot be hashed is asked about each time
            name = call_name(func)
            hidden = name in _HIDDEN or getattr(func, "__name__", "") in ("__get__", "__set__")
            said = "" if hidden else _SAID.get(name, name).lower()
            with contextlib.suppress(TypeError):
                self._names[func] = said
            return said

    def _met(self, stretch: Stretch, given: list[Tensor], args: Any, result: Any) -> None:
        """A call of a function, put down to its line."""
        frame = _caller()
        made = next(_tensors(result))
        key = (
            stretch.layer, stretch.function, id(frame.f_code) if frame else 0, frame.f_lasti if frame else 0,
            self._last, tuple(given[0].shape), tuple(made.shape),
        )  # fmt: skip
        known = self._found.get(key)
        if known is None:
            known = self._found[key] = stretch
            stretch.key = key
            if self._clock is None:
                stretch.place = user_line()
                stretch.whole = all(id(t) in self._parameters for t in given)
                name = stretch.function
                stretch.state = LayerState(
                    f"\0{len(self._found)}", name, None, None, 0, rectifier=name in RECTIFIERS
                )
        else:
            known.seconds += stretch.seconds
            known.flops += stretch.flops
        known.calls += 1
        if self._clock is None:
            known.bytes += _bytes(result)
        if self._tap is not None and known.state is not None:
            self._tap.note(known.state, tuple(given), result, ends=_ENDS.get(known.function))


def _caller() -> FrameType | None:
    """The frame that calls the function, past torch's own way to us."""
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None and (is_ours(frame.f_code.co_filename) or frame.f_code.co_filename in _PLUMBING):
        frame = frame.f_back
    return frame


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _tensors(value)
    elif isinstance(tree, (tuple, list)):
        for value in tree:
            yield from _tensors(value)


def _shape(tree: Any) -> tuple[int, ...] | None:
    return next((tuple(t.shape) for t in _tensors(tree)), None)


def _bytes(result: Any) -> int:
    return sum(t.numel() * t.element_size() for t in _tensors(result) if t.layout == torch.strided)


class _Flops(TorchDispatchMode):
    """Puts the floating point operations of what torch really computes down to what runs in a course."""

    def __init__(self, course: Course) -> None:
        super().__init__()
        self._course = course
        self._plain: set[Any] = set()  # neither counted nor made of other operations

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in self._plain:
            return func(*args, **kwargs)
        packet = getattr(func, "overloadpacket", None)
        count = flop_registry.get(packet) or _MORE.get(packet)
        if count is None:
            if hasattr(func, "decompose"):
                with self:
                    made = func.decompose(*args, **kwargs)
                if made is not NotImplemented:
                    return made
            self._plain.add(func)
            return func(*args, **kwargs)
        made = func(*args, **kwargs)
        running = self._course.running
        if running is not None:
            running.flops += int(count(*args, **kwargs, out_val=made))
        return made


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    *batch, steps, width = query.shape  # (B, heads, T, D)
    pairs = steps * key.shape[-2]
    for size in batch:
        pairs *= size
    return 2 * pairs * (width + value.shape[-1])


def _mkldnn_rnn(inputs: Tensor, from_inputs: Tensor, from_state: Tensor, *_: Any, **__: Any) -> int:
    steps = inputs.numel() // inputs.shape[-1]  # of all sequences
    return 2 * steps * (from_inputs.numel() + from_state.numel())


def _cudnn_rnn(inputs: Tensor, weights: list[Tensor], *rest: Any, **_: Any) -> int:
    sizes = next((a for a in rest if isinstance(a, (list, tuple)) and a and isinstance(a[0], int)), None)
    steps = inputs.numel() // inputs.shape[-1] if not sizes else sum(sizes)
    return 2 * steps * sum(w.numel() for w in weights if w.ndim == 2)


def _product(matrix: Tensor, vector: Tensor, *_: Any, **__: Any) -> int:
    return 2 * matrix.numel()


def _added_product(added: Tensor, matrix: Tensor, vector: Tensor, *_: Any, **__: Any) -> int:
    return 2 * matrix.numel()


_MORE: Mapping[Any, Callable[..., int]] = {
    packet: count
    for name, count in {
        "_scaled_dot_product_flash_attention_for_cpu": _attention,
        "_scaled_dot_product_attention_math": _attention,
        "mkldnn_rnn_layer": _mkldnn_rnn,
        "_cudnn_rnn": _cudnn_rnn,
        "mv": _product,
        "dot": _product,
        "addmv": _added_product,
    }.items()
    if (packet := getattr(torch.ops.aten, name, None)) is not None
}
