"""The loop that joins the rooms: diagnose, try, keep what helps.

A recipe comes in with the catalogues and a budget; out goes the recipe with the edits that help, the
findings, the verdicts and the scores of both on fresh seeds. It prints nothing and opens no journal: looks at
the test samples are counted by the function that it is handed.
"""

from netwright.improvement.loop import improve
from netwright.improvement.state import Improvement, Outcome

__all__ = ["Improvement", "Outcome", "improve"]
