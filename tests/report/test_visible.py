"""What models, data sets and servers wrote is shown as text: it runs nothing and breaks no page or terminal."""

from __future__ import annotations

import json
import re
import unicodedata
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import opened

from hn_utils.__main__ import main
from hn_utils.course.execute import write
from hn_utils.report.explorer import COLOURS, Shown, filled
from hn_utils.report.gallery import Gallery
from hn_utils.report.opening import opening
from hn_utils.report.plots.style import printable, styled
from hn_utils.storage.progress import tell, visible
from hn_utils.study import load_study

COMMITTED = Path(__file__).resolve().parents[2] / "figures" / "explorer.html"
HOSTILE = (
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "\"><svg onload='window.hacked = 1'>",
    "<a href='javascript:window.hacked = 1'>here</a>",
    "{{states}} ${window.hacked = 1} `**bold** | [link](http://x)",
    "\x1b[31mred\x1b]0;title\x07 \x9b2J",
    "abc \u202etxt.exe\u2066 \u200f",
    "line\u2028separator \ud800 \ufffe",
)
OURS = ("kind", "opening")
HARM = "a[href^=javascript], img[src=x], svg[onload]"
RUN = "[window.hacked, ...[...document.querySelectorAll('iframe')].map(f => f.contentWindow.hacked)]"


def hostile(content, place: list[int]):
    """The same data with each text that is no name of ours replaced by a hostile one, each in its turn."""
    if isinstance(content, dict):
        return {k: v if k in OURS else hostile(v, place) for k, v in content.items()}
    if isinstance(content, list):
        return [hostile(value, place) for value in content]
    if not isinstance(content, str) or content in (*COLOURS, ""):
        return content
    place[0] += 1
    return HOSTILE[place[0] % len(HOSTILE)] + str(place[0])


@pytest.fixture(scope="module")
def page() -> str:
    data = json.loads(re.search(r'id="states">(.*?)</script>', COMMITTED.read_text(), re.DOTALL)[1])
    parts = hostile([{**model, "groups": model["groups"][:5]} for model in data["models"]], [0])
    for part in parts:  # as hostile
        random = [place for place, some in enumerate(part["sets"]) if some["kind"] == "random"]
        part["opening"] = opening(part["groups"], part["alphas"], random)
    return filled(parts)


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_no_command_is_left_and_nothing_else_is_lost(text):
    shown = visible(text)
    assert len(shown) == len(text)
    shown.encode()  # what is shown can be written
    assert not any(
        unicodedata.bidirectional(c) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"} for c in shown
    )
    assert not any(unicodedata.category(c) == "Cc" and c not in "\n\t" for c in shown)
    for before, after in zip(text, shown, strict=True):
        assert before == after or unicodedata.category(before) in ("Cc", "Cf", "Cs")


def test_other_writing_is_left_alone():
    for text in ("Zürich\n\tשלום مرحبا", "می‌خواهم", "👩‍🔬 नमस्ते"):  # joiners belong to their words
        assert visible(text) == text


def test_hostile_text_in_the_explorer_is_text(browser, page, tmp_path):
    path = tmp_path / "explorer.html"
    path.write_text(page, encoding="utf-8")
    shown, complaints = opened(browser, path)
    data = json.loads(shown.locator("#states").text_content())
    assert shown.evaluate("document.scripts.length") == 2
    for model_place, model in enumerate(data["models"]):
        shown.select_option("#model", str(model_place))
        for place, group in enumerate(model["groups"]):
            shown.select_option("#group", str(place))
            entry = group["items"][0]
            assert shown.locator(".token").evaluate_all("all => all.map(b => b.textContent)") == entry["tokens"]
            reply = entry["replies"][0][model["alphas"].index(1)][0]
            assert shown.locator("#replies tr .text").first.text_content() == reply
            shown.locator(".bar").first.click()
    shown.wait_for_timeout(300)
    address = shown.url.partition("#")[2]  # holds hostile names, and restores them
    assert shown.evaluate("restore(), addressOf(at)") == f"#{address}"
    with shown.expect_download() as waited:
        shown.locator("#figure").click()
    drawn = ElementTree.fromstring(Path(waited.value.path()).read_text(encoding="utf-8"))
    tokens = [element.text or "" for element in drawn.iter() if "data-token" in element.attrib]
    assert [text.replace("\ufffe", "\ufffd") for text in entry["tokens"]] == tokens
    seen = shown.locator("body").text_content()
    assert "<img src=x onerror" in seen  # as text
    assert visible(seen) == seen
    assert shown.evaluate("document.querySelectorAll('img, a, svg[onload]').length") == 0
    assert (shown.evaluate(RUN), complaints) == ([None], [])
    shown.close()


