"""The explorer in a real browser without a network: it shows the data that lies in it, that data is what the official
formula and the model give, and its address and its files hold what it shows."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
import torch
from pages import opened
from transformers import AutoModelForCausalLM

import hn_utils as hn
from hn_utils.answers.judges import judge
from hn_utils.models.generation import generate
from hn_utils.models.hooked_model import HookedModel
from hn_utils.origins.transfer import drift
from hn_utils.questions.items import GREEDY
from hn_utils.report.explorer import N_CONTROLS, Explorer, page_of
from hn_utils.report.gallery import Gallery
from hn_utils.report.neuron_cards import N_BINS, histogram
from hn_utils.study import PLANTED, load_study

COMMITTED = Path(__file__).resolve().parents[2] / "figures" / "explorer.html"
SVG = "{http://www.w3.org/2000/svg}"
WRONG = (
    "#model=nobody",
    "#nonsense",
    "#%E0%A4%A=%",
    "#model={model}&group=gone",
    "#model={model}&question=999999",
    "#model={model}&alpha=7",
    "#model={model}&token=-1",
    "#model={model}&neuron=constructor",
    "#model=<img src=x onerror='window.hacked=1'>",
)


def data_in(path: Path) -> dict:
    return json.loads(re.search(r'id="states">(.*?)</script>', path.read_text(), re.DOTALL)[1])


@pytest.fixture(scope="module")
def walked(tiny_study):
    model = hn.load(tiny_study)
    found = hn.find(hn.collect(model))
    base = HookedModel.load(tiny_study.base, tiny_study)
    moved = drift(base, model, found.neurons)
    return Explorer(found, hn.dose_response(model, found), moved)


@pytest.fixture(scope="module")
def as_if_planted(walked, tmp_path_factory):
    """The same results under another name, in a folder that says that a found neuron, one that a random set holds and a
    third are planted."""
    folder, found = tmp_path_factory.mktemp("planted"), walked.found
    caught = found.random["loud"][0].neurons[0]
    neurons = [found.neurons[0], caught, np.setdiff1d(np.arange(9), [found.neurons[0], caught])[0]]
    rows = [{"layer": int(flat // found.card.d_mlp), "neuron": int(flat % found.card.d_mlp)} for flat in neurons]
    (folder / "planted.json").write_text(json.dumps({"d_mlp": found.card.d_mlp, "neurons": rows}))
    study = replace(found.study, name="second", instruct=str(folder / "instruct"))
    return Explorer(replace(found, collected=replace(found.collected, study=study)), walked.intervened)


@pytest.fixture(scope="module")
def small(walked, as_if_planted, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    path.write_text(page_of([walked, as_if_planted]))
    return path


@pytest.fixture(params=["committed", "small"])
def path(request) -> Path:
    return COMMITTED if request.param == "committed" else request.getfixturevalue("small")


def test_tokens_and_contributions_are_those_of_the_untouched_model(walked, small):
    subject, card, data = walked.collected.subject, walked.found.card, data_in(small)["models"][0]
    model, seen = AutoModelForCausalLM.from_pretrained(walked.study.instruct, dtype=torch.float32), {}
    for layer, block in enumerate(model.model.layers):
        block.mlp.down_proj.register_forward_hook(
            lambda module, z, h, layer=layer: seen.update({layer: (z[0][0], h[0], module.weight)})
        )
    entry = data["groups"][0]["items"][0]
    example = next(e for e in walked.collected.examples if e.question.text == entry["text"])
    with torch.no_grad():
        model(torch.tensor([example.ids]))
    assert entry["answer"] == example.answer
    assert (
        "".join(entry["tokens"])
        .replace(" ", "")
        .endswith(example.text.replace(" ", "") + subject.encoder.tokenizer.eos_token)
    )
    for token in range(len(example.ids)):
        for place, row in enumerate(card.rows):
            z, h, weight = seen[row["layer"]]
            neuron = row["neuron"]
            cett = float(z[token, neuron].abs() * weight[:, neuron].norm() / h[token].norm())
            assert entry["contributions"][token][place] == pytest.approx(100 * cett, rel=0.01, abs=1e-4)


def test_the_score_of_an_answer_is_the_probe_s(walked, small):
    collected, fits = walked.collected, [walked.found.refitted, *walked.found.random["loud"][:N_CONTROLS]]
    kept, checked = {e.question.text: i for i, e in enumerate(collected.kept)}, 0
    groups = data_in(small)["models"][0]["groups"]
    for entry in (e for g in groups if g["id"] in ("known", "wrong", "never") for e in g["items"]):
        row = collected.contributions[np.array([kept[entry["text"]]])].at("answer")
        assert entry["at_answer"] == pytest.approx([float(fit.score(row)[0]) for fit in fits], abs=0.1)
        checked += 1
    assert checked  # how many a model trained in a test has is not for the test to say


def test_replies_are_what_the_scaled_model_writes(walked, small):
    subject, data = walked.collected.subject, data_in(small)["models"][0]
    group = next(g for g in data["groups"] if g["id"] == "false_premise")
    for entry in group["items"][:3]:
        prompt = subject.encoder.encode_chat([{"role": "user", "content": entry["text"]}])
        with subject.scaled(walked.found.card.neurons, by=3.0):
            (reply,) = generate(subject, [prompt], GREEDY)[0]
        assert entry["replies"][0][-1][0] == reply.text
        assert len(entry["replies"]) == 1 + N_CONTROLS
        assert {cells[data["alphas"].index(1)][0] for cells in entry["replies"]} == {entry["replies"][0][2][0]}
    assert len(walked.intervened.behaviours) + 1 <= len(data["groups"])


def test_planted_neurons_are_named_wherever_they_are(walked, as_if_planted, small):
    plain, planted = data_in(small)["models"]
    assert (plain["planted"], planted["planted"]) == (False, True)
    assert plain["title"] == "tiny: nothing planted"
    assert planted["title"].startswith("second: 3 neurons planted; ")
    assert [some["kind"] for some in planted["sets"]] == ["own", *["random"] * N_CONTROLS, "planted"]
    three = as_if_planted.planted
    for some, fit in zip(planted["sets"][1:-1], walked.found.random["loud"], strict=False):
        n = len(set(three.tolist()) & set(fit.neurons.tolist()))
        assert some["name"].partition(", ")[2] == (f"{n} of it planted" if n else "")
    assert planted["sets"][1]["name"] == "random set 1, 1 of it planted"
    assert planted["neurons"][0]["planted"]
    assert [n["planted"] for n in plain["neurons"]] == [False] * len(plain["neurons"])
    subject = walked.collected.subject
    item = next(e for e in planted["groups"] if e["id"] == "false_premise")["items"][0]
    assert len(item["replies"]) == len(item["scores"]) == N_CONTROLS + 2
    prompt = subject.encoder.encode_chat([{"role": "user", "content": item["text"]}])
    with subject.scaled(three, by=3.0):
        (reply,) = generate(subject, [prompt], GREEDY)[0]
    assert item["replies"][-1][-1][0] == reply.text


def test_what_a_neuron_favours_by_hand(subject, study):
    layer, neuron = subject.n_layers - 1, 5
    model = AutoModelForCausalLM.from_pretrained(study.instruct, dtype=torch.float32)
    column = model.model.layers[layer].mlp.down_proj.weight[:, neuron]
    expected = model.lm_head.weight @ (column / column.pow(2).mean().sqrt() * model.model.norm.weight)
    assert torch.allclose(subject.direct_logit_effect(layer, neuron), expected, rtol=1e-3, atol=2e-3)


def test_a_histogram_by_hand():
    shares = histogram(np.array([0.0, 0.5, 3.9, 99.0]), top=4.0)
    assert (len(shares), sum(shares)) == (N_BINS, 1.0)
    assert (shares[0], shares[3], shares[-1]) == (0.25, 0.25, 0.5)


def chosen(page, name: str) -> str:
    return page.locator(f"#{name} option:checked").inner_text()


def seen_in(page) -> list[str]:
    """All text that the page shows, and what is chosen."""
    page.wait_for_timeout(300)  # the address follows a moment later
    lists = [chosen(page, name) for name in ("model", "group", "question")]
    radio = page.locator("#sets label", has=page.locator("input:checked")).inner_text()
    pressed = page.locator(".token[aria-pressed=true]").get_attribute("aria-label")
    return [*lists, radio, pressed, page.locator("body").inner_text()]


def clearest(data: dict) -> tuple[dict, dict, dict]:
    """The opening case by its rule, read off the page's data another way."""
    turning, widest = [], []
    for m in data["models"]:
        random = [i for i, some in enumerate(m["sets"]) if some["kind"] == "random"]
        one, three = m["alphas"].index(1), m["alphas"].index(3)
        for g, e in [(group, item) for group in m["groups"] for item in group["items"]]:
            words = [[word for _, word in row] for row in e["replies"]]
            quiet = all(word == words[i][0] for i in random for word in words[i])
            if g["pressure"] and g["told_apart"] and quiet and words[0][one] != words[0][three]:
                turning.append((abs(g["slope"]), m, g, e))
            if not g["pressure"]:
                distance = abs(e["at_answer"][0] - np.mean(np.array(e["at_answer"])[random]))
                widest.append((distance, m, g, e))
    return max(turning or widest, key=lambda case: case[0])[1:]  # max takes the first of equals


