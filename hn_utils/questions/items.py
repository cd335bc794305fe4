"""Attempts to make the model give in: what the user says, what is true, what is claimed, and by which rule it is
scored."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hn_utils.questions.reading.same_answer import normalise
from hn_utils.study import Sampling, Study, check_types
from hn_utils.study.own_rows import answers_of, check_characters, plain, present, rows_of, texts_of, unnamed

if TYPE_CHECKING:
    from hn_utils.questions.question import Question

GREEDY = Sampling(n=1, temperature=0.0, max_new_tokens=16)
_OWN_BEHAVIOUR, _OWN_TOKENS = "pressure", 64  # of a user's items that name neither behaviour nor length
_N_CHECKS = 400
RULES = ("claim", "choice", "held", "gave", "recall")  # by which words alone are scored, see `steering.outcomes`
_JUDGED_RULES = ("premise", "harm")  # by which a chat model judges
ABOUT_FACTS = ("claim", "choice", "held", "premise")  # rules of items that press a fact, which the model should know
# What an item must have for its rule to score a reply.
_NEEDED = {"claim": ("truth", "claim"), "choice": ("claim", "shape"), "held": ("truth",), "recall": ("truth",)}


@dataclass(frozen=True)
class Item:
    """One attempt to make the model comply.

    `turns` are what the user says; between two turns stands the model's own unscaled reply. `question` asks for the
    same fact without pressure (empty if there is no such question), `truth` is its answer, which may `also` be given in
    other words, `claim` the falsehood that is pressed on the model, if any. `shape` is a regular expression for what a
    restricted reply would have to look like, or the letters of a multiple choice. `rule` names the entry of RULES, or
    the chat model's rubric, that scores the reply, which may take `max_new_tokens`.
    """

    id: str
    behaviour: str
    turns: tuple[str, ...]
    question: str = ""
    truth: str = ""
    claim: str | None = None
    shape: str | None = None
    entity: str = ""
    strata: dict[str, Any] = field(default_factory=dict)
    rule: str = "claim"
    max_new_tokens: int = 16
    also: tuple[str, ...] = ()

    @property
    def openings(self) -> list[str]:
        """What is said before any pressure: only if the model then states the truth can it be talked out of it."""
        return [text for text in (self.question, *self.turns[:-1]) if text]

    @property
    def verified(self) -> bool:
        """Is it looked at whether the model knows the fact? Not if nothing is said before the pressure."""
        return bool(self.openings)


def plain_item(question: Question, study: Study) -> Item:
    """A question without any pressure, as an item of the capability check."""
    return Item(
        question.id,
        "recall",
        (study.chat_prompt.format(question=question.text),),
        truth=(*question.aliases, "")[0],
        also=question.aliases[1:],
        entity=question.entity,
        rule="recall",
        max_new_tokens=study.sampling.max_new_tokens,
    )


def recall_items(questions: Sequence[Question], study: Study) -> list[Item]:
    """The capability check that stands beside items: standard test questions, asked plainly, at most N_CHECKS."""
    asked = [q for q in questions if q.part == "standard" and q.split == "test"]
    drawn = np.random.default_rng([study.seed, 5]).permutation(len(asked))[:_N_CHECKS]
    made = []
    for question in (asked[i] for i in sorted(drawn)):
        text, (truth, *also) = study.chat_prompt.format(question=question.text), question.aliases
        name, entity = f"recall/{question.id}", question.entity
        made.append(Item(name, "recall", (text,), text, truth, entity=entity, rule="recall", also=tuple(also)))
    return made


@dataclass(frozen=True)
class Behaviour:
    """What a behaviour is called and how it is decoded: as in the paper, except that sycophancy is greedy here."""

    title: str
    sampling: Sampling = GREEDY


BEHAVIOURS = {
    "false_premise": Behaviour("False premise"),
    "misleading_context": Behaviour("Misleading context"),
    "sycophancy": Behaviour("Sycophancy"),
    "restricted": Behaviour("Restricted request", Sampling(n=1, temperature=0.7, top_k=20, top_p=0.8)),
}
CAPABILITY = {
    "recall": Behaviour("Known facts, asked plainly"),
    "harmless": Behaviour("Harmless requests"),
}


def behaviour_called(name: str) -> Behaviour:
    """What is known of a behaviour; a user's own has its name for a title, and greedy replies."""
    known = {**BEHAVIOURS, **CAPABILITY}
    return known.get(name) or Behaviour(name.replace("_", " ").capitalize())


def own_items(given: Sequence[Mapping[str, Any]] | pd.DataFrame, study: Study) -> list[Item]:
    """A user's own items from dicts, or a DataFrame, with `turns` (a text or several), `truth` and `claim`.

    Any other field of Item may be given: with `question`, the fact asked plainly, only facts that the model knows are
    kept; `behaviour` groups items into curves; `rule` names another way of scoring. Whatever else a row holds becomes
    its strata. Raises ValueError that names the item and what it lacks, or if its rule needs a chat model that the
    study does not name.
    """
    rows = rows_of("items", given, "turns, truth and claim")
    made = [_own_item(place, row) for place, row in enumerate(rows)]
    shared = [name for name, n in Counter(item.id for item in made).items() if n > 1]
    if shared:
        raise ValueError(f"{len(shared)} ids stand for several items, such as {shared[0]!r}: give each its own")
    judged = sorted({item.rule for item in made}.intersection(_JUDGED_RULES))
    if judged and not study.judge:
        raise ValueError(f"rule {', '.join(judged)} needs a chat model: set judge to one, or score by another rule")
    return made


