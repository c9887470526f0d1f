"""What the journal says of a training, as messages for a page that is open and for one that comes later."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from netwright import values
from netwright.app.workbench.steering import SHOWN
from netwright.values import Atlas, Event, LayerLine
from netwright.views.page import atlas_document, moment_document

Message = dict[str, Any]
HISTORY = 1000  # columns that a page which comes later gets
BEHIND = 48  # columns that wait for a slow page; beyond that every second one is left out


class Following:
    """The fold of a session's events. `read(artifact)` opens the atlas of a moment, `None` where it
    is gone."""

    def __init__(
        self,
        base: Atlas,
        layers: Sequence[str],
        lines: Sequence[LayerLine],
        epochs: int,
        read: Callable[[str], Atlas | None],
    ) -> None:
        self._base, self._epochs, self._read = base, epochs, read
        self._place = {name: n for n, name in enumerate(layers)}
        self._line = {line.name: n for n, line in enumerate(lines)}
        self._columns: deque[Message] = deque(maxlen=HISTORY)
        self._order: list[int | None] = []
        self._moments: dict[int, Atlas] = {}
        self._epoch: Message | None = None
        self.state: Message | None = None
        self.last = 0  # the number of the last event that was taken

    def take(self, number: int, event: Event) -> list[Message]:
        """What a page is told of an event."""
        self.last = number
        match event:
            case values.ColumnMeasured():
                message = self._column(event)
                self._columns.append(message)
                return [message]
            case values.EpochEnded():
                self._epoch = {
                    "type": "epoch", "epoch": event.epoch, "loss": values.to_json(event.loss),
                    "val_loss": values.to_json(event.val_loss), "val_score": values.to_json(event.val_score),
                }  # fmt: skip
                return [self._epoch]
            case values.MomentKept():
                return self._moment(event)
            case values.StateChanged():
                self.state = {
                    "type": "state", "state": event.state, "epoch": event.epoch, "epochs": self._epochs,
                    "step": event.step, "checkpoints": list(event.checkpoints), "message": event.message,
                }  # fmt: skip
                return [self.state]
            case values.Note(text):
                return [{"type": "error", "message": text}]
            case _:
                return []

    def died(self, how: str) -> list[Message]:
        """The process that trained is gone: the page says so, and that it can go on."""
        if self.state is None or self.state["state"] not in ("running", "paused"):
            return []
        self.state = {
            **self.state, "state": "paused",
            "message": f"the process that trained ended ({how}); Resume goes on from what was kept last",
        }  # fmt: skip
        return [self.state]

    def history(self) -> list[Message]:
        """What a page that comes now is told after the page itself."""
        later = [m for m in (self._epoch, self.state) if m is not None]
        return [*self._columns, *later]

    def atlas(self) -> Message:
        """`Atlas` of the contract with every moment whose epoch is kept."""
        there = self.state["checkpoints"] if self.state is not None else []
        kept = [self._moments[epoch] for epoch in sorted(self._moments) if epoch in there]
        if not kept:
            return atlas_document(self._base)
        from netwright.atlas import with_earlier

        return atlas_document(with_earlier(kept[-1], [self._base, *kept[:-1]]))

    def _column(self, event: values.ColumnMeasured) -> Message:
        if event.layers is not None:
            at = {name: n for n, name in enumerate(event.layers)}
            self._order = [at.get(name) for name in self._place]
        numbers: Mapping[str, Any] = event.values
        rows = {
            name: [values.to_json(numbers[name][n]) if n is not None else None for n in self._order]
            for name in SHOWN
            if name in numbers
        }
        loss = values.to_json(event.loss)
        return {"type": "column", "step": event.step, "epoch": event.epoch, "loss": loss, "values": rows}

    def _moment(self, event: values.MomentKept) -> list[Message]:
        found = self._read(event.artifact)
        if found is None:
            return []
        rows = tuple(attrs.evolve(row, layer=self._line.get(row.name, -1)) for row in found.rows)
        found = attrs.evolve(found, rows=rows)
        self._moments[event.epoch] = found
        if [r.title for r in rows] != [r.title for r in self._base.rows]:
            return []  # it ran other layers than before: a page that is loaded anew shows it
        inputs = found.inputs
        return [
            {
                "type": "moment",
                "moment": moment_document(found.now),
                "predictions": values.to_json(inputs.predictions),
                "losses": values.to_json(inputs.losses),
                "depths": list(found.depths) if found.depths is not None else None,
            }
        ]


class Outgoing:
    """Messages on their way to one page. Where it is too slow for them, columns in between are left out, and
    of states and epochs the last one alone is sent."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Message]] = []

    def push(self, number: int, messages: Sequence[Message]) -> None:
        """What is told of the event with this number."""
        for message in messages:
            if message["type"] in ("state", "epoch"):
                self._waiting = [w for w in self._waiting if w[1]["type"] != message["type"]]
            self._waiting.append((number, message))
        columns = [m for _, m in self._waiting if m["type"] == "column"]
        if len(columns) > BEHIND:
            dropped = {id(m) for m in columns[-2::-2]}
            self._waiting = [w for w in self._waiting if id(w[1]) not in dropped]

    def known(self, last: int) -> None:
        """The page is told of everything up to the event with this number by other means."""
        self._waiting = [w for w in self._waiting if w[0] > last]

    def answer(self, message: Message) -> None:
        """What this page alone is told."""
        self._waiting.append((0, message))

    def pop(self) -> Message | None:
        return self._waiting.pop(0)[1] if self._waiting else None