def test_it_opens_on_the_clearest_case_and_says_what_to_try(browser, path):
    model, group, item = clearest(data_in(path))
    page, complaints = opened(browser, path)
    seen = seen_in(page)
    assert seen[:2] == [model["title"], group["title"]]
    assert page.locator("#text").inner_text() == item["text"]
    assert page.locator("#alpha").inner_text() == "1"
    first = page.locator("#first").inner_text()
    assert first == f"Try first: {model['opening']['first']}"
    if "move alpha" in first:
        page.locator("#dose").focus()
        page.keyboard.press("End")
        before, after = re.search("from “(.*)” to “(.*)”", first).groups()
        words = page.locator("#replies tr .chip").all_inner_texts()
        kinds = [some["kind"] for some in model["sets"]]
        assert words[0] == after
        assert {word for word, kind in zip(words, kinds, strict=True) if kind == "random"} == {before}
    page.select_option("#group", str(len(model["groups"]) - 1 if model["groups"][0] is group else 0))
    assert not page.locator("#first").is_visible()  # of another case it would say nothing
    page.locator("#clearest").click()
    page.locator("#dose").evaluate("range => { range.value = 0; range.oninput({ target: range }); }")
    assert page.locator("#first").inner_text() == first
    assert complaints == []
    page.close()


