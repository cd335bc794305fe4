"""Which questions are asked, and how they are split."""

from __future__ import annotations

from dataclasses import replace

from hn_utils.question_sets import load_questions
from hn_utils.questions import split_entities


def test_splits_have_their_shares():
    split = split_entities([f"p{i}" for i in range(1_000)], seed=0)
    counts = {s: list(split.values()).count(s) for s in ("train", "validation", "test")}
    assert counts == {"train": 450, "validation": 150, "test": 400}


def test_some_questions_are_drawn_from_all(tiny_study):
    few, every = load_questions(replace(tiny_study, n_questions=30)), load_questions(tiny_study)
    for part in ("standard", "paraphrase", "attribute", "nonexist"):
        assert sum(q.part == part for q in few) == min(30, sum(q.part == part for q in every))
