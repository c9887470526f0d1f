"""Edits raced against a baseline: paired seeds, statistics, budgets, and the engines that run trainings.

In come recipes and edits, whoever proposes them, out go verdicts. This room knows no idea and no finding.
"""

from netwright.trials.budget import Meter, Pace, make_plan
from netwright.trials.engine import Engine, Failure, InlineEngine, Job, LocalEngine
from netwright.trials.race import Contender, claim, screen
from netwright.trials.seeds import Seeds
from netwright.trials.statistics import Comparison, compare, holm_alpha, word_of

__all__ = [
    "Comparison",
    "Contender",
    "Engine",
    "Failure",
    "InlineEngine",
    "Job",
    "LocalEngine",
    "Meter",
    "Pace",
    "Seeds",
    "claim",
    "compare",
    "holm_alpha",
    "make_plan",
    "screen",
    "word_of",
]