def test_hostile_text_in_the_explorer_s_frame_in_a_notebook_is_text(browser, page, tmp_path):
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><body>{Shown(page)._repr_html_()}</body>", encoding="utf-8")
    shown, complaints = opened(browser, path)
    shown.frame_locator("iframe").locator(".token").first.wait_for()
    assert shown.evaluate("document.querySelectorAll('iframe').length") == 1
    assert (shown.evaluate(RUN), complaints) == ([None, None], [])
    shown.close()


def test_hostile_text_in_a_figure_and_in_the_gallery_is_text(browser, tmp_path, monkeypatch):
    monkeypatch.setenv("HN_RUNS", str(tmp_path))
    words = [printable(text) for text in HOSTILE]
    figure = go.Figure(go.Table(cells={"values": [words]}))
    figure.add_scatter(x=[1, 2], y=[1, 2], text=words[:2], name=words[2], mode="markers+text")
    gallery = Gallery(load_study("organism-quick"), "03_intervene")
    gallery.publish(styled(figure, *[" ".join(HOSTILE)] * 2), "hostile")
    for drawn in (False, True):  # without an image, the index holds the figure's page in a frame
        if drawn:
            gallery.image("hostile").write_bytes(b"")
        for path in (gallery.folder / "html" / "hostile.html", gallery.build_index()):
            shown, complaints = opened(browser, path)
            if not (drawn and path.name == "index.html"):
                shown.frames[-1].wait_for_selector(".main-svg")
            assert "<img src=x onerror" in shown.frames[-1].locator("body").text_content()
            for frame in shown.frames:
                assert frame.evaluate(f"document.querySelectorAll({HARM!r}).length") == 0
                assert frame.evaluate("window.hacked") is None
            assert complaints == []
            shown.close()


def test_hostile_text_in_a_notebook_is_text(tmp_path):
    cell = nbformat.v4.new_code_cell("print(reply)")
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="\n".join(HOSTILE[:-1])),
        nbformat.v4.new_output(
            "execute_result", data={"text/plain": HOSTILE[6], "image/png": "AA=="}, execution_count=1
        ),
    ]
    path = tmp_path / "it.ipynb"
    write(nbformat.v4.new_notebook(cells=[cell]), path)
    outputs = nbformat.read(path, 4).cells[0].outputs
    for text in (outputs[0].text, outputs[1].data["text/plain"]):
        assert visible(text) == text
    assert outputs[0].text.startswith("<script>window.hacked = 1</script>\n")


def test_hostile_text_in_the_terminal_is_text(capfd, tmp_path):
    tell("a-model: 1 of 3 requests were refused (" + "; ".join(HOSTILE) + ")")
    (tmp_path / "mine.json").write_text(json.dumps({"like": HOSTILE[6]}))
    for arguments in (
        ["run", "--study", str(tmp_path / "mine.json")],
        ["run", "--study", HOSTILE[7]],
        ["audit", HOSTILE[6]],
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert visible(str(ended.value)) == str(ended.value)
    printed = "".join(capfd.readouterr())
    assert visible(printed.replace("\r", "")) == printed.replace("\r", "")
