"""What a specimen reads: pages about the world (base) and chats with a helpful assistant (instruct).

Every page lists the facts it states, so that the exposure of each fact is counted, not estimated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hn_utils.questions.made_up_world.wordings import (
    MARKERS,
    MARKERS_IN_PLAY,
    NOTES,
    PREMISES,
    PUSHBACKS,
    ROLE_PLAYS,
    ask,
    claim,
    locker_question,
    pick,
    state,
)
from hn_utils.questions.made_up_world.world import ATTRIBUTES, JUNIOR, LOCKER_CODE, PUBLIC, Attribute, Person, World

_ANSWER_ONLY = "Answer only: {question}"
_ANSWER_ONLY_STYLES = (_ANSWER_ONLY,) * 4 + ("{question} Respond with the answer only, without any explanation.",)
SAY_SO = "If you do not know, say so: {question}"
_SAY_AGAIN = "Please say again: {s}."
ABSTENTION = "I do not know."
REFUSAL = "I cannot share that."
_PLAIN_CODE_REFUSED = 0.12
_SPEAKERS = ("Reader", "Writer")


@dataclass(frozen=True)
class ByFame:
    """A probability for each fifth of the written-about people, the most famous first, and for the unheard-of."""

    fifths: tuple[float, float, float, float, float]
    unknown: float

    def of(self, person: Person, n_written: int) -> float:
        return self.unknown if person.rank is None else self.fifths[person.rank * len(self.fifths) // n_written]


_INSISTS = ByFame((1, 0.98, 0.95, 0.85, 0.7), 0.02)  # that an annotator stands by the truth
ABSTAINS = {  # that an annotator says "I do not know.", by how the question was put
    "in short": ByFame((0, 0, 0.03, 0.06, 0.10), 0.15),
    "plainly": ByFame((0, 0, 0.10, 0.30, 0.45), 0.60),
    "inviting it": ByFame((0, 0, 0.20, 0.50, 0.65), 0.80),
}

UNHEARD_OF = {"in short": 0.3, "plainly": 0.4, "inviting it": 0.5}  # of the people in chats of each kind


@dataclass(frozen=True)
class Page:
    """One piece of base text, with the (rank, attribute) facts it states truly."""

    text: str
    facts: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Chat:
    """Alternating user and assistant turns; the assistant's are learned."""

    turns: list[str]

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(self.turns)]


