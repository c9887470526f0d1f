"""How long the page of an atlas takes to paint and to answer, in headless Chromium.

    python -m benchmarks.page [--rounds 7]

A made-up atlas of 200 layers × 500 inputs with nine statistics. `paint` is the time from the start of the
navigation to the frame in which the map is on its canvas; `hover` and `click` are from the event to the end
of the task that answers it, and to the end of the frame that shows it. Targets: 1 s, one frame (16.7 ms of
work), a module of 150 kB and a file of 1.5 MB. Needs playwright and Chromium (`CHROMIUM` names one that is
not on the path).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from netwright.atlas.arrays import floats
from netwright.values import (
    Atlas,
    AtlasInputs,
    AtlasPattern,
    AtlasRow,
    Grid,
    InputMap,
    LayerLine,
    LookResult,
    Moment,
)
from netwright.views import look_html

ROWS, INPUTS = 200, 500
STATISTICS = ("norm", "mean", "spread", "zeros", "support", "typicality", "gradient", "mass")


def made_up() -> LookResult:
    """200 rows × 500 inputs, the size that the first paint is measured at."""
    random = np.random.default_rng(0)
    labels = np.arange(INPUTS) % 10
    belief = np.where(random.random((ROWS, INPUTS)) < np.linspace(0.2, 1, ROWS)[:, None], labels, 3)
    grids = [Grid("belief", "belief", "Made up.", floats(belief), kind="category")]
    for n, name in enumerate(
        ("norm", "mean", "spread", "zeros", "support", "typicality", "gradient", "mass")
    ):
        values = np.exp(random.normal(size=(ROWS, INPUTS)) + np.sin(np.arange(ROWS) / (9 + n))[:, None])
        grids.append(Grid(name, name, "Made up.", floats(values), scale="log"))
    rows = tuple(AtlasRow(f"block{n // 10}.{n}", "Linear", f"block{n // 10}", n) for n in range(ROWS))
    layers = tuple(
        LayerLine(r.name, r.kind, 1, (64,), (64,), 4160, 8192, True, None, None,
                  {"zeros": 0.1, "histogram": [1, 2, 3, 4] * 4, "gradient": 1e-3}, parent=r.parent)
        for r in rows
    )  # fmt: skip
    atlas = Atlas(
        rows,
        AtlasInputs(
            tuple(f"input-{n}" for n in range(INPUTS)), tuple(float(v) for v in labels),
            tuple(float(v) for v in labels), tuple(random.random(INPUTS)), tuple("0123456789"),
            tuple(int(n) for n in np.argsort(labels, kind="stable")),
            texts=tuple("1, 2, 3" for _ in range(INPUTS)),
        ),
        (Moment("now", tuple(grids)),),
        depths=tuple(int(n) for n in random.integers(0, ROWS, INPUTS)),
        patterns=(AtlasPattern("flip-late", "one input is late", "Made up.", (150,), (7,)),),
        maps=(InputMap(0, tuple(random.random(INPUTS)), tuple(random.random(INPUTS)), 0.5),),
    )  # fmt: skip
    return LookResult("made", "made up", layers, INPUTS, atlas=atlas)


PAINTED = """() => new Promise(done => {
    const look = () => {
        const canvas = document.querySelector("[data-view=atlas] canvas.nw-layer");
        if (canvas) {
            const {width, height} = canvas;
            const data = canvas.getContext("2d").getImageData(width >> 1, 0, 1, height).data;
            if (data.some((value, k) => k % 4 === 3 && value)) return done(performance.now());
        }
        requestAnimationFrame(look);
    };
    look();
})"""

ANSWERED = """([kind, x, y]) => new Promise(done => {
    const at = document.elementFromPoint(x, y);
    const say = name => at.dispatchEvent(new PointerEvent(name, {
        bubbles: true, clientX: x, clientY: y, pointerId: 1, pointerType: "mouse", button: 0, isPrimary: true,
    }));
    const began = performance.now();
    say("pointermove");
    if (kind === "click") {
        say("pointerdown");
        say("pointerup");
        at.dispatchEvent(new MouseEvent("click", {bubbles: true, clientX: x, clientY: y}));
    }
    const task = performance.now() - began;
    requestAnimationFrame(() => { const c = new MessageChannel(); c.port1.onmessage = () =>
        done([task, performance.now() - began]); c.port2.postMessage(0); });
})"""


def measure(browser: Any, path: Path, rounds: int) -> None:
    paints: list[float] = []
    answers: dict[str, list[tuple[float, float]]] = {"hover": [], "click": []}
    for _ in range(rounds):
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.goto(f"file://{path}", wait_until="commit")
        paints.append(page.evaluate(PAINTED))
        box = page.query_selector("[data-view=atlas] canvas.nw-layer").bounding_box()
        for n in range(20):
            x, y = box["x"] + 200 + 40 * n, box["y"] + 40 + 12 * n
            for kind, found in answers.items():
                found.append(page.evaluate(ANSWERED, [kind, x, y]))
        page.close()
    print(f"paint  {statistics.median(paints):6.0f} ms, worst {max(paints):.0f} (target 1,000)")
    for kind, found in answers.items():
        tasks, frames = zip(*found, strict=True)
        print(
            f"{kind}  {statistics.median(tasks):6.1f} ms of work, worst {max(tasks):.1f};"
            f" {statistics.median(frames):.1f} ms to the end of the frame, worst {max(frames):.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    module = resources.files("netwright.views") / "static" / "netwright.js"
    html = look_html(made_up())
    sizes = len(module.read_bytes()) / 1000, len(html.encode()) / 1e6
    print(f"module {sizes[0]:.0f} kB (target 150), file {sizes[1]:.2f} MB (target 1.5)")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        path = Path(folder) / "atlas.html"
        path.write_text(html, encoding="utf-8")
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        measure(browser, path, given.rounds)
        browser.close()


if __name__ == "__main__":
    main()
