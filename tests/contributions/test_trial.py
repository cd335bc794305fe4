"""Before many questions are asked, some are: a model that answers hardly any is refused before the hours."""

from __future__ import annotations

import pytest

import hn_utils as hn
from hn_utils.answers.examples import NothingConsistent
from hn_utils.contributions import collect
from hn_utils.models.generation import generate
from hn_utils.questions.question_sets import load_questions
from hn_utils.study import Study


def rows_of(study: Study, n: int) -> list[dict[str, str]]:
    """Questions of the made-up world, to which no reply counts as right."""
    standard = [q for q in load_questions(study) if q.part == "standard"]
    return [{"question": q.text, "answers": "nowhere at all", "entity": q.entity} for q in standard[:n]]


@pytest.fixture
def counted(subject, monkeypatch, tmp_path):
    """How many prompts the model has been asked since, from an empty cache; 400 questions are many."""
    prompts: list[int] = []

    def counting(model, some, *rest, **more):
        prompts.append(len(some))
        return generate(model, some, *rest, **more)

    monkeypatch.setenv("HN_CACHE", str(tmp_path))
    monkeypatch.setattr("hn_utils.answers.sampling.generate", counting)
    monkeypatch.setattr(collect, "_MANY", 400)
    return prompts


def test_a_model_that_is_never_right_is_told_after_the_trial_alone(subject, study, counted):
    with pytest.raises(NothingConsistent) as told:
        hn.collect(subject, rows_of(study, 450), sampling={"n": 2})
    assert sum(counted) == 200
    assert "of 200 trial questions 0 were answered consistently right" in str(told.value)
    assert "would need more than 2,000 questions, and these are 450" in str(told.value)


def test_fewer_questions_than_are_worth_a_trial_are_all_asked(subject, study, counted):
    hn.collect(subject, rows_of(study, 390), sampling={"n": 2})
    assert sum(counted) == 390
