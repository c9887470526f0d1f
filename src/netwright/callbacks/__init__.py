"""Watching inside other people's training loops: a callback for Lightning, Transformers and Keras.

In come their events, out goes a `Trace` for `nw.diagnose`; nothing is printed unless `report=True`. Each
library is imported only by the file that bears its name, and nothing else of the house knows this room.
"""

from __future__ import annotations

from netwright.app.verbs import diagnose
from netwright.runs import Trace

__all__ = ["said"]


def said(trace: Trace) -> str:
    """What the diagnosis of a trace finds, a line a cause, the most probable first."""
    found = diagnose(trace).findings
    lines = [f"{f.cause} ({f.confidence or 0.0:.0%}): {f.explanation}" for f in found]
    return "\n".join(lines) or f"nothing found in {trace.steps} watched iterations"
