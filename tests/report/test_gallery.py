"""The gallery in a real browser without a network: every figure draws its data, nothing overflows or complains."""

from __future__ import annotations

import json
import re
from pathlib import Path

import plotly.graph_objects as go
import pytest
from pages import opened

from hn_utils.report import gallery
from hn_utils.report.plots import styled
from hn_utils.report.plots.style import printable
from hn_utils.study import load_study

FIGURES = Path(__file__).resolve().parents[2] / "figures"
PAGES = sorted((FIGURES / "html").glob("*.html"))


def test_there_is_a_gallery():
    assert len(PAGES) >= 8


def test_each_notebook_tells_its_part_of_the_report(tmp_path, monkeypatch):
    monkeypatch.setenv("HN_RUNS", str(tmp_path))
    study = load_study("organism-quick")
    paper, fifth, sixth = (gallery.Gallery(study, name) for name in list(gallery.NOTEBOOKS)[3:6])
    report = sixth.tell("## Six")
    report.write_text("# As run left it\n\n" + report.read_text())
    fifth.tell("## Five")
    assert re.findall("^#+ .*$", report.read_text(), re.MULTILINE) == ["# As run left it", "## Five", "## Six"]
    paper.tell("# The paper\n")
    fifth.tell("## Five again\n")
    once = report.read_text()
    assert re.findall("^#+ .*$", once, re.MULTILINE) == ["# The paper", "## Five again", "## Six"]
    fifth.tell("## Five again\n")
    assert report.read_text() == once


