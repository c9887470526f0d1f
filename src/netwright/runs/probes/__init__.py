"""Active probes: short seeded experiments that ask the network a question instead of watching it.

In comes a subject (a network with one batch) or a recipe, out goes one frozen answer. A probe works on copies
and puts the random state back; it judges nothing: checks read the answers as evidence.
"""

from netwright.runs.probes.arithmetic import (
    GradientCheck,
    Precision,
    gradient_check,
    precision,
)
from netwright.runs.probes.dependence import (
    InputUse,
    Mixing,
    OrderSeen,
    batch_mixing,
    input_use,
    order_seen,
)
from netwright.runs.probes.losses import LossExtremes, StartLoss, loss_extremes, start_loss
from netwright.runs.probes.modes import Modes, evaluation_modes
from netwright.runs.probes.simple import LabelShift, SimpleModels, features, label_shift, simple_models
from netwright.runs.probes.steps import (
    Altered,
    OverfitBatch,
    constant_inputs,
    overfit_batch,
    shuffled_labels,
)
from netwright.runs.probes.trained import (
    Copy,
    Shortcut,
    Situations,
    Slice,
    TrainedModes,
    situations,
    trained,
    trained_modes,
)

BATCH_PROBES = {
    "batch-mixing": batch_mixing,
    "input-use": input_use,
    "order-seen": order_seen,
    "start-loss": start_loss,
    "loss-extremes": loss_extremes,
    "evaluation-modes": evaluation_modes,
    "gradient-check": gradient_check,
    "precision": precision,
}
TRAINED_PROBES = {"trained-modes": trained_modes, "situations": situations}
STEP_PROBES = {
    "overfit-batch": overfit_batch,
    "shuffled-labels": shuffled_labels,
    "constant-inputs": constant_inputs,
}

__all__ = [
    "BATCH_PROBES",
    "STEP_PROBES",
    "TRAINED_PROBES",
    "Altered",
    "Copy",
    "GradientCheck",
    "InputUse",
    "LabelShift",
    "LossExtremes",
    "Mixing",
    "Modes",
    "OrderSeen",
    "OverfitBatch",
    "Precision",
    "Shortcut",
    "SimpleModels",
    "Situations",
    "Slice",
    "StartLoss",
    "TrainedModes",
    "batch_mixing",
    "constant_inputs",
    "evaluation_modes",
    "features",
    "gradient_check",
    "input_use",
    "label_shift",
    "loss_extremes",
    "order_seen",
    "overfit_batch",
    "precision",
    "shuffled_labels",
    "simple_models",
    "situations",
    "start_loss",
    "trained",
    "trained_modes",
]
