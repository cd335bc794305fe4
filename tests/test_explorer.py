"""The explorer in a real browser without a network: it shows the data that lies in it, and that data is what the
official formula and the model give."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from pages import opened
from transformers import AutoModelForCausalLM

import hn_utils as hn
from hn_utils.origins import drift
from hn_utils.shown.explorer import N_BINS, N_CONTROLS, Explorer, histogram
from hn_utils.shown.gallery import Gallery
from hn_utils.study import load_study
from hn_utils.subject import Subject

COMMITTED = Path(__file__).resolve().parents[1] / "figures" / "explorer.html"


def data_in(path: Path) -> dict:
    return json.loads(re.search(r'id="states">(.*?)</script>', path.read_text(), re.DOTALL)[1])


@pytest.fixture(scope="module")
def walked(tiny_study):
    model = hn.load(tiny_study)
    found = hn.find(hn.collect(model))
    base = Subject.load(tiny_study.base, tiny_study)
    moved = drift(base, model, found.neurons)
    return Explorer(found, moved), hn.dose_response(model, found)


@pytest.fixture(scope="module")
def small(walked, tmp_path_factory) -> Path:
    explorer, intervened = walked
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    path.write_text(explorer.page(intervened))
    return path


def test_tokens_and_contributions_are_those_of_the_untouched_model(walked, small):
    explorer, _ = walked
    subject, card, data = explorer.collected.subject, explorer.found.card, data_in(small)
    model, seen = AutoModelForCausalLM.from_pretrained(explorer.study.instruct, dtype=torch.float32), {}
    for layer, block in enumerate(model.model.layers):
        block.mlp.down_proj.register_forward_hook(
            lambda module, z, h, layer=layer: seen.update({layer: (z[0][0], h[0], module.weight)})
        )
    entry = data["groups"][0]["items"][0]
    example = next(e for e in explorer.collected.examples if e.question.text == entry["text"])
    with torch.no_grad():
        model(torch.tensor([example.ids]))
    assert entry["answer"] == example.answer
    assert (
        "".join(entry["tokens"]).replace(" ", "").endswith(example.text.replace(" ", "") + subject.tokenizer.eos_token)
    )
    for token in range(len(example.ids)):
        for place, row in enumerate(card.rows):
            z, h, weight = seen[row["layer"]]
            neuron = row["neuron"]
            cett = float(z[token, neuron].abs() * weight[:, neuron].norm() / h[token].norm())
            assert entry["said"][token][place] == pytest.approx(100 * cett, rel=0.01, abs=1e-4)


def test_the_score_of_an_answer_is_what_the_probe_said(walked, small):
    explorer, _ = walked
    collected, fits = explorer.collected, [explorer.found.refitted, *explorer.found.random["magnitude"][:N_CONTROLS]]
    kept = {e.question.text: i for i, e in enumerate(collected.kept)}
    checked = 0
    for entry in (e for g in data_in(small)["groups"] if g["id"] in ("known", "wrong", "never") for e in g["items"]):
        row = collected.contributions[np.array([kept[entry["text"]]])].at("answer")
        assert entry["at_answer"] == pytest.approx([float(fit.score(row)[0]) for fit in fits], abs=0.1)
        checked += 1
    assert checked > 5


def test_replies_are_what_the_scaled_model_says(walked, small):
    explorer, intervened = walked
    subject, data = explorer.collected.subject, data_in(small)
    group = next(g for g in data["groups"] if g["id"] == "false_premise")
    sampling = explorer.study.sampling.__class__(n=1, temperature=0.0, max_new_tokens=16)
    for entry in group["items"][:3]:
        prompt = subject.chat([{"role": "user", "content": entry["text"]}])
        with subject.scaled(explorer.found.card.flat, by=3.0):
            (reply,) = subject.generate([prompt], sampling)[0]
        assert entry["replies"][0][-1][0] == reply.text
        assert len(entry["replies"]) == 1 + N_CONTROLS
        assert {cells[data["alphas"].index(1)][0] for cells in entry["replies"]} == {entry["replies"][0][2][0]}
    assert len(intervened.behaviours) + 1 <= len(data["groups"])


def test_what_a_neuron_favours_by_hand(subject, study):
    layer, neuron = subject.n_layers - 1, 5
    model = AutoModelForCausalLM.from_pretrained(study.instruct, dtype=torch.float32)
    column = model.model.layers[layer].mlp.down_proj.weight[:, neuron]
    expected = model.lm_head.weight @ (column / column.pow(2).mean().sqrt() * model.model.norm.weight)
    assert torch.allclose(subject.favours(layer, neuron), expected, rtol=1e-3, atol=2e-3)


def test_a_histogram_by_hand():
    shares = histogram(np.array([0.0, 0.5, 3.9, 99.0]), top=4.0)
    assert (len(shares), sum(shares)) == (N_BINS, 1.0)
    assert (shares[0], shares[3], shares[-1]) == (0.25, 0.25, 0.5)


@pytest.fixture(params=["committed", "small"])
def path(request, small) -> Path:
    return COMMITTED if request.param == "committed" else small


def test_it_opens_offline_and_shows_every_choice(browser, path):
    data = data_in(path)
    page, complaints = opened(browser, path)
    assert page.locator("#group option").all_inner_texts() == [g["title"] for g in data["groups"]]
    for place, group in enumerate(data["groups"]):
        page.select_option("#group", str(place))
        assert page.locator("#item option").count() == len(group["items"])
        last = len(group["items"]) - 1
        page.select_option("#item", str(last))
        entry = group["items"][last]
        assert page.locator(".token").evaluate_all("buttons => buttons.map(b => b.textContent)") == entry["tokens"]
        assert page.locator(".token.answer").count() == len(entry["answer"])
        rows = page.locator("#replies tr").all_inner_texts()
        alpha = data["alphas"].index(1)
        assert [entry["replies"][i][alpha][0] in row for i, row in enumerate(rows)] == [True] * (1 + N_CONTROLS)
    assert complaints == []
    page.close()


def shade(score: float) -> str:
    """White to orange, as CSS writes it."""
    risk = 1 / (1 + np.exp(-score))
    return "rgb({}, {}, {})".format(*(int(np.floor(255 + (end - 255) * risk + 0.5)) for end in (230, 159, 0)))


def test_colours_are_the_probes_scores_and_change_with_the_set(browser, path):
    entry = data_in(path)["groups"][0]["items"][0]
    page, _ = opened(browser, path)
    drawn = "buttons => buttons.map(b => b.style.background)"
    assert page.locator(".token").evaluate_all(drawn) == [shade(r) for r in entry["scores"][0]]
    page.get_by_label("random set 1").check()
    assert page.locator(".token").evaluate_all(drawn) == [shade(r) for r in entry["scores"][1]]
    page.close()


def test_hovering_a_token_shows_who_speaks_and_a_click_shows_the_card(browser, path):
    data = data_in(path)
    entry = data["groups"][0]["items"][0]
    page, complaints = opened(browser, path)
    for token in (1, entry["answer"][0]):
        page.locator(".token").nth(token).hover()
        score = np.array(entry["said"][token]) * [n["adds"] for n in data["neurons"]]
        order = np.argsort(-score, kind="stable")[:10]
        shown = page.locator(".bar").evaluate_all("bars => bars.map(b => +b.dataset.neuron)")
        assert sorted(score[shown].tolist()) == pytest.approx(sorted(score[order].tolist()))
    bar = page.locator(".bar").nth(page.locator(".bar").count() - 1)  # a tiny model may have one alone
    bar.click()
    chosen = int(bar.get_attribute("data-neuron"))
    neuron = data["neurons"][chosen]
    assert page.locator("#neuron strong").inner_text() == neuron["name"]
    points = page.locator("#neuron polyline").evaluate_all("lines => lines.map(l => l.points.numberOfItems)")
    assert points == [N_BINS] * 3
    highest = max(max(v) for v in neuron["shares"].values())
    y = page.locator('#neuron polyline[data-part="true"]').evaluate("line => [...line.points].map(p => p.y)")
    assert y == pytest.approx([125 - 115 * v / highest for v in neuron["shares"]["true"]], abs=0.01)
    assert page.locator("#neuron tbody tr").count() == len(neuron["loudest"])
    assert complaints == []
    page.close()


def test_everything_works_from_the_keyboard(browser, path):
    data = data_in(path)
    entry, alphas = data["groups"][0]["items"][0], data["alphas"]
    page, _ = opened(browser, path)
    page.locator(".token[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    at = (entry["answer"][0] + 1) % len(entry["tokens"])
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(f"token {at}:")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "bar"
    page.keyboard.press("Enter")
    pressed = page.locator(".bar[aria-pressed=true]").get_attribute("data-neuron")
    assert page.locator("#neuron strong").inner_text() == data["neurons"][int(pressed)]["name"]
    page.locator("#dose").focus()
    page.keyboard.press("End")
    assert page.locator("#alpha").inner_text() == f"{alphas[-1]:g}"
    assert entry["replies"][0][-1][0] in page.locator("#replies tr").first.inner_text()
    page.keyboard.press("Home")
    assert entry["replies"][2][0][0] in page.locator("#replies tr").nth(2).inner_text()
    page.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows(browser, path, width):
    page, _ = opened(browser, path, width)
    for place in range(page.locator("#group option").count()):
        page.select_option("#group", str(place))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_a_question_of_ones_own_is_asked_live(walked, browser, tmp_path):
    explorer, _ = walked
    known = next(e for e in explorer.collected.kept if e.label == 0)
    shown = explorer.ask(known.question.text, known.question.aliases[0])
    path = tmp_path / "live.html"
    path.write_text(shown.page)
    (group,) = data_in(path)["groups"]
    assert group["items"][0]["replies"][0][2][1] == "complied"  # consistently right, so right again
    page, complaints = opened(browser, path)
    assert page.locator("#group option").all_inner_texts() == ["Your question"]
    assert complaints == []
    page.close()
    assert shown._repr_html_().startswith("<iframe srcdoc=")
    path.write_text(explorer.ask(known.question.text).page)
    outcomes = {cell[1] for cells in data_in(path)["groups"][0]["items"][0]["replies"] for cell in cells}
    assert outcomes == {""}  # without a truth nothing can be judged


def test_the_index_links_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HN_RUNS", str(tmp_path))
    gallery = Gallery(load_study("organism-quick"), "04_base_vs_instruct")
    gallery.folder.mkdir()
    assert "explorer.html" not in gallery.build_index().read_text()
    gallery.keep_page("<!doctype html>", "explorer")
    assert 'href="explorer.html"' in gallery.build_index().read_text()


def test_the_committed_page_is_of_the_bundled_model():
    data = data_in(COMMITTED)
    assert data["study"] == load_study("organism").name
    assert COMMITTED.stat().st_size < 2e6
