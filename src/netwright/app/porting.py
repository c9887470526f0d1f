"""The verb `port`: networks in other technologies, each with its proof."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import attrs
import numpy as np
import torch
from attrs import frozen
from torch import Tensor, nn

from netwright import diagnosis as rooms
from netwright import ports
from netwright.app.looking import written as written
from netwright.app.results import PortResult
from netwright.app.weights import fill, weights_of
from netwright.app.work import FOLDER, OnEvent, Work, device_for, fold, journal_folder, opened, working
from netwright.catalogue import Catalogue, Target
from netwright.ports import SUFFIXES, Original, Settings, read_file
from netwright.ports.yard import KEPT
from netwright.recipe import Recipe, user_code
from netwright.recipe.loading import import_source
from netwright.recipe.source import layer_lines
from netwright.recipe.task import UNIT_LOSSES, decisions
from netwright.runs import Run
from netwright.trials import Failure, Job
from netwright.values import Budget, DeviceBudget, Finding, Note, Port, Precision, UserCodeError, UserError
from netwright.views import words

# In the order of the documentation: the hub first, then what is made from it, the smallest devices last.
ORDER = (
    "torch-export", "torchscript", "onnx", "caffe", "tensorrt", "openvino", "ncnn", "mnn", "litert",
    "litert-micro", "executorch",
)  # fmt: skip
INPUTS = 300  # that outputs are compared on unless more or fewer are asked for


def port(
    network: Recipe | str | nn.Module | Sequence[Recipe | str],
    inputs: Any = None,
    *,
    to: str | Sequence[str] = "all",
    folder: str | Path | None = None,
    plan: bool = False,
    weights: str | Path | None = None,
    partial: bool = False,
    count: int = INPUTS,
    batches: Sequence[int] = (1,),
    threads: int | None = None,
    tolerance: float | None = None,
    precision: str = "float32",
    device_budget: str | DeviceBudget | None = None,
    seed: int = 0,
    device: str | None = None,
    journal: str | Path | None = None,
    extensions: tuple[str, ...] = (),
    on_event: OnEvent | None = None,
) -> PortResult:
    """A network in other technologies, with its parity: both run on the same inputs, compared layer by layer,
    and where they differ the first layer that does is named with the likely reason.

    `network` is a recipe or its name, a network with `inputs` (a batch (N, …), a tuple of arguments, or a
    dictionary by name), an ONNX file or a Caffe prototxt, or several recipes. `to` are ids of targets, or
    `"all"`. A recipe is run on `count` of its validation inputs, with `weights`, else those of the journal's
    best finished run, else after it was trained once. Files go below `folder`, a folder a target. `batches`
    are the batch sizes that are timed, with `threads`; `tolerance` is relative to each layer's largest value.
    With `plan` nothing is made: only what does not fit is told.

    With `precision="int8"` the network is quantised after training, its ranges taken from training inputs;
    `"all"` then are the targets that have it, and the decisions and the metric are what counts. A
    `device_budget` (`"2MB,50ms"`) is held against the size and the 95th percentile of the latency of one
    input. Raises `UserError` and `UserCodeError`.
    """
    for what, number in (("inputs", count), ("threads", threads), ("batch", min(batches, default=0))):
        if number is not None and number < 1:
            raise UserError(f"port: {number} {what}: say 1 or more")
    budget = None if device_budget is None else DeviceBudget.parse(device_budget)
    settings = Settings(
        count,
        batches=tuple(batches),
        threads=threads,
        tolerance=tolerance,
        precision=_precision(precision),
        budget=budget,
    )
    asked = _Asked(
        to, folder, plan, weights, partial, settings, seed, device_for(device), journal, extensions, on_event
    )
    if isinstance(network, (str, Recipe, nn.Module)):
        return PortResult((_port_of(network, inputs, asked),))
    return PortResult(tuple(_port_of(one, inputs, asked, many=True) for one in network))


@frozen
class _Asked:
    """What was asked of `port`, the same for every network."""

    to: str | Sequence[str]
    folder: str | Path | None
    plan: bool
    weights: str | Path | None
    partial: bool
    settings: Settings
    seed: int
    device: str
    journal: str | Path | None
    extensions: tuple[str, ...]
    on_event: OnEvent | None

    def targets(self, catalogue: Catalogue) -> list[Target]:
        """The targets that were asked for. Raises `UserError` for one that there is not."""
        return _chosen(self.to, catalogue, self.settings.precision)

    def below(self, beside: Path, name: str, many: bool) -> Path:
        """The folder of one network's ports: below the one that was named, of several networks one each."""
        if self.folder is None:
            return beside / "ports" / name
        return Path(self.folder) / name if many else Path(self.folder)


