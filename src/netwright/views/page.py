"""The data of a page for the browser views: the contract of `web/src/page.ts`, from the values.

A pixel shows less than a float: numbers go as codes of 8 or 16 bits between the extremes of their grid,
deflated. Nothing is sent that is not shown.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from netwright.values import (
    Atlas,
    AtlasInputs,
    Curve,
    Detail,
    Finding,
    Floats,
    Grid,
    LayerLine,
    LookResult,
    MetricName,
    Moment,
    Units,
    Verdict,
    to_json,
)
from netwright.views import words

FINE = 30_000  # cells up to which a grid goes with 16 bits
MANY = 12_000  # cells from which earlier moments go with the statistics of `EARLIER` alone
EARLIER = ("belief", "support", "norm", "zeros")
DETAILS = 400_000  # bytes of all details
LISTED, BEST = 64, 6  # units of a layer, and the inputs that excite each most


def look_page(result: LookResult, atlas: Atlas | None = None) -> dict[str, Any]:
    """The page of a listing, with its atlas where there is one."""
    return page(
        result.name,
        result.run,
        layers=result.layers,
        findings=result.findings,
        notes=result.notes,
        atlas=atlas,
    )


def page(
    name: str,
    run: str,
    *,
    layers: Sequence[LayerLine] = (),
    findings: Sequence[Finding] = (),
    notes: Sequence[str] = (),
    atlas: Atlas | None = None,
    curves: Sequence[Curve] = (),
    metric: MetricName | None = None,
    verdicts: Sequence[Verdict] = (),
    live: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """`Page` of the contract; what is not given is empty."""
    return {
        "version": 1,
        "name": words.clean(name),
        "run": words.clean(run),
        "layers": [layer_document(line) for line in layers],
        "findings": [_finding(f) for f in findings],
        "notes": [words.clean(note) for note in notes],
        "atlas": atlas_document(atlas) if atlas is not None else None,
        "curves": [to_json(curve) for curve in curves],
        "metric": to_json(metric),
        "trials": [_trial(v) for v in words.by_merit(verdicts)],
        "live": live,
    }


def embedded(document: Any) -> str:
    """JSON that may stand inside a `<script>` of a page."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def layer_document(line: LayerLine) -> dict[str, Any]:
    """A line of the listing."""
    document = to_json(line)
    document.setdefault("parent", line.name.rpartition(".")[0])
    document.setdefault("bytes", None)
    document.setdefault("seconds", None)
    return document


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "cause": finding.cause,
        "status": finding.status,
        "confidence": finding.confidence,
        "explanation": words.clean(finding.explanation),
    }


def _trial(verdict: Verdict) -> dict[str, Any]:
    places = words.place_values(verdict)
    numbers = f"{words.signed(verdict.effect, places)} {words.interval(verdict.low, verdict.high, places)}"
    return {
        "label": words.clean(verdict.label or verdict.idea),
        "verdict": verdict.verdict,
        "tone": words.verdict_tone(verdict),
        "said": numbers.strip(),
        **to_json(
            {
                n: getattr(verdict, n)
                for n in ("effect", "low", "high", "low_samples", "high_samples", "margin")
            }
        ),
    }


def atlas_document(atlas: Atlas) -> dict[str, Any]:
    """`Atlas` of the contract."""
    cells = len(atlas.rows) * len(atlas.inputs)
    earlier = EARLIER if cells > MANY else None
    moments = [moment_document(m, earlier) for m in atlas.moments[:-1]] + [moment_document(atlas.now)]
    return {
        "rows": [
            {"layer": r.layer, "name": r.title, "kind": r.kind, "parent": r.parent, "call": r.call}
            for r in atlas.rows
        ],
        "inputs": _inputs(atlas.inputs),
        "moments": moments,
        "depths": list(atlas.depths) if atlas.depths is not None else None,
        "patterns": [to_json(pattern) for pattern in atlas.patterns],
        "maps": [to_json(each) for each in atlas.maps],
        "units": [_units(units) for units in atlas.units],
        "details": _details(atlas),
        "notes": list(atlas.notes),
    }


def moment_document(moment: Moment, only: Sequence[str] | None = None) -> dict[str, Any]:
    """`Moment` of the contract, with the grids named in `only`."""
    grids = [grid for grid in moment.grids if only is None or grid.name in only]
    grids.sort(key=lambda grid: grid.name != "belief")  # what is shown first
    return {"label": words.clean(moment.label), "grids": [grid_document(grid) for grid in grids]}


