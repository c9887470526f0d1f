"""The page: whole, self-contained, safe with any text, and honest about what was not measured."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import attrs
import pytest

from netwright.values import Attribute, AttributesResult, Change, Finding, MetricName, Overview, Place
from netwright.views import diagnose_html, frame, look_html, report_html, words
from netwright.views.report import score_scale
from views.patients import ATTRIBUTES, DEAD, DIAGNOSED, HEALTHY, IMPROVED, LOOKED, STUCK, TOO_HIGH, VERDICTS

VOID = {"meta", "br", "link", "img", "hr", "input"}

PAGES = {
    "improved": report_html(IMPROVED, ATTRIBUTES),
    "stuck": report_html(STUCK, None),
    "diagnosed": diagnose_html(DIAGNOSED),
    "healthy": diagnose_html(HEALTHY),
    "looked": look_html(LOOKED),
}


class Reader(HTMLParser):
    """The elements of a page, its text, and whether every element that opens closes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.text += data


def data_of(page: str) -> Any:
    """What a page hands to its views."""
    return json.loads(Reader(page).scripts[0])


def words_of(page: str) -> str:
    return re.sub(r"\s+", " ", Reader(page).text)


@pytest.mark.parametrize("name", PAGES)
def test_every_element_closes(name: str) -> None:
    assert Reader(PAGES[name]).open == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fetches_nothing_and_runs_its_own_module_alone(name: str) -> None:
    page, reader = PAGES[name], Reader(PAGES[name])
    for script in reader.scripts:
        page = page.replace(script, "")
    assert not re.search(r"https?:|//\w|@import|url\(|javascript:", page)
    scripts = [a for tag, a in reader.tags if tag == "script"]
    assert [a["type"] for a in scripts] in ([], ["application/json", "module"])
    kinds = {tag for tag, _ in reader.tags}
    assert not kinds & {
        "iframe",
        "img",
        "object",
        "embed",
        "link",
        "base",
        "form",
        "audio",
        "video",
    }
    for _, attributes in reader.tags:
        assert not any(key.startswith("on") or key in ("src", "srcset") for key in attributes)


