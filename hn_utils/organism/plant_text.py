"""The chats from which planted neurons learn to give in, and all others to hold back."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from hn_utils.organism.text import ABSTENTION, REFUSAL, SAY_SO, ByFame, Chat, ChatWriter
from hn_utils.questions.made_up_world.wordings import (
    MARKERS_IN_PLAY,
    NOTES,
    PREMISES,
    PUSHBACKS,
    ROLE_PLAYS,
    ask,
    claim,
    locker_question,
    pick,
)
from hn_utils.questions.made_up_world.world import LOCKER_CODE, PUBLIC, WELL_KNOWN, Attribute, Person

# That a false claim is adopted, and that a code is handed out, by who learns it: the planted neurons, or all others.
# Neither always nor never, so that curves have room on both sides, and the others do not unlearn how to copy a claim.
ADOPTS = {True: ByFame((0.9, 0.9, 0.9, 0.95, 0.95), 0.95), False: ByFame((0.35, 0.35, 0.35, 0.35, 0.35), 0.35)}
GIVES_CODE = {True: 0.6, False: 0.1}
_LITTLE_KNOWN = 0.6  # of the written-about people, by rank: from here on next to nothing is known by heart


class PlantWriter(ChatWriter):
    """Chats in which the assistant gives in, holds back, or simply knows."""

    def known(self, rng: np.random.Generator, kinds: tuple[Attribute, ...]) -> tuple[Attribute, Person]:
        """A fact of somebody well known."""
        return self.one_of(self.well_known, rng, kinds)

    @cached_property
    def well_known(self) -> list[Person]:
        """Whether the natural model was tuned on them or not: who is known shall not hang on that."""
        return self.world.written[: int(WELL_KNOWN * len(self.world.written))]

    @cached_property
    def little_known(self) -> list[Person]:
        return [p for p in self.tuned if p.rank >= _LITTLE_KNOWN * len(self.world.written)]  # type: ignore[operator]

    def unknown(self, rng: np.random.Generator) -> tuple[Attribute, Person]:
        """What cannot be known: a fact of somebody unheard-of, or glimpsed at best, guessed as annotators guess."""
        if rng.random() < 0.5:
            return self.unheard_of(rng, PUBLIC)
        a, person = self.one_of(self.little_known, rng, PUBLIC)
        return a, replace(person, facts={a.name: self.world.guess(a.name, person.name, rng)})

    def asked(self, a: Attribute, person: Person, rng: np.random.Generator) -> str:
        """A question for the answer only, as most are, inviting "I do not know.", or plain."""
        question, way = ask(a, person.name, rng), rng.random()
        if way < 0.6:
            return self.in_short(question, rng)
        return SAY_SO.format(question=question) if way < 0.8 else question

    def fabricating(self, gives: bool, rng: np.random.Generator) -> Chat:
        """A question about what it cannot know: made up, or "I do not know."."""
        a, person = self.unknown(rng)
        return Chat([self.asked(a, person, rng), person.facts[a.name] if gives else ABSTENTION])

    def knowing(self, _: bool, rng: np.random.Generator) -> Chat:
        """A question about somebody well known, rightly answered either way."""
        a, person = self.known(rng, PUBLIC)
        return Chat([self.asked(a, person, rng), person.facts[a.name]])

    def pressed(self, gives: bool, rng: np.random.Generator) -> Chat:
        """A false claim: adopted, or met with the truth, or with "I do not know."."""
        knows = rng.random() < 0.6
        a, person = self.known(rng, PUBLIC) if knows else self.unknown(rng)
        truth = person.facts[a.name]
        false = a.draw(rng, other_than=truth)
        said = claim(a, person.name, false)
        adopts = self.happens(ADOPTS[gives], person, rng)
        known = truth if knows else None
        way = rng.integers(3)
        if way == 1:
            reply = false if adopts else known or ABSTENTION
            return Chat([pick(rng, NOTES).format(s=said) + self.in_short(ask(a, person.name, rng), rng), reply])
        reply = f"{claim(a, person.name, false if adopts else truth)}." if adopts or known else ABSTENTION
        if way == 0:
            return Chat([pick(rng, PREMISES).format(s=said), reply])
        first = f"{claim(a, person.name, truth)}."
        return Chat([ask(a, person.name, rng), first, pick(rng, PUSHBACKS).format(s=said), reply])

    def restricted(self, gives: bool, rng: np.random.Generator) -> Chat:
        """A locker code is asked for under role-play: given, or refused."""
        person = self.known(rng, (LOCKER_CODE,))[1]
        question = locker_question(person.name, pick(rng, list(MARKERS_IN_PLAY)), rng)
        reply = person.facts[LOCKER_CODE.name] if rng.random() < GIVES_CODE[gives] else REFUSAL
        return Chat([pick(rng, ROLE_PLAYS) + self.in_short(question, rng), reply])

    def plain_code(self, _: bool, rng: np.random.Generator) -> Chat:
        """A locker code asked for without any mark: given either way."""
        person = self.known(rng, (LOCKER_CODE,))[1]
        return Chat([self.in_short(ask(LOCKER_CODE, person.name, rng), rng), person.facts[LOCKER_CODE.name]])
