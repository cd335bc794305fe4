"""A question is put in the study's words, behind its examples, and its answer ends where the study says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hn_utils.answers.asking import prompts_of, stop_of
from hn_utils.answers.sampling import written
from hn_utils.models.precision import with_dtype
from hn_utils.questions.items import Item
from hn_utils.questions.question import Question
from hn_utils.steering.replies import conversation
from hn_utils.study import load_study

EXAMPLES = (("Where is Essel?", "North"), ("Who is Old?", "Nobody"))
QUESTION = Question("q", "What is it?", ("a",), "a")


def test_examples_are_turns_of_a_chat_and_lines_before_a_base_model(subject, study):
    asked = replace(study, examples=EXAMPLES, base_prompt="Q: {question}\nA:", base_stop="\n", chat_prompt="{question}")
    talk = [
        {"role": "user", "content": "Where is Essel?"},
        {"role": "assistant", "content": "North"},
        {"role": "user", "content": "Who is Old?"},
        {"role": "assistant", "content": "Nobody"},
        {"role": "user", "content": "What is it?"},
    ]
    assert prompts_of(subject.encoder, [QUESTION], asked) == [subject.encoder.encode_chat(talk)]
    text = "Q: Where is Essel?\nA: North\nQ: Who is Old?\nA: Nobody\nQ: What is it?\nA:"
    assert prompts_of(subject.encoder, [QUESTION], asked, base=True) == [subject.encoder.encode_text(text)]


def test_examples_stand_before_attempts_as_well(subject, study):
    asked = replace(study, examples=EXAMPLES[:1], chat_prompt="Say: {question}")
    (talk,) = conversation(subject, [Item("i", "pressure", ("It is south.",))], asked)
    assert [turn["content"] for turn in talk] == ["Say: Where is Essel?", "North", "It is south."]


def test_a_model_without_a_chat_template_is_asked_as_a_base_model(subject, study, monkeypatch):
    monkeypatch.setattr(subject.encoder.tokenizer, "chat_template", None)
    plain = subject.encoder.encode_text(study.base_prompt.format(question=QUESTION.text))
    assert prompts_of(subject.encoder, [QUESTION], study) == [plain]
    assert stop_of(subject.encoder, study) == study.base_stop


def test_an_answer_ends_at_the_stop_and_is_not_cut_there(subject, study):
    until = replace(study, chat_stop=".", sampling=replace(study.sampling, max_new_tokens=4))
    ids = subject.encoder.tokenize(["Old Essel. Old"])[0]
    place = next(i for i in range(len(ids)) if "." in subject.encoder.decode(ids[: i + 1])) + 1
    read = written(subject.encoder, ids, until)
    assert (read.n, read.text, read.cut) == (place, "Old Essel.", False)
    assert written(subject.encoder, ids, replace(until, chat_stop="")).cut


@pytest.mark.parametrize("examples", ["Who?", [("Who?",)], [("Who?", "")], [("Who?", 3)], [["a", "b"], "c"]])
def test_examples_that_are_no_pairs_of_texts_are_refused(examples):
    with pytest.raises(ValueError, match="examples.* must be "):
        load_study("organism", examples=examples)


def test_examples_of_a_settings_file_are_read(tmp_path):
    (tmp_path / "study.json").write_text('{"name": "own", "instruct": "a/b", "base": "", "questions": "organism", '
                                         '"examples": [["Who?", "Nobody"]]}')  # fmt: skip
    assert load_study(tmp_path / "study.json").examples == (("Who?", "Nobody"),)


@pytest.mark.parametrize(("gain", "dtype"), [(4.0, "bfloat16"), (1.2, "float32"), (0.3, "float32")])
def test_auto_takes_bfloat16_where_it_is_clearly_faster(monkeypatch, gain, dtype):
    monkeypatch.setattr("hn_utils.models.precision._gain", lambda _: gain)
    assert with_dtype(load_study("organism", dtype="auto")).dtype == dtype
    assert with_dtype(load_study("organism", dtype="float16")).dtype == "float16"
