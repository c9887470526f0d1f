"""The kinds of faults: one function each, in the file of its family of causes."""

from benchmarks.faults.kinds import data, dynamics, generalisation, head, labels, network, start, training
from benchmarks.faults.kinds.registry import FAULTS, Fault, fault

__all__ = [
    "FAULTS",
    "Fault",
    "data",
    "dynamics",
    "fault",
    "generalisation",
    "head",
    "labels",
    "network",
    "start",
    "training",
]
