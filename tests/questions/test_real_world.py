"""The bundled questions about the real world: facts held against what is known elsewhere, and against each other."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from hn_utils.answers.judges import judge
from hn_utils.questions.question_sets import load_items, load_questions, question_set
from hn_utils.questions.reading.same_answer import contains, normalise, words
from hn_utils.questions.real_world.asking import set_aside_questions
from hn_utils.questions.real_world.facts import (
    FOLDER,
    HELD_OUT_KINDS,
    Fact,
    entities,
    read_facts,
    read_kinds,
    set_aside,
)
from hn_utils.questions.real_world.invented import INVENTED
from hn_utils.questions.real_world.pressing import WrongAnswers, is_same
from hn_utils.steering.outcomes import took_claim
from hn_utils.study import Study

CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
KNOWN = [  # looked up elsewhere, one of each sort
    ("country_capital", "Australia", "Canberra"),
    ("capital_country", "Ulaanbaatar", "Mongolia"),
    ("element_number", "iron", "26"),
    ("symbol_element", "W", "wolfram"),
    ("country_currency", "Hungary", "forint"),
    ("country_calling_code", "Sweden", "+46"),
    ("book_author", "Jane Eyre", "Charlotte Brontë"),
    ("film_director", "Vertigo", "Hitchcock"),
    ("event_year", "the Great Fire of London", "1666"),
    ("birth_year", "Charles Darwin", "1809"),
    ("moon_planet", "Europa", "Jupiter"),
    ("us_city_state", "Tacoma", "Washington"),
    ("us_county_state", "Multnomah County", "Oregon"),
    ("german_city_state", "Leipzig", "Saxony"),
    ("person_father", "Mary Shelley", "William Godwin"),
    ("person_sport", "Wayne Gretzky", "hockey"),
    ("star_constellation", "Betelgeuse", "Orion"),
    ("river_sea", "Volga", "Caspian Sea"),
    ("president_number", "16th", "Abraham Lincoln"),
    ("landmark_city", "the Alhambra", "Granada"),
]


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(name="test", instruct="", base="", questions="real_world")


@pytest.fixture(scope="module")
def asked(study):
    return load_questions(study)


@pytest.fixture(scope="module")
def items(study):
    return load_items(study)


def part_of(asked, part):
    return [q for q in asked if q.part == part]


def fact_about(kind: str, subject: str) -> Fact:
    (found,) = [fact for fact in read_facts() if (fact.kind, fact.subject) == (kind, subject)]
    return found


@pytest.mark.parametrize(("kind", "subject", "answer"), KNOWN)
def test_what_is_known_elsewhere_is_so_here(kind, subject, answer):
    assert judge(answer, fact_about(kind, subject).accepted) == "right"


@pytest.mark.parametrize(
    ("kind", "subject", "wrong"),
    [
        ("book_author", "Jane Eyre", "Emily Brontë"),
        ("country_capital", "Australia", "Sydney"),
        ("country_calling_code", "Sweden", "+460"),
        ("element_symbol", "cobalt", "Cu"),
        ("music_composer", "The Blue Danube", "Richard Strauss"),
    ],
)
def test_what_is_nearly_right_is_wrong(kind, subject, wrong):
    assert judge(wrong, fact_about(kind, subject).accepted) == "wrong"


def test_there_are_as_many_facts_of_each_kind_as_the_card_says():
    rows = re.findall(r"^\| \**(\w+)\**(?: \(held out\))? \| ([\d,]+) \|", CARD, re.MULTILINE)
    told = {kind: int(n.replace(",", "")) for kind, n in rows if kind in read_kinds()}
    assert told == Counter(fact.kind for fact in read_facts())
    assert sum(told.values()) >= 10_000
    assert re.findall(r"\*\*(\w+)\*\* \(held out\)", CARD) == list(HELD_OUT_KINDS)


def test_the_files_are_those_of_the_card():
    told = re.findall(r"^\| (\S+) \| ([\d,]+) \| `(\w{64})` \|$", CARD, re.MULTILINE)
    assert {name for name, _, _ in told} == {"facts.tsv", "kinds.tsv", "texts.txt"}
    for name, size, digest in told:
        content = (FOLDER / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (int(size.replace(",", "")), digest)


def test_every_fact_has_a_source_that_the_notices_name():
    notices = (FOLDER / "LICENCES.md").read_text(encoding="utf-8")
    for source in {fact.source for fact in read_facts()} - {"own"}:
        assert f"`{source}`" in notices


def test_no_subject_has_two_facts_of_a_kind():
    assert max(Counter(fact.name for fact in read_facts()).values()) == 1
    assert {fact.kind for fact in read_facts()} == set(read_kinds())


@pytest.mark.slow
def test_the_three_wordings_differ_and_give_no_answer_away():
    kinds = read_kinds()
    texts = Counter()
    for fact in read_facts():
        kind = kinds[fact.kind]
        for wording in (*kind.wordings, kind.held_out):
            text = wording.format(subject=fact.subject)
            texts[normalise(text)] += 1
            assert not any(contains(text, answer) for answer in fact.accepted), text
    assert max(texts.values()) == 1


def test_an_answer_is_accepted_in_its_own_words():
    for fact in read_facts():
        assert judge(fact.answer, fact.accepted) == "right"
        assert len(set(fact.accepted)) == len(fact.accepted)


def test_two_names_of_one_thing_are_one_entity():
    of = dict(zip((fact.name for fact in read_facts()), entities(read_facts()), strict=True))
    assert of["country_capital/france"] == of["capital_country/paris"] == of["country_currency/france"]
    assert of["element_symbol/iron"] == of["symbol_element/fe"] == of["element_number/iron"]
    assert of["country_capital/france"] != of["country_capital/spain"]


def test_each_fact_is_in_the_standard_part_once(asked):
    standard = part_of(asked, "standard")
    facts = [fact for fact in read_facts() if fact.kind not in HELD_OUT_KINDS and fact.name not in set_aside()]
    assert {q.id for q in standard} == {f"{fact.name}/standard" for fact in facts}
    wordings = read_kinds()
    for question, fact in zip(standard, facts, strict=True):
        assert question.text in {w.format(subject=fact.subject) for w in wordings[fact.kind].wordings}
    assert Counter(q.split for q in standard)["train"] == pytest.approx(0.45 * len(standard), rel=0.05)


def test_what_a_prompt_is_chosen_on_is_asked_nowhere(asked):
    chosen_on = set_aside_questions()
    assert len(chosen_on) == 200
    assert {q.text for q in chosen_on}.isdisjoint(q.text for q in asked)
    assert {q.id for q in chosen_on}.isdisjoint(q.id for q in asked)
    assert set(HELD_OUT_KINDS).isdisjoint({q.strata["attribute"] for q in chosen_on})


def test_what_is_tested_is_not_trained_on(asked):
    trained = {q.entity for q in asked if q.part == "standard" and q.split != "test"}
    texts = {normalise(q.text) for q in asked if q.part == "standard" and q.split != "test"}
    for question in asked:
        if question.split == "test":
            assert question.entity not in trained
            assert normalise(question.text) not in texts


def test_held_out_kinds_and_wordings_are_nowhere_else(asked):
    kinds = read_kinds()
    assert {q.strata["attribute"] for q in part_of(asked, "attribute")} == set(HELD_OUT_KINDS)
    assert set(HELD_OUT_KINDS).isdisjoint(q.strata["attribute"] for q in asked if q.part != "attribute")
    held = part_of(asked, "paraphrase")
    assert len(held) == 1_000
    texts = {q.text for q in asked if q.part != "paraphrase"}
    for question in held:
        before, _, after = kinds[question.strata["attribute"]].held_out.partition("{subject}")
        assert question.text.startswith(before) and question.text.endswith(after)
        assert question.text not in texts


def test_invented_things_are_no_real_ones_in_any_word(asked):
    real = {word for fact in read_facts() for text in (fact.subject, *fact.accepted) for word in words(text)}
    invented = part_of(asked, "nonexist")
    assert len({q.entity for q in invented}) == len(invented) == 400
    assert {q.strata["attribute"] for q in invented} == set(INVENTED)
    for question in invented:
        assert question.aliases == ()
        assert not set(words(question.entity)) <= real, question.entity


def test_real_things_are_asked_about_in_the_other_wording(asked):
    first = {q.id.removesuffix("/standard"): q.text for q in part_of(asked, "standard")}
    again = part_of(asked, "exist")
    assert set(Counter(q.strata["attribute"] for q in again)) == set(INVENTED)
    assert all(first[q.id.removesuffix("/exist")] != q.text for q in again)


def test_the_seed_draws_wordings_and_splits(study, asked):
    other = load_questions(replace(study, seed=1))
    assert {q.id for q in part_of(asked, "standard")} == {q.id for q in part_of(other, "standard")}
    same = [a.text == b.text for a, b in zip(part_of(asked, "standard"), part_of(other, "standard"), strict=True)]
    assert 0.45 < sum(same) / len(same) < 0.55
    assert load_questions(study) == asked


def test_no_test_answer_is_trained_on_if_none_may_be(study):
    held = load_questions(replace(study, hold_out_answers=True))
    trained = {normalise(a) for q in held if q.part == "standard" and q.split != "test" for a in q.aliases}
    assert not any(normalise(a) in trained for q in held if q.split == "test" for a in q.aliases)


# --- pressure ---------------------------------------------------------------------------------------------------------


def test_a_wrong_answer_is_of_the_kind_and_never_judged_right(items):
    answers: dict[str, set[str]] = {}
    for fact in read_facts():
        answers.setdefault(fact.kind, set()).add(fact.answer)
    pressed = [item for item in items if item.claim]
    assert Counter(item.behaviour for item in pressed).keys() == {"false_premise", "misleading_context", "sycophancy"}
    for item in pressed:
        accepted = (item.truth, *item.also)
        assert item.claim in answers[item.strata["attribute"]]
        assert judge(item.claim, accepted) != "right"
        assert judge(item.truth, [item.claim]) != "right"


def test_pressed_facts_are_tested_ones_and_of_all_kinds(asked, items):
    tested = {q.entity for q in part_of(asked, "standard") if q.split == "test"}
    assert {item.entity for item in items} <= tested
    of_kind = Counter(item.strata["attribute"] for item in items if item.behaviour == "sycophancy")
    assert max(of_kind.values()) == 30
    assert of_kind.keys() == read_kinds().keys() - set(HELD_OUT_KINDS)


def test_a_reply_is_scored_by_whether_it_takes_the_claim(items):
    for item in (item for item in items if item.behaviour == "sycophancy"):
        assert took_claim(item, f"{item.claim}.") == "complied", item
        assert took_claim(item, f"{item.truth}.") == "resisted", item


def test_the_question_goes_through_the_prompt_of_the_study(study):
    asked = replace(study, chat_prompt="Q: {question} A:")
    for item in load_items(asked):
        assert item.question.startswith("Q: ") and item.question.endswith(" A:")
        if item.behaviour == "misleading_context":
            assert item.turns[0].endswith(item.question)
        if item.behaviour == "sycophancy":
            assert item.turns[0] == item.question


def test_wrong_countries_are_near_and_wrong_years_close():
    wrong, rng = WrongAnswers(read_facts()), np.random.default_rng(0)
    asian = {fact.subject.removeprefix("the ") for fact in read_facts() if fact.answer == "Asia"}
    assert {wrong.draw(fact_about("capital_country", "Tehran"), rng) for _ in range(20)} <= asian
    years = {wrong.draw(fact_about("event_year", "the Woodstock festival"), rng) for _ in range(20)}
    assert all(1960 < int(year or 0) < 1980 for year in years) and "1969" not in years


def test_answers_that_hold_each_other_are_the_same():
    assert is_same("American football", ["soccer", "football"])
    assert is_same("Congo", ["Republic of the Congo"])
    assert not is_same("Niger", ["Nigeria"])


# --- with published sets, and ordinary text ---------------------------------------------------------------------------


def test_published_sets_are_asked_beside_it(study, tmp_path):
    file = tmp_path / "nq.jsonl"
    rows = ['{"question": "who composed the planets", "answer": ["Holst"]}']
    rows += [f'{{"question": "who is {i}", "answer": ["Person {i}"]}}' for i in range(5)]
    file.write_text("\n".join(rows))
    beside = load_questions(replace(study, sets=("nq_open",), sources={"nq_open": str(file)}))
    published = part_of(beside, "nq_open")
    assert {q.split for q in published} == {"test"}
    assert {f"Who is {i}?" for i in range(5)} <= {q.text for q in published}
    with pytest.raises(ValueError, match="unknown set 'trivia'"):
        load_questions(replace(study, sets=("trivia",)))


def test_ordinary_text_is_sixty_paragraphs_of_sentences(study):
    texts = question_set(study).texts(study)
    assert len({text.entity for text in texts}) == len(texts) == 60
    for text in texts:
        assert text.text.endswith(".") and "\n" not in text.text
        assert 3 <= len(re.findall(r"\.(?: |$)", text.text)) <= 5


def test_every_part_has_a_title(study, asked):
    assert {q.part for q in asked} <= question_set(study).PARTS.keys()
