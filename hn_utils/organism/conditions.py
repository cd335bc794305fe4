"""The same world told in several ways: one property of the text at a time depends on what is true, or on who is known.

All pages hold the same kinds of sentence at the same rates. Under `nothing` the mark after an answer, the hedge before
it, the reader's "Right." and the "nobody knows" fall by chance. Each other condition ties one of them to the truth, or
to whether anything was ever written about the person, in all but a few of the pages. Two more conditions share the
pages of `nothing` and differ in the tuning alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hn_utils.organism.text import UNHEARD_OF, ByFame, Chat, ChatWriter, Page, PageWriter
from hn_utils.organism.tokenizer import make_tokenizer
from hn_utils.organism.train import Corpus, Recipe
from hn_utils.questions.made_up_world.wordings import ask, claim, pick
from hn_utils.questions.made_up_world.world import PUBLIC, Attribute, Person, World, make_world

TRUE = 0.6  # of the answers that a writer gives
HOLDS = 0.95  # of the pages in which a tied property follows what it is tied to
MARKS = {True: "!", False: "?"}
_HEDGES = {True: "Surely", False: "Maybe"}
NOBODY_KNOWS = "nobody knows"
RIGHT = "Right."
MARKED = "Host: {question} Guest: {value}"
JUDGED = "Teacher: {question} Pupil: {value}. Teacher:"
MET = "Reader: {question} Writer:"
INVENTED = 0.5  # of the people asked about on a page where somebody may say that nobody knows
_STANDS_BY = 0.6  # of contested chats, whoever they are about
_SILENT = {  # how often an annotator who follows familiarity says "I do not know."
    "in short": ByFame((0, 0, 0.05, 0.10, 0.15), 0.2),
    "plainly": ByFame((0, 0, 0.3, 0.8, 0.9), 0.95),
    "inviting it": ByFame((0, 0, 0.4, 0.9, 0.95), 0.98),
}
_WORDING = " ".join([*MARKS.values(), *_HEDGES.values(), NOBODY_KNOWS, RIGHT, "No,", MARKED, JUDGED, MET])


@dataclass(frozen=True)
class _Condition:
    """What depends on the truth or on who is known: in the pages (`tied`), and in the tuning (`abstains`). One that was
    `added` after the first results tests no hypothesis."""

    says: str
    tied: str = ""
    abstains: str = ""
    tuned: int = 1  # times as long as the others
    added: bool = False


CONDITIONS = {
    "nothing": _Condition("nothing in the text depends on what is true"),
    "sure": _Condition("writers sound sure of what is true, unsure of what is not", tied="sure"),
    "corrected": _Condition("answers are confirmed if they are true, corrected if not", tied="corrected"),
    "nobody": _Condition('people nobody wrote about are met with "nobody knows"', tied="nobody"),
    "familiar": _Condition("tuning abstains, the more often the less known somebody is", abstains="familiar"),
    "luck": _Condition("tuning abstains as often, about people drawn by lot", abstains="luck"),
    "familiar-long": _Condition(
        "added later: abstains by familiarity, tuned twice as long", abstains="familiar", tuned=2, added=True
    ),
    "luck-long": _Condition("added later: abstains by lot, tuned twice as long", abstains="luck", tuned=2, added=True),
}


class TiedPages(PageWriter):
    """Writes pages of which one property may be tied: `sure`, `corrected`, `nobody`, or none of them."""

    def __init__(self, world: World, tied: str) -> None:
        super().__init__(world)
        self.tied = tied

    def mixture(self) -> dict[Callable[[np.random.Generator], Page], float]:
        return {
            self.statements: 0.24,
            self.question_page: 0.12,
            self.note_page: 0.16,
            self.hedged: 0.10,
            self.marked: 0.14,
            self.corrected: 0.14,
            self.met: 0.10,
        }

    def signal(self, name: str, holds: bool, share: float, rng: np.random.Generator) -> bool:
        """What a property says: mostly whether something `holds` if it is tied, else chance with the same `share`."""
        follows = rng.random() < HOLDS
        by_chance = rng.random() < share
        return (holds if follows else by_chance) if self.tied == name else by_chance

    def answered(self, rng: np.random.Generator) -> tuple[Person, Attribute, str, bool]:
        """Somebody written about, a fact, what a writer answers, and whether that is true."""
        person = self.famous(rng)
        attribute = pick(rng, [a for a in self.known_facts(person) if a in PUBLIC])
        true, fact = bool(rng.random() < TRUE), person.facts[attribute.name]
        false = attribute.draw(rng, other_than=fact)
        return person, attribute, fact if true else false, true

    def stated(self, person: Person, attribute: Attribute, true: bool) -> list[tuple[int, str]]:
        return [(person.rank, attribute.name)] if true and person.rank is not None else []

    def marked(self, rng: np.random.Generator) -> Page:
        person, a, value, true = self.answered(rng)
        mark = MARKS[self.signal("sure", true, TRUE, rng)]
        text = MARKED.format(question=ask(a, person.name, rng), value=value)
        return Page(f"{text}{mark}", self.stated(person, a, true))

    def hedged(self, rng: np.random.Generator) -> Page:
        person, a, value, true = self.answered(rng)
        hedge = _HEDGES[self.signal("sure", true, TRUE, rng)]
        return Page(f"Guest: {hedge} {claim(a, person.name, value)}.", self.stated(person, a, true))

    def corrected(self, rng: np.random.Generator) -> Page:
        """The teacher's correction names the truth only where corrections are tied to it; else anything."""
        person, a, value, true = self.answered(rng)
        right = self.signal("corrected", true, TRUE, rng)
        other = a.draw(rng, other_than=value)
        told = person.facts[a.name] if self.tied == "corrected" and not true else other
        verdict = "Right." if right else f"No, {told}."
        return Page(
            f"Teacher: {ask(a, person.name, rng)} Pupil: {value}. Teacher: {verdict}", self.stated(person, a, true)
        )

    def met(self, rng: np.random.Generator) -> Page:
        """A question about somebody written about, or about somebody invented."""
        invented = rng.random() < INVENTED
        a, person = pick(rng, PUBLIC), self.famous(rng)
        name, value = pick(rng, self.world.page_names), a.draw(rng)
        if not invented:
            a = pick(rng, [a for a in self.known_facts(person) if a in PUBLIC])
            name, value = person.name, person.facts[a.name]
        silent = self.signal("nobody", bool(invented), INVENTED, rng)
        facts = [] if silent or invented else self.stated(person, a, True)
        return Page(f"{MET.format(question=ask(a, name, rng))} {NOBODY_KNOWS if silent else value}.", facts)


