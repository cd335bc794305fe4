"""What is asked: questions with known answers, split by what they are about; and those of a user, read."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hn_utils.questions.reading.same_answer import normalise
from hn_utils.storage.progress import tell_once
from hn_utils.study import check_types
from hn_utils.study.own_rows import (
    BAR,
    answers_of,
    check_characters,
    meant_by,
    plain,
    present,
    rows_of,
    separator_of,
    unnamed,
)

STANDARD_TITLE = "held-out entities"
SPLITS = {"train": 0.45, "validation": 0.15, "test": 0.40}
_OWN_FIELDS = ("id", "question", "answers", "entity", "part", "split")  # of a user's question; all else are strata
_MIN_ENTITIES = 20  # below which train, validation and test would hold next to nothing


@dataclass(frozen=True)
class Question:
    """Something with a known answer.

    `aliases` are accepted answers, the first one canonical; a thing that does not exist has none. `entity` is what the
    question is about: train, validation and test share none. `part` is the role in the study: standard, or one of the
    transfer sets.
    `strata` holds what else is known: `attribute`, and `exposure`, how often the model can have read of it.
    """

    id: str
    text: str
    aliases: tuple[str, ...]
    entity: str
    part: str = "standard"
    split: str = "test"
    strata: dict[str, Any] = field(default_factory=dict)


class Text(NamedTuple):
    """Ordinary text, and the entity that it is about: texts about one entity are drawn together."""

    text: str
    entity: str


def check_ids(questions: Sequence[Question]) -> None:
    """Raises ValueError that names a question whose parts are not of their types, or an id which several questions
    share: their answers would be taken for one's."""
    for question in questions:
        try:
            check_types(question)
        except ValueError as error:
            raise ValueError(f"question {question.id!r}: {error}") from None
    shared = [name for name, n in Counter(q.id for q in questions).items() if n > 1]
    if shared:
        raise ValueError(f"{len(shared)} ids stand for several questions, such as {shared[0]!r}: give each its own")


def split_entities(entities: list[str], seed: int, held_out: Collection[str] = ()) -> dict[str, str]:
    """Send each entity to train, validation or test as a whole, at random; those that are `held_out` to test, which
    gets as many fewer of the others."""
    names = sorted(set(entities))
    kept = sorted(set(held_out) & set(names))
    bounds = np.cumsum(list(SPLITS.values())) * len(names)
    bounds *= min(1.0, (len(names) - len(kept)) / max(1.0, bounds[-2]))  # if there are more of them than test entities
    others = sorted(set(names) - set(kept))
    order = np.random.default_rng(seed).permutation(len(others))
    split = {
        others[i]: list(SPLITS)[int(np.searchsorted(bounds, place, side="right"))] for place, i in enumerate(order)
    }
    return split | dict.fromkeys(kept, "test")


def forms(*texts: str) -> list[str]:
    """The texts as `normalise` spells them, but those of which nothing is left ("?!"): they would all be the same."""
    return [form for form in map(normalise, texts) if form]


def first_form(aliases: Sequence[str]) -> str:
    """What a question is about if nothing else tells: its answer. Empty if nothing is left of any name of it."""
    return next(iter(forms(*aliases)), "")


def _names_of(asked: Sequence[Question], by_answer: Sequence[bool]) -> list[set[str]]:
    """By what names each question is about something: its text, its entity and, if it is marked, its accepted answers.

    Of those that are not marked, whose entity is known and is not their answer, the answer joins none: many people have
    one occupation. But where a marked question has that answer, too, it is a name of both.
    """
    answers = [forms(*q.aliases) for q in asked]
    joining = {form for own, by in zip(answers, by_answer, strict=True) if by for form in own}
    return [
        {f"={q.entity}", *forms(q.text, q.entity), *joining.intersection(own)}  # "=" is in no form
        for q, own in zip(asked, answers, strict=True)
    ]


