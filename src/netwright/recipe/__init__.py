"""What is being developed: `Data`, a network, `Training`, joined to a frozen `Recipe`, and the edits applied
to it.

In come users' values and files, out go recipes that can be built under a seed, listed by attribute and
fingerprinted. This room trains nothing and knows of no finding, no idea, no verdict.
"""

from netwright.recipe.data import Data, Parts
from netwright.recipe.loading import blame, import_source, load, user_code
from netwright.recipe.recipe import Origin, Recipe, Yardstick, example_inputs
from netwright.recipe.samples import Samples, TensorSamples, parted, tree_map, tree_tensors
from netwright.recipe.streams import generators, restore_generators, seeded, set_all, stream
from netwright.recipe.task import Metric, Task, decisions, labels_of
from netwright.recipe.training import Training

__all__ = [
    "Data",
    "Metric",
    "Origin",
    "Parts",
    "Recipe",
    "Samples",
    "Task",
    "TensorSamples",
    "Training",
    "Yardstick",
    "blame",
    "decisions",
    "example_inputs",
    "generators",
    "import_source",
    "labels_of",
    "load",
    "parted",
    "restore_generators",
    "seeded",
    "set_all",
    "stream",
    "tree_map",
    "tree_tensors",
    "user_code",
]
