"""Watching Keras 3 on its PyTorch backend: `model.fit(..., callbacks=[Watch()])`, then
`nw.diagnose(watch.trace)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netwright.callbacks import said
from netwright.runs import Trace
from netwright.values import UserError

try:
    import keras
except ImportError as missing:
    raise UserError("Keras is not installed; pip install 'netwright[keras]'") from missing


class Watch(keras.callbacks.Callback):  # pyright: ignore[reportUntypedBaseClass]
    """Notes the loss of every batch; `trace` is there from the start of the training on. `report=True` prints
    what was found at its end.

    Keras updates its variables itself, without an optimizer of torch: checks that need one are skipped. The
    loss that it reports is the mean since the epoch began, from which that of the batch is worked out.
    """

    def __init__(self, *, report: bool = False) -> None:
        super().__init__()
        if keras.backend.backend() != "torch":
            raise UserError(
                f"Keras runs on {keras.backend.backend()} here; set KERAS_BACKEND=torch before it is imported"
            )
        self.report = report
        self.trace: Trace | None = None
        self._mean = 0.0
        self._batches = 0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        assert self.model is not None
        self.trace = Trace(self.model, ())

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._mean, self._batches = 0.0, 0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self.trace is not None and logs and "loss" in logs:
            mean = float(logs["loss"])
            self.trace.step(mean + self._batches * (mean - self._mean))
            self._mean, self._batches = mean, self._batches + 1

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self.trace is not None:
            self.trace.close()
            if self.report:
                print(said(self.trace))