def test_the_model_is_chosen_and_what_is_planted_says_so(browser, path):
    data = data_in(path)
    page, complaints = opened(browser, path)
    assert page.locator("#model option").all_inner_texts() == [m["title"] for m in data["models"]]
    for place, model in enumerate(data["models"]):
        page.select_option("#model", str(place))
        assert page.locator("#planted").is_visible() == model["planted"]
        assert page.locator("#finding").inner_text() == model["finding"]
        assert page.locator("#group option").all_inner_texts() == [g["title"] for g in model["groups"]]
        assert page.locator("#replies tr").count() == len(model["sets"])
        assert page.locator("#first").inner_text() == f"Try first: {model['opening']['first']}"
    assert complaints == []
    page.close()


def test_no_choice_is_drawn_where_there_is_one_model(walked, browser, tmp_path):
    path = tmp_path / "one.html"
    path.write_text(page_of([walked]))
    page, complaints = opened(browser, path)
    assert not page.locator("#model").is_visible()
    assert page.locator("#text").is_visible()
    assert complaints == []
    page.close()


def test_two_models_of_one_name_are_refused(walked):
    with pytest.raises(ValueError, match="give each its own"):
        page_of([walked, walked])


def test_it_opens_offline_and_shows_every_choice(browser, path):
    page, complaints = opened(browser, path)
    for model_place, model in enumerate(data_in(path)["models"]):
        page.select_option("#model", str(model_place))
        for place, group in enumerate(model["groups"]):
            page.select_option("#group", str(place))
            assert page.locator("#question option").count() == len(group["items"])
            last = len(group["items"]) - 1
            page.select_option("#question", str(last))
            entry = group["items"][last]
            assert page.locator(".token").evaluate_all("buttons => buttons.map(b => b.textContent)") == entry["tokens"]
            assert page.locator(".token.answer").count() == len(entry["answer"])
            rows = page.locator("#replies tr .text").all_inner_texts()
            alpha = model["alphas"].index(1)
            assert rows == [cells[alpha][0] for cells in entry["replies"]]
            assert page.locator("#verdict").inner_text() == group.get("verdict", "")
    assert complaints == []
    page.close()


def shade(score: float) -> str:
    """White to orange, as CSS writes it."""
    risk = 1 / (1 + np.exp(-score))
    return "rgb({}, {}, {})".format(*(int(np.floor(255 + (end - 255) * risk + 0.5)) for end in (230, 159, 0)))


def state(**named: object) -> str:
    return "#" + urlencode(named)


def first_case(path: Path) -> tuple[dict, dict, str]:
    """The first model, its first item, and their address."""
    model = data_in(path)["models"][0]
    return model, model["groups"][0]["items"][0], state(model=model["id"])


