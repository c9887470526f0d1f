"""The live page in a real browser, beside a real training."""

import re

import pytest

from app.serving import PATIENCE, recipe_file, served
from views.browser import chromium

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


def test_columns_arrive_and_pause_step_and_edit_do_what_they_say(browser, tmp_path):
    path = recipe_file(tmp_path, epochs=3000)
    with served(path, "--device", "cpu") as server:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE * 1000)
        wrong = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        expect = sync_api.expect
        expect.set_options(timeout=PATIENCE * 1000)
        page.goto(server.address)
        live, state = page.locator("[data-view=live]"), page.locator(".nw-state")
        expect(live).to_contain_text(re.compile(r"step \d+, epoch \d+, loss [\d.]+"))
        first = live.locator(".nw-status").inner_text()
        expect(live.locator(".nw-status")).not_to_have_text(first)  # more came

        page.get_by_role("button", name="Pause").click()
        expect(state).to_contain_text("paused")
        expect(page.get_by_role("button", name="One step")).to_be_enabled()
        at = int(re.search(r"step (\d+)", state.inner_text())[1])
        page.get_by_role("button", name="One step").click()
        expect(state).to_contain_text(f"step {at + 1}")
        expect(live.locator(".nw-status")).to_contain_text(f"step {at + 1},")

        page.locator("[data-view=atlas] .nw-map").click(position={"x": 500, "y": 60})
        drawing = page.locator("[data-view=edit] .nw-editor")
        drawing.scroll_into_view_if_needed()
        box = drawing.bounding_box()
        page.mouse.move(box["x"] + 10, box["y"] + 10)
        page.mouse.down()
        for row in range(12):
            page.mouse.move(box["x"] + (210 if row % 2 else 10), box["y"] + 10 + 18 * row, steps=4)
        page.mouse.up()
        edited = page.locator("[data-view=edit]")
        expect(edited).to_contain_text(re.compile(r"belief: \d+ rows? change"))
        expect(edited).to_contain_text("→")

        page.get_by_role("button", name="Resume").click()
        expect(state).to_contain_text("running")
        assert wrong == []
        page.close()
