"""Training a recipe, watching a user's own loop, and the evidence that both leave.

In come recipes and seeds, out go events and frozen `Run`s; layers are captured here and nowhere else
(`taps`). This room compares nothing, judges nothing, and knows of no finding beyond its type.
"""

from netwright.runs.batch import examine_start
from netwright.runs.calls import BOUNDED, RECTIFIERS
from netwright.runs.course import Course, Stretch
from netwright.runs.evidence import (
    BatchError,
    BatchEvidence,
    DataEvidence,
    Evidence,
    NetworkEvidence,
    OptimizerEvidence,
    ParameterState,
    PartSummary,
    data_evidence,
    summarise,
)
from netwright.runs.forward import forward, outputs_of, predict, sample_losses
from netwright.runs.operations import Operation, Operations, Recorder
from netwright.runs.probes import Copy, SimpleModels
from netwright.runs.rate_range import RangeTest, range_test
from netwright.runs.run import TRACED, LayerTraces, Run, run_key
from netwright.runs.steering import Halted, Position, Steering
from netwright.runs.taps import LayerState, Tap
from netwright.runs.train import Clocks, train
from netwright.runs.watch import Trace, watch

__all__ = [
    "BOUNDED",
    "RECTIFIERS",
    "TRACED",
    "BatchError",
    "BatchEvidence",
    "Clocks",
    "Copy",
    "Course",
    "DataEvidence",
    "Evidence",
    "Halted",
    "LayerState",
    "LayerTraces",
    "NetworkEvidence",
    "Operation",
    "Operations",
    "OptimizerEvidence",
    "ParameterState",
    "PartSummary",
    "Position",
    "RangeTest",
    "Recorder",
    "Run",
    "SimpleModels",
    "Steering",
    "Stretch",
    "Tap",
    "Trace",
    "data_evidence",
    "examine_start",
    "forward",
    "outputs_of",
    "predict",
    "range_test",
    "run_key",
    "sample_losses",
    "summarise",
    "train",
    "watch",
]
