"""How numbers are said, the same in the terminal and on a page."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from netwright.values import Attribute, Finding, Place, Verdict

Tone = Literal["good", "bad", "warn", "calm", "faint"]

MARK = "●"
COLOURS: Mapping[Tone, str] = {
    "good": "green",
    "bad": "red",
    "warn": "yellow",
    "calm": "cyan",
    "faint": "bright_black",
}
_VERDICTS: Mapping[str, Tone] = {  # in the order in which they are listed
    "helps": "good",
    "hurts": "bad",
    "yardstick changed": "calm",
    "unclear": "warn",
    "no difference": "faint",
    "failed": "bad",
}
_BARS = "▁▂▃▄▅▆▇█"


def missing(value: float | None) -> bool:
    """Not measured, or not a number that can be written down."""
    return value is None or not math.isfinite(value)


def decimals(*values: float | None) -> int:
    """How many decimals tell these numbers apart: two for scores, more for what lies closer together."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known:
        return 2
    largest, spread = max(abs(v) for v in known), max(known) - min(known)
    if largest >= 1000:
        return 0
    apart = spread if spread > 0 else largest
    needed = math.ceil(-math.log10(apart) - 0.05) if apart > 0 else 0
    return min(6, max(1 if largest >= 100 else 2, needed))


def signed(value: float | None, places: int = 2) -> str:
    """`+0.85`; what rounds to nothing has its sign all the same, empty where nothing was measured."""
    return "" if value is None or missing(value) else f"{value:+,.{places}f}"


def interval(low: float | None, high: float | None, places: int = 2) -> str:
    """`[+0.84, +0.87]`."""
    return "" if missing(low) or missing(high) else f"[{signed(low, places)}, {signed(high, places)}]"


def score(value: float | None, places: int = 2) -> str:
    """`0.98`, empty where it was not measured."""
    return "" if value is None or missing(value) else f"{value:,.{places}f}"


def from_to(before: float | None, after: float | None) -> tuple[str, str]:
    """Two scores with as many decimals as it takes to tell them apart."""
    places = decimals(before, after) if not missing(before) and not missing(after) else 2
    if places == 0:  # thousands beside what may be small
        return ("" if missing(before) else number(before)), ("" if missing(after) else number(after))
    return score(before, min(places, 4)), score(after, min(places, 4))


def share(value: float | None) -> str:
    """`61 %`; a share that is there and rounds to nothing is `<1 %`."""
    if value is None or missing(value):
        return ""
    if 0 < value < 0.005:
        return "<1 %"
    if 0.995 <= value < 1:
        return ">99 %"
    return f"{100 * value:.0f} %"


def count(number: int | None) -> str:
    """`1,797`."""
    return "" if number is None else f"{number:,}"


