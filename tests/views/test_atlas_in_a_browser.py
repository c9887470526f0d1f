"""The page of an atlas in a real browser: what is painted, and what a click on a cell shows."""

import pytest
import torch
from benchmarks.page import made_up
from torch import nn

import netwright as nw
from conftest import digits_data, training
from netwright.views import look_html, report_html
from views.browser import chromium, until
from views.patients import IMPROVED


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


def network():
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 10))


@pytest.fixture(scope="module")
def digits_page(tmp_path_factory):
    recipe = nw.Recipe(digits_data(300), network, training())
    result = nw.look(recipe, "val", attribution="gradient-times-input", before=True)
    path = tmp_path_factory.mktemp("page") / "digits.html"
    path.write_text(result.html(), encoding="utf-8")
    return path, result


def opened(browser, path, **options):
    page = browser.new_page(viewport={"width": 1200, "height": 1000}, **options)
    trouble = []
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: trouble.append(request.url) if "file:" not in request.url else None)
    page.goto(f"file://{path}")
    page.wait_for_selector("[data-view=atlas] canvas")
    return page, trouble


def click_map(page, across, down):
    """A click on the map, in pixels from its corner; the pointer meets whichever of its layers is on top."""
    box = page.query_selector("[data-view=atlas] canvas.nw-layer").bounding_box()
    page.mouse.click(box["x"] + across, box["y"] + down)


def painted(page, selector):
    """How many colours a canvas shows."""
    return page.evaluate(
        """selector => {
            const canvas = document.querySelector(selector);
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            const seen = new Set();
            for (let k = 0; k < data.length; k += 4) seen.add(data[k] << 16 | data[k + 1] << 8 | data[k + 2]);
            return seen.size;
        }""",
        selector,
    )


def test_the_page_paints_its_map_without_an_error_and_without_the_network(browser, digits_page):
    page, trouble = opened(browser, digits_page[0])
    assert trouble == []
    assert painted(page, "[data-view=atlas] canvas.nw-layer") > 8
    assert "Conv2d" in page.inner_text("[data-view=listing]")
    page.close()


def test_a_click_on_a_cell_shows_its_input_and_its_layer(browser, digits_page):
    page, trouble = opened(browser, digits_page[0])
    result = digits_page[1]
    click_map(page, 600, 60)
    until(page, "document.querySelector('[data-view=input]').innerText.includes('predicted')")
    shown = page.inner_text("[data-view=input]")
    ids = [i for i in result.atlas.inputs.ids if i in shown.splitlines()]
    assert ids, shown
    index = result.atlas.inputs.ids.index(ids[0])
    assert f"class {result.atlas.inputs.labels[index]:.0f}" in " ".join(shown.lower().split())
    layer = page.inner_text("[data-view=layer]")
    assert any(row.kind in layer for row in result.atlas.rows)
    assert trouble == []
    page.close()


def test_a_click_on_a_pattern_selects_its_inputs_and_the_address_keeps_them(browser, tmp_path):
    result = made_up()
    path = tmp_path / "made.html"
    path.write_text(look_html(result), encoding="utf-8")
    page, trouble = opened(browser, path)
    page.click("[data-view=patterns] button")
    until(page, "location.hash.length > 1")
    assert "input-7" in page.inner_text("[data-view=input]")
    address = page.url
    other, _ = opened(browser, path)
    other.goto(address)
    other.reload()
    until(other, "document.querySelector('[data-view=input]').innerText.includes('input-7')")
    assert trouble == []
    page.close()
    other.close()


def test_arrow_keys_move_the_cell_and_say_it(browser, digits_page):
    page, _ = opened(browser, digits_page[0])
    page.focus("[data-view=atlas] [tabindex='0']")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    until(
        page,
        "[...document.querySelectorAll('[data-view=atlas] [aria-live]')].some(e => e.textContent.length > 5)",
    )
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_has_both_a_light_and_a_dark_face(browser, digits_page, scheme):
    page, trouble = opened(browser, digits_page[0], color_scheme=scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    bright = sum(int(v) for v in ground[4:-1].split(",")[:3]) / 3
    assert (bright > 200) == (scheme == "light")
    assert trouble == []
    page.close()


def test_the_frame_of_a_notebook_draws_the_same_map(browser, digits_page, tmp_path):
    notebook = tmp_path / "notebook.html"
    notebook.write_text(f"<!doctype html><meta charset=utf-8><body>{digits_page[1]._repr_html_()}</body>")
    page = browser.new_page()
    page.goto(f"file://{notebook}")
    frame = page.frame_locator("iframe")
    frame.locator("[data-view=atlas] canvas").first.wait_for()
    assert "Conv2d" in frame.locator("[data-view=listing]").inner_text()
    page.close()


def test_two_hundred_layers_and_five_hundred_inputs_fit_a_file_of_one_and_a_half_megabytes(tmp_path):
    assert len(look_html(made_up()).encode()) < 1_500_000


def test_every_row_of_a_large_atlas_can_be_reached(browser, tmp_path):
    path = tmp_path / "large.html"
    path.write_text(look_html(made_up()), encoding="utf-8")
    page, trouble = opened(browser, path)
    assert trouble == []
    assert "block19" in page.inner_text("[data-view=listing]")
    page.close()


def test_the_report_of_an_improvement_draws_its_curves_and_effects(browser, tmp_path):
    path = tmp_path / "improved.html"
    path.write_text(report_html(IMPROVED, None), encoding="utf-8")
    page = browser.new_page()
    trouble = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(f"file://{path}")
    for view in ("trials", "curves"):
        page.wait_for_selector(f"[data-view={view}] canvas")
        assert painted(page, f"[data-view={view}] canvas") > 3
    assert "helps" in page.inner_text("main") and trouble == []
    page.close()


def test_networks_of_every_kind_have_a_page(browser, tmp_path):
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(20, 8)
            self.mix = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.lstm, self.head = nn.LSTM(8, 6, batch_first=True), nn.Linear(6, 2)

        def forward(self, x):
            return self.head(self.lstm(self.mix(self.embed(x)))[0][:, -1])

    torch.manual_seed(0)
    words = torch.randint(20, (40, 7))
    result = nw.look(Reader(), words, targets=words[:, 0] % 2, details=(0, 3), attribution="occlusion")
    path = tmp_path / "words.html"
    path.write_text(result.html(), encoding="utf-8")
    page, trouble = opened(browser, path)
    click_map(page, 500, 60)
    assert "LSTM" in page.inner_text("[data-view=listing]")
    assert trouble == []
    page.close()
