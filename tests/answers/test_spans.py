"""With a talkative model the whole response is not silently read as its answer."""

from __future__ import annotations

import pytest

from hn_utils.answers.examples import Response
from hn_utils.answers.sampling import build_examples
from hn_utils.questions.question_sets import load_questions
from hn_utils.storage.progress import tell_once

LONG = "Old Essel is the birthplace of someone. The birthplace of someone is Old Essel."


@pytest.fixture(autouse=True)
def untold():
    tell_once.cache_clear()


def response(subject, question, text: str) -> Response:
    ids = [
        *subject.encoder.tokenizer(text, add_special_tokens=False)["input_ids"],
        subject.encoder.tokenizer.eos_token_id,
    ]
    return Response(question.id, ids, [-0.1] * len(ids), subject.encoder.decode(ids).strip(), "right")


def read(subject, example) -> str:
    return subject.encoder.decode([example.ids[i] for i in example.answer]).strip()


def test_of_long_responses_the_first_sentence_is_read_and_that_is_said_once(subject, study, capsys):
    questions = load_questions(study)[:3]
    texts = [LONG, LONG, "Old Essel."]
    drawn = [[response(subject, q, text)] * 2 for q, text in zip(questions, texts, strict=True)]
    for _ in range(2):
        long, _, short = build_examples(subject.encoder, questions, drawn, study)
    assert read(subject, long) == drawn[0][0].text.split(".")[0].strip()
    assert len(long.answer) < len(long.response_ids) / 2
    assert read(subject, short) == "Old Essel"
    told = capsys.readouterr().out
    assert told.count("judge_spans is not set: of each response the first sentence is read as its answer") == 1


def test_short_responses_are_read_whole_whatever_stands_in_them(subject, study, capsys):
    questions = load_questions(study)[:3]
    texts = ["Old Essel. Old Essel.", "Old Essel.", LONG]
    drawn = [[response(subject, q, text)] * 2 for q, text in zip(questions, texts, strict=True)]
    both, _, long = build_examples(subject.encoder, questions, drawn, study)
    assert read(subject, both).count("Essel") == 2
    assert read(subject, long).count("Essel") == 2
    assert capsys.readouterr().out == ""
