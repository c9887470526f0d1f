"""The listing: a line a layer in execution order, with shapes, parameters, FLOPs, behaviour and gradient."""

from __future__ import annotations

import inspect
import statistics
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from netwright.recipe import seeded, tree_tensors
from netwright.recipe.edits import core, leaves
from netwright.recipe.source import Birthplace, shown
from netwright.runs import Course, LayerState, Stretch, Tap, forward
from netwright.values import Finding, LayerLine, ModuleLine, UserError

_PASSES, _SECONDS = 5, 0.4  # of the measurement of time: as many passes as fit, one at least
_NOTHING: Mapping[str, Any] = dict.fromkeys(
    ("zeros", "dead", "saturated", "mean", "std", "histogram", "gradient")
)


@frozen
class Listing:
    """The lines of a network and the modules that they stand in."""

    lines: tuple[LayerLine, ...]
    modules: tuple[ModuleLine, ...]


def listing(network: nn.Module, inputs: Any, **options: Any) -> tuple[LayerLine, ...]:
    """The lines of `read`."""
    return read(network, inputs, **options).lines


def read(
    network: nn.Module,
    inputs: Any,
    *,
    backward: Callable[[Any], Tensor] | None = None,
    places: Mapping[str, Birthplace] | None = None,
    findings: Sequence[Finding] = (),
    clock: Callable[[], float] | None = None,
    spread: bool = False,
) -> Listing:
    """One line a layer that ran or has parameters, and a function called outside the layers, from one pass
    over `inputs` (B, ...) in evaluation mode.

    `backward(outputs) -> loss` adds the gradients; without it the pass records none. `clock` adds the
    seconds, from a few more passes. `spread` gives a tuple of inputs as so many arguments where forward takes
    them. Modes, gradients, buffers and random states are as before. Raises what the network's forward raises.
    """
    if any(isinstance(module, torch.jit.ScriptModule) for module in network.modules()):
        raise UserError(
            f"look: {type(network).__name__} is TorchScript, whose layers cannot be listened to;"
            " look at the network that it was made of"
        )
    call = _calling(network, inputs, spread)
    with _as_it_was(network), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.eval()
        with seeded(0, "listing"), torch.set_grad_enabled(backward is not None):
            with Tap(network, histograms=True) as tap, Course(network, tap=tap) as course:
                outputs = call()
            if backward is not None:
                loss = backward(outputs)
                if loss.requires_grad:
                    loss.backward()
        states = {state.name: state for state in tap.states()}
        gradients = {n: p.grad for n, p in core(network).named_parameters()}
        seconds = _seconds(network, call, clock) if clock is not None else {}
    size = samples_in(inputs) or 1
    lines = _Lines(network, size, places or {}, findings, gradients, states, seconds)
    return Listing(
        tuple(lines.of(course.stretches())), tuple(_modules(network, course, places or {}, findings, size))
    )


def samples_in(inputs: Any) -> int:
    """How many samples a batch (B, ...) has; 0 for what is none."""
    if isinstance(inputs, nn.utils.rnn.PackedSequence):
        return int(inputs.batch_sizes[0])
    return next((len(t) for _, t in tree_tensors(inputs) if t.ndim), 0)


def spreads(network: nn.Module, inputs: Any) -> bool:
    """Whether a tuple of inputs goes to `forward` one by one: it takes several, and these."""
    try:
        signature = inspect.signature(core(network).forward)
    except (TypeError, ValueError):
        return False
    kinds = [p.kind for p in signature.parameters.values()]
    several = len([k for k in kinds if k in (0, 1)]) > 1 or inspect.Parameter.VAR_POSITIONAL in kinds
    return type(inputs) is tuple and several and _binds(signature, *inputs)


def _calling(network: nn.Module, inputs: Any, spread: bool) -> Callable[[], Any]:
    """The call of the network on its inputs; a sentence where its forward does not take as many."""
    try:
        signature = inspect.signature(core(network).forward)
    except (TypeError, ValueError):
        return lambda: forward(network, inputs)
    if spread and spreads(network, inputs):
        return lambda: network(*inputs)
    named = isinstance(inputs, Mapping)
    if core(network) is network and not (_binds(signature, **inputs) if named else _binds(signature, inputs)):
        takes = ", ".join(signature.parameters)
        given = f"a dictionary of {', '.join(map(str, inputs))}" if named else _said(inputs)
        raise UserError(
            f"look: {type(network).__name__}.forward takes ({takes}) and was given {given}; give"
            " a tuple of inputs, or a dictionary of them by name"
        )
    return lambda: forward(network, inputs)


def _binds(signature: inspect.Signature, *given: Any, **named: Any) -> bool:
    try:
        signature.bind(*given, **named)
    except TypeError:
        return False
    return True


def _said(inputs: Any) -> str:
    if isinstance(inputs, (tuple, list)):
        return f"{len(inputs)} inputs"
    return "one tensor" if isinstance(inputs, Tensor) else f"a {type(inputs).__name__}"


