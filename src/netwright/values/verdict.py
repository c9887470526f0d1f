"""What a race says of one idea."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from netwright.values.edit import Edit

Word = Literal["helps", "hurts", "no difference", "unclear", "failed", "yardstick changed"]


@frozen
class Verdict:
    """An idea against its control, with the numbers that the word took.

    `effect`, `low`, `high`: mean and 95 % paired-t interval over seeds, in units of the metric, positive is
    better. `low_samples`, `high_samples`: 95 % crossed bootstrap over seeds × validation samples, `None`
    where the metric is no mean over samples. `margin` bounds `no difference`. `horizon` is the share of the
    full training that the word is about (1.0 for a claim), `control` says against what. `screened` holds the
    screening's effect where nothing was claimed.
    """

    idea: str
    attribute: str
    verdict: Word
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    low_samples: float | None = None
    high_samples: float | None = None
    margin: float | None = None
    horizon: float = 1.0
    control: str = "unchanged recipe, same epochs"
    seeds: int = 0
    epochs: int = 0
    reason: str = ""
    label: str = ""
    p_value: float | None = None
    p_adjusted: float | None = None
    diverged: int = 0
    screened: float | None = None
    edit: Edit | None = None
