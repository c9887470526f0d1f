"""The verb `serve`: trains a recipe and shows it while it does, in the browser."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import secrets
import signal
import socket as sockets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from netwright import atlas
from netwright.app import looking
from netwright.app.atlas import Pinned, pinned
from netwright.app.work import device_for, journal_folder, now, opened
from netwright.app.workbench.bench import Bench
from netwright.app.workbench.editing import Editor
from netwright.app.workbench.following import Following, Message
from netwright.app.workbench.keeping import Keeping
from netwright.app.workbench.moments import Moments
from netwright.app.workbench.process import TrainingProcess
from netwright.app.workbench.steering import SHOWN
from netwright.app.workbench.trainer import Order
from netwright.journal import Journal
from netwright.recipe import Recipe, TensorSamples, seeded, user_code
from netwright.runs import LayerState, Tap, forward, run_key
from netwright.values import Atlas, LookResult, UserError
from netwright.views import page as pages

NEEDS = ("starlette", "uvicorn", "websockets")
LOCAL = "127.0.0.1"
_SAID: dict[str, tuple[str, str, str]] = {
    "std": ("spread", "Standard deviation of all values that the layer gave for the batch.", "log"),
    "mean": ("mean", "Mean of all values that the layer gave for the batch.", "linear"),
    "zeros": ("zeros", "Share of a rectifier's values that are exactly 0.", "linear"),
    "dead": ("dead units", "Share of a rectifier's units that are 0 for every input of the batch.", "linear"),
    "saturated": ("saturated", "Share of a bounded activation's values at its flat ends.", "linear"),
    "gradient": (
        "gradient", "Root mean square of the loss's gradient at the layer's output, times the batch.", "log",
    ),
    "weight_gradient": ("weight gradient", "Norm of the gradient of the layer's largest weight.", "log"),
    "update_ratio": (
        "update", "Norm of a step's change of the layer's largest weight, over the weight's norm.", "log",
    ),
}  # fmt: skip
_FIRST = ("gradient", "update_ratio", "std", "zeros", "dead", "saturated", "mean", "weight_gradient")


def serve(
    name: str,
    *,
    port: int = 0,
    host: str = LOCAL,
    seed: int = 0,
    epochs: int | None = None,
    device: str | None = None,
    journal: str | Path | None = None,
    extensions: tuple[str, ...] = (),
    paused: bool = False,
    on_address: Callable[[str, int], None],
) -> None:
    """Train the recipe of that name and serve its live page until Ctrl-C; `on_address(address, session)` is
    told where it is. The same call goes on with what was begun. Raises `UserError` and `UserCodeError`."""
    _available()
    recipe = opened(name, extensions)
    where = device_for(device)
    epochs = recipe.settings.epochs if epochs is None else epochs
    if epochs < 1:
        raise UserError(f"--epochs {epochs}: say 1 or more")
    folder = journal_folder(recipe, journal).absolute()
    if where == "cpu":
        torch.set_num_threads(1)  # the cores are for the training
    bound = _bound(host, port)
    try:
        with user_code(recipe.display_name):
            fingerprint = recipe.fingerprint
            listed = looking.look(recipe, seed=seed, device="cpu", journal=folder)
            watched = _Watched(recipe, listed, seed, epochs, where)
        with Journal.open(folder) as store:
            arguments = {"seed": seed, "epochs": epochs, "device": where.split(":")[0]}
            session = store.latest("serve", fingerprint, arguments)
            if session is None:
                session = store.begin("serve", recipe.display_name, fingerprint, arguments, now())
            keeping = Keeping(folder, session, epochs)
            following = watched.following(folder)
            token = secrets.token_urlsafe(24)
            assert recipe.origin is not None
            order = Order(
                f"{recipe.origin.source}:{recipe.origin.name}", str(folder), session, seed, epochs, where,
                fingerprint, extensions, threads=_threads(),
            )  # fmt: skip
            process = TrainingProcess(order)
            editor = Editor(recipe, watched.pinned, watched.atlas.rows, keeping, seed)
            moments = Moments(recipe, watched.pinned, keeping, run_key(fingerprint, seed, epochs, where))
            bench = Bench(
                folder, session, following, editor, moments, process,
                lambda document: watched.page(document, editor, f"live?token={token}"),
            )  # fmt: skip
            bench.catch_up(store)
        state = following.state["state"] if following.state is not None else None
        address = f"http://{_shown(host)}:{bound.getsockname()[1]}/?token={token}"
        try:
            if state not in ("ended", "failed"):
                process.begin(paused=paused or state == "paused")
            on_address(address, session)
            _run(bench, token, host, bound)
        finally:
            process.end()
    finally:
        bound.close()


class _Watched:
    """What the page shows of the network before it is trained: its layers, and its pinned inputs."""

    def __init__(self, recipe: Recipe, listed: LookResult, seed: int, epochs: int, device: str) -> None:
        self._recipe, self._listed, self._seed, self._epochs = recipe, listed, seed, epochs
        with seeded(seed, "live"):
            self.pinned: Pinned = pinned(recipe, device, listed.layers)
            network = recipe.build(seed).to(self.pinned.device)
            self.atlas: Atlas = self.pinned.glance(network, f"untrained, seed {seed}")
            samples = self.pinned.material.samples
            assert isinstance(samples, TensorSamples)
            with Tap(network) as tap, torch.no_grad():
                forward(network.eval(), samples.head(2)[0])
        self._states = tap.states()

    def following(self, folder: Path) -> Following:
        def read(artifact: str) -> Atlas | None:
            try:
                return atlas.reopen(folder / artifact)[0]
            except UserError:  # somebody cleared the folder
                return None

        layers = [state.name for state in self._states]
        return Following(self.atlas, layers, self._listed.layers, self._epochs, read)

    def page(self, shown: Message, editor: Editor, socket: str) -> dict[str, Any]:
        """`Page` of the contract, with the map as it is now."""
        values = editor.values()
        if values is not None:
            names = self._recipe.data.features
            shown["inputs"] |= {
                "values": [[v if math.isfinite(v) else None for v in row] for row in values],
                "names": list(names)
                if names is not None and values and len(names) == len(values[0])
                else None,
            }
        if (note := editor.note()) is not None:
            shown["notes"] = [*shown["notes"], note]
        name, listed = self._recipe.display_name, self._listed
        document = pages.page(
            name, f"seed {self._seed}, {self._epochs} epochs", layers=listed.layers, findings=listed.findings,
            notes=self._recipe.data.parts.notes, live=self._live(socket),
        )  # fmt: skip
        return {**document, "atlas": shown}

    def _live(self, socket: str) -> dict[str, Any]:
        def told(name: str) -> bool:
            return name not in ("zeros", "dead", "saturated") or any(_known(s, name) for s in self._states)

        statistics = [
            {"name": name, "label": _SAID[name][0], "meaning": _SAID[name][1], "scale": _SAID[name][2]}
            for name in _FIRST
            if name in SHOWN and told(name)
        ]
        layers = [state.name for state in self._states]
        return {"statistics": statistics, "layers": layers, "epochs": self._epochs, "socket": socket}


def _known(state: LayerState, name: str) -> bool:
    return getattr(state, name) is not None


def _run(bench: Bench, token: str, host: str, bound: sockets.socket) -> None:
    """Serve until Ctrl-C."""
    import uvicorn

    from netwright.app.workbench.server import LONGEST, application

    config = uvicorn.Config(
        application(bench, token, host),
        log_level="warning",  # a line a request would show the token
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=LONGEST,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    pressed: list[int] = []

    def leave(number: int, _: Any) -> None:
        pressed.append(number)
        server.should_exit = True

    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign] - it would raise them again
    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[bound])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signal.SIGINT in pressed:
        raise KeyboardInterrupt


def _threads() -> int:
    """As many as the user says, else all cores but one, which is left to this server and to the browser."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) else max(1, len(os.sched_getaffinity(0)) - 1)


def _available() -> None:
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"serve: {missing[0]} is not installed; pip install 'netwright[serve]' brings it")


def _bound(host: str, port: int) -> sockets.socket:
    """A socket that is bound, so that the address is known before anything is served."""
    try:
        family, kind, _, _, address = sockets.getaddrinfo(host, port, type=sockets.SOCK_STREAM)[0]
        bound = sockets.socket(family, kind)
    except (OSError, OverflowError) as failed:
        raise UserError(f"--host {host} --port {port}: is no address here ({failed})") from failed
    try:
        bound.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(128)  # who opens the page at once waits until it is served
    except OSError as failed:
        bound.close()
        said = (
            f"--host {host} --port {port}: cannot be served on ({failed.strerror}); --port 0 takes a free one"
        )
        raise UserError(said) from failed
    return bound


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
