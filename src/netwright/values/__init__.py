"""What flows between the rooms: frozen values and their JSON.

In come plain numbers and names, out go `Place`, `Edit`, `Finding`, `Verdict`, `Budget`, the events and the
results that verbs return. This room knows no torch, no file, no clock, and no other room.
"""

from netwright.values.budget import Budget, Plan, duration
from netwright.values.comparison import Comparison, Pair, compared
from netwright.values.edit import Edit
from netwright.values.errors import JournalError, NetwrightError, UserCodeError, UserError
from netwright.values.events import (
    BaselineScored,
    CheckSkipped,
    ConfirmationEnded,
    EpochEnded,
    Event,
    FindingMade,
    IdeaScreened,
    Note,
    PlanMade,
    RoundEnded,
    RunEnded,
    RunFailed,
    RunStarted,
    ScanEnded,
    Spent,
    StageStarted,
    TestScored,
    TrialEnded,
)
from netwright.values.finding import Finding, Status
from netwright.values.folding import Row, flat_rows, folded_rows
from netwright.values.json import from_json, to_json
from netwright.values.layers import Cost, LayerLine, ModuleLine, cost
from netwright.values.place import Attribute, Place
from netwright.values.results import (
    AttributesResult,
    Change,
    Curve,
    DiagnoseResult,
    ImproveResult,
    LookResult,
    MetricName,
    Overview,
    Pattern,
    ProbeResult,
    ScanResult,
    TestEffect,
)
from netwright.values.verdict import Verdict, Word
from netwright.values.where import Where, sorted_by

__all__ = [
    "Attribute",
    "AttributesResult",
    "BaselineScored",
    "Budget",
    "Change",
    "CheckSkipped",
    "Comparison",
    "ConfirmationEnded",
    "Cost",
    "Curve",
    "DiagnoseResult",
    "Edit",
    "EpochEnded",
    "Event",
    "Finding",
    "FindingMade",
    "IdeaScreened",
    "ImproveResult",
    "JournalError",
    "LayerLine",
    "LookResult",
    "MetricName",
    "ModuleLine",
    "NetwrightError",
    "Note",
    "Overview",
    "Pair",
    "Pattern",
    "Place",
    "Plan",
    "PlanMade",
    "ProbeResult",
    "RoundEnded",
    "Row",
    "RunEnded",
    "RunFailed",
    "RunStarted",
    "ScanEnded",
    "ScanResult",
    "Spent",
    "StageStarted",
    "Status",
    "TestEffect",
    "TestScored",
    "TrialEnded",
    "UserCodeError",
    "UserError",
    "Verdict",
    "Where",
    "Word",
    "compared",
    "cost",
    "duration",
    "flat_rows",
    "folded_rows",
    "from_json",
    "sorted_by",
    "to_json",
]