@contextmanager
def _as_it_was(network: nn.Module) -> Generator[None, None, None]:
    """Modes, gradients and buffers of the network put back after the block, however it ends."""
    modules = list(network.modules())
    modes = [module.training for module in modules]
    kept = [(parameter, parameter.grad) for parameter in network.parameters()]
    # `_buffers`: a buffer may be written into, or another one may be put in its place
    buffers = [(dict(m._buffers), m) for m in modules if m._buffers]  # pyright: ignore[reportPrivateUsage]
    copies = [(b, b._version, b.clone()) for b in network.buffers() if not _unversioned(b)]
    try:
        for parameter, _ in kept:
            parameter.grad = None
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
        for parameter, gradient in kept:
            parameter.grad = gradient
        for named, module in buffers:
            module._buffers.update(named)  # pyright: ignore[reportPrivateUsage]
        with torch.no_grad():
            for buffer, version, copy in copies:
                if buffer._version != version:
                    buffer.copy_(copy)


def _unversioned(buffer: Tensor) -> bool:
    return is_lazy(buffer) or buffer.is_inference() or buffer.is_meta


def _seconds(network: nn.Module, call: Callable[[], Any], clock: Callable[[], float]) -> dict[Any, float]:
    """The median seconds of every stretch over a few passes without gradients, in which nothing else is
    noted."""

    def now() -> float:
        if on_cuda:
            torch.cuda.synchronize()
        return clock()

    on_cuda = any(t.is_cuda for t in network.parameters())
    found: dict[Any, list[float]] = {}
    began = clock()
    with torch.no_grad(), Course(network, clock=now) as course:
        for _ in range(_PASSES):
            course.restart()
            with seeded(0, "listing"):
                call()
            for stretch in course.stretches():
                found.setdefault(stretch.key, []).append(stretch.seconds)
            if clock() - began > _SECONDS:
                break
    return {key: statistics.median(values) for key, values in found.items()}


def _modules(
    network: nn.Module,
    course: Course,
    places: Mapping[str, Birthplace],
    findings: Sequence[Finding],
    size: int,
) -> Iterator[ModuleLine]:
    at = _findings_by_layer(findings)
    modules = dict(core(network).named_modules())
    for name, shapes in course.entered.items():
        born = places.get(name)
        file, line = (shown(born.file), born.line) if born and name else (None, None)
        given, made = (_of_a_sample(shape, size) for shape in shapes)
        kind, about = type(modules[name]).__name__, at.get(name, ()) if name else ()
        yield ModuleLine(name, kind, given, made, file, line, about)


def _findings_by_layer(findings: Sequence[Finding]) -> dict[str, tuple[str, ...]]:
    at: dict[str, tuple[str, ...]] = {}
    for finding in findings:
        if finding.where.layer is not None:
            at[finding.where.layer] = (*at.get(finding.where.layer, ()), finding.id)
    return at