def test_colours_are_the_probes_scores_and_change_with_the_set(browser, path):
    _, entry, address = first_case(path)
    page, _ = opened(browser, path, address=address)
    drawn = "buttons => buttons.map(b => b.style.background)"
    assert page.locator(".token").evaluate_all(drawn) == [shade(r) for r in entry["scores"][0]]
    page.get_by_label("random set 1").check()
    assert page.locator(".token").evaluate_all(drawn) == [shade(r) for r in entry["scores"][1]]
    page.close()


def test_h_neurons_have_the_accent_colour_and_random_sets_are_grey(browser, small):
    page, _ = opened(browser, small, address=state(model="second"))
    drawn = page.locator("#replies tr td:first-child i").evaluate_all("all => all.map(i => i.style.background)")
    assert drawn == ["rgb(213, 94, 0)", *["rgb(154, 154, 154)"] * N_CONTROLS, "rgb(94, 60, 153)"]
    page.close()


def test_hovering_a_token_shows_what_contributes_there_and_a_click_shows_the_card(browser, path):
    model, entry, address = first_case(path)
    page, complaints = opened(browser, path, address=address)
    names = [n["name"] for n in model["neurons"]]
    for token in (1, entry["answer"][0]):
        page.locator(".token").nth(token).hover()
        adds = np.array(entry["contributions"][token]) * [n["adds"] for n in model["neurons"]]
        bars = page.locator(".bar").evaluate_all("bars => bars.map(b => b.firstChild.textContent)")
        assert [adds[names.index(name)] for name in bars] == pytest.approx(sorted(adds, reverse=True)[:10])
        assert page.locator("#token").inner_text() == entry["tokens"][token].strip()
    bar = page.locator(".bar").last
    name = bar.evaluate("bar => bar.firstChild.textContent")
    bar.click()
    neuron = model["neurons"][names.index(name)]
    assert page.locator("#neuron strong").inner_text() == name
    points = page.locator("#neuron polyline").evaluate_all("lines => lines.map(l => l.points.numberOfItems)")
    assert points == [N_BINS] * 3
    highest = max(max(v) for v in neuron["shares"].values())
    y = page.locator('#neuron polyline[data-part="true"]').evaluate("line => [...line.points].map(p => p.y)")
    assert y == pytest.approx([124 - 119 * v / highest for v in neuron["shares"]["true"]], abs=0.01)
    assert page.locator("#neuron tbody tr").count() == len(neuron["strongest"])
    assert complaints == []
    page.close()


