"""Watching a Lightning `Trainer`: `Trainer(callbacks=[Watch()])`, then `nw.diagnose(watch.trace)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from netwright.callbacks import said
from netwright.runs import Trace, watch
from netwright.values import UserError

try:
    from lightning.pytorch.callbacks import Callback
    from lightning_utilities.core.rank_zero import rank_zero_info
except ImportError as missing:
    raise UserError("Lightning is not installed; pip install 'netwright[lightning]'") from missing


class Watch(Callback):
    """Notes the loss of every batch; `trace` is there from the start of the training on, on the first process
    only. `report=True` logs what was found at its end."""

    def __init__(self, *, report: bool = False) -> None:
        super().__init__()
        self.report = report
        self.trace: Trace | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.is_global_zero and trainer.optimizers:
            self.trace = watch(pl_module, trainer.optimizers)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if self.trace is not None and isinstance(loss, Tensor) and loss.numel() == 1:
            self.trace.step(loss.detach() * trainer.accumulate_grad_batches)  # Lightning divides by it

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        if self.trace is not None:
            self.trace.close()
            if self.report:
                rank_zero_info(said(self.trace))

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        if self.trace is not None:
            self.trace.close()