class _Lines:
    """From what was met in a pass to the lines: every parameter of the network in one of them."""

    def __init__(
        self,
        network: nn.Module,
        size: int,
        places: Mapping[str, Birthplace],
        findings: Sequence[Finding],
        gradients: Mapping[str, Tensor | None],
        states: Mapping[str, LayerState],
        seconds: Mapping[Any, float],
    ) -> None:
        self._layers = dict(leaves(network))
        self._inside = {
            f"{name}.{below}" if name else below: name
            for name, layer in self._layers.items()
            for below, _ in layer.named_modules()
            if below
        }
        self._parameters = dict(core(network).named_parameters())
        self._size, self._places, self._findings = size, places, findings
        self._at = _findings_by_layer(findings)
        self._gradients, self._states, self._seconds = gradients, states, seconds
        self._counted: dict[int, str] = {}

    def of(self, stretches: Sequence[Stretch]) -> Iterator[LayerLine]:
        run = {s.layer for s in stretches if not s.function and not s.parameter}
        done = set[str]()
        for stretch in stretches:
            if stretch.parameter:
                yield from self._parameter(stretch.layer, run, done)
            elif stretch.function:
                yield self._function(stretch)
            else:
                yield self._layer(stretch.layer, stretch)
        for name in self._parameters:
            yield from self._parameter(name, run, done)

    def _parameter(self, name: str, run: set[str], done: set[str]) -> Iterator[LayerLine]:
        """The line of a parameter that no layer which runs has; none where it has its line already."""
        owner = name.rpartition(".")[0]
        owner = self._inside.get(owner, owner)
        if owner in run or name in done or id(self._parameters[name]) in self._counted:
            return
        if owner in self._layers:
            if owner not in done:
                done.add(owner)
                yield self._layer(owner, None)
            return
        done.add(name)
        parameter = self._parameters[name]
        yield self._line(
            name,
            "Parameter",
            owner,
            output_shape=tuple(parameter.shape),
            parameters=[(name, parameter)],
            behaviour={"gradient": _relative(parameter, self._gradients.get(name))},
        )

    def _layer(self, name: str, stretch: Stretch | None) -> LayerLine:
        module = self._layers[name]
        state = self._states.get(name)
        behaviour = _behaviour(state)
        own = [(f"{name}.{key}" if name else key, p) for key, p in _own(module)]
        if own:
            largest, weight = max(own, key=lambda item: item[1].numel())
            behaviour["gradient"] = _relative(weight, self._gradients.get(largest))
        return self._line(
            name,
            type(module).__name__,
            name.rpartition(".")[0],
            input_shape=self._of_a_sample(state.input_shape) if state else None,
            output_shape=self._of_a_sample(state.output_shape) if state else None,
            parameters=[(f"{name}.{k}" if name else k, p) for k, p in module.named_parameters()],
            behaviour=behaviour,
            stretch=stretch,
            settings=_settings(module),
        )

    def _function(self, stretch: Stretch) -> LayerLine:
        state = self._states.get(stretch.state.name) if stretch.state else None
        shapes = (state.input_shape, state.output_shape) if state else (None, None)
        given, made = shapes if stretch.whole else map(self._of_a_sample, shapes)
        return self._line(
            "",
            stretch.function,
            stretch.layer,
            input_shape=given,
            output_shape=made,
            behaviour=_behaviour(state),
            stretch=stretch,
            place=stretch.place,
        )

    def _line(
        self,
        name: str,
        kind: str,
        parent: str,
        *,
        input_shape: tuple[int, ...] | None = None,
        output_shape: tuple[int, ...] | None = None,
        parameters: Sequence[tuple[str, nn.Parameter]] = (),
        behaviour: Mapping[str, Any],
        stretch: Stretch | None = None,
        place: Birthplace | None = None,
        settings: str = "",
    ) -> LayerLine:
        new = [(n, p) for n, p in parameters if id(p) not in self._counted]
        shares = next((self._counted[id(p)] for _, p in parameters if id(p) in self._counted), None)
        self._counted |= {id(p): name for _, p in new}
        born = place if place is not None and place.file else self._place(name or parent)
        inside = parent.count(".") + 1 if parent else 0
        return LayerLine(
            name=name,
            kind=kind,
            depth=name.count(".") if name else inside,
            input_shape=input_shape,
            output_shape=output_shape,
            parameters=sum(p.numel() for _, p in new),
            flops=round(stretch.flops / self._size) if stretch and stretch.flops else None,
            trainable=any(p.requires_grad for _, p in parameters) if parameters else None,
            file=shown(born.file) if born else None,
            line=born.line if born else None,
            behaviour={**_NOTHING, **behaviour},
            findings=self._at.get(name, ())
            if name or not stretch or not stretch.function
            else self._told(stretch),
            parent=parent,
            bytes=round(stretch.bytes / self._size) if stretch and stretch.bytes else None,
            seconds=self._seconds.get(stretch.key) if stretch else None,
            calls=stretch.calls if stretch else 0,
            state=sum(p.numel() * p.element_size() for _, p in new),
            shares=shares,
            settings=settings,
            trainable_parameters=sum(p.numel() for _, p in new if p.requires_grad),
        )

    def _place(self, name: str) -> Birthplace | None:
        return places_below(self._places, [name]).get(name)

    def _told(self, stretch: Stretch) -> tuple[str, ...]:
        """The findings about the line of a function's call."""
        file, line = shown(stretch.place.file), stretch.place.line
        return tuple(
            f.id
            for f in self._findings
            if line
            and f.where.line == line
            and f.where.file == file
            and (f.where.layer or "") == stretch.layer
        )

    def _of_a_sample(self, shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return _of_a_sample(shape, self._size)


def _of_a_sample(shape: tuple[int, ...] | None, size: int) -> tuple[int, ...] | None:
    """(N, ...) without N; a batch that is laid out as (N k, ...) as (k, ...), whatever has none as it is."""
    if not shape or shape[0] == size:
        return shape[1:] if shape else shape
    return (shape[0] // size, *shape[1:]) if shape[0] % size == 0 else shape


def _own(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return list(module.named_parameters(recurse=False))


def _behaviour(state: LayerState | None) -> dict[str, Any]:
    if state is None:
        return {}
    return {
        "zeros": state.zeros,
        "dead": state.dead,
        "saturated": state.saturated,
        "mean": state.mean,
        "std": state.std,
        "histogram": list(state.histogram) if state.histogram else None,
        "gradient": None,
    }


def _relative(weight: Tensor, gradient: Tensor | None) -> float | None:
    """Norm of the gradient over that of the parameter."""
    norm = float(weight.detach().float().norm())
    return float(gradient.float().norm()) / norm if gradient is not None and norm else None


def _settings(module: nn.Module) -> str:
    said = module.extra_repr()
    return said if len(said) <= 200 else f"{said[:200]}…"


def places_below(places: Mapping[str, Birthplace], names: Iterable[str]) -> dict[str, Birthplace]:
    """The place of each name, or of the nearest module above it that has one."""
    found = {}
    for name in names:
        above = name
        while above not in places and above:
            above = above.rpartition(".")[0]
        if above in places:
            found[name] = places[above]
    return found
