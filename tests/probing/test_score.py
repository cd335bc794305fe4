"""Scores worked by hand in plain Transformers; the same while a model writes; what has no chance says why."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from families import make_checkpoint
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from transformers import AutoModelForCausalLM

import hn_utils as hn
from hn_utils.probing.scoring import Scorer

ASKED = "Where was Kriskel Govstad born?"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "use_neurons.md"


@pytest.fixture(scope="module")
def answers(subject):
    return hn.collect(subject, n_questions=120, sampling={"n": 2})


@pytest.fixture(scope="module")
def found(answers):
    return hn.find(answers, n_grid=8)


@pytest.fixture(scope="module")
def scorer(found):
    return hn.calibrate(found)


@pytest.fixture(scope="module")
def questions(answers):
    return [ASKED, *(q.text for q in answers.questions[:5])]


def by_hand(folder: str, ids: list[int], scorer: Scorer) -> np.ndarray:
    """The paper's contributions of a scorer's neurons at every token, [token, k], on an untouched model."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    shares = {}
    for i, layer in enumerate(model.model.layers):

        def keep(module, given, out, i=i):
            size = given[0][0].abs() * module.weight.norm(dim=0)
            shares[i] = size / out[0].norm(dim=-1, keepdim=True)

        layer.mlp.down_proj.register_forward_hook(keep)
    with torch.no_grad():
        model(torch.tensor([ids]))
    return torch.stack([shares[row["layer"]][:, row["neuron"]] for row in scorer.rows], 1).numpy()


def test_a_chance_is_the_logistic_formula_on_contributions(subject, study, answers, found, scorer):
    score = hn.score(subject, found, ASKED)
    prompt = subject.encoder.encode_questions([study.chat_prompt.format(question=ASKED)])[0]
    ids = [*prompt, *subject.encoder.tokenize([score.text])[0]]
    read = by_hand(study.instruct, ids, scorer)[len(prompt) :]
    weights = [row["weight"] for row in scorer.rows]
    log_odds = [
        scorer.slope * (scorer.intercept + sum(w * c for w, c in zip(weights, token, strict=True))) + scorer.offset
        for token in read.tolist()
    ]
    assert score.answer == list(range(len(read)))
    np.testing.assert_allclose(score.log_odds, log_odds, rtol=1e-3, atol=1e-3)
    assert score.chance == pytest.approx(1 / (1 + np.exp(-np.mean(log_odds))), abs=1e-3)
    assert weights == found.refitted.weights.tolist()
    assert [round(chance, 6) for chance in score.table["chance"]] == [round(expit(one), 6) for one in score.log_odds]


def test_it_is_calibrated_on_the_first_answers_of_validation_people(study, answers, scorer):
    log_odds, labels = [], []
    for question, responses, example in zip(answers.questions, answers.responses, answers.examples, strict=True):
        first = responses[0]
        if (question.part, question.split) == ("standard", "validation") and first.verdict in ("right", "wrong"):
            n = len(first.ids) - (first.ids[-1] in answers.subject.encoder.stop_ids)
            read = by_hand(study.instruct, [*example.prompt_ids, *first.ids[:n]], scorer)[-n:]
            log_odds.append(scorer.intercept + read.mean(0) @ [row["weight"] for row in scorer.rows])
            labels.append(first.verdict == "wrong")
    fitted = LogisticRegression(C=100.0).fit(np.array(log_odds)[:, None], labels)
    assert (scorer.n, scorer.share) == (len(labels), np.mean(labels))
    assert scorer.slope == pytest.approx(fitted.coef_[0, 0], rel=0.02)
    assert scorer.offset == pytest.approx(fitted.intercept_[0], abs=0.02)