def share_entities(asked: Sequence[Question], by_answer: Sequence[bool] | None = None) -> list[Question]:
    """Give one entity to all questions that share one of their `_names_of` (all by answer, if none are marked),
    directly or through others."""
    return joined(asked, _names_of(asked, [True] * len(asked) if by_answer is None else by_answer))


def joined(asked: Sequence[Question], names: Sequence[Collection[str]]) -> list[Question]:
    """Questions that share a name, directly or through others, with the entity of the first of them."""
    return [replace(q, entity=asked[first].entity) for q, first in zip(asked, connected(names), strict=True)]


def connected(names: Sequence[Collection[str]]) -> list[int]:
    """For each of some sets of names the first set that it shares a name with, directly or through others."""
    leader = list(range(len(names)))
    holder: dict[str, int] = {}

    def find(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    for place, some in enumerate(names):
        for name in some:
            one, other = find(place), find(holder.setdefault(name, place))
            leader[max(one, other)] = min(one, other)
    return [find(place) for place in range(len(names))]


@dataclass(frozen=True)
class Parts:
    """Questions of all parts, each with the names by which it is about something, and whether none of its answers may
    be a training answer (`apart`)."""

    asked: list[Question]
    names: list[set[str]]
    apart: list[bool]

    @classmethod
    def of(cls, asked: Sequence[Question], by_answer: Sequence[bool], apart: Sequence[bool]) -> Parts:
        """`share_entities` in each part; what another part asks about something of the standard part has its
        entity."""
        places: dict[str, list[int]] = {"standard": []}
        for place, q in enumerate(asked):
            places.setdefault(q.part, []).append(place)
        holder: dict[str, str] = {}  # by name the entity of the standard part
        shared: dict[int, tuple[Question, set[str]]] = {}
        for part, some in places.items():
            own = [asked[place] for place in some]
            names = _names_of(own, [by_answer[place] for place in some])
            for place, q, called in zip(some, joined(own, names), names, strict=True):
                if part == "standard":
                    holder |= dict.fromkeys(called, q.entity)
                entity = next((holder[name] for name in sorted(called) if name in holder), q.entity)
                shared[place] = replace(q, entity=entity), called
        ordered = [shared[place] for place in range(len(asked))]
        return cls([q for q, _ in ordered], [called for _, called in ordered], list(apart))

    def split(self, seed: int, kept: str | None = None) -> Parts:
        """Each standard entity in one split, at random; those that share a name with the part `kept` are in test, so
        that nothing of that has to be left out."""
        needed = {name for q, called in zip(self.asked, self.names, strict=True) if q.part == kept for name in called}
        held_out, entities = set(), []
        for q, called in zip(self.asked, self.names, strict=True):
            if q.part == "standard":
                entities.append(q.entity)
                if not needed.isdisjoint(called):
                    held_out.add(q.entity)
        split = split_entities(entities, seed, held_out)
        asked = [replace(q, split=split[q.entity]) if q.part == "standard" else q for q in self.asked]
        return replace(self, asked=asked)

    def unseen(self) -> list[Question]:
        """The questions without those of other parts that share a name with one on which the probe is trained or
        chosen, or an answer where none may be shared; how many that were is told."""
        trained = [q.part == "standard" and q.split != "test" for q in self.asked]
        seen = {name for called, train in zip(self.names, trained, strict=True) if train for name in called}
        answers, left = _answers_seen(self.asked), []
        for q, called, apart in zip(self.asked, self.names, self.apart, strict=True):
            touches = not seen.isdisjoint(called) or (apart and not answers.isdisjoint(forms(*q.aliases)))
            if q.part == "standard" or not touches:
                left.append(q)
        after = Counter(q.part for q in left)
        for part, n in Counter(q.part for q in self.asked).items():
            if after[part] < n:
                tell_once(
                    f"{part}: {n - after[part]:,} of {n:,} questions share what they ask about, an answer or their "
                    "text with a training question and are left out"
                )
        return left


def merge_repeated(asked: Sequence[Question], what: str) -> list[Question]:
    """Questions of one part with the same words made one, with the accepted answers of all; how many is told.

    Words are the same up to case and blanks. Raises ValueError if they are asked in several splits of a user's own.
    """
    first: dict[tuple[str, str], Question] = {}
    for q in asked:
        key = q.part, " ".join(unicodedata.normalize("NFC", q.text).casefold().split())
        same = first.setdefault(key, q)
        if same.split != q.split:
            raise ValueError(
                f"{q.text!r} is asked in the splits {same.split} and {q.split}: put each question into one split"
            )
        if same is not q:
            first[key] = replace(same, aliases=tuple(dict.fromkeys([*same.aliases, *q.aliases])))
    if n := len(asked) - len(first):
        tell_once(f"{what}: {n:,} rows repeat a question and are joined with it, with all accepted answers")
    return list(first.values())


def _answers_seen(asked: Sequence[Question]) -> set[str]:
    """The normalised accepted answers of all questions on which the probe is trained or chosen."""
    return {form for q in asked if q.part == "standard" and q.split != "test" for form in forms(*q.aliases)}


def unseen_answers(asked: Sequence[Question]) -> set[str]:
    """Ids of test questions, of any part, none of whose accepted answers is one of a training or validation question.

    Questions without any answer, about things that do not exist, are among them.
    """
    seen = _answers_seen(asked)
    return {q.id for q in asked if q.split == "test" and seen.isdisjoint(forms(*q.aliases))}


def hold_out_answers(asked: Sequence[Question], seed: int) -> list[Question]:
    """Questions so that no test question has an answer that a training or validation question has, whatever they ask
    about.

    Of each answer (with all that share a name with it) which both have, one side at random keeps its questions: the
    test side in as many cases as its share of the splits. How many are left out is told.
    """
    groups = connected([forms(*q.aliases) for q in asked])  # of questions that share an answer
    sides: dict[int, set[bool]] = {}
    for q, group in zip(asked, groups, strict=True):
        sides.setdefault(group, set()).add(q.split == "test")
    shared = [group for group, some in sides.items() if len(some) == 2]
    drawn = np.random.default_rng([seed, 11]).random(len(shared)) < SPLITS["test"]
    tested = dict(zip(shared, drawn.tolist(), strict=True))
    left = [
        q for q, group in zip(asked, groups, strict=True) if tested.get(group, q.split == "test") == (q.split == "test")
    ]
    if len(left) < len(asked):
        tell_once(
            f"{len(asked) - len(left):,} of {len(asked):,} questions are left out, so that no test answer is a "
            "training answer"
        )
    return left


# --- a user's own ---------------------------------------------------------------------------------------------------


def own_questions(
    given: Sequence[Mapping[str, Any]] | pd.DataFrame, seed: int, hold_out: bool = False
) -> list[Question]:
    """Questions from a list of dicts or a DataFrame, a row each.

    `question` is a text and `answers` one accepted answer or several, the first canonical; a list that a CSV file keeps
    as text, in JSON or as Python prints it, or with bars (A|B), is read as that list. May be left out: `entity`, what
    it is about (else questions that share an answer share one); `part` (else standard: to learn from and to be tested
    on; any other is a test set of its own, and only one called nonexist, about things that do not exist, may have no
    answers); `split` (else entities go to train, validation and test at random, by `seed`); `id`. Whatever else a row
    holds becomes its strata. Rows that ask the same are joined; rows of other parts about what the probe is trained on
    are left out; both are told. With `hold_out` no test answer is a training answer (`hold_out_answers`). Raises
    ValueError that names the row and what it lacks.
    """
    rows = rows_of("questions", given, "a question and its answers")
    separator = separator_of("answers", [row.get("answers") for row in rows])
    asked = [_own_question(place, row, separator) for place, row in enumerate(rows)]
    check_ids(asked)
    unnamed = {q.id for q, row in zip(asked, rows, strict=True) if not present(row, "entity")}
    placed = {q.id for q, row in zip(asked, rows, strict=True) if present(row, "split")}
    asked = merge_repeated(asked, "questions")
    by_answer = [q.id in unnamed for q in asked]
    standard = [q for q in asked if q.part == "standard"]
    n_split = sum(q.id in placed for q in standard)
    if n_split not in (0, len(standard)):
        raise ValueError(f"{n_split} of {len(standard)} standard questions name a split: give it to all or to none")
    parts = Parts.of(asked, by_answer, by_answer)
    parts = parts if n_split else parts.split(seed)
    _check_splits([q for q in parts.asked if q.part == "standard"])
    asked = parts.unseen()
    if not hold_out:
        tell_shared_answers("questions", asked)
        return asked
    asked = hold_out_answers(asked, seed)
    _check_splits([q for q in asked if q.part == "standard"])
    return asked


def tell_shared_answers(name: str, asked: Sequence[Question]) -> None:
    """Tell how many test questions, of any part, have an answer that a training question has, if any has."""
    tested = {q.id for q in asked if q.split == "test" and q.aliases}
    seen = tested - unseen_answers(asked)
    if seen:
        tell_once(
            f"{name}: {len(seen):,} of {len(tested):,} test questions have an answer that a training question has, "
            "about something else; hold_out_answers=True leaves none"
        )


def titles(asked: Sequence[Question]) -> dict[str, str]:
    """What each part of a user's own questions is called: by its name, the standard one by what it is."""
    return {part: part for part in dict.fromkeys(q.part for q in asked)} | {"standard": STANDARD_TITLE}


def _own_question(place: int, row: Mapping[str, Any], separator: str = BAR) -> Question:
    """One row as a question, its entity the answer where it names none."""
    told = {name: row[name] for name in row if present(row, name)}
    text, answers = told.get("question", ""), told.get("answers", ())
    part = str(told.get("part", "standard")).strip()
    part = part.lower() if part.lower() in ("standard", "nonexist") else part
    if not isinstance(text, str) or not text.strip():
        held = ", ".join(map(str, row)) or "nothing"
        raise ValueError(f"questions[{place}] has no text under 'question'; it has {held}{meant_by('question', row)}")
    check_characters(f"questions[{place}] has question", text)
    aliases = answers_of(f"questions[{place}] ({text!r}) has answers", answers, separator)
    if not forms(*aliases) and part != "nonexist":
        raise ValueError(
            f"questions[{place}] ({text!r}) has answers={answers!r}: give at least one accepted answer with a letter "
            f"or a digit{meant_by('answers', row)}"
        )
    split = str(told.get("split", "test")).strip().lower()
    if split not in SPLITS:
        raise ValueError(f"questions[{place}] has split={told['split']!r}: choose one of {', '.join(SPLITS)}")
    entity = str(told.get("entity", "")) or first_form(aliases) or normalise(text) or text
    strata = {
        str(name): plain(f"questions[{place}] has {name}", value)
        for name, value in told.items()
        if name not in _OWN_FIELDS and not unnamed(str(name))
    }
    return Question(str(told.get("id", place)), text, aliases, entity, part, split, strata)


def _check_splits(standard: Sequence[Question]) -> None:
    """Raises ValueError if there is too little to learn from, or an entity is in two splits."""
    splits: dict[str, set[str]] = {}
    for q in standard:
        splits.setdefault(q.entity, set()).add(q.split)
    if len(splits) < _MIN_ENTITIES:
        raise ValueError(
            f"{len(standard)} standard questions are about only {len(splits)} different entities (what a row names as "
            "'entity', or else its answer), too few to train, choose and test on different ones: ask about "
            f"{_MIN_ENTITIES} or more, and name each row's 'entity' if answers are shared by accident"
        )
    torn = [entity for entity, some in splits.items() if len(some) > 1]
    if torn:
        raise ValueError(
            f"{len(torn)} entities are in several splits, such as {torn[0]!r}, by their name, a text or (where no "
            "entity is named) an answer: put each into one"
        )
    missing = SPLITS.keys() - {q.split for q in standard}
    if missing:
        raise ValueError(f"no standard question is in the split {', '.join(sorted(missing))}")
