"""A thought before an answer is no part of it, and a reply that was cut off is none."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from hn_utils.answers.examples import NothingConsistent, drop_counts
from hn_utils.answers.judges import judge
from hn_utils.answers.sampling import build_examples, sample_responses, written
from hn_utils.answers.spans import first_sentence
from hn_utils.answers.thoughts import answer_start, n_thought, without_thought
from hn_utils.questions.question_sets import load_questions
from hn_utils.storage.progress import tell_once
from hn_utils.study import Sampling


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("Essel", "Essel"),
        ("<think>\nIs it Corin?\n</think>\n\nEssel", "Essel"),
        ("<think>\n\n</think>\n\nEssel", "Essel"),
        ("Hm, Corin.\n</think>\nEssel", "Essel"),  # begun in the prompt
        ("<thinking>Corin?</thinking>Essel", "Essel"),
        ("[THINK]Corin?[/THINK]Essel", "Essel"),
        ("<|channel|>analysis<|message|>Corin?<|end|><|start|>assistant<|channel|>final<|message|>Essel", "Essel"),
        ("analysisCorin or Essel?assistantfinalEssel", "Essel"),
        ("<think>Corin", ""),
        ("<|channel|>analysis<|message|>Corin", ""),
        ("<think>a</think>b<think>c", ""),
        ("I think Essel", "I think Essel"),
    ],
)
def test_where_the_answer_begins(reply, answer):
    assert without_thought(reply) == answer
    assert (answer_start(reply) is None) == (answer == "")


def test_a_thought_is_not_judged():
    assert judge("<think>Essel? No.</think>Corin", ["Essel"]) == "wrong"
    assert judge("<think>Essel? No.", ["Essel"]) == "cut"
    assert first_sentence("<think>Essel? No.</think>Corin. It is far.") == "Corin"


PIECES = {1: "<think>", 2: "Corin", 3: "</think>", 4: "\n\n", 5: "Essel", 9: ""}


def stub() -> SimpleNamespace:
    def decode(ids, **_) -> str:
        return "".join(PIECES[i] for i in ids)

    tokenizer = SimpleNamespace(decode=decode, all_special_ids=[])
    return SimpleNamespace(decode=decode, tokenizer=tokenizer, stop_ids={9}, name="stub", has_template=True)


@pytest.mark.parametrize(
    ("ids", "thought"), [([5, 9], 0), ([1, 2, 3, 4, 5, 9], 4), ([2, 3, 5], 2), ([1, 2], None), ([1, 3, 4], 3)]
)
def test_how_many_tokens_are_a_thought(ids, thought):
    assert n_thought(stub(), ids) == thought


@pytest.mark.parametrize(
    ("ids", "text", "cut"),
    [
        ([5, 9], "Essel", False),
        ([1, 2, 3, 4, 5, 9], "Essel", False),
        ([2, 2, 2, 2, 2, 5], "CorinCorinCorinCorinCorinEssel", True),  # at the limit
        ([2, 5], "CorinEssel", False),  # ended otherwise before the limit
        ([1, 2, 9], "", True),  # a thought that never ends
    ],
)
def test_what_tokens_amount_to(study, ids, text, cut):
    six = replace(study, sampling=Sampling(max_new_tokens=6))
    read = written(stub(), ids, six)  # type: ignore[arg-type]
    assert (read.text, read.cut) == (text, cut)


def test_a_base_model_that_wrote_its_stop_is_not_cut(study):
    six = replace(study, sampling=Sampling(max_new_tokens=3), base_stop="\n")
    assert not written(stub(), [5, 4, 2], six, base=True).cut  # type: ignore[arg-type]
    assert written(stub(), [5, 5, 2], six, base=True).cut  # type: ignore[arg-type]


def test_replies_at_their_limit_are_dropped_and_counted(subject, study, tmp_path, monkeypatch):
    monkeypatch.setenv("HN_CACHE", str(tmp_path))
    one = replace(study, sampling=Sampling(n=2, max_new_tokens=1))
    questions = [q for q in load_questions(study) if q.part == "standard"][:8]
    drawn = sample_responses(subject, questions, one)
    assert {r.verdict for row in drawn for r in row} == {"cut"}
    with pytest.raises(NothingConsistent, match="'cut off before it ended': 8"):
        build_examples(subject.encoder, questions, drawn, one)


def test_the_answer_behind_a_thought_is_read(subject, study, capsys):
    tell_once.cache_clear()
    (question,) = [q for q in load_questions(study) if q.part == "standard"][:1]
    (whole,) = sample_responses(subject, [question], replace(study, sampling=Sampling(n=1, max_new_tokens=4)))
    plain = replace(whole[0], verdict="right")
    before = plain.ids[:1] * 3
    thinking = replace(plain, ids=before + plain.ids, logprobs=[-9.0] * 3 + plain.logprobs, thought=3)
    first, second = (build_examples(subject.encoder, [question], [[one]], study)[0] for one in (plain, thinking))
    assert [place - 3 for place in second.answer] == first.answer
    assert second.confidence == pytest.approx(first.confidence)
    assert drop_counts([second]) == {"consistently right": 1}