def plural(number: int, one: str, many: str = "") -> str:
    """`1 seed`, `5 seeds`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def shape(sizes: Sequence[int] | None) -> str:
    """`1×8×8`; a single number per sample is `1`."""
    return "" if sizes is None else "×".join(str(n) for n in sizes) or "1"


def shapes(given: Sequence[int] | None, made: Sequence[int] | None) -> str:
    """`1×8×8 → 16×6×6`, said once where nothing changes."""
    if given is not None and made is not None and tuple(given) != tuple(made):
        return f"{shape(given)} → {shape(made)}"
    return shape(made if made is not None else given)


def number(value: float | None) -> str:
    """Any number with three digits that count: `0.0042`, `12.5`, `1,797`, `3.2e-07`."""
    if value is None:
        return "not measured"
    if not math.isfinite(value):
        return "not finite"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if 1e-3 <= abs(value) < 1000:
        return f"{value:.3g}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else exponent(value, 2)


def roughly(value: float | None) -> str:
    """A bound to two digits that count: `0.009`."""
    return number(value) if value is None or missing(value) else number(float(f"{value:.2g}"))


def exponent(value: float | None, places: int = 1) -> str:
    """`1.1e-2`."""
    return (
        "" if value is None or missing(value) else re.sub(r"e([+-])0*(\d)", r"e\1\2", f"{value:.{places}e}")
    )


def megaflops(flops: int | None) -> str:
    """In millions: `0.10`, `<0.01`, `3,870`; empty where there are none or they were not counted."""
    if not flops:
        return ""
    millions = flops / 1e6
    return "<0.01" if millions < 0.005 else f"{millions:,.{0 if millions >= 100 else 2}f}"


def size(amount: int | None) -> str:
    """Bytes: `512 B`, `16.4 kB`, `3.1 MB`; empty where they were not counted."""
    if amount is None:
        return ""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if amount >= scale:
            return f"{amount / scale:,.{0 if amount >= 100 * scale else 1}f} {unit}"
    return f"{amount} B"


def moment(seconds: float | None) -> str:
    """A short time: `8 µs`, `2.3 ms`, `1.2 s`; empty where it was not measured."""
    if seconds is None or missing(seconds):
        return ""
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= 0.9995 * scale:
            return f"{seconds / scale:,.{0 if seconds >= 100 * scale else 1}f} {unit}"
    return f"{seconds * 1e6:.0f} µs"


def shares(values: Sequence[float | None]) -> str:
    """`61 %`, or `41–63 %` where they differ."""
    known = [v for v in values if v is not None and not missing(v)]
    if not known:
        return ""
    low, high = share(min(known)), share(max(known))
    return low if low == high else f"{low.removesuffix(' %')}–{high}"


def exponents(values: Sequence[float | None]) -> str:
    """`1.1e-2`, or `1.1e-2…3.0e-2` where they differ."""
    known = [v for v in values if v is not None and not missing(v)]
    if not known:
        return ""
    low, high = exponent(min(known)), exponent(max(known))
    return low if low == high else f"{low}…{high}"


def bars(counts: Sequence[float] | None, width: int = 8) -> str:
    """A histogram in `width` characters; empty where there was nothing to count."""
    if not counts:
        return ""
    step = max(1, len(counts) // width)
    folded = [sum(counts[i : i + step]) for i in range(0, len(counts), step)][:width]
    top = max(folded)
    return "".join(_BARS[round(7 * n / top)] for n in folded) if top > 0 else ""


def clean(text: object) -> str:
    """Text of a user in one piece: control characters, which a terminal would obey, become visible."""
    return "".join(
        c if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs") else "\N{REPLACEMENT CHARACTER}"
        for c in str(text).replace("\t", "    ")
    )


def source(place: Place) -> str:
    """`digits.py:17`."""
    return f"{place.file}:{place.line}" if place.file and place.line else place.file or ""


def named(key: str) -> str:
    """`largest_falling_rate` → `largest falling rate`."""
    return key.replace("_", " ")


def said(value: Any, most: int = 8) -> str:
    """A value of some evidence; long lists say how much of them is shown."""
    if value is None:
        return "not measured"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, Mapping):
        return _listed([f"{named(str(k))}: {said(v)}" for k, v in value.items()], most)
    if isinstance(value, (list, tuple, set, frozenset)):
        return _listed([said(v) for v in value], most)
    return clean(value)


def _listed(parts: list[str], most: int) -> str:
    shown = ", ".join(parts[:most]) or "none"
    return f"{shown} (first {most} of {len(parts)})" if len(parts) > most else shown


def evidence_rows(numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The numbers of a finding as a readable table; `written` is shown beside its place instead."""
    return [(named(key), said(value)) for key, value in numbers.items() if key != "written"]


def tone(finding: Finding) -> Tone:
    """The colour of a finding: its severity, or none where it was refuted."""
    if finding.status == "refuted":
        return "faint"
    severities: Mapping[str, Tone] = {"error": "bad", "warning": "warn", "note": "calm"}
    return severities[finding.severity]


def verdict_tone(verdict: Verdict) -> Tone:
    return _VERDICTS[verdict.verdict]


