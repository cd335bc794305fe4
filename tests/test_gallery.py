"""The gallery in a real browser without a network: every figure draws its data, nothing overflows or complains."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import plotly.graph_objects as go
import pytest

from hn_utils import gallery
from hn_utils.plots import styled

FIGURES = Path(__file__).resolve().parents[1] / "figures"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAGES = sorted((FIGURES / "html").glob("*.html"))


def test_there_is_a_gallery():
    assert len(PAGES) >= 8


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])


def opened(browser, page_path: Path, width: int):
    page, complaints = browser.new_page(viewport={"width": width, "height": 900}), []
    page.context.set_offline(True)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(page_path.as_uri())
    return page, complaints


def points_in_file(path: Path) -> list[int]:
    """Points per trace as the page's own data has them, read without a browser."""
    found = re.search(r"Plotly\.newPlot\(\s*\"[^\"]+\",\s*(\[.*?\]),\s*\{\"", path.read_text(), re.DOTALL)
    assert found
    return [len(trace.get("x", [])) if isinstance(trace.get("x"), list) else -1 for trace in json.loads(found[1])]


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_every_figure_draws_offline(browser, path):
    page, complaints = opened(browser, path, 1280)
    page.wait_for_selector(".main-svg")
    drawn = page.evaluate(
        "document.querySelector('.js-plotly-plot').data.map(t => Array.isArray(t.x) ? t.x.length : -1)"
    )
    assert drawn == points_in_file(path)
    assert page.evaluate("document.querySelectorAll('.trace, .hm, .violinlayer > *, canvas').length") > 0
    assert complaints == []
    page.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_index_shows_every_figure_and_does_not_overflow(browser, width):
    page, complaints = opened(browser, FIGURES / "index.html", width)
    images = page.evaluate("[...document.images].map(i => (i.loading = 'eager', i.src.split('/').pop()))")
    assert sorted(images) == sorted(f"{p.stem}.png" for p in PAGES)
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert complaints == []
    page.close()


def test_figures_name_their_finding_with_n():
    for path in PAGES:
        meta = gallery.read_meta(path)
        assert meta["notebook"] in gallery.NOTEBOOKS
        assert re.search(r"\bn = \d|\(n = |AUROC", meta["title"]), meta["title"]


def test_publish_and_index(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "FIGURES", tmp_path)
    monkeypatch.setattr(gallery, "image_server", lambda: False)
    figure = styled(go.Figure(go.Scatter(x=[1, 2], y=[3, 4])), 'A <finding> & "more" (n = 2)')
    shown = gallery.publish(figure, "one", "02_probe")
    assert "application/vnd.plotly.v1+json" in shown._repr_mimebundle_()
    assert gallery.read_meta(tmp_path / "html" / "one.html")["notebook"] == "02_probe"
    page = gallery.build_index().read_text()
    assert "html/one.html" in page
    assert "A &lt;finding&gt; &amp;" in page
    assert (tmp_path / "html" / "plotly.min.js").stat().st_size > 1e6