def test_everything_works_from_the_keyboard(browser, path):
    model, entry, address = first_case(path)
    page, _ = opened(browser, path, address=address)
    page.locator(".token[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    at = (entry["answer"][0] + 1) % len(entry["tokens"])
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(f"token {at}:")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "bar"
    page.keyboard.press("Enter")
    pressed = page.locator(".bar[aria-pressed=true]").evaluate("bar => bar.firstChild.textContent")
    assert page.locator("#neuron strong").inner_text() == pressed
    page.locator("#dose").focus()
    page.keyboard.press("End")
    assert page.locator("#alpha").inner_text() == f"{model['alphas'][-1]:g}"
    assert entry["replies"][0][-1][0] == page.locator("#replies tr .text").first.inner_text()
    page.keyboard.press("Home")
    assert entry["replies"][2][0][0] == page.locator("#replies tr .text").nth(2).inner_text()
    page.locator("#model").focus()
    reached = set()
    for _ in range(10):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert {"group", "question", "figure", "numbers", "dose", "set"} <= reached
    page.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows(browser, path, width):
    page, _ = opened(browser, path, width)
    for model_place, model in enumerate(data_in(path)["models"]):
        page.select_option("#model", str(model_place))
        for place in range(len(model["groups"])):
            page.select_option("#group", str(place))
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_an_address_restores_its_state(browser, path):
    model = data_in(path)["models"][-1]
    group, some, neuron = model["groups"][-1], model["sets"][2]["name"], model["neurons"][-1]["name"]
    item = group["items"][-1]
    asked = {"model": model["id"], "group": group["id"], "question": item["id"], "alpha": 3, "colours": some}
    page, complaints = opened(browser, path, address=state(**asked, token=2, neuron=neuron))
    seen = seen_in(page)
    assert seen[:2] == [model["title"], group["title"]]
    assert (seen[3].strip(), seen[4][:8]) == (some, "token 2:")
    assert page.locator("#text").inner_text() == item["text"]
    assert page.locator("#alpha").inner_text() == "3"
    assert page.locator("#replies tr .text").all_inner_texts() == [cells[-1][0] for cells in item["replies"]]
    assert page.locator("#neuron strong").inner_text() == neuron
    assert complaints == []
    page.close()


def test_every_change_is_in_the_address_and_a_reload_shows_the_same(browser, path):
    data = data_in(path)
    page, complaints = opened(browser, path)
    begun, start, length = seen_in(page), page.url, page.evaluate("history.length")
    addresses = {start}

    def changes(act) -> None:
        act()
        seen = seen_in(page)
        assert page.url not in addresses
        addresses.add(page.url)
        page.reload()
        assert seen_in(page) == seen

    model = (data["opening"] + 1) % len(data["models"])
    changes(lambda: page.select_option("#model", str(model)))
    shown = int(page.locator("#group").input_value())
    sizes = {place: len(group["items"]) for place, group in enumerate(data["models"][model]["groups"])}
    largest = max(sizes.keys() - {shown}, key=sizes.get)
    changes(lambda: page.select_option("#group", str(largest)))
    if sizes[largest] > 1:
        changes(lambda: page.select_option("#question", "1"))
    changes(lambda: page.locator("#dose").press("End"))
    changes(lambda: page.locator("#sets input").nth(1).check())
    changes(lambda: page.locator(".token").nth(3).click())
    assert page.evaluate("history.length") == length  # going back leaves the page
    page.evaluate("address => { location.hash = address; }", start.partition("#")[2])  # as if typed
    assert seen_in(page) == begun
    assert complaints == []
    page.close()


@pytest.mark.parametrize("address", WRONG)
def test_a_wrong_or_stale_address_shows_the_opening_case(browser, small, address):
    page, _ = opened(browser, small)
    opening = seen_in(page)
    page.close()
    page, complaints = opened(browser, small, address=address.format(model="tiny"))
    assert seen_in(page) == opening
    assert page.url.endswith(page.evaluate("addressOf(at)"))
    assert page.evaluate("window.hacked") is None
    assert complaints == []
    page.close()


def downloaded(page, button: str) -> str:
    with page.expect_download() as waited:
        page.locator(f"#{button}").click()
    return Path(waited.value.path()).read_text(encoding="utf-8")


@pytest.fixture
def turned(browser, path):
    """The page with everything turned away from where it opens."""
    page, complaints = opened(browser, path)
    page.select_option("#model", "1")
    page.select_option("#group", "1")
    page.locator("#dose").press("End")
    page.locator("#sets input").nth(1).check()
    page.locator(".token").nth(4).hover()
    yield page
    assert complaints == []
    page.close()


def test_saved_numbers_are_those_that_are_shown(turned):
    saved = json.loads(downloaded(turned, "numbers"))
    seen_in(turned)
    assert turned.url.endswith(saved["address"])
    assert saved["model"] == chosen(turned, "model")
    assert saved["group"] == chosen(turned, "group")
    for name, key in (("text", "question"), ("finding", "finding"), ("scores", "scored")):
        assert turned.locator(f"#{name}").inner_text() == saved[key]
    assert turned.locator("#alpha").inner_text() == f"{saved['alpha']:g}"
    assert turned.locator("#replies tr .text").all_inner_texts() == [r["reply"] for r in saved["replies"]]
    assert turned.locator("#replies tr .chip").all_inner_texts() == [r["outcome"] for r in saved["replies"]]
    strips = turned.locator("#replies td.tight").evaluate_all("all => all.map(td => td.getAttribute('aria-label'))")
    for strip, reply in zip(strips, saved["replies"], strict=True):
        told = zip(saved["alphas"], reply["outcomes"], strict=True)
        assert strip == "; ".join(f"alpha {alpha:g}: {outcome}" for alpha, outcome in told)
    assert turned.locator(".token").evaluate_all("all => all.map(b => b.textContent)") == [
        token["text"] for token in saved["tokens"]
    ]
    assert turned.locator(".token").evaluate_all("all => all.map(b => b.style.background)") == [
        shade(token["score"]) for token in saved["tokens"]
    ]
    assert turned.locator(".token.answer").count() == sum(token["answer"] for token in saved["tokens"])
    texts = "all => all.map(b => [b.firstChild, b.lastChild].map(part => part.textContent))"
    bars = [
        [name, float(share.removesuffix(" % of layer"))] for name, share in turned.locator(".bar").evaluate_all(texts)
    ]
    assert bars == [[c["neuron"], c["contribution"]] for c in saved["contributions"]]
    assert turned.locator("#neuron strong").inner_text() == saved["neuron"]["name"]


def test_the_saved_figure_is_a_file_of_its_own_that_holds_what_is_drawn(turned, browser, tmp_path):
    saved, text = json.loads(downloaded(turned, "numbers")), downloaded(turned, "figure")
    drawn = ElementTree.fromstring(text)
    assert drawn.tag == f"{SVG}svg"
    assert {element.tag.removeprefix(SVG) for element in drawn.iter()} == {
        "svg",
        "g",
        "rect",
        "text",
        "polyline",
        "line",
    }
    tokens = [element.text or "" for element in drawn.iter(f"{SVG}text") if "data-token" in element.attrib]
    assert tokens == [token["text"] for token in saved["tokens"]]
    fills = [element.get("fill") for element in drawn.iter(f"{SVG}rect") if "data-score" in element.attrib]
    assert fills == turned.locator(".token").evaluate_all("all => all.map(b => b.style.background)")
    outcomes = [element.get("data-outcome") for element in drawn.iter(f"{SVG}rect") if "data-outcome" in element.attrib]
    assert outcomes == [outcome for reply in saved["replies"] for outcome in reply["outcomes"]]
    bars = [float(element.get("width")) for element in drawn.iter(f"{SVG}rect") if "data-adds" in element.attrib]
    widths = turned.locator(".bar .fill").evaluate_all("all => all.map(bar => parseFloat(bar.style.width))")
    assert bars == pytest.approx([5 * width for width in widths], abs=0.01)
    lines = [element.get("data-part") for element in drawn.iter(f"{SVG}polyline")]
    assert lines == list(saved["neuron"]["shares"])
    words = " ".join(element.text or "" for element in drawn.iter(f"{SVG}text"))
    for told in (saved["model"], saved["question"], saved["scored"], *(r["reply"] for r in saved["replies"])):
        assert " ".join(told.split()) in " ".join(words.split())
    assert ("Planted model." in words) == saved["planted"]
    path = tmp_path / "view.svg"
    path.write_text(text, encoding="utf-8")
    page, complaints = opened(browser, path)
    size = page.evaluate(
        "[...document.querySelectorAll('text')].map(t => t.getBBox()).map(b => [b.x, b.x + b.width, b.y + b.height])"
    )
    height = float(drawn.get("height"))
    assert all(left >= -20 and right <= 780 and bottom <= height for left, right, bottom in size)
    assert complaints == []
    page.close()


def test_a_question_of_ones_own_is_asked_live(walked, browser, tmp_path):
    known = next(e for e in walked.collected.kept if e.label == 0)
    shown = walked.ask(known.question.text, known.question.aliases[0])
    path = tmp_path / "live.html"
    path.write_text(shown.page)
    (model,) = data_in(path)["models"]
    reply, outcome = model["groups"][0]["items"][0]["replies"][0][model["alphas"].index(1)]
    assert outcome == judge(reply, known.question.aliases)
    page, complaints = opened(browser, path)
    assert page.locator("#group option").all_inner_texts() == ["Your question"]
    assert page.locator("#first").is_visible()
    assert complaints == []
    page.close()
    path.write_text(f"<!doctype html><meta charset=utf-8><body>{shown._repr_html_()}</body>", encoding="utf-8")
    page, complaints = opened(browser, path)  # as a notebook frames it
    frame = page.frame_locator("iframe")
    frame.locator("#dose").press("End")
    page.wait_for_timeout(400)
    assert frame.locator("#alpha").inner_text() == "3"
    assert (complaints, page.url) == ([], path.as_uri())
    page.close()
    path.write_text(walked.ask(known.question.text).page)
    (group,) = data_in(path)["models"][0]["groups"]
    assert {cell[1] for cells in group["items"][0]["replies"] for cell in cells} == {""}  # nothing can be judged


def test_the_index_links_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HN_RUNS", str(tmp_path))
    gallery = Gallery(load_study("organism-quick"), "04_base_vs_instruct")
    assert "explorer.html" not in gallery.build_index().read_text()
    gallery.keep_page("<!doctype html>", "explorer")
    assert 'href="explorer.html"' in gallery.build_index().read_text()


def test_the_committed_page_holds_every_bundled_model():
    models = data_in(COMMITTED)["models"]
    assert [m["id"] for m in models] == ["organism", *(study.name for study in PLANTED)]
    assert [m["planted"] for m in models] == [False, True, True]
    assert COMMITTED.stat().st_size < 6e6