def grid_document(grid: Grid) -> dict[str, Any]:
    """`Grid` of the contract: codes between the lowest and the highest value, the last one for what was not
    measured."""
    values = _array(grid.values)
    bits = 16 if values.size <= FINE else 8
    if grid.kind == "category":
        low = high = 0.0
        bits = 8 if not np.isfinite(values).any() or np.nanmax(values) < 255 else 16
        codes = np.where(np.isfinite(values), values, (1 << bits) - 1)
    else:
        low, high = _ends(grid, values)
        codes = _coded(values, low, high, bits, grid.scale == "log")
    return {
        "name": grid.name,
        "label": grid.label,
        "meaning": grid.meaning,
        "unit": grid.unit,
        "kind": grid.kind,
        "scale": grid.scale,
        "low": low,
        "high": high,
        "rows": values.shape[0],
        "columns": values.shape[1],
        "bits": bits,
        "data": _packed(codes.astype("<u2" if bits == 16 else "u1")),
    }


def _ends(grid: Grid, values: Any) -> tuple[float, float]:
    known = values[np.isfinite(values)].astype(np.float64)
    if grid.scale == "log":
        known = known[known > 0]
        if not known.size:
            return 1.0, 1.0
        high = float(known.max())
        return max(float(known.min()), high * 1e-9), high
    if not known.size:
        return 0.0, 0.0
    if grid.kind == "diverging":
        most = float(np.abs(known).max())
        return -most, most
    return float(known.min()), float(known.max())


def _coded(values: Any, low: float, high: float, bits: int, log: bool) -> Any:
    """Codes 0 to `2 ** bits - 2`, and `2 ** bits - 1` for what is not finite."""
    most = (1 << bits) - 2
    with np.errstate(all="ignore"):
        wide = values.astype(np.float64)
        if log:
            wide = np.log(np.maximum(wide, low))
            low, high = np.log(low), np.log(high)
        part = (wide - low) / (high - low) if high > low else np.zeros_like(wide)
        codes = np.rint(np.clip(part, 0, 1) * most)
    return np.where(np.isfinite(values), np.nan_to_num(codes), most + 1)


def _array(values: Floats) -> Any:
    return np.frombuffer(values.data, "<f4").reshape(values.shape)


def _packed(codes: Any) -> str:
    return base64.b64encode(_deflated(np.ascontiguousarray(codes).tobytes())).decode("ascii")


def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def _inputs(inputs: AtlasInputs) -> dict[str, Any]:
    pictures = inputs.thumbnails
    return {
        "count": len(inputs),
        "ids": [words.clean(i) for i in inputs.ids],
        "labels": to_json(inputs.labels),
        "predictions": to_json(inputs.predictions),
        "losses": [None if v is None else float(f"{v:.4g}") for v in inputs.losses]
        if inputs.losses
        else None,
        "classes": [words.clean(c) for c in inputs.classes] if inputs.classes is not None else None,
        "order": list(inputs.order),
        "kind": inputs.kind,
        "thumbnails": None
        if pictures is None
        else {
            "width": pictures.width,
            "height": pictures.height,
            "channels": pictures.channels,
            "data": base64.b64encode(_deflated(pictures.data)).decode("ascii"),
        },
        "texts": [words.clean(t) for t in inputs.texts] if inputs.texts is not None else None,
    }


def _units(units: Units) -> dict[str, Any]:
    document = to_json(units)
    dead = set(units.dead)
    document["top"] = [
        {
            "unit": top.unit,
            "inputs": list(top.inputs[:BEST]),
            "values": [float(f"{v:.4g}") for v in top.values[:BEST]],
        }
        for top in units.top[:LISTED]
        if top.unit not in dead
    ]
    document["shown"] = min(LISTED, units.shown)
    return document


def _details(atlas: Atlas) -> list[dict[str, Any]]:
    """Those of the first inputs, as many as there is room for."""
    found, room = [], DETAILS
    for of_input in atlas.details:
        items = [_detail(item) for item in of_input.items]
        room -= sum(len(item["data"]) for item in items)
        if room < 0 and found:
            break
        found.append({"input": of_input.input, "items": items})
    return found


def _detail(detail: Detail) -> dict[str, Any]:
    values = _array(detail.values)
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    if detail.kind in ("attribution", "contributions", "states", "vector"):
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    return {
        "row": detail.row,
        "kind": detail.kind,
        "shape": list(values.shape),
        "of": detail.of,
        "low": low,
        "high": high,
        "data": _packed(np.minimum(_coded(values, low, high, 8, False), 254).astype("u1")),
        "method": detail.method,
        "randomised": detail.randomised,
        "names": [words.clean(n) for n in detail.names] if detail.names is not None else None,
    }
