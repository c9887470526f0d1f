"""The operators of PyTorch that can be said in Caffe's layers, a file a family.

In come an operator's arguments, out go layers; what Caffe cannot say is `Unsayable`. A writer knows
nothing of the layers around it.
"""

from netwright.ports.caffe.operators import (
    activations,
    arithmetic,
    lookups,
    normalisation,
    pooling,
    products,
    recurrent,
    reductions,
    resizing,
    shapes,
    windows,
)

__all__ = [
    "activations",
    "arithmetic",
    "lookups",
    "normalisation",
    "pooling",
    "products",
    "recurrent",
    "reductions",
    "resizing",
    "shapes",
    "windows",
]
