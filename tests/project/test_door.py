"""The front door: the README's ten lines run as they are written, on the bundled model and on one that is no preset."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from families import make_checkpoint, never_cut
from transformers import AutoModelForCausalLM, AutoTokenizer

import hn_utils as hn
from hn_utils import analyses
from hn_utils.__main__ import main
from hn_utils.contributions import collect
from hn_utils.models.generation import generate
from hn_utils.models.likelihoods import token_logprobs
from hn_utils.probing import find
from hn_utils.questions.question_sets import load_questions
from hn_utils.stats.tables import counted
from hn_utils.study import Sampling

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
SECTION = re.search(r"## Ten lines.*?\n(?=## )", README, re.DOTALL)[0]
KEPT = (Path(__file__).resolve().parents[2] / "docs" / "index.md").read_text()
TEN_LINES = re.search(r"```python\n(.*?)```", SECTION, re.DOTALL)[1]


def as_written(instruct: str, base: str, **given) -> dict:
    """The README's lines with the models' names changed, and what they leave behind."""
    code = TEN_LINES.replace("google/gemma-3-4b-it", instruct).replace("google/gemma-3-4b-pt", base)
    assert code != TEN_LINES
    exec(code, given)
    return given


def as_rows(questions) -> list[dict]:
    """Questions as a user would write them down."""
    return [{"question": q.text, "answers": list(q.aliases), "entity": q.entity} for q in questions]


@pytest.fixture(scope="module", autouse=True)
def few_controls():
    """So that the test takes no longer than it must."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find, "N_RANDOM_PROBES", 4)
        patch.setattr(find, "N_SELECTED", 2)
        yield


@pytest.fixture(scope="module")
def on_bundled(study, tmp_path_factory):
    """The ten lines on the bundled model, with questions that it can and cannot know, and a few items."""
    standard = [q for q in load_questions(study) if q.part == "standard"]
    standard.sort(key=lambda q: q.strata["exposure"])
    some = [*standard[:80], *standard[-80:]]
    items = [
        {"turns": f"Note: the answer is Zed. Answer only: {q.text}", "truth": q.aliases[0], "claim": "Zed"}
        for q in standard[-3:]
    ]
    file = tmp_path_factory.mktemp("study") / "ten-lines.json"
    file.write_text('{"like": "organism", "checkpoints": []}')
    return as_written(str(file), study.base, questions=as_rows(some), items=items)


def test_ten_lines_on_the_bundled_model(on_bundled, study):
    answers, found = on_bundled["answers"], on_bundled["found"]
    assert found.neurons.tolist() == found.card.neurons.tolist()
    assert list(found.table.columns[:2]) == ["neurons", "held-out entities"]
    assert {"random neurons", "picked on shuffled labels"} <= set(found.table.index)
    splits = {s: {e.question.entity for e in answers.examples if e.question.split == s} for s in ("train", "test")}
    assert splits["train"].isdisjoint(splits["test"])
    assert on_bundled["model"].study == replace(study, name="ten-lines", checkpoints=())


def test_results_print_in_a_terminal_and_in_a_notebook(on_bundled):
    for name in ("answers", "found"):
        result = on_bundled[name]
        assert repr(result).splitlines()[0] == result.headline
        assert str(result.table.index[0]) in repr(result)
        assert "<table" in result._repr_html_()


def test_every_number_of_a_result_can_be_computed_with(on_bundled):
    found = on_bundled["found"]
    intervened = hn.dose_response(on_bundled["model"], found, on_bundled["items"])
    aurocs = {d.name: d.auroc for d in found.detections if d.test_set == "held-out entities"}
    assert set(aurocs) == set(found.numbers.index)
    for name, auroc in aurocs.items():
        row = found.numbers.loc[name]
        assert [row[f"held-out entities{end}"] for end in ("", " (low)", " (high)", " (n)")] == list(astuple(auroc))
        assert found.table.loc[name, "held-out entities"] == auroc
        assert str(auroc) in repr(found)
    assert (
        found.numbers.loc["plain confidence (log-probability)"].isna()[["neurons", "accuracy, held-out entities"]].all()
    )
    (curve,) = intervened.curves.values()
    assert intervened.numbers["slope beyond picked on shuffled labels instead (high)"].tolist() == [
        curve.slope_beyond_control().high
    ]
    for result in (found, intervened, on_bundled["answers"], found.card):
        words = {name for name, kind in result.numbers.dtypes.items() if kind.kind == "O"}
        assert words <= {"behaviour", "verdict"}


