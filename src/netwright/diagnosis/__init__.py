"""What blocks learning, and why a network overfits: checks, their ranking, and confirmation by intervention.

In comes evidence, out go findings with confidence and status. One file holds one family of causes, one
function one check. This room knows no idea: the repairs that a confirmation tries are handed to it as edits.
"""

from netwright.diagnosis.conclusion import Diagnosis
from netwright.diagnosis.confirmation import Confirmation, confirm
from netwright.diagnosis.procedure import (
    Tools,
    diagnose,
    diagnose_all,
    scan,
    static_evidence,
    unexplained,
)
from netwright.diagnosis.ranking import THRESHOLD, Ranking, examine, rank, rivals_of
from netwright.diagnosis.symptom import Symptom

__all__ = [
    "THRESHOLD",
    "Confirmation",
    "Diagnosis",
    "Ranking",
    "Symptom",
    "Tools",
    "confirm",
    "diagnose",
    "diagnose_all",
    "examine",
    "rank",
    "rivals_of",
    "scan",
    "static_evidence",
    "unexplained",
]
