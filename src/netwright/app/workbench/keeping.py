"""The files of a training that is watched: its states, to go back to and to go on from, and its moments."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from attrs import frozen

from netwright import atlas
from netwright.runs import Position
from netwright.values import Atlas

KEPT = 30  # epochs that can be gone back to
_EPOCH = re.compile(r"epoch-(\d+)\.pt")


@frozen
class Where:
    """Where a kept state is."""

    epoch: int  # that it is in or after
    step: int


class Keeping:
    """The folder of one session beside the journal. A file is whole or not there."""

    def __init__(self, journal: Path, session: int, epochs: int) -> None:
        self.journal = journal
        self.folder = journal / "live" / str(session)
        self.epochs = epochs

    @property
    def latest(self) -> Path:
        """The state to go on from."""
        return self.folder / "latest.pt"

    def of_epoch(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch}.pt"

    def keeps(self, epoch: int) -> bool:
        """Whether the state after this epoch is kept: every one up to `KEPT` of them, then every second,
        fourth and so on; the first and the last always."""
        return epoch == self.epochs or epoch % _every(max(epoch, *self.kept(), 0)) == 0

    def kept(self) -> tuple[int, ...]:
        """The epochs that can be gone back to."""
        names = os.listdir(self.folder) if self.folder.is_dir() else []
        found = (_EPOCH.fullmatch(name) for name in names)
        return tuple(sorted(int(m[1]) for m in found if m))

    def keep(self, at: Position) -> None:
        """Keep the state after an epoch, which is then also the one to go on from; what lies too close to
        others goes. Raises `OSError`."""
        path = self.of_epoch(at.epochs_done)
        at.save(path)
        link = self.folder / "latest.link"
        link.unlink(missing_ok=True)
        try:
            os.link(path, link)
            link.replace(self.latest)
        except OSError:  # a file system without links
            at.save(self.latest)
        kept = self.kept()
        every = _every(max(kept))
        for epoch in kept:
            if epoch % every and epoch != self.epochs:
                self.of_epoch(epoch).unlink(missing_ok=True)
                self.moment(epoch).unlink(missing_ok=True)

    def moment(self, epoch: int) -> Path:
        return self.folder / f"moment-{epoch}.atlas"

    def keep_moment(self, atlas_: Atlas, epoch: int) -> str:
        """Keep what the pinned inputs were after an epoch; the name of the file relative to the journal."""
        path = self.moment(epoch)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        atlas.save(atlas_, temporary, {"epoch": epoch})
        temporary.replace(path)
        return path.relative_to(self.journal).as_posix()


def _every(last: int) -> int:
    """Of how many epochs one is kept where `last` is the last one."""
    every = 1
    while last > KEPT * every:
        every *= 2
    return every


def where(path: Path) -> Where | None:
    """Where a kept state is; `None` where there is none that can be read."""
    content = read(path)
    if content is None:
        return None
    epoch = int(content["epoch"]) + bool(content["sizes"])
    return Where(epoch, int(content["recorded"]["steps_done"]))


def read(path: Path) -> dict[str, Any] | None:
    """A kept state, with its tensors in the file as long as nobody looks at them."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError):
        return None
