"""A second organism, trained here, walks the whole road, twice; and bad input stops it before the long work."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from hn_utils import contributions, evidence, road
from hn_utils.__main__ import main
from hn_utils.intervene import UNSCALED, Dose, scaled
from hn_utils.items import Item
from hn_utils.judges import judge
from hn_utils.questions import load_questions, split_entities
from hn_utils.replies import replies_at
from hn_utils.responses import Response, build_example, drop_counts, sample_responses
from hn_utils.shown.report import summary
from hn_utils.study import Sampling, load_study
from hn_utils.subject import Subject


@pytest.fixture(scope="module")
def walked(tiny_study):
    collected = road.collect(tiny_study)
    found = road.find(tiny_study, collected)
    intervened = road.intervene(tiny_study, collected.subject, found)
    return (
        collected,
        found,
        evidence.compare(tiny_study, collected, found),
        intervened,
        road.look_back(tiny_study, collected.subject, found),
    )


def test_the_whole_road(walked, tiny_study):
    collected, found, compared, intervened, origins = walked
    assert len(collected.examples) == len(load_questions(tiny_study))
    assert sum(drop_counts(collected.examples).values()) == len(collected.examples)
    assert {d.name for d in found.table} >= {"H-Neurons alone, refitted", "plain confidence (log-probability)"}
    assert (found.card.flat // found.card.d_mlp < 3).all()
    for control in found.random["layer"] + found.random["magnitude"]:
        counts = [np.bincount(f // 160, minlength=3) for f in (control.neurons, found.card.flat)]
        assert counts[0].tolist() == counts[1].tolist()
    assert set(intervened.behaviours) == {"false_premise", "misleading_context", "sycophancy", "restricted"}
    for curve in intervened.behaviours.values():
        assert curve.outcomes.shape == (len(curve.items), 7)
        assert curve.control_outcomes.shape == (3, len(curve.items), 3)
    assert [t.model for t in origins.timeline][-1] == "base"
    written = json.dumps(summary(found, compared, None, intervened, origins))
    assert "NaN" not in written


def test_the_paper_s_rule_weighs_accuracy_and_what_the_model_still_knows(walked, tiny_study):
    collected, found = walked[:2]
    rule = evidence.by_paper_rule(tiny_study, collected, found)
    assert len(rule.fits) == len(rule.accuracy) == len(rule.recall)
    sums = [a + r for a, r in zip(rule.accuracy, rule.recall, strict=True)]
    assert sums[rule.chosen] == max(sums)
    fit, rows = rule.fits[-1], collected.rows("validation")
    asked = [q for q in collected.questions if q.part == "standard" and q.split == "validation"]
    prompts = [
        collected.subject.chat([{"role": "user", "content": tiny_study.chat_prompt.format(question=q.text)}])
        for q in asked
    ]
    with scaled(collected.subject, fit.h_neurons, by=0.0):
        replies = collected.subject.generate(prompts, Sampling(n=1, temperature=0.0, max_new_tokens=4))
    right = [judge(r.text, q.aliases) == "right" for (r,), q in zip(replies, asked, strict=True)]
    assert rule.recall[-1] == pytest.approx(np.mean(right), abs=0.01)
    said = fit.score(collected.contributions[rows].at("answer")) > 0
    labels = collected.labels[rows]
    assert rule.accuracy[-1] == pytest.approx((said[labels == 1].mean() + (~said[labels == 0]).mean()) / 2)


def test_every_baseline_is_read_on_every_test_set(walked):
    compared = walked[2]
    names = {d.name for d in compared.table if d.test_set == "held-out entities"}
    assert {"entropy", "all neurons, L2 probe", "oracle: exposure in training"} <= names
    assert any(n.startswith("residual stream") for n in names)
    for name in names:
        assert len({d.test_set for d in compared.table if d.name == name}) == len({d.test_set for d in walked[1].table})


def test_the_second_time_only_reads(walked, tiny_study, monkeypatch):
    monkeypatch.setattr("hn_utils.subject.Subject.generate", None)  # nothing may be generated again
    monkeypatch.setattr("hn_utils.subject.Subject.hidden", None)
    again = road.collect(tiny_study, walked[0].subject)
    assert [e.text for e in again.examples] == [e.text for e in walked[0].examples]
    read, before = (c.contributions.regions for c in (again, walked[0]))
    assert all(read[region].digest == before[region].digest for region in ("answer", "other", "before"))


def test_train_validation_and_test_share_no_person(walked):
    collected = walked[0]
    people = [set(collected.entities[collected.rows(s)]) for s in ("train", "validation", "test")]
    assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])


def test_balanced_rows_have_as_many_of_each():
    labels = np.array([0] * 7 + [1] * 3)
    rows = road.balanced(np.arange(10), labels, seed=0)
    assert np.bincount(labels[rows]).tolist() == [3, 3]


def responses(subject, *verdicts: str) -> list[Response]:
    ids = subject.tokenizer("Port Essel", add_special_tokens=False)["input_ids"]
    return [Response("q", ids, [-0.1, -0.2], v, v) for v in verdicts]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verdicts", "label", "dropped"),
    [
        (["right"] * 3, 0, None),
        (["wrong"] * 3, 1, None),
        (["right", "wrong", "right"], None, "sometimes right, sometimes wrong"),
        (["wrong", "abstained", "wrong"], None, "abstained at least once"),
    ],
)
def test_consistency_filter(subject, study, verdicts, label, dropped):
    question = load_questions(study)[0]
    example = build_example(subject, question, responses(subject, *verdicts), study)
    assert (example.label, example.dropped) == (label, dropped)
    assert example.answer == [len(example.prompt_ids), len(example.prompt_ids) + 1]
    assert example.confidence == pytest.approx(-0.15)


def test_splits_have_their_shares():
    split = split_entities([f"p{i}" for i in range(1_000)], seed=0)
    counts = {s: list(split.values()).count(s) for s in ("train", "validation", "test")}
    assert counts == {"train": 450, "validation": 150, "test": 400}


def test_headless(tiny_study, tmp_path, monkeypatch, capsys, walked):
    monkeypatch.setattr("hn_utils.__main__.load_study", lambda _: tiny_study)
    main(["run", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "H-Neurons" in printed
    assert json.loads((tmp_path / "summary.json").read_text())["h_neurons"] == len(walked[1].card.rows)
    report = (tmp_path / "report.md").read_text()
    assert "Turned up, they make it give in: sycophancy" in report
    assert report.count("| **cannot say** |") >= 4 + 1  # three random sets carry no verdict; 480 neurons no share


def test_bad_input(tiny_study, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="error: unknown study 'gpt-9': choose one of organism"):
        main(["run", "--study", "gpt-9"])
    monkeypatch.setenv("HN_STUDY", "nothing")
    with pytest.raises(ValueError, match="unknown study 'nothing'"):
        load_study()
    with pytest.raises(ValueError, match="no such setting.*colour"):
        load_study("organism", colour="red")
    with pytest.raises(ValueError, match="n_questions=0 must be at least 1"):
        road.collect(replace(tiny_study, n_questions=0))
    with pytest.raises(ValueError, match="unknown question set 'quiz': choose one of organism"):
        load_questions(replace(tiny_study, questions="quiz"))
    with pytest.raises(OSError, match="facts.parquet is missing"):
        load_questions(replace(tiny_study, instruct="/nowhere/instruct"))


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"sampling": Sampling(n=2, max_new_tokens=3)}, {"chat_prompt": "{question}"}, {"dtype": "bfloat16"}],
)
def test_whatever_changes_a_result_changes_its_place(tiny_study, tmp_path, monkeypatch, change):
    monkeypatch.setenv("HN_CACHE", str(tmp_path))
    few = load_questions(replace(tiny_study, n_questions=3))
    plain = replace(tiny_study, sampling=Sampling(n=2, max_new_tokens=2))
    for study in (plain, replace(plain, **change)):
        sample_responses(Subject.load(study.instruct, study), few, study)
    assert len(list((tmp_path / "responses").rglob("*.parquet"))) == 2  # neither read the other's shard


def test_one_more_question_draws_and_captures_no_other_again(subject, study, tmp_path, monkeypatch):
    monkeypatch.setenv("HN_CACHE", str(tmp_path))
    questions = [q for q in load_questions(study) if q.part == "standard"][:6]
    asked, read = [], []
    generate, contribute = Subject.generate, contributions.mean_contributions
    monkeypatch.setattr(
        Subject, "generate", lambda s, prompts, *a: asked.append(len(prompts)) or generate(s, prompts, *a)
    )
    monkeypatch.setattr(contributions, "mean_contributions", lambda s, e: read.append(len(e)) or contribute(s, e))

    def walk(some):
        drawn = sample_responses(subject, some, study)
        made = [build_example(subject, q, r, study) for q, r in zip(some, drawn, strict=True)]
        return drawn, contributions.capture(subject, [replace(e, label=0) for e in made], study)

    few, before = walk(questions[:4])
    more, after = walk([questions[5], *questions[:4]])  # one more, and first
    assert (sum(asked), sum(read)) == (5, 5)
    assert more[1:] == few
    columns = np.arange(6 * 1024)
    assert np.array_equal(after.at("answer").columns(columns)[1:], before.at("answer").columns(columns))
    item = Item("1", "recall", ("Where was Dixo Porvik born?",))
    asked.clear()
    first = replies_at(subject, [item], [Dose(np.array([3]), 0.0), UNSCALED], study)
    doses = [Dose(np.array([3]), 0.0), Dose(np.array([4]), 2.0), UNSCALED]
    assert replies_at(subject, [item], doses, study)[0][::2] == first[0]
    assert sum(asked) == 3  # a set of neurons more costs its own replies alone


def test_some_questions_are_drawn_from_all(tiny_study):
    few, every = load_questions(replace(tiny_study, n_questions=30)), load_questions(tiny_study)
    for part in ("standard", "paraphrase", "attribute", "nonexist"):
        assert sum(q.part == part for q in few) == min(30, sum(q.part == part for q in every))


def test_a_study_from_a_file(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text('{"like": "organism", "alphas": [0, 1, 3], "sampling": {"n": 4}, "seed": 2}')
    study = load_study(str(file))
    assert (study.name, study.alphas, study.sampling.n, study.seed) == ("mine", (0, 1, 3), 4, 2)
    assert study.instruct == load_study("organism").instruct
    assert load_study(str(file), seed=5).seed == 5
    assert study.sampling.max_new_tokens == 4  # what is not named stays the preset's
    assert load_study(file, name="renamed").name == "renamed"
    assert load_study("organism", name="renamed").name == "renamed"
    file.write_text('{"colour": "red"}')
    with pytest.raises(ValueError, match="no such setting.*colour"):
        load_study(str(file))
    for settings, fault in {
        '{"like": "other.json"}': "like='other.json' must name a preset, one of organism",
        '{"like": 3}': "like=3 must name a preset",
        '{"seed": "two"}': "seed='two' must be of type int",
        '{"seed": true}': "seed=True must be of type int",
        '{"n_questions": 0.5}': "n_questions=0.5 must be of type int . None",
        '{"name": 7}': "name=7 must be of type str",
        '{"alphas": "0 1 3"}': "alphas='0 1 3' must be of type tuple.float, ....",
        '{"alphas": [0, 1, "3"]}': "alphas=.* must be of type tuple.float, ....",
        '{"judge_price": [1, 2, 3]}': "judge_price=.* must be of type tuple.float, float. . None",
        '{"sources": {"popqa": 3}}': "sources=.* must be of type Mapping.str, str.",
        '{"sampling": {"n": "ten"}}': "n='ten' must be of type int",
        '{"sampling": {"n_draws": 3}}': "no such setting.*n_draws",
        '{"sampling": 3}': "sampling=3 must be of type Sampling",
        "[1, 2]": "mine.json must hold settings by name",
    }.items():
        file.write_text(settings)
        with pytest.raises(ValueError, match=fault):
            load_study(file)
    file.write_text("{")
    with pytest.raises(OSError, match="could not read the study .*mine.json"):
        load_study(str(file))