def test_calibration_is_shown_on_every_part_beside_its_controls(answers, scorer):
    shown = scorer.table
    assert shown.index.tolist() == list(answers.parts.values())
    for part, title in answers.parts.items():
        verdicts = [
            responses[0].verdict
            for question, responses in zip(answers.questions, answers.responses, strict=True)
            if (question.part, question.split) == (part, "test") and responses[0].verdict in ("right", "wrong")
        ]
        assert (shown.loc[title, "made up"].value, shown.loc[title, "made up"].n) == (
            pytest.approx(np.mean([verdict == "wrong" for verdict in verdicts])),
            len(verdicts),
        )
    assert "Brier score, picked on shuffled labels" in shown
    assert int(scorer.reliability["n"].sum()) == scorer.fits["held-out entities"].brier.n
    for part in ("one chance for all", "a perfect forecast shows", "another domain, prompt or share"):
        assert part in scorer.headline


def test_watching_gives_the_same_and_runs_nothing_more(subject, study, found, scorer, monkeypatch):
    said = study.chat_prompt.format(question=ASKED)
    score = hn.score(subject, found, ASKED)
    watched = subject.ask(said, watch=scorer)
    assert watched.text == subject.ask(said)
    assert watched.tokens == score.tokens
    np.testing.assert_allclose(watched.log_odds, score.log_odds, rtol=1e-5, atol=1e-5)
    given = hn.score(subject, found, ASKED, score.text)
    np.testing.assert_allclose(given.log_odds, score.log_odds, rtol=1e-4, atol=1e-4)
    passes = []
    run = subject.run_layers
    monkeypatch.setattr(
        subject, "run_layers", lambda **inputs: passes.append(len(subject.live_hooks())) or run(**inputs)
    )
    subject.ask(said)
    plain = list(passes)
    passes.clear()
    subject.ask(said, watch=scorer)
    layers = {row["layer"] for row in scorer.rows}
    assert len(passes) == len(plain)
    assert max(passes) - max(plain) == len(layers)  # one hook a layer that holds H-Neurons


def test_many_are_scored_as_each_alone(subject, scorer, questions):
    together = hn.score(subject, scorer, questions)
    alone = [hn.score(subject, scorer, question) for question in questions]
    assert [one.text for one in together] == [one.text for one in alone]
    np.testing.assert_allclose(together.chance, [one.chance for one in alone], rtol=1e-4, atol=1e-5)
    again = hn.score(subject, scorer, questions, [one.text for one in together])
    np.testing.assert_allclose(again.chance, together.chance, rtol=1e-3, atol=1e-4)
    assert together.table["question"].tolist() == questions
    assert len(together) == len(questions)


def test_a_question_is_put_as_those_that_calibrated(subject, scorer):
    """Whatever the model's own study says now."""
    own = replace(scorer, asked={**scorer.asked, "chat_prompt": "Tell me: {question}"})
    asked = hn.score(subject, own, ASKED)
    assert asked.text == subject.ask(f"Tell me: {ASKED}", max_new_tokens=4)


def test_what_is_no_answer_has_no_chance_and_says_why(subject, scorer):
    scores = hn.score(subject, scorer, [ASKED] * 2, ["I do not know.", "Great Quillon Bridge"])
    assert [score.dropped for score in scores] == ["it abstains", ""]
    assert np.isnan(scores.chance).tolist() == [True, False]
    assert "has no chance to be made up: it abstains" in scores[0].headline
    cut = subject.ask(f"Answer only: {ASKED}", max_new_tokens=1, watch=scorer)
    assert (cut.dropped, len(cut.log_odds)) == ("it was cut off before it ended", 1)


def test_of_a_long_reply_the_first_sentence_is_read_where_calibration_did(subject, scorer):
    long = replace(scorer, first_sentence=True)
    text = "Great Quillon Bridge. Upper Corin Rise."
    first, whole = (hn.score(subject, one, ASKED, text) for one in (long, scorer))
    assert [first.tokens[place].strip() for place in first.answer] == ["Great", "Quillon", "Bridge"]
    assert whole.answer[-1] > first.answer[-1]


