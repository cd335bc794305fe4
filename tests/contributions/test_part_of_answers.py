"""A part of saved answers is read: some of either kind, of some parts."""

from __future__ import annotations

import numpy as np
import pytest

import hn_utils as hn


@pytest.fixture(scope="module")
def answers(subject) -> hn.Collected:
    return hn.collect(subject, n_questions=120, sampling={"n": 2})


def test_a_part_of_the_answers_is_read(answers, tmp_path):
    """Some of either kind, of some parts; the same ones each time, whatever was dropped, and each as it was."""
    model, file = answers.subject, tmp_path / "answers.parquet"
    answers.save(file)
    some = hn.Collected.load(file, model, n_kept=5, only=["standard", "attribute"])
    assert list(some.parts) == ["standard", "attribute"]
    assert {q.part for q in some.questions} == {"standard", "attribute"}
    for part in some.parts:
        for label in (0, 1):
            n = sum(e.question.part == part and e.label == label for e in answers.examples)
            assert sum(e.question.part == part and e.label == label for e in some.examples) == min(5, n)
        dropped = [e for e in answers.examples if e.label is None and e.question.part == part]
        assert [e for e in some.examples if e.label is None and e.question.part == part] == dropped
    assert len(some.contributions) == len(some.kept) < len(answers.kept)
    places = [answers.kept.index(example) for example in some.kept]
    assert places == sorted(places)
    columns = np.arange(20)
    own, whole = (one.contributions.at("answer").columns(columns) for one in (some, answers))
    np.testing.assert_array_equal(own, whole[places])
    again = hn.Collected.load(file, model, n_kept=5, only=["standard", "attribute"])
    assert again.examples == some.examples
    assert hn.Collected.load(file, model, n_kept=5, only=["standard"], seed=7).kept != some.kept
    assert hn.Collected.load(file, model, n_kept=10**6).examples == answers.examples
    for wrong, told in (
        ({"n_kept": 0}, "n_kept=0 must be a whole number above 0, or None"),
        ({"n_kept": 2.5}, "n_kept=2.5 must be a whole number"),
        ({"only": ["standrad"]}, r"only=\['standrad'\] must name parts of these answers: choose of standard"),
        ({"only": []}, r"only=\[\] must name parts"),
    ):
        with pytest.raises(ValueError, match=told):
            hn.Collected.load(file, model, **wrong)
