"""Watching a Transformers `Trainer`: `Trainer(..., callbacks=[Watch()])`, then `nw.diagnose(watch.trace)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from netwright.callbacks import said
from netwright.runs import Trace, watch
from netwright.values import UserError

try:
    from transformers import TrainerCallback
    from transformers.utils import logging
except ImportError as missing:
    raise UserError("Transformers is not installed; pip install 'netwright[transformers]'") from missing


class Watch(TrainerCallback):
    """Notes the loss of every batch, as the model returns it, or, where it returns none, every loss that the
    trainer logs; `trace` is there from the start of the training on, on the first process only. `report=True`
    logs what was found at its end."""

    def __init__(self, *, report: bool = False) -> None:
        self.report = report
        self.trace: Trace | None = None
        self._loss: Tensor | None = None
        self._returns_loss = False
        self._handle: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        network: nn.Module = given["model"]
        if state.is_world_process_zero and given.get("optimizer") is not None:
            self.trace = watch(network, given["optimizer"])
            self._handle = network.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, arguments: Any, result: Any) -> None:
        loss = result.get("loss") if isinstance(result, Mapping) else None
        if module.training and isinstance(loss, Tensor):
            self._loss, self._returns_loss = loss.detach(), True

    def _note(self) -> None:
        if self.trace is not None and self._loss is not None:
            self.trace.step(self._loss.mean())
            self._loss = None

    def on_substep_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self._note()

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self._note()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **given: Any
    ) -> None:
        if self.trace is not None and not self._returns_loss and logs and "loss" in logs:
            self.trace.step(float(logs["loss"]))

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if self._handle is not None:
            self._handle.remove()
        if self.trace is not None:
            self.trace.close()
            if self.report:
                logging.get_logger(__name__).warning(said(self.trace))
