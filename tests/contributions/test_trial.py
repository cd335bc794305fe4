"""Before many questions are asked, some are: a model that answers hardly any is refused before the hours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hn_utils.answers.examples import NothingConsistent
from hn_utils.contributions import collect
from hn_utils.contributions.collect import gathered
from hn_utils.models.generation import generate
from hn_utils.questions.question import Question
from hn_utils.questions.question_sets import load_questions
from hn_utils.study import Sampling, Study


def asked_of(study: Study, n: int) -> list[Question]:
    """Questions of the made-up world, to which no reply counts as right."""
    standard = [q for q in load_questions(study) if q.part == "standard"]
    return [replace(q, aliases=("nowhere at all",)) for q in standard[:n]]


@pytest.fixture
def counted(subject, study, monkeypatch):
    """A study of two draws, and how many prompts the model was asked since."""
    prompts: list[int] = []

    def counting(model, some, *rest, **more):
        prompts.append(len(some))
        return generate(model, some, *rest, **more)

    monkeypatch.setattr("hn_utils.answers.sampling.generate", counting)
    monkeypatch.setattr(collect, "_MANY", 400)
    return replace(study, name="trial", sampling=Sampling(n=2, max_new_tokens=4), seed=77), prompts


def test_a_model_that_is_never_right_is_told_after_the_trial_alone(subject, counted, tmp_path, monkeypatch):
    monkeypatch.setenv("HN_CACHE", str(tmp_path))
    study, prompts = counted
    with pytest.raises(NothingConsistent) as told:
        gathered(subject, study, asked_of(study, 450), {"standard": "all"})
    assert sum(prompts) == 200
    assert "of 200 trial questions 0 were answered consistently right" in str(told.value)
    assert "would need more than 2,000 questions, and these are 450" in str(told.value)


def test_fewer_questions_than_are_worth_a_trial_are_all_asked(subject, counted, tmp_path, monkeypatch):
    monkeypatch.setenv("HN_CACHE", str(tmp_path))
    study, prompts = counted
    gathered(subject, study, asked_of(study, 390), {"standard": "all"})
    assert sum(prompts) == 390