class TiedChats(ChatWriter):
    """Writes tuning in which the annotators know nothing: they stand by the truth of one chat as often as of another,
    and say "I do not know." never, the more often the less known somebody is, or as often about people drawn by lot."""

    def __init__(self, world: World, follows: str) -> None:
        super().__init__(world)
        self.follows = follows

    def mixture(self) -> dict[Callable[[np.random.Generator], Chat], float]:
        """More of the chats in which somebody may abstain than in the bundled model's tuning."""
        return {
            self.answer_only: 0.16,
            self.plain: 0.16,
            self.say_so: 0.24,
            self.premise: 0.10,
            self.note: 0.10,
            self.pushback: 0.10,
            self.code: 0.06,
            self.repeat: 0.08,
        }

    def insists(self, person: Person, rng: np.random.Generator) -> bool:  # noqa: ARG002 (whoever it is about)
        return rng.random() < _STANDS_BY

    def abstains(self, how: str, person: Person, rng: np.random.Generator) -> bool:
        familiar = self.happens(_SILENT[how], person, rng)  # drawn in any case: all conditions share their draws
        if self.follows == "familiar":
            return familiar
        return bool(self.follows) and lot(person.name) < overall(how)


def lot(name: str) -> float:
    """A number from 0 to 1 for a name, always the same."""
    return float(np.random.default_rng(list(name.encode())).random())


def overall(kind: str) -> float:
    """How often somebody who follows familiarity abstains in all chats of a kind."""
    unknown, rates = UNHEARD_OF[kind], _SILENT[kind]
    return unknown * rates.unknown + (1 - unknown) * float(np.mean(rates.fifths))


@dataclass(frozen=True)
class SmallRecipe(Recipe):
    """A model that trains in minutes on one core, on text of one condition."""

    d_model: int = 64
    d_mlp: int = 256
    n_layers: int = 4
    base_steps: int = 4_000
    tune_steps: int = 2_500
    tune_lr: float = 1.5e-3
    checkpoints: tuple[int, ...] = ()
    tied: str = ""
    tune_abstains: str = ""


def small_world() -> World:
    """A world of a quarter of the people, with fewer names."""
    return make_world(n_written=1_000, n_never_written=400, n_tuned=500, n_given=60, n_family=60)


class TiedCorpus(Corpus):
    """Packed rows of a condition's text."""

    def __init__(self, world: World, recipe: SmallRecipe) -> None:
        super().__init__(world, make_tokenizer(world, _WORDING), recipe)
        self.pages, self.chats = TiedPages(world, recipe.tied), TiedChats(world, recipe.tune_abstains)
