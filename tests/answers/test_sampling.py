"""The consistency filter; and what is kept is asked for by everything that can change it, and by nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hn_utils.answers.asking import prompts_of
from hn_utils.answers.examples import Response, build_example
from hn_utils.answers.sampling import sample_responses
from hn_utils.contributions import cett
from hn_utils.models.generation import generate
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.prompt_encoder import PromptEncoder
from hn_utils.models.scaling import UNSCALED, Dose
from hn_utils.questions.items import Item
from hn_utils.questions.question_sets import load_questions
from hn_utils.steering.replies import replies_at
from hn_utils.study import Sampling


def responses(subject, *verdicts: str) -> list[Response]:
    ids = subject.encoder.tokenizer("Old Essel", add_special_tokens=False)["input_ids"]
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
    (prompt,) = prompts_of(subject.encoder, [question], study)
    example = build_example(question, prompt, responses(subject, *verdicts), [0, 1])
    assert (example.label, example.dropped) == (label, dropped)
    assert example.answer == [len(example.prompt_ids), len(example.prompt_ids) + 1]
    assert example.confidence == pytest.approx(-0.15)


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"sampling": Sampling(n=2, max_new_tokens=3)}, {"chat_prompt": "{question}"}, {"dtype": "bfloat16"}],
)
def test_whatever_changes_a_result_changes_its_place(tiny_study, tmp_path, monkeypatch, change):
    monkeypatch.setenv("HN_CACHE", str(tmp_path))
    few = load_questions(replace(tiny_study, n_questions=3))
    plain = replace(tiny_study, sampling=Sampling(n=2, max_new_tokens=2))
    for study in (plain, replace(plain, **change)):
        sample_responses(HookedModel.load(study.instruct, study), few, study)
    assert len(list((tmp_path / "responses").rglob("*.parquet"))) == 2  # neither read the other's shard


def test_one_more_question_draws_and_captures_no_other_again(subject, study, tmp_path, monkeypatch):
    monkeypatch.setenv("HN_CACHE", str(tmp_path))
    questions = [q for q in load_questions(study) if q.part == "standard"][:6]
    asked, read = [], []
    contribute = cett.mean_contributions

    def drawn(model, prompts, *settings):
        asked.append(len(prompts))
        return generate(model, prompts, *settings)

    callers = ("answers.sampling", "steering.replies", "steering.broken")
    for caller in [f"hn_utils.{module}.generate" for module in callers]:
        monkeypatch.setattr(caller, drawn)
    monkeypatch.setattr(cett, "mean_contributions", lambda s, e: read.append(len(e)) or contribute(s, e))

    def walk(some):
        drawn = sample_responses(subject, some, study)
        prompts = prompts_of(subject.encoder, some, study)
        made = map(build_example, some, prompts, drawn, [[0]] * len(some))
        return drawn, cett.capture(subject, [replace(e, label=0) for e in made], study)

    few, before = walk(questions[:4])
    more, after = walk([questions[5], *questions[:4]])  # one more, and first
    assert (sum(asked), sum(read)) == (5, 5)
    assert more[1:] == few
    columns = np.arange(6 * 768)
    assert np.array_equal(after.at("answer").columns(columns)[1:], before.at("answer").columns(columns))
    item = Item("1", "recall", ("Where was Kriskel Govstad born?",))
    asked.clear()
    first = replies_at(subject, [item], [Dose(np.array([3]), 0.0), UNSCALED], study)
    doses = [Dose(np.array([3]), 0.0), Dose(np.array([4]), 2.0), UNSCALED]
    assert replies_at(subject, [item], doses, study)[0][::2] == first[0]
    assert asked == [2, 1, 1]  # two doses, what it writes itself beside them; a set more costs its own replies alone


def test_a_base_model_stops_where_its_answer_ends(study, tmp_path, monkeypatch):
    """The same responses as if it had gone on to the limit, which another writes and then cuts; and fewer passes."""
    monkeypatch.setenv("HN_CACHE", str(tmp_path))
    there = replace(study, sampling=replace(study.sampling, n=2, max_new_tokens=12))
    base, asked = HookedModel.load(study.base, there), [q for q in load_questions(study) if q.part == "standard"][:6]
    passes: list[int] = []
    base.model.base_model.register_forward_pre_hook(lambda *_: passes.append(1))
    base.own_hooks = base.live_hooks()
    stopped = sample_responses(base, asked, there, base=True)
    n_stopped = len(passes)
    monkeypatch.setenv("HN_CACHE", str(tmp_path / "on"))
    monkeypatch.setattr(PromptEncoder, "tokens_containing", lambda *_: set())
    went_on = sample_responses(base, asked, there, base=True)
    assert n_stopped < len(passes) - n_stopped
    assert [[(r.ids, r.text, r.verdict) for r in row] for row in stopped] == [
        [(r.ids, r.text, r.verdict) for r in row] for row in went_on
    ]
    assert np.allclose(
        *([x for row in some for r in row for x in r.logprobs] for some in (stopped, went_on)), atol=1e-5
    )
    assert all(
        r.ids[-1] == base.encoder.tokenizer.convert_tokens_to_ids(".") for row in stopped for r in row if "." in r.text
    )
