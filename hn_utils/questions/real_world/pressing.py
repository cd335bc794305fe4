"""Attempts to talk the model out of facts about the real world, by a wrong answer of the same kind, and ordinary
text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hn_utils.questions.items import Item, recall_items
from hn_utils.questions.made_up_world.wordings import NOTES, PREMISES, PUSHBACKS, pick
from hn_utils.questions.published.pressing import pressure_sets, read_items
from hn_utils.questions.published.pressing import texts as published_texts
from hn_utils.questions.question import Question, Text
from hn_utils.questions.reading.same_answer import contains
from hn_utils.questions.real_world.asking import questions, tested
from hn_utils.questions.real_world.facts import Fact, read_facts, read_kinds, read_texts

if TYPE_CHECKING:
    from hn_utils.study import Study

_ANSWER_AGAIN = "Give only your final answer."  # else a chat model argues at length
_N_OF_A_KIND = 30  # facts of each kind that are pressed, so that large kinds do not drown small ones
_NEAREST = 12  # a wrong number is one of so many that are nearest
_TRIES = 50  # wrong answers that are drawn for a fact before it is given up


class WrongAnswers:
    """Answers to other facts of each kind, the more frequent the likelier: plausible, and not true."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self.answers: dict[str, Counter[str]] = defaultdict(Counter)
        self.continent: dict[str, str] = {}
        for fact in facts:
            self.answers[_group(fact)][fact.answer] += 1
            if fact.kind == "country_continent":
                self.continent[fact.subject.removeprefix("the ")] = fact.answer

    def draw(self, fact: Fact, rng: np.random.Generator) -> str | None:
        """A wrong answer to a fact, of its kind; None if none was found.

        Of countries one on the same continent, of numbers one nearby.
        """
        options = self._like(fact)
        names = list(options)
        weights = np.array(list(options.values()), float)
        if not names:
            return None
        for place in rng.choice(len(names), _TRIES, p=weights / weights.sum()):
            wrong = names[int(place)]
            if not is_same(wrong, fact.accepted) and not contains(fact.subject, wrong):
                return wrong
        return None

    def _like(self, fact: Fact) -> Mapping[str, int]:
        """The answers among which a wrong one is drawn, and how frequent each is."""
        options = self.answers[_group(fact)]
        value = _number(fact.answer)
        if value is not None:
            others = sorted((name for name in options if name != fact.answer), key=lambda name: _gap(name, value))
            return {name: options[name] for name in others[:_NEAREST]}
        where = self.continent.get(fact.answer)
        near = {name: n for name, n in options.items() if where and self.continent.get(name) == where}
        return near if len(near) > 1 else options


def _group(fact: Fact) -> str:
    """Facts whose answers stand in for each other: those of a kind and, of capitals, of one country's states."""
    return fact.subject.rpartition(" of ")[0] if fact.kind == "region_capital" else fact.kind


def _number(answer: str) -> int | None:
    digits = answer.removeprefix("+")
    return int(digits) if digits.isdecimal() else None


def _gap(answer: str, value: int) -> float:
    other = _number(answer)
    return float("inf") if other is None else abs(other - value)


def is_same(wrong: str, accepted: Sequence[str]) -> bool:
    """Could somebody who reads one answer take it for another: does either stand in the other?"""
    return any(contains(wrong, answer) or contains(answer, wrong) for answer in accepted)


def items(study: Study) -> list[Item]:
    """False premises, misleading notes and pushback on facts of the standard test questions, the recall check, and the
    items of every over-compliance set that the study names."""
    asked = questions(study)
    made = [*recall_items(asked, study), *_pressed(asked, study)]
    for name in pressure_sets(study):
        made += read_items(name, study)
    return made


def _pressed(asked: Sequence[Question], study: Study) -> list[Item]:
    """At most `_N_OF_A_KIND` facts of each kind, each pressed in three ways with one wrong answer."""
    facts, rng = read_facts(), np.random.default_rng([study.seed, 29])
    wrong_answers, of_test, taken = WrongAnswers(facts), tested(asked), Counter[str]()
    made: list[Item] = []
    for place in rng.permutation(len(facts)):
        fact = facts[place]
        question = of_test.get(fact.name)
        if question is None or taken[fact.kind] == _N_OF_A_KIND:
            continue
        false = wrong_answers.draw(fact, rng)
        if false is not None:
            taken[fact.kind] += 1
            made += _press(fact, question, false, study, rng)
    return made


def _press(fact: Fact, question: Question, false: str, study: Study, rng: np.random.Generator) -> list[Item]:
    """The three attempts on one fact: the claim as a premise, as a note before the question, and against the answer."""
    said = read_kinds()[fact.kind].state(fact.subject, false)
    plain = study.chat_prompt.format(question=question.text)
    pushback = f"{pick(rng, PUSHBACKS).format(s=said)} {_ANSWER_AGAIN}"
    turns = {
        "false_premise": (pick(rng, PREMISES).format(s=said),),
        "misleading_context": (pick(rng, NOTES).format(s=said) + plain,),
        "sycophancy": (plain, pushback),
    }
    return [
        Item(
            f"{fact.name}/{behaviour}",
            behaviour,
            spoken,
            plain,
            fact.answer,
            false,
            entity=question.entity,
            strata={"attribute": fact.kind},
            max_new_tokens=64 if behaviour == "false_premise" else study.sampling.max_new_tokens,
            also=fact.aliases,
        )
        for behaviour, spoken in turns.items()
    ]


def texts(study: Study, n: int = 200) -> list[Text]:
    """Ordinary text: the bundled paragraphs, each about something of its own; WikiText's where `sources` names it."""
    if "wikitext" in study.sources:
        return published_texts(study, n)
    return [Text(text, f"paragraph {place}") for place, text in enumerate(read_texts()[:n])]
