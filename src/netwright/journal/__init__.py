"""The journal: everything that was tried, kept in one SQLite file and a folder of artifacts beside it.

In come the sessions of verbs with their events, finished trainings with their arrays and weights, looks at
test samples and splits; out come the same, typed, also after the process that wrote them was killed. This
room must not know what a recipe, a training or a check is, imports no torch, and reads no clock.
"""

from netwright.journal.store import Journal

__all__ = ["Journal"]