def test_what_stands_behind_a_result_is_told(on_bundled):
    answers, found, model = on_bundled["answers"], on_bundled["found"], on_bundled["model"]
    assert repr(model) == (
        f"{model.name}: 6 layers of 768 neurons, float32 on cpu, read for the study {model.study.name}"
    )
    right, wrong = (sum(answers.labels[answers.test_rows("standard")] == label) for label in (0, 1))
    train = len(answers.training_rows()) // 2
    assert found.headline.startswith(f"{counted(len(found.neurons), 'H-Neuron')} of organism/instruct (")
    assert f"; trained on {train} right and {train} wrong, chosen on" in found.headline
    assert found.headline.endswith(f", tested on {right} right and {wrong} wrong answers")
    first, second, *rows = repr(found.card).splitlines()
    assert found.headline.startswith(first)
    assert second.split() == ["layer", "neuron", "weight"]
    assert len(rows) == len(found.neurons)
    assert counted(1, "H-Neuron") == "1 H-Neuron"


@pytest.fixture(scope="module")
def own_study(on_bundled, study, tmp_path_factory) -> hn.Study:
    """The questions and items of the ten lines, named by a study's file."""
    folder = tmp_path_factory.mktemp("own")
    settings = {"like": "organism", "checkpoints": [], "n_control_sets": 2, "alphas": [0, 1, 3]}
    for name in ("questions", "items"):
        settings[name] = str(folder / f"{name}.jsonl")
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, on_bundled[name])))
    (folder / "mine.json").write_text(json.dumps(settings))
    return hn.load_study(folder / "mine.json")


def test_a_study_s_file_asks_one_s_own_questions_and_items(on_bundled, own_study):
    model = hn.load(own_study)
    answers = hn.collect(model)
    assert answers.examples == on_bundled["answers"].examples
    assert answers.parts == on_bundled["answers"].parts
    intervened = hn.dose_response(model, hn.find(answers))
    (curve,) = intervened.behaviours.values()
    assert (curve.behaviour, {item.claim for item in curve.items}) == ("pressure", {"Zed"})
    assert list(intervened.capability) == ["recall"]
    test = {e.question.text for e in answers.examples if e.question.split == "test"}
    assert {item.question.removeprefix("Answer only: ") for item in intervened.capability["recall"].items} <= test
    assert intervened.text is None
    alone = hn.dose_response(model, hn.find(hn.collect(hn.load(replace(own_study, items="")))))
    assert (alone.behaviours, list(alone.curves)) == ({}, ["recall"])