def _port_of(network: Recipe | str | nn.Module, inputs: Any, asked: _Asked, many: bool = False) -> Port:
    """One network in the technologies that were asked for."""
    settings = asked.settings
    catalogue = Catalogue.collect(import_source(file) for file in asked.extensions)
    if isinstance(network, str) and network.endswith(SUFFIXES):
        targets = asked.targets(catalogue)
        original, run, notes = _of_file(network, asked.weights, inputs)
        beside = Path(network).parent / FOLDER
    elif isinstance(network, nn.Module):
        targets = asked.targets(catalogue)
        original, run, notes = _of_network(network, inputs), "as it is", ()
        beside = Path(FOLDER)
    else:
        recipe = opened(network, asked.extensions)
        if inputs is not None:
            raise UserError(
                f"{recipe.display_name}: a recipe is compared on its own validation inputs; leave out --on"
            )
        catalogue = recipe.catalogue or catalogue
        targets = asked.targets(catalogue)  # one that there is not is said before anything is trained
        original, run, notes = _of_recipe(recipe, _name_of(network, recipe), asked)
        if settings.precision == "int8" or settings.budget is not None:
            original = _with_training_inputs(original, recipe)
        beside = journal_folder(recipe, asked.journal)
    if settings.precision == "int8" and original.training is None:
        notes = (*notes, "the ranges for int8 are taken from the inputs that it is compared on")
    maker = catalogue.targets.get("onnx")
    below = asked.below(beside, original.name, many)
    events = ports.port(original, targets, below, settings, time.perf_counter, maker, only_plan=asked.plan)
    with user_code(original.name):
        found = _folded(events, asked.on_event)
    return attrs.evolve(found, run=run, notes=notes)


def _name_of(asked: Recipe | str, recipe: Recipe) -> str:
    """What a recipe's ports are called: its file's name, and its own where it was asked for by it."""
    chosen = asked.rpartition(":")[2] if isinstance(asked, str) and ":" in asked else ""
    return f"{recipe.display_name}-{chosen}" if chosen else recipe.display_name


def batch_sizes(text: str) -> tuple[int, ...]:
    """The batch sizes of `1,8`. Raises `UserError` for anything else."""
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise UserError(f"--batch {text}: say sizes with commas between, as in 1,8")
    return sizes


def port_status(name: str) -> None:
    """Refuse a `--fail-on` that there is not, before anything is run."""
    if name not in ("never", "differs", "unsupported"):
        raise UserError(f"--fail-on {name}: say differs, unsupported or never")


def fails(result: PortResult, fail_on: str) -> bool:
    """Whether a port is as bad as asked: one that cannot be made is worse than one that differs."""
    bad = {"never": (), "differs": ("differs", "unsupported"), "unsupported": ("unsupported",)}[fail_on]
    return any(target.status in bad for target in result.targets)


def _folded(events: Generator[Any, None, Port], on_event: OnEvent | None) -> Port:
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value
        if on_event is not None:
            on_event(event)


def _precision(name: str) -> Precision:
    """The precision of that name. Raises `UserError` where there is none."""
    known: tuple[Precision, ...] = get_args(Precision)
    for precision in known:
        if precision == name:
            return precision
    raise UserError(f"--precision {name}: say {' or '.join(known)}")