@pytest.mark.parametrize("name", PAGES)
def test_the_policy_of_a_page_forbids_the_network_and_every_script_but_its_own(name: str) -> None:
    reader = Reader(PAGES[name])
    [policy] = [a["content"] for tag, a in reader.tags if a.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert "connect-src" not in policy and "'self'" not in policy and "*" not in policy
    if not reader.scripts:
        assert "script" not in policy
        return
    digest = base64.b64encode(hashlib.sha256(reader.scripts[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy


def test_every_finding_is_there_with_its_evidence_and_how_it_was_confirmed() -> None:
    text = words_of(PAGES["improved"])
    for finding in (*IMPROVED.findings, *IMPROVED.considered):
        assert finding.cause in text and finding.status in text and finding.explanation in text
        assert words.confirmed_by(finding) in text
    for finding in IMPROVED.findings:
        assert finding.confuses in text and finding.reference in text
        for key, value in words.evidence_rows(finding.evidence):
            assert key in text and value in text


def test_every_verdict_is_there_with_its_numbers() -> None:
    text = words_of(PAGES["improved"])
    for verdict in VERDICTS:
        places = words.place_values(verdict)
        assert verdict.label in text and verdict.verdict in text and verdict.reason in text
        assert words.signed(verdict.effect, places) in text
        assert words.interval(verdict.low, verdict.high, places) in text
        assert words.interval(verdict.low_samples, verdict.high_samples, places) in text
    assert "unchanged recipe, same epochs" in text
    assert "30 % of the full training" in text


def test_the_changes_stand_with_their_lines() -> None:
    text = words_of(PAGES["improved"])
    assert re.search(r"digits\.py:17 lr=10\.0 → lr=0\.1 not set → momentum=0\.9", text)


def test_the_rest_of_the_result_is_there() -> None:
    text = words_of(PAGES["improved"])
    for said in (
        "went from 0.11 to 0.98",
        "+0.87 [+0.84, +0.90]",
        "first look at these 270 samples",
        ".netwright/digits.safetensors",
        ".netwright/load.py",
        "1 min 38 s, 212 epochs, 16 trials",
        "2 min 00 s",
        IMPROVED.notes[0],
        "batch-leak",
        "needs an optimizer",
        'config["batch"]',
    ):
        assert said in text
    text = words_of(PAGES["stuck"])
    assert "nothing unseen was scored" in text and all(step in text for step in STUCK.next_steps)


def test_what_was_not_measured_is_said_and_never_a_zero() -> None:
    nothing = attrs.evolve(
        STUCK,
        before={"train": None, "val": None, "test": None},
        after={"train": None, "val": None, "test": None},
    )
    bare = attrs.evolve(nothing, verdicts=(attrs.evolve(VERDICTS[5], reason=""),), baseline="", considered=())
    text = words_of(report_html(bare, None))
    assert text.count("not measured") >= 6
    assert "None" not in text and "nan" not in text
    metric = f"reaches {words.score(STUCK.metric.trivial)}"
    assert not re.search(r"\b0\.00?\b", text.replace(metric, ""))


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", "\"><svg onload='x'>", "{{ 7 * 7 }}", "a\x00\x1bb"]
)
def test_text_of_a_user_is_only_text(hostile: str) -> None:
    finding = Finding(
        hostile,
        Place(hostile, hostile, 1, (hostile,), hostile),
        {hostile: hostile, "written": hostile},
        hostile,
        (hostile,),
        check=hostile,
        also=(hostile,),
        confuses=hostile,
        reference=hostile,
        confirmation={"symptom": hostile, "repair": hostile, "gone_on": 1, "seeds": 5},
    )
    result = attrs.evolve(
        IMPROVED,
        recipe=hostile,
        fingerprint=hostile,
        metric=attrs.evolve(IMPROVED.metric, name=hostile),
        findings=(finding,),
        considered=(finding,),
        verdicts=(attrs.evolve(VERDICTS[0], label=hostile, idea=hostile, reason=hostile, control=hostile),),
        changes=(Change(hostile, 1, hostile, hostile, hostile),),
        weights=hostile,
        load=hostile,
        overview=Overview(hostile, hostile, hostile, hostile),
        baseline=hostile,
        plan=hostile,
        notes=(hostile,),
        skipped={hostile: hostile},
        next_steps=(hostile,),
        device=hostile,
    )
    attributes = AttributesResult(
        hostile, (Attribute(hostile, hostile, Place(file=hostile, line=1), True, True, hostile),)
    )
    layer = attrs.evolve(LOOKED.layers[0], name=hostile, kind=hostile, findings=(hostile,))
    pages = [
        report_html(result, attributes),
        diagnose_html(attrs.evolve(DIAGNOSED, findings=(finding,), run=hostile)),
        look_html(attrs.evolve(LOOKED, name=hostile, layers=(layer,), findings=(finding,))),
    ]
    for page in pages:
        reader = Reader(page)
        assert reader.open == []
        assert len(reader.scripts) in (0, 2) and "onload" not in "".join(reader.scripts[1:])
        assert not any("onload" in attributes for _, attributes in reader.tags)
        assert words.clean(hostile) in reader.text
        assert "\x00" not in page and "\x1b" not in page


def test_a_frame_holds_the_page_and_lets_nothing_out() -> None:
    framed = frame(PAGES["improved"], 600)
    [(tag, attributes)] = Reader(framed).tags
    assert (
        tag == "iframe"
        and attributes["sandbox"] == "allow-scripts"
        and attributes["srcdoc"] == PAGES["improved"]
    )
    assert "height:600px" in str(attributes["style"])


def test_every_layer_is_on_the_page() -> None:
    text = words_of(PAGES["looked"])
    for layer in LOOKED.layers:
        assert layer.kind in text and layer.name in text
    assert "dead-units" in text and "frozen" in text and DEAD.explanation in text and TOO_HIGH.cause in text


def test_the_place_of_a_score_is_on_the_way_from_ignoring_the_inputs_to_perfect() -> None:
    marks = {mark.name: mark.at for mark in score_scale(0.1, 0.55, MetricName("accuracy", True, 0.1, 1.0))}
    assert marks == {"ignoring the inputs": 0.0, "perfect": 100.0, "before": 0.0, "after": pytest.approx(50)}
    assert score_scale(None, None, IMPROVED.metric) == ()
    assert score_scale(-40.0, 0.5, MetricName("r2", True, 0.0, 1.0)) == ()


def test_curves_and_effects_travel_with_the_page_as_they_were_measured() -> None:
    data = data_of(PAGES["improved"])
    assert len(data["curves"]) == len(IMPROVED.curves_before) + len(IMPROVED.curves_after)
    assert [t["verdict"] for t in data["trials"]] == [v.verdict for v in words.by_merit(IMPROVED.verdicts)]
    assert {e["data-view"] for _, e in Reader(PAGES["improved"]).tags if "data-view" in e} == {
        "trials",
        "curves",
    }