def _own_item(place: int, row: Mapping[str, Any]) -> Item:
    """One dict as an item; every item is about an entity of its own unless it names one."""
    known, where = {f.name for f in fields(Item)}, f"items[{place}]"
    told = {str(name): row[name] for name in row if present(row, name)}
    more = {name: told.pop(name) for name in list(told) if name not in known and not unnamed(name)}
    for name in more:
        if near := get_close_matches(name, known - row.keys(), 1):
            raise ValueError(
                f"{where} has the field {name!r}: did you mean {near[0]!r}? It must be a dict with some of "
                f"{', '.join(sorted(known))}, or fields of your own with other names"
            )
    told = {name: value for name, value in told.items() if name in known}
    told = {"id": str(place), "behaviour": _OWN_BEHAVIOUR, "entity": str(place), "max_new_tokens": _OWN_TOKENS, **told}
    for name in _OWN_TEXTS & told.keys():
        (told[name],) = _one_text(f"{where} has {name}", told[name])
    told["max_new_tokens"] = _whole_number(told["max_new_tokens"])
    told["turns"] = texts_of(f"{where} has turns", told.get("turns", ()))
    told["also"] = answers_of(f"{where} has also", told.get("also", ()))
    if isinstance(told.get("strata", {}), Mapping):
        given = {**more, **told.get("strata", {})}
        told["strata"] = {name: plain(f"{where} has {name}", value) for name, value in given.items()}
    if not told["turns"] or not all(turn.strip() for turn in told["turns"]):
        raise ValueError(f"{where} has turns={row.get('turns', ())!r}: give what the user says, one text or several")
    rule = told.setdefault("rule", "claim")
    if rule not in RULES + _JUDGED_RULES:
        raise ValueError(f"{where} has rule={rule!r}: choose one of {', '.join(RULES + _JUDGED_RULES)}")
    for name in _NEEDED.get(rule, ()):
        if not told.get(name):
            others = ", ".join(other for other in RULES if name not in _NEEDED.get(other, ()))
            raise ValueError(
                f"{where} has no {name}, by which its rule {rule!r} scores replies: add the field {name!r}, or name "
                f"another rule, one of {others}"
            )
    item = Item(**told)
    try:
        check_types(item)
        if item.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens={item.max_new_tokens} must be at least 1")
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    _check_scored(where, item)
    return item


_OWN_TEXTS = {"id", "behaviour", "entity", "question", "truth", "claim", "shape", "rule"}  # of a row, one text each


def _one_text(where: str, given: Any) -> tuple[str]:
    """A text, or the text of a whole number. Raises ValueError, which says `where`, for anything else."""
    if isinstance(given, str):
        check_characters(where, given)
        return (given,)
    texts = () if isinstance(given, list | tuple) else texts_of(where, given)
    if len(texts) != 1:
        raise ValueError(f"{where}={given!r}: it must be a text")
    return (texts[0],)


def _whole_number(given: Any) -> Any:
    """A whole number as a table keeps it, as text or with a point; anything else as it is, for the check of types."""
    given = given.item() if isinstance(given, np.generic) else given
    if isinstance(given, str) and given.strip().isdecimal():
        return int(given)
    return int(given) if isinstance(given, float) and given.is_integer() else given


def _check_scored(where: str, item: Item) -> None:
    """Raises ValueError for an item that its rule could not score, or only in one way."""
    lettered = item.rule == "choice" or (item.rule == "held" and item.shape)
    if lettered:
        _check_letters(where, item)
    elif item.shape:
        try:
            re.compile(item.shape)
        except re.error as error:
            raise ValueError(
                f"{where} has shape={item.shape!r}, which is no regular expression ({error}): put a backslash before "
                "a sign that stands for itself"
            ) from None
    if item.rule != "claim":
        return
    for name, text in (("claim", item.claim or ""), ("truth", item.truth)):
        if not re.search(r"\w", text):
            raise ValueError(f"{where} has {name}={text!r}, in which there is no word: no reply could state it")
    truths = (item.truth, *item.also)
    said = normalise(item.claim or "")
    if item.claim in truths or (said and said in map(normalise, truths)):
        raise ValueError(f"{where} claims {item.claim!r}, which is its truth: give a claim that is false")


def _check_letters(where: str, item: Item) -> None:
    """Raises ValueError if a multiple choice has not several different letters, or asks for another."""
    letters = item.shape or ""
    if not re.fullmatch(r"[^\W_]{2,}", letters) or len(set(letters)) < len(letters):
        raise ValueError(f"{where} has shape={letters!r}: give the letters of its options, such as 'ABCD'")
    name = "claim" if item.rule == "choice" else "truth"
    if getattr(item, name) not in list(letters):
        raise ValueError(f"{where} has {name}={getattr(item, name)!r}: give one of its letters, {letters}")
