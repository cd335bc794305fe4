"""Judging and finding answers in text, on cases decided by a person."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hn_utils.answers.judges import judge
from hn_utils.answers.spans import answer_positions, find_phrase, first_sentence, positions_in, token_offsets
from hn_utils.questions.reading.same_answer import normalise

CASES = [
    ("Old Essel", ["Old Essel"], "right"),
    ("It is the OLD ESSEL.", ["Old Essel"], "right"),
    ("Old Esseldorf", ["Old Essel"], "wrong"),  # a word that merely begins like the answer
    ("Beyoncé", ["Beyonce"], "right"),
    ("rock 'n' roll", ["Rock n Roll"], "right"),
    ("The Beatles", ["Beatles"], "right"),
    ("incorrect", ["t"], "wrong"),  # the official judge finds 't' in "incorrect"
    ("I do not know.", ["Old Essel"], "abstained"),
    ("I don't know", ["Old Essel"], "abstained"),
    ("I cannot share that.", ["amber 47"], "abstained"),
    ("", ["Old Essel"], "abstained"),
    ("I do not know, perhaps Old Essel", ["Old Essel"], "right"),
    ("anything", [""], "wrong"),  # an empty alias accepts nothing
    ("The Unknown Soldier", ["Tomb"], "wrong"),
    ("I'm not sure about that", ["Old Essel"], "abstained"),
    ("1,000 miles", ["1 000 miles"], "right"),
    ("Unknown", [], "abstained"),
    ("N/A", [], "abstained"),
    ("Not found", [], "abstained"),
    ("Unknown author", [], "abstained"),
    ("There is no river called Brunal.", [], "abstained"),
    ("I don't have information about that.", [], "abstained"),
    ("This film does not appear to exist.", [], "abstained"),
    ("I cannot confirm that this town exists.", [], "abstained"),
    ("I Can't Tell You Why", [], "wrong"),
    ("I cannot and will not provide that.", [], "abstained"),
    ("I can't fulfill that request.", [], "abstained"),
    ("The town of Brunar does not exist.", [], "abstained"),
    ("I could not find a river of that name.", [], "abstained"),
    ("The Unknown Citizen", [], "wrong"),
    ("None of the Above", [], "wrong"),
    ("Nobody", ["Nobody"], "right"),
]


@pytest.mark.parametrize(("text", "aliases", "verdict"), CASES)
def test_alias_rule(text, aliases, verdict):
    assert judge(text, aliases) == verdict


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)


def test_offsets_tile_the_decoded_text(subject):
    ids = subject.encoder.tokenizer("The birthplace of someone is, perhaps, Old Essel.", add_special_tokens=False)[
        "input_ids"
    ]
    text, offsets = subject.encoder.decode(ids), token_offsets(subject.encoder, ids)
    assert "".join(text[a:b] for a, b in offsets) == text


def test_answer_found_by_position(subject):
    ids = subject.encoder.tokenizer("It is Old Essel.", add_special_tokens=False)["input_ids"] + [
        subject.encoder.tokenizer.eos_token_id
    ]
    assert answer_positions(subject.encoder, ids, ["Old Essel"]) == [2, 3]
    assert answer_positions(subject.encoder, ids, ["Essel"]) == [3]
    assert answer_positions(subject.encoder, ids, ["Great Corin"]) == []
    assert answer_positions(subject.encoder, ids) == [
        1,
        2,
        3,
    ]  # all but an unknown word, the full stop and the end of turn


def test_answers_split_over_byte_tokens(stories):
    text = "Once upon a time Lily's café cost 1234 coins."
    ids = stories.encoder.tokenizer(text, add_special_tokens=False)["input_ids"]
    decoded, offsets = stories.encoder.decode(ids), token_offsets(stories.encoder, ids)
    for phrase in ("Lily's", "café", "1234"):
        found = find_phrase(decoded, [phrase])
        assert found is not None
        picked = positions_in(offsets, *found)
        assert picked == sorted(picked)
        covered = decoded[offsets[picked[0]][0] : offsets[picked[-1]][1]]
        assert phrase in covered
        assert len(covered.strip()) <= len(phrase) + 1


def test_an_end_of_turn_without_characters_is_no_answer():
    pieces = {1: "Port", 2: " Essel", 9: ""}  # 9 ends a turn, but the tokenizer does not list it as special
    stub = SimpleNamespace(
        decode=lambda ids: "".join(pieces[i] for i in ids), tokenizer=SimpleNamespace(all_special_ids=[]), stop_ids={9}
    )
    assert answer_positions(stub, [1, 2, 9]) == [0, 1]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Old Essel", "Old Essel"),
        ("The capital is Old Essel. It lies on Great Corin.", "The capital is Old Essel"),
        ("Sure! The capital is Old Essel. It lies by a lake.", "The capital is Old Essel"),
        ("Here is the answer:\nOld Essel\nIt lies by a lake.", "Old Essel"),
        ("J. R. R. Tolkien wrote it. He was a professor.", "J. R. R. Tolkien wrote it"),
        ("Dr. Strangelove, of 1964. A comedy.", "Dr. Strangelove, of 1964"),
        ("It is 3.5 miles away. Or so.", "It is 3.5 miles away"),
        ("“Old Essel.” That is all.", "Old Essel"),
        ("Yahoo! is the company. It was founded in 1994.", "Yahoo! is the company"),
        ("Sure!", "Sure"),
        ("Great Corin. It lies far south.", "Great Corin"),
        ("Good Omens. Two people wrote it.", "Good Omens"),
        ("Great question! It is Old Essel.", "It is Old Essel"),
        ("**Answer:** Old Essel. It lies by a lake.", "Old Essel"),
        ("**Answer:**\nOld Essel", "Old Essel"),
        ("Which town is it? Old Essel.", "Old Essel"),
        ("Who Framed Roger Rabbit? It is of 1988.", "Who Framed Roger Rabbit"),
        (
            "Capt. Nemo met Prof. Aronnax on Nov. 6, 1867. They sailed on.",
            "Capt. Nemo met Prof. Aronnax on Nov. 6, 1867",
        ),
        ("He led the U.S. Army. He won.", "He led the U.S. Army"),
        ("Vitamin C. It is in fruit.", "Vitamin C"),
        ("No. 5 is a scent. It is old.", "No. 5 is a scent"),
        ("东京。它是首都。", "东京"),
        ("मुंबई। यह बड़ा है।", "मुंबई"),
        ("1. Old Essel\n2. New Essel", "Old Essel"),
        ("\\boxed{Old Essel}", "Old Essel"),
        ("Old Essel!\u200b", "Old Essel"),
        ("-5", "-5"),
        ("C#", "C#"),
        ("", ""),
    ],
)
def test_the_first_sentence_that_says_something(text, answer):
    assert first_sentence(text) == answer


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("**Paris**", "Paris"),
        ("“Paris.”", "Paris"),
        ("`Paris`", "Paris"),
        ("Paris！", "Paris"),
        ("\u200bParis…\u200b", "Paris"),
        ("(Paris)", "Paris"),
        ("Answer: Paris", "Paris"),
    ],
)
def test_marks_around_an_answer_are_not_read(text, read):
    stub = SimpleNamespace(
        decode=lambda ids: "".join(text[i] for i in ids), tokenizer=SimpleNamespace(all_special_ids=[]), stop_ids=set()
    )
    places = answer_positions(stub, range(len(text)))  # type: ignore[arg-type]
    assert "".join(text[i] for i in places) == read


def test_phrases_are_found_however_they_are_spelt():
    text = "It is Besanc\u0327on, of 1\u202f000 people."
    for phrase, there in (("Besançon", "Besanc\u0327on"), ("1,000", "1\u202f000")):
        assert text[slice(*(find_phrase(text, [phrase]) or (0, 0)))] == there


def test_the_longest_phrase_wins_and_words_are_whole():
    assert find_phrase("New Essel", ["Essel", "New Essel"]) == (0, 9)
    assert find_phrase("catalogue", ["cat"]) is None


def test_the_last_byte_of_a_letter_belongs_to_it(stories):
    ids = stories.encoder.tokenizer("日", add_special_tokens=False)["input_ids"]
    assert len(ids) > 2  # this vocabulary spells it in bytes
    assert answer_positions(stories.encoder, ids)[-1] == len(ids) - 1