def traces_in_file(path: Path) -> list[dict]:
    """The traces as the page's own data has them, read without a browser."""
    found = re.search(r"Plotly\.newPlot\(\s*\"[^\"]+\",\s*(\[.*?\]),\s*\{\"", path.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_every_figure_draws_offline(browser, path):
    page, complaints = opened(browser, path)
    page.wait_for_selector(".main-svg")
    drawn = page.evaluate(
        "document.querySelector('.js-plotly-plot').data.map(t => Array.isArray(t.x) ? t.x.length : -1)"
    )
    assert drawn == [len(t["x"]) if isinstance(t.get("x"), list) else -1 for t in traces_in_file(path)]
    assert page.evaluate("document.querySelectorAll('.trace, .hm, .violinlayer > *, canvas, .table').length") > 0
    assert complaints == []
    page.close()


def slide(page, step: int) -> None:
    """Click the place of one step on the figure's slider."""
    box = page.locator(".slider-rail-touch-rect").bounding_box()
    n = page.evaluate("document.querySelector('.js-plotly-plot').layout.sliders[0].steps.length")
    page.mouse.click(box["x"] + box["width"] * step / (n - 1), box["y"] + box["height"] / 2)
    page.wait_for_function(f"document.querySelector('.js-plotly-plot').layout.sliders[0].active === {step}")


def test_the_slider_over_C_shows_that_fit(browser):
    path = FIGURES / "html" / "path_weights.html"
    page, _ = opened(browser, path)
    page.wait_for_selector(".slider-rail-touch-rect")
    traces = traces_in_file(path)
    for step in (len(traces) // 2 - 1, 3):
        slide(page, step)
        drawn = sum(len(t["text"]) for t in traces[2 * step : 2 * step + 2])
        page.wait_for_function(f"document.querySelectorAll('.scatterlayer .point').length === {drawn}")
        assert f"{len(traces[2 * step]['text'])} H-Neurons" in page.locator(".annotation").text_content()
    page.close()


def test_the_slider_over_alpha_shows_those_replies(browser):
    path = FIGURES / "html" / "answers.html"
    page, _ = opened(browser, path)
    page.wait_for_selector(".slider-rail-touch-rect")
    for step in (6, 0):
        slide(page, step)
        replies = [re.sub(r"\s+", "", reply) for reply in traces_in_file(path)[step]["cells"]["values"][4]]
        page.wait_for_function(
            """replies => {
                const shown = document.querySelector('.table').textContent.replace(/\\s+/g, '');
                return replies.every(reply => shown.includes(reply));
            }""",
            arg=replies,
        )  # the table is drawn in steps
    page.close()


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_no_figure_overflows_a_phone_and_its_finding_can_be_read(browser, path):
    page, _ = opened(browser, path, 390)
    page.wait_for_selector(".main-svg")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    meta = gallery.read_meta(path)
    assert page.locator("body > p").all_inner_texts() == [meta["title"], meta["caption"]]
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


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_a_title_is_a_finding_in_a_dozen_words_and_its_numbers_stand_below(path):
    meta = gallery.read_meta(path)
    assert meta["notebook"] in gallery.NOTEBOOKS
    assert len(meta["title"].removeprefix("Planted model. ").split()) <= 12, meta["title"]
    assert re.search(r"n = \d|95 %", meta["caption"]), meta["caption"]


MEANINGS = {
    "H-Neurons": "#D55E00",
    "confidence": "#009E73",
    "planted neurons": "#5E3C99",
    "dense probe": "#CC79A7",
    "their median": "#9A9A9A",
    "right": "#0072B2",
    "wrong": "#E69F00",
}


def test_a_colour_means_the_same_in_every_figure():
    seen = set()
    for path in PAGES:
        for trace in traces_in_file(path):
            if (name := trace.get("name")) in MEANINGS:
                colours = {trace[part]["color"] for part in ("line", "marker") if "color" in trace.get(part, {})}
                assert colours == {MEANINGS[name]}, (path.stem, name)
                seen.add(name)
    assert seen == set(MEANINGS)


def test_words_that_a_browser_cannot_draw_are_replaced():
    assert printable("a\x00b <unk>") == "a\ufffdb &lt;unk>"


@pytest.mark.parametrize("width", [1280, 390])
def test_an_index_without_images_shows_the_figures_themselves(browser, tmp_path, monkeypatch, width):
    monkeypatch.setenv("HN_RUNS", str(tmp_path))
    mine = gallery.Gallery(load_study("organism-quick"), "02_probe")
    for name in ("one", "two"):
        mine.publish(styled(go.Figure(go.Scatter(x=[1, 2], y=[3, 4])), f"Finding {name}", "n = 2"), name)
    mine.image("two").write_bytes((FIGURES / "png" / "detection.png").read_bytes())
    index = mine.build_index()
    page, complaints = opened(browser, index, width)
    assert "install Chromium or Chrome" in page.locator("body").inner_text().replace("\n", " ")
    assert page.locator("article").count() == 2
    assert page.locator("article img").count() == page.locator("article iframe").count() == 1
    page.locator("iframe").scroll_into_view_if_needed()
    frame = page.frame_locator("iframe")
    frame.locator(".scatterlayer .trace").wait_for()
    assert frame.locator("body > p").all_inner_texts() == ["Finding one", "n = 2"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert complaints == []
    page.close()
    mine.image("one").write_bytes(mine.image("two").read_bytes())
    assert "install Chromium" not in mine.build_index().read_text()


def test_publish_and_index(tmp_path, monkeypatch):
    monkeypatch.setenv("HN_RUNS", str(tmp_path))
    mine = gallery.Gallery(load_study("organism-quick"), "02_probe")
    figure = styled(go.Figure(go.Scatter(x=[1, 2], y=[3, 4])), 'A <finding> & "more"', "n = 2")
    bundle, about = mine.publish(figure, "one")._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.plotly.v1+json"}
    assert about == {"figure": "one"}
    assert gallery.read_meta(tmp_path / "organism-quick" / "html" / "one.html")["notebook"] == "02_probe"
    mine.image("one").write_bytes(b"an image")
    assert "image/png" in mine.publish(figure, "one")._repr_mimebundle_()[0]
    page = mine.build_index().read_text()
    assert 'src="png/one.png"' in page
    assert "iframe" not in page.partition("<main>")[2]
    assert "A &lt;finding&gt; &amp;" in page
    assert (tmp_path / "organism-quick" / "html" / "plotly.min.js").stat().st_size > 1e6