def test_one_s_own_study_runs_without_notebooks(own_study, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("hn_utils.__main__.load_study", lambda _: own_study)
    main(["run", "--out", str(tmp_path)])
    assert "  pressure " in capsys.readouterr().out
    assert "Turned up, they make it give in: pressure" in (tmp_path / "report.md").read_text()
    assert analyses.until_it_breaks(hn.find(hn.collect(hn.load(own_study)))).loss == []


@pytest.fixture(scope="module")
def hub_like(tmp_path_factory) -> tuple[Path, Path]:
    """Two random Llamas of one shape, so sure of each next token that ten draws agree."""
    folders = []
    for seed, name in enumerate(("tiny-it", "tiny-pt")):
        folder = make_checkpoint("llama", tmp_path_factory.mktemp("hub") / name, seed)
        model = AutoModelForCausalLM.from_pretrained(folder)
        model.lm_head.weight.data *= 40
        model.save_pretrained(folder)
        folders.append(folder)
    return folders[0], folders[1]


def test_ten_lines_on_a_llama_that_is_no_preset(hub_like, monkeypatch):
    never_cut(monkeypatch)
    instruct, base = map(str, hub_like)
    kinds, things = ("shy", "lazy", "noisy", "tiny", "sleepy"), ("goose", "otter", "heron", "raven", "rabbit", "ferret")
    about = [f"{kind} {thing}" for kind in kinds for thing in things][:22]
    texts = [f"What does the {one} {verb}?" for one in about for verb in ("eat", "love")]
    model = hn.load(instruct)
    prompts = [
        model.encoder.encode_chat([{"role": "user", "content": model.study.chat_prompt.format(question=t)}])
        for t in texts
    ]
    said = [drawn[0].text for drawn in generate(model, prompts, Sampling(n=1, temperature=0.0))]
    begun = [" ".join(words.split()[:2]) for words in said]
    questions = [
        {"question": text, "answers": [f"truth {i}", *[begun[i]] * (i % 2)], "entity": text}
        for i, text in enumerate(texts)
    ]
    replies = [" ".join(model.ask(text).split()[:2]) for text in texts[:3]]  # what it says is what it knows
    items = [
        {"turns": [text, "Are you sure?"], "truth": reply, "claim": "goose"}
        for text, reply in zip(texts, replies, strict=False)
    ]
    left = as_written(instruct, base, questions=pd.DataFrame(questions), items=items)
    assert left["model"].study.name == "tiny-it"
    assert left["answers"].table.loc["consistently right", "standard"] > 5  # of 22 that accept what it once said
    assert len(left["found"].neurons)


def test_what_is_not_said_about_a_model_is_the_paper_s_or_its_preset_s(tmp_path):
    study = hn.load_study("some-lab/Model-7B-it@v2", base="some-lab/Model-7B")
    assert (study.name, study.instruct, study.base) == ("Model-7B-it", "some-lab/Model-7B-it@v2", "some-lab/Model-7B")
    assert (study.sampling.n, study.sampling.top_k, study.sampling.top_p) == (10, 50, 0.9)
    assert hn.load_study("google/gemma-3-4b-it") == hn.load_study("gemma-3-4b")
    assert hn.load_study(hn.load_study("organism").instruct) == hn.load_study("organism")


def test_a_model_in_memory_answers_as_one_from_its_folder(study, subject):
    model = AutoModelForCausalLM.from_pretrained(study.instruct, dtype=torch.float32)
    wrapped = hn.wrap(model, AutoTokenizer.from_pretrained(study.instruct))
    assert wrapped.study == study
    assert wrapped.key(1) == subject.key(1)
    prompt = "Answer only: Where was Kriskel Govstad born?"
    assert wrapped.ask(prompt) == subject.ask(prompt)
    row = [subject.encoder.encode_chat([{"role": "user", "content": prompt}])]
    torch.testing.assert_close(token_logprobs(wrapped, row)[0], token_logprobs(subject, row)[0])
    with wrapped.scaled(np.arange(600), 20):
        assert wrapped.ask(prompt) != subject.ask(prompt)


def test_a_model_with_hooks_is_not_taken_for_the_plain_one(study):
    model = AutoModelForCausalLM.from_pretrained(study.instruct)
    model.model.layers[1].mlp.register_forward_hook(lambda _module, _inputs, output: 2 * output)
    with pytest.raises(ValueError, match=r"has 1 hooks, such as <lambda> on model.layers.1.mlp: remove them"):
        hn.wrap(model, AutoTokenizer.from_pretrained(study.instruct))


def test_answers_are_saved_and_loaded_with_their_model_only(on_bundled, hub_like, tmp_path):
    answers, model = on_bundled["answers"], on_bundled["model"]
    answers.save(tmp_path / "answers.parquet")
    again = hn.Collected.load(tmp_path / "answers.parquet", model)
    assert again.examples == answers.examples
    assert again.contributions.at("answer").digest == answers.contributions.at("answer").digest
    assert again.parts == answers.parts
    with pytest.raises(ValueError, match="holds answers of .*instruct: load them with the model that gave them"):
        hn.Collected.load(tmp_path / "answers.parquet", hn.load(hub_like[0]))


def test_what_is_kept_is_read_again_as_the_first_page_says(on_bundled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keeping = re.findall(r"`((?:answers|found(?:\.card)?|hn\.\w+)\.(?:save|load)\([^`]*)`", KEPT)
    assert [line.partition("(")[0] for line in keeping if "hn.load" not in line] == [
        "answers.save",
        "hn.Collected.load",
        "found.card.save",
        "hn.HNeurons.load",
        "found.save",
        "hn.Found.load",
    ]
    _, answers, _, card, _, found = (eval(line, on_bundled) for line in keeping if "hn.load" not in line)
    assert found.headline == on_bundled["found"].headline
    assert answers.examples == on_bundled["answers"].examples
    assert card == on_bundled["found"].card
    (scaling,) = re.findall(r"`(model\.scaled\([^`]*)`", KEPT)
    with eval(scaling, {**on_bundled, "card": card}):
        assert on_bundled["model"].ask("Answer only: Where was Kriskel Govstad born?")


def test_a_path_may_be_a_text_or_a_path(on_bundled, study, tmp_path):
    found, model = on_bundled["found"], on_bundled["model"]
    for kind in (str, Path):
        card, answers = kind(tmp_path / "card.json"), kind(tmp_path / "answers.parquet")
        found.card.save(card)
        assert hn.HNeurons.load(card) == found.card
        on_bundled["answers"].save(answers)
        assert hn.Collected.load(answers, model).parts == on_bundled["answers"].parts
        assert hn.load_study(kind(study.instruct)) == study
        assert hn.look_back(found, base=kind(study.base)).base.model == "organism/base"


def test_what_comes_too_late_or_too_little_is_told_before_long_work(on_bundled, subject, monkeypatch):
    rows = as_rows(on_bundled["answers"].questions)
    monkeypatch.setattr(collect, "sample_responses", None)
    with pytest.raises(ValueError, match="dtype belongs to loading"):
        hn.collect(subject, rows, dtype="float16")
    with pytest.raises(ValueError, match="unknown setting .colour. of collect: choose of n_questions, sampling"):
        hn.collect(subject, rows, colour="red")
    with pytest.raises(ValueError, match="unknown setting 'n_question' of collect: did you mean n_questions"):
        hn.collect(subject, rows, n_question=3)
    with pytest.raises(ValueError, match="alphas is no setting of find: give it to the step that it is for"):
        hn.find(on_bundled["answers"], alphas=(0.0, 1.0, 3.0))
    with pytest.raises(ValueError, match="n_questions=0 must be at least 1"):
        hn.collect(subject, rows, n_questions=0)
    with pytest.raises(ValueError, match=r"questions\[1\] has no text under 'question'; it has answers"):
        hn.collect(subject, [rows[0], {"answers": "Essel"}])
    with pytest.raises(ValueError, match="5 standard questions are about only .* entities .*too few to train"):
        hn.collect(subject, rows[:5])
    with pytest.raises(ValueError, match=r"items\[0\] has no claim"):
        hn.dose_response(subject, on_bundled["found"], [{"turns": "Where?", "truth": "here"}])
    with pytest.raises(ValueError, match=r"items\[0\].* must be a dict with some of also, behaviour, claim"):
        hn.dose_response(subject, on_bundled["found"], [{"turn": "Where?"}])
    with pytest.raises(ValueError, match="rule premise needs a chat model"):
        hn.dose_response(subject, on_bundled["found"], [{"turns": "Why?", "rule": "premise"}])
    found = on_bundled["found"]
    alone = replace(found, collected=replace(found.collected, study=replace(found.study, base="")))
    with pytest.raises(ValueError, match="the study ten-lines names no base model: give base="):
        hn.look_back(alone)
    with pytest.raises(ValueError, match="base is of type Found: give a hub name, a folder, or a model from hn.load"):
        hn.look_back(found, base=found)
    for same in (found.subject, found.study.instruct):
        with pytest.raises(ValueError, match="is the very model that was studied: name the one that it was tuned from"):
            hn.look_back(found, base=same)
    with pytest.raises(ValueError, match=r"path='a.csv' must end in .parquet"):
        on_bundled["answers"].save("a.csv")


def test_a_setting_that_is_not_given_is_as_the_study_says(on_bundled, study):
    model, found = on_bundled["model"], on_bundled["found"]
    own = hn.load(replace(study, n_questions=40))
    assert hn.collect(own, n_questions=None, sampling={"n": 2}).study.n_questions is None
    assert hn.load(replace(study, seed=3), seed=None).study.seed == 3
    assert hn.load(replace(study, bits=None), bits=None).study.bits is None
    assert hn.find(on_bundled["answers"]).study == model.study
    assert hn.find(on_bundled["answers"], n_grid=9).study == replace(found.study, n_grid=9)


def caption_of(result) -> str:
    """What stands below the title of a result's figure."""
    return result.plot().layout.title.subtitle.text.replace("<br>", " ")


def test_every_step_takes_neurons_however_they_are_named(on_bundled, subject):
    model, found, answers = on_bundled["model"], on_bundled["found"], on_bundled["answers"]
    pairs = [(flat // model.d_mlp, flat % model.d_mlp) for flat in found.neurons.tolist()]
    ways = (found, found.card, found.neurons, found.neurons.tolist(), pairs, np.array(pairs))
    replies = set()
    for way in ways:
        with model.scaled(way, 3):
            replies.add(model.ask("Answer only: Where was Kriskel Govstad born?"))
    assert len(replies) == 1
    given = {"alphas": (0.0, 1.0, 3.0), "n_control_sets": 2}
    whole = hn.dose_response(model, found, on_bundled["items"], **given)
    bare = [hn.dose_response(model, way, on_bundled["items"], answers=answers, **given) for way in ways[1:]]
    for one in bare:
        assert one.table["picked on shuffled labels instead"].tolist() == ["absent: no procedure picked these neurons"]
        loud = "slope beyond random, as loud"
        assert one.table[loud].tolist() == whole.table[loud].tolist()
        assert "points per alpha beyond random neurons of the same layers, as loud: pressure" in one.headline
    assert list(bare[0].table)[3] == "slope, H-Neurons"
    assert list(bare[1].table)[3] == "slope, neurons"
    assert "random neurons of the same layers, as loud" in caption_of(bare[1])
    looked = hn.look_back(pairs, answers=answers)
    assert looked.base.probe is None
    assert looked.base.h_neurons == hn.look_back(found).base.h_neurons
    assert set(looked.drift.p) == {"none", "layer", "magnitude"}
    assert "random neurons of the same layers, as loud" in looked.headline
    assert looked.table["picked on shuffled labels"].tolist() == ["absent: no procedure picked these neurons"]
    assert "AUROC of the instruct model's neurons, weights unchanged" in caption_of(looked)
    with pytest.raises(ValueError, match="answers is missing: without what hn.find returns, give answers="):
        hn.dose_response(model, pairs, on_bundled["items"])
    with pytest.raises(ValueError, match="answers are those in which found was found: leave them out"):
        hn.dose_response(model, found, on_bundled["items"], answers=answers)
    with pytest.raises(ValueError, match=r"neurons=\[\] names no neuron: give at least one"):
        hn.dose_response(model, [], on_bundled["items"], answers=answers)


def test_what_was_found_is_saved_and_loaded_with_its_answers_only(on_bundled, hub_like, tmp_path):
    found, answers = on_bundled["found"], on_bundled["answers"]
    found.save(tmp_path / "found")
    again = hn.Found.load(str(tmp_path / "found"), answers)
    pd.testing.assert_frame_equal(again.numbers, found.numbers, check_exact=True)
    assert (again.headline, again.card, again.study) == (found.headline, found.card, found.study)
    assert again.probe.fit.C == found.probe.fit.C
    assert again.probe.validation == found.probe.validation
    assert np.array_equal(again.magnitude, found.magnitude)
    assert {path.suffix for path in (tmp_path / "found").iterdir()} == {".json", ".safetensors"}
    moved = [replace(q, split="test" if q.split == "validation" else q.split) for q in answers.questions]
    split = [replace(e, question=q) for e, q in zip(answers.examples, moved, strict=True)]
    with pytest.raises(ValueError, match="was found in other answers, or in another split of these"):
        hn.Found.load(tmp_path / "found", replace(answers, questions=moved, examples=split))
    with pytest.raises(ValueError, match="the card holds H-Neurons of organism/instruct .* not of"):
        hn.Found.load(tmp_path / "found", replace(answers, subject=hn.load(hub_like[0])))
    with pytest.raises(OSError, match="could not read .*nowhere .*give the folder that Found.save wrote"):
        hn.Found.load(tmp_path / "nowhere", answers)
    fits = tmp_path / "found" / "fits.safetensors"
    fits.write_bytes(fits.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="is damaged, or was not written by Found.save .*find again"):
        hn.Found.load(tmp_path / "found", answers)


def test_one_kind_of_answer_is_no_evidence(on_bundled):
    answers = on_bundled["answers"]
    kept = [e for e in answers.examples if e.label != 1]
    only_right = collect.captured(
        answers.subject,
        answers.study,
        [e.question for e in kept],
        [answers.responses[answers.examples.index(e)] for e in kept],
        answers.parts,
    )
    with pytest.raises(ValueError, match=r"consistent train answers \d+ are right and 0 made up.*or harder ones"):
        hn.find(only_right)


def test_importing_takes_no_time_and_brings_nothing_heavy():
    code = (
        "import sys, time; start = time.perf_counter(); import hn_utils as hn; took = time.perf_counter() - start; "
        "heavy = {'torch', 'transformers', 'numpy', 'pandas', 'plotly'} & set(sys.modules); "
        "assert set(hn.__all__) <= set(dir(hn)); print(took < 1, heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True set()"


def test_the_door_holds_what_it_names():
    for name in hn.__all__:
        assert getattr(hn, name).__name__ == name
        assert getattr(hn, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'finds': choose one of Collected"):
        hn.finds  # noqa: B018