def _with_training_inputs(original: Original, recipe: Recipe) -> Original:
    """The same with inputs that ranges are taken from, so that the metric is of inputs not seen by them."""
    with user_code(recipe.display_name):
        inputs, _ = recipe.data.parts.train.head(KEPT)
    named = inputs if isinstance(inputs, dict) else {}
    return attrs.evolve(original, training=(() if named else (inputs,), named))


def _chosen(to: str | Sequence[str], catalogue: Catalogue, precision: str = "float32") -> list[Target]:
    """The targets asked for, in the documentation's order; all are those that have the precision. Raises
    `UserError` for one that there is not."""
    names = [name.strip() for part in ([to] if isinstance(to, str) else to) for name in part.split(",")]
    known = sorted(catalogue.targets, key=lambda id: ORDER.index(id) if id in ORDER else len(ORDER))
    unknown = next((name for name in names if name not in known and name != "all"), None)
    if unknown is not None:
        raise UserError(f"no target {unknown!r}; there are {', '.join(known)}, or all")
    every = "all" in names
    chosen = [catalogue.targets[id] for id in known if every or id in names]
    return [one for one in chosen if one.id in names or precision in one.precisions]


def _of_network(network: nn.Module, inputs: Any) -> Original:
    name = type(network).__name__
    if inputs is None:
        raise UserError("port: a network needs inputs to be compared on; nw.port(network, inputs)")
    arguments = inputs if isinstance(inputs, tuple) else () if isinstance(inputs, dict) else (inputs,)
    named = dict(inputs) if isinstance(inputs, dict) else {}
    lines = layer_lines(network)
    original = Original(name, network, tuple(map(_tensors, arguments)), _tensors(named), lines, _largest)
    if original.count < 1:
        raise UserError("port: the batch is empty; give one input at least")
    return original


def _of_file(file: str, weights: str | Path | None, inputs: Any) -> tuple[Original, str, tuple[str, ...]]:
    """The network that a file of another technology holds, and how well it was read."""
    found = read_file(file, weights)
    notes: tuple[str, ...] = ()
    if inputs is None:
        given = found.noise()
        notes = ("compared on noise; --on FILE.npz gives it real inputs",)
    else:
        arrays = _arrays(inputs, list(found.inputs), file)
        kinds = [dtype for _, dtype in found.inputs.values()]
        given = tuple(torch.as_tensor(a).to(kind) for a, kind in zip(arrays, kinds, strict=True))
    original = Original(Path(file).stem, found.network, given, decide=_largest)
    if found.referee is not None:
        error = ports.reading_error(original, found.referee)
        notes = (*notes, f"as it was read it differs from {found.judge} by {words.exponent(error) or 0}")
    return original, f"as {Path(file).name} holds it", notes


def _arrays(inputs: Any, names: list[str], file: str) -> list[Any]:
    """The inputs by the file's own names, from a .npz, a dictionary, a tuple or one array. Raises `UserError`
    where one is missing."""
    if isinstance(inputs, (str, Path)):
        try:
            with np.load(inputs, allow_pickle=False) as saved:
                inputs = {name: saved[name] for name in saved.files}
        except (OSError, ValueError) as broken:
            raise UserError(f"{inputs}: is no .npz of arrays; save one with numpy.savez") from broken
    if isinstance(inputs, dict):
        missing = next((name for name in names if name not in inputs), None)
        if missing is not None:
            raise UserError(f"{file}: takes {', '.join(names)}; there is no array named {missing!r}")
        return [inputs[name] for name in names]
    given = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    if len(given) != len(names):
        raise UserError(f"{file}: takes {len(names)} inputs ({', '.join(names)}), not {len(given)}")
    return given


def _largest(answers: Tensor) -> Tensor:
    """The decision of a network of which no task is known: the largest of its answers."""
    return answers.reshape(len(answers), -1).argmax(1)