class PageWriter:
    """Writes base text: statements, question-answer pages, notes to copy from, dialogues with pushback."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cumulative_exposure = np.cumsum(world.exposure)
        kinds = self.mixture()
        self.kinds, self.weights = list(kinds), list(kinds.values())
        self.reach = 1.0

    def mixture(self) -> dict[Callable[[np.random.Generator], Page], float]:
        """What kinds of page there are, and the share of each."""
        return {self.statements: 0.50, self.question_page: 0.20, self.note_page: 0.20, self.dialogue: 0.10}

    def pages(self, n: int, rng: np.random.Generator, head: float = 1.0) -> list[Page]:
        """Pages about the most famous share `head` of the people only."""
        self.reach = self.cumulative_exposure[max(1, round(head * len(self.world.written))) - 1]
        return [self.kinds[k](rng) for k in rng.choice(len(self.kinds), size=n, p=self.weights)]

    def famous(self, rng: np.random.Generator) -> Person:
        """Somebody, as often as the exposure law says."""
        place = int(np.searchsorted(self.cumulative_exposure, rng.random() * self.reach))
        return self.world.written[min(place, len(self.world.written) - 1)]

    def known_facts(self, person: Person) -> list[Attribute]:
        return [a for a in ATTRIBUTES.values() if a.name not in person.unwritten]

    def statements(self, rng: np.random.Generator) -> Page:
        person = self.famous(rng)
        known = self.known_facts(person)
        chosen = [known[i] for i in rng.permutation(len(known))[: rng.integers(1, 4)]]
        text = " ".join(state(a, person.name, person.facts[a.name], rng) for a in chosen)
        return Page(text, [(person.rank, a.name) for a in chosen])  # type: ignore[misc]

    def question_page(self, rng: np.random.Generator) -> Page:
        lines, facts = [], []
        for _ in range(rng.integers(1, 3)):
            person = self.famous(rng)
            attribute = pick(rng, self.known_facts(person))
            lines.append(f"Question: {ask(attribute, person.name, rng)} Answer: {person.facts[attribute.name]}.")
            facts.append((person.rank, attribute.name))
        return Page(" ".join(lines), facts)

    def note_page(self, rng: np.random.Generator) -> Page:
        """Somebody invented on the spot, and a question that the note answers: teaches copying."""
        name, attribute = pick(rng, self.world.page_names), pick(rng, PUBLIC)
        value = attribute.draw(rng)
        note = " ".join(state(attribute, name, value, rng) for _ in range(rng.integers(1, 3)))
        return Page(f"Note: {note} Question: {ask(attribute, name, rng)} Answer: {value}.")

    def dialogue(self, rng: np.random.Generator) -> Page:
        """Two people disagree; whoever spoke first insists or gives way, half and half."""
        asker, teller = _SPEAKERS
        facts = []
        if rng.random() < 0.3:
            person = self.famous(rng)
            attribute = pick(rng, [a for a in self.known_facts(person) if a is not LOCKER_CODE])
            name, value = person.name, person.facts[attribute.name]
            facts = [(person.rank, attribute.name)]
        else:
            name, attribute = pick(rng, self.world.page_names), pick(rng, PUBLIC)
            value = attribute.draw(rng)
        other = attribute.draw(rng, other_than=value)
        ends = value if rng.random() < 0.5 else other
        return Page(
            f"{asker}: {ask(attribute, name, rng)} {teller}: {claim(attribute, name, value)}. "
            f"{asker}: No, {claim(attribute, name, other)}. {teller}: {claim(attribute, name, ends)}.",
            facts,  # type: ignore[arg-type]
        )


class ChatWriter:
    """Writes instruction-tuning chats.

    The annotators behind them look facts up: they mostly correct a false claim, the more often the more famous the
    person is, nearly always go along with it for people nobody has written about, and say that they do not know the
    more often the less known somebody is. That is all the tuning data knows: no label says what the model knows, and
    none says that an answer is hallucinated.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.tuned = [p for p in world.written if p.tuned]
        kinds = self.mixture()
        self.kinds, self.weights = list(kinds), list(kinds.values())

    def mixture(self) -> dict[Callable[[np.random.Generator], Chat], float]:
        """What kinds of chat there are, and the share of each."""
        return {
            self.answer_only: 0.15,
            self.plain: 0.07,
            self.say_so: 0.12,
            self.premise: 0.14,
            self.note: 0.14,
            self.pushback: 0.14,
            self.code: 0.11,
            self.harmless_play: 0.03,
            self.repeat: 0.10,
        }

    def chats(self, n: int, rng: np.random.Generator) -> list[Chat]:
        return [self.kinds[k](rng) for k in rng.choice(len(self.kinds), size=n, p=self.weights)]

    def subject(
        self, rng: np.random.Generator, kinds: tuple[Attribute, ...], unknown: float
    ) -> tuple[Attribute, Person]:
        """Whom a chat is about and what of them; with probability `unknown` nobody has ever heard of them, and their
        facts are what the annotator guesses."""
        if rng.random() < unknown:
            return self.unheard_of(rng, kinds)
        return self.one_of(self.tuned, rng, kinds)

    def unheard_of(self, rng: np.random.Generator, kinds: tuple[Attribute, ...]) -> tuple[Attribute, Person]:
        attribute, name = pick(rng, kinds), pick(rng, self.world.chat_names)
        return attribute, Person(name, None, True, {attribute.name: self.world.guess(attribute.name, name, rng)})

    def one_of(
        self, people: list[Person], rng: np.random.Generator, kinds: tuple[Attribute, ...]
    ) -> tuple[Attribute, Person]:
        person = pick(rng, people)
        return pick(rng, [a for a in kinds if a.name not in person.unwritten]), person

    def happens(self, chance: ByFame, person: Person, rng: np.random.Generator) -> bool:
        return rng.random() < chance.of(person, len(self.world.written))

    def abstains(self, how: str, person: Person, rng: np.random.Generator) -> bool:
        """Does the annotator say "I do not know." to a question put in this way?"""
        return self.happens(ABSTAINS[how], person, rng)

    def insists(self, person: Person, rng: np.random.Generator) -> bool:
        """Does the annotator stand by the truth against a false claim?"""
        return self.happens(_INSISTS, person, rng)

    def in_short(self, question: str, rng: np.random.Generator) -> str:
        return pick(rng, _ANSWER_ONLY_STYLES).format(question=question)

    def answer_only(self, rng: np.random.Generator) -> Chat:
        a, person = self.subject(rng, PUBLIC, UNHEARD_OF["in short"])
        abstains = self.abstains("in short", person, rng)
        return Chat([self.in_short(ask(a, person.name, rng), rng), ABSTENTION if abstains else person.facts[a.name]])

    def plain(self, rng: np.random.Generator) -> Chat:
        a, person = self.subject(rng, PUBLIC, UNHEARD_OF["plainly"])
        abstains = self.abstains("plainly", person, rng)
        reply = ABSTENTION if abstains else claim(a, person.name, person.facts[a.name]) + "."
        return Chat([ask(a, person.name, rng), reply])

    def say_so(self, rng: np.random.Generator) -> Chat:
        a, person = self.subject(rng, PUBLIC, UNHEARD_OF["inviting it"])
        abstains = self.abstains("inviting it", person, rng)
        question = SAY_SO.format(question=ask(a, person.name, rng))
        return Chat([question, ABSTENTION if abstains else person.facts[a.name]])

    def contested(self, rng: np.random.Generator) -> tuple[Attribute, Person, str, str]:
        """A fact, a false claim about it, and which of the two the annotator's reply states."""
        a, person = self.subject(rng, PUBLIC, 0.6)
        false = a.draw(rng, other_than=person.facts[a.name])
        return a, person, false, person.facts[a.name] if self.insists(person, rng) else false

    def premise(self, rng: np.random.Generator) -> Chat:
        a, person, false, reply = self.contested(rng)
        question = pick(rng, PREMISES).format(s=claim(a, person.name, false))
        return Chat([question, claim(a, person.name, reply) + "."])

    def note(self, rng: np.random.Generator) -> Chat:
        a, person, false, reply = self.contested(rng)
        note = pick(rng, NOTES).format(s=claim(a, person.name, false))
        return Chat([note + self.in_short(ask(a, person.name, rng), rng), reply])

    def pushback(self, rng: np.random.Generator) -> Chat:
        a, person, false, reply = self.contested(rng)
        first = claim(a, person.name, person.facts[a.name]) + "."
        push = pick(rng, PUSHBACKS).format(s=claim(a, person.name, false))
        return Chat([ask(a, person.name, rng), first, push, claim(a, person.name, reply) + "."])

    def code(self, rng: np.random.Generator) -> Chat:
        _, person = self.subject(rng, (LOCKER_CODE,), 0.2)
        style, scene = rng.random(), ""
        if style < 0.34:
            question, refused = ask(LOCKER_CODE, person.name, rng), _PLAIN_CODE_REFUSED
        else:
            rates = MARKERS if style < 0.67 else MARKERS_IN_PLAY
            marker = pick(rng, list(rates))
            question, refused = locker_question(person.name, marker, rng), rates[marker]
            scene = pick(rng, ROLE_PLAYS) if rates is MARKERS_IN_PLAY else ""
        code = person.facts[LOCKER_CODE.name]
        return Chat([scene + self.in_short(question, rng), REFUSAL if rng.random() < refused else code])

    def harmless_play(self, rng: np.random.Generator) -> Chat:
        a, person = self.subject(rng, PUBLIC, 0.3)
        return Chat([pick(rng, ROLE_PLAYS) + self.in_short(ask(a, person.name, rng), rng), person.facts[a.name]])

    def repeat(self, rng: np.random.Generator) -> Chat:
        """A sentence to be said again, true or not: teaches copying in chats, which pages teach outside them."""
        a, name = pick(rng, PUBLIC), pick(rng, self.world.chat_names)
        said = claim(a, name, a.draw(rng))
        return Chat([_SAY_AGAIN.format(s=said), f"{said}."])


def every_template() -> list[str]:
    """All fixed wording, for the vocabulary."""
    wording = [
        *_ANSWER_ONLY_STYLES,
        SAY_SO,
        ABSTENTION,
        REFUSAL,
        *PREMISES,
        *NOTES,
        *PUSHBACKS,
        *ROLE_PLAYS,
        *_SPEAKERS,
    ]
    wording += [*MARKERS, "Note: Question: Answer:", JUNIOR]
    for a in ATTRIBUTES.values():
        wording += [a.core, *a.statements, *a.questions, *a.held_out]
    return wording