def by_merit(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """What helps first, the largest effect first."""
    order = list(_VERDICTS)
    return sorted(verdicts, key=lambda v: (order.index(v.verdict), -(v.effect or 0.0), v.label or v.idea))


def place_values(verdict: Verdict) -> int:
    """Decimals for a verdict's numbers; a bound that decided the word is never rounded to nothing."""
    bounds = [verdict.low, verdict.high, verdict.low_samples, verdict.high_samples]
    places = decimals(verdict.low, verdict.high) if not missing(verdict.low) else decimals(verdict.effect)
    if verdict.verdict in ("helps", "hurts"):
        while places < 4 and any(b and not missing(b) and not round(b, places) for b in bounds):
            places += 1
    return places


def aside(verdict: Verdict) -> str:
    """What belongs behind the word: margin, a proxy's horizon, seeds that diverged, the reason."""
    parts: list[str] = []
    undecided = verdict.verdict in ("unclear", "no difference") and verdict.effect is not None
    if undecided and verdict.margin is not None:
        parts.append(f"margin {roughly(verdict.margin)}")
    if verdict.horizon < 1:
        parts.append(f"at {share(verdict.horizon)} of the training")
    if verdict.effect is None and verdict.screened is not None:
        parts.append(f"screening {signed(verdict.screened, decimals(verdict.screened))}, no claim")
    if verdict.diverged:
        parts.append(f"{plural(verdict.diverged, 'seed')} diverged")
    if verdict.reason:
        parts.append(clean(verdict.reason))
    return ", ".join(parts)


def confirmed_by(finding: Finding) -> str:
    """How the status of a finding was settled, in a sentence; empty where nothing was changed for it."""
    tried = finding.confirmation
    if not tried:
        return ""
    if "sentence" in tried:
        return clean(tried["sentence"])
    seeds = tried.get("seeds") or 0
    parts = [_outcome_of("with", tried.get("repair"), tried.get("gone_on"), seeds, tried)]
    # A sham and a rival are done with at the first seed that shows the symptom: they say of how many.
    half = "it reaches half of that on" if tried.get("gone_on") is None else "on"
    if tried.get("sham"):
        asked = tried.get("sham_seeds") or seeds
        parts.append(_outcome_of("with", tried["sham"], tried.get("sham_gone_on"), asked, told=half))
    if tried.get("rival_repair"):
        rival = f"{tried['rival_repair']} instead ({tried.get('rival', 'a rival')})"
        asked = tried.get("rival_seeds") or seeds
        parts.append(_outcome_of("with", rival, tried.get("rival_gone_on"), asked, told=half))
    symptom = f"The symptom: {clean(tried['symptom'])}. " if tried.get("symptom") else ""
    told = ", ".join(part for part in parts if part)
    if not told:
        rest = ", ".join(f"{named(k)} {said(v)}" for k, v in tried.items())
        return f"Tried: {rest}."
    return f"{symptom}{told[0].upper()}{told[1:]}."


def _outcome_of(
    word: str,
    repair: Any,
    gone: int | None,
    seeds: int,
    effect: Mapping[str, Any] | None = None,
    told: str = "it is gone on",
) -> str:
    if not repair:
        return ""
    if gone is not None:
        return f"{word} {clean(repair)} {told} {gone} of {plural(seeds, 'seed')}"
    if effect is None or missing(effect.get("effect")):
        return ""
    low, high = effect.get("low"), effect.get("high")
    places = decimals(low, high) if not missing(low) else 2
    numbers = f"{signed(effect['effect'], places)} {interval(low, high, places)}".strip()
    return f"{word} {clean(repair)} the validation score changes by {numbers} over {plural(seeds, 'seed')}"


def attribute_cells(attribute: Attribute) -> tuple[str, str, str, str]:
    """Name, value, place and the text as written there; one that was not set has no place."""
    value = "" if attribute.value is None else said(attribute.value)
    if not attribute.is_set:
        return attribute.name, value, "", "not set"
    return attribute.name, value, source(attribute.place), attribute.source or "set"