def test_neurons_without_a_probe_need_answers(subject, answers, found):
    of_mine = hn.calibrate([(5, 3), (4, 17)], answers)
    assert of_mine.neurons.tolist() == [4 * 768 + 17, 5 * 768 + 3]
    assert 0 < hn.score(subject, of_mine, ASKED).chance < 1
    assert of_mine.control == "random neurons of the same layers, as loud"
    with pytest.raises(ValueError, match=r"answers is missing: without what hn.find returns, give answers="):
        hn.calibrate([(4, 17)])
    with pytest.raises(ValueError, match="answers are those in which found was found: leave them out"):
        hn.calibrate(found, answers)
    with pytest.raises(
        ValueError, match=r"scorer is a card of H-Neurons, which holds no calibrated probe: give hn\.cal"
    ):
        hn.score(subject, found.card, ASKED)
    with pytest.raises(ValueError, match=r"scorer is of type list: give hn\.calibrate"):
        hn.score(subject, [(4, 17)], ASKED)


def test_a_scorer_survives_the_disk(subject, scorer, tmp_path):
    scorer.save(tmp_path / "scorer.json")
    again = Scorer.load(tmp_path / "scorer.json")
    assert again == scorer
    assert hn.score(subject, again, ASKED).chance == hn.score(subject, scorer, ASKED).chance
    with pytest.raises(OSError, match="could not read the scorer .*nowhere.json .*Scorer.save writes one"):
        Scorer.load(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content["rows"][0].pop("weight"), "is no layer, neuron and weight"),
        (lambda content: content.pop("slope"), "is no scorer .*slope"),
        (lambda content: content.update(slope="steep"), "is no scorer .*slope='steep'"),
        (lambda content: content.update(offset=float("nan")), "holds a number that is not finite"),
        (lambda content: content.update(offset=0.125), "is damaged, or was changed by hand"),
    ],
)
def test_a_damaged_scorer_is_refused(scorer, tmp_path, change, told):
    scorer.save(tmp_path / "scorer.json")
    content = json.loads((tmp_path / "scorer.json").read_text())
    change(content)
    (tmp_path / "scorer.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=told):
        Scorer.load(tmp_path / "scorer.json")


def test_another_model_is_refused_and_one_whose_neurons_are_scaled(subject, found, scorer, tmp_path):
    other = hn.load(str(make_checkpoint("llama", tmp_path / "other")), dtype="float32", device="cpu")
    for refused in (
        lambda: hn.score(other, scorer, ASKED),
        lambda: hn.score(other, found, ASKED),
        lambda: other.ask(ASKED, watch=scorer),
    ):
        with pytest.raises(ValueError, match="of organism/instruct .*not of .*: (calibrate|find) its own"):
            refused()
    with (
        subject.scaled(scorer, 2),
        pytest.raises(ValueError, match="calibrated on the untouched model: leave the block"),
    ):
        hn.score(subject, scorer, ASKED)


def test_a_probe_that_reads_elsewhere_is_refused(subject, answers):
    before = hn.find(answers, region="before", n_grid=8)
    with pytest.raises(ValueError, match="region='before' was read, and a score is of the tokens"):
        hn.calibrate(before)


@pytest.mark.parametrize(
    ("question", "answer", "told"),
    [
        ("", None, "question='' must be a text"),
        ([], None, r"question=\[\] is empty"),
        ([ASKED, 3], None, "question=3 must be a text"),
        (ASKED, " ", "answer=' ' must be a text"),
        (ASKED, ["a", "b"], "2 answers do not fit 1 questions"),
        ([ASKED], "a", "1 answers do not fit 1 questions: give one text, or one to each"),
    ],
)
def test_questions_and_answers_are_checked_first(subject, scorer, question, answer, told):
    with pytest.raises(ValueError, match=told):
        hn.score(subject, scorer, question, answer)


def test_the_page_runs_as_it_is_written(subject, study, found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    original = AutoModelForCausalLM.from_pretrained(study.instruct)
    names = {"hn": hn, "model": subject, "found": found, "answers": found.collected, "original": original}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(code, names)
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "without_h_neurons").state_dict()
    assert all(torch.equal(one, exported[name]) for name, one in original.state_dict().items())
    assert names["score"].chance == pytest.approx(hn.score(subject, names["scorer"], ASKED).chance, rel=1e-4)