def _tensors(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, dict):
        return {k: _tensors(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_tensors, value))
    return torch.as_tensor(value) if hasattr(value, "__array__") else value


def _of_recipe(recipe: Recipe, name: str, asked: _Asked) -> tuple[Original, str, tuple[str, ...]]:
    """The recipe's network with the weights that DESIGN names and its validation inputs."""
    with user_code(recipe.display_name):
        network, places = recipe.build_with_places(asked.seed)
        inputs, targets = recipe.data.parts.val.head(asked.settings.inputs)
    run, notes = weights_of(
        recipe, network, asked.weights, asked.partial, asked.seed, asked.journal, asked.device
    )
    if run.startswith("untrained") and not asked.plan:
        made = _trained(recipe, asked)
        fill(network, made)
        score = made.scores.get("val")
        run = f"trained for this, seed {asked.seed}"
        run += f", validation {score:.3g}" if score is not None else ""
        notes = ("no finished run of this recipe was in the journal, so it was trained once",)
    total = len(recipe.data.parts.val)
    if len(targets) < total:
        notes = (*notes, f"compared on the first {len(targets)} of {total:,} validation inputs")
    yardstick = recipe.yardstick
    task, metric = yardstick.task, yardstick.metric
    at_zero = recipe.training.loss_name not in UNIT_LOSSES
    decided = task.name in ("classification", "binary", "multilabel")
    network.cpu()
    original = Original(
        name,
        network,
        () if isinstance(inputs, dict) else (inputs,),
        inputs if isinstance(inputs, dict) else {},
        places,
        (lambda answers: decisions(recipe.judged(answers), task, at_zero)) if decided else None,
        lambda answers: metric.score(recipe.judged(answers), targets[: len(answers)]),
        metric.name,
    )
    return original, run, notes


def _trained(recipe: Recipe, asked: _Asked) -> Run:
    """The recipe trained once, kept in the journal. Raises `UserError` naming the cause where it cannot
    be."""
    seed, device = asked.seed, asked.device
    if asked.on_event is not None:
        asked.on_event(Note("no finished run of this recipe is in the journal: it is trained once"))
    limit = Budget.parse("1h")  # of no effect on one training
    with working(
        "train", recipe, limit, {"seed": seed}, seed, device, asked.journal, asked.extensions, None, 0
    ) as work:
        job = Job(recipe, seed, purpose="the weights to port", keep_weights=True, device=device)
        ended: list[Run | Failure] = fold(_outcomes(work, job), work, asked.on_event, [])
        work.finish("trained", {"key": job.key})
    result = ended[0]
    if isinstance(result, Run) and not result.diverged:
        return result
    cause = _cause(recipe, device)
    reason = result.reason if isinstance(result, Failure) else "its loss does not stay finite"
    if isinstance(result, Failure) and result.kind == "user-code" and cause is None:
        raise UserCodeError(result.reason, traceback=result.traceback)
    what = f"cause {cause}" if cause else reason
    raise UserError(
        f"{recipe.display_name}: cannot be trained ({what}), so there are no weights to port;"
        " netwright diagnose says more, or name --weights"
    )


def _outcomes(work: Work, job: Job) -> Generator[Any, None, list[Run | Failure]]:
    ended: list[Run | Failure] = []
    for item in work.engine.run([job]):
        if isinstance(item, tuple):
            ended.append(item[1])
        else:
            yield item
    return ended


def _cause(recipe: Recipe, device: str) -> str | None:
    """The cause that the checks give of a recipe as it stands, if any."""
    static = rooms.static_evidence(recipe, device)
    checks = (recipe.catalogue or Catalogue.collect()).checks.values()
    found: Iterable[Any] = rooms.examine(static, checks)
    ranking = rooms.rank(f for f in found if isinstance(f, Finding))
    return ranking.findings[0].cause if ranking.findings else None
