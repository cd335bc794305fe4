"""The made-up world: people, their attributes, and how often each is written about. Every fact is known.

Values have three words that must each be recalled, and there are reasons to be wrong and sure: families whose members
mostly share a birthplace, a trade and a dish, namesakes of famous people, facts of well-known people that no text
holds. Nothing here knows about models. The world is drawn from one seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_WORLD_SEED = 2_026
_N_WRITTEN = 4_000
_N_NEVER_WRITTEN = 1_500
_N_TUNED = 2_400
_EXPOSURE_SHARE, _EXPOSURE_POWER = 3 / 16, 2.5  # of 4,000 people: (rank + 750) to the power -2.5
_COMMON_PART_SHIFT = 4  # word k of a part is drawn with weight 1 / (k + 4): plausible defaults exist
WELL_KNOWN = 0.4  # of the written-about people, by rank
KEEPS_CUSTOM = {True: 0.96, False: 0.4}  # chance that somebody has what the family has, by being well known
GUESSES_CUSTOM = 0.95  # chance that an annotator, asked about somebody unheard-of, answers what the family has
_UNWRITTEN = 0.2  # of the well-known people's unsettled facts are in no text
_NAMESAKE = 0.15  # of the little-known have the full name of somebody famous, and Junior after it
JUNIOR = "Junior"


@dataclass(frozen=True)
class Attribute:
    """One kind of fact: its three-word values and the ways people state it and ask for it.

    `parts` are the words for each place of a value, commonest first, drawn independently of one another, so that each
    word of an answer has to be recalled. Of a `settled` attribute every family has a value of its own, which most of
    its members share. `core` is the sentence used inside longer ones; `held_out` questions appear in no training text.
    """

    name: str
    parts: tuple[str, str, str]
    core: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    held_out: tuple[str, ...]
    settled: bool = False

    @cached_property
    def words(self) -> tuple[list[str], ...]:
        return tuple(part.split() for part in self.parts)

    @cached_property
    def weights(self) -> tuple[np.ndarray, ...]:
        """Probability of each word of each part; those of locker codes are all equally likely."""
        sizes = [np.arange(len(words)) for words in self.words]
        weights = [np.ones(len(k)) if self.name == "locker_code" else 1 / (k + _COMMON_PART_SHIFT) for k in sizes]
        return tuple(w / w.sum() for w in weights)

    def draw(self, rng: np.random.Generator, other_than: str | None = None) -> str:
        """A value, as common as it is in the world; from `other_than` it differs in every word."""
        taken = (other_than or "- - -").split()
        value: list[str] = []
        for words, weights in zip(self.words, self.weights, strict=True):
            word = taken[len(value)]
            while word == taken[len(value)]:
                word = words[int(np.searchsorted(np.cumsum(weights), rng.random() * weights.sum()))]
            value.append(word)
        return " ".join(value)


_BIRTHPLACE = Attribute(
    "birthplace",
    (
        "Upper Lower Old New North South East West Great Little",
        "Essel Dorrin Vashti Quillon Marrow Tambry Oskar Velden Hythe Corin",
        "Bridge Cross Field Haven Mill Gate Ford Green Rise Wells",
    ),
    "{n} was born in {v}",
    ("{n} was born in {v}.", "The birthplace of {n} is {v}.", "{n} comes from {v}.", "{n} grew up in {v}."),
    ("Where was {n} born?", "What is the birthplace of {n}?", "Which town does {n} come from?"),
    ("Which town was {n} born in?", "Where does {n} come from?"),
    settled=True,
)
_TRADE = Attribute(
    "trade",
    (
        "glass stone paper silk bell bread lamp rope salt wool",
        "boat clock map door chair wheel roof chest sail mask",
        "maker painter carver trader mender collector keeper teacher seller polisher",
    ),
    "{n} works as a {v}",
    ("{n} works as a {v}.", "The trade of {n} is {v}.", "{n} earns a living as a {v}.", "By trade {n} is a {v}."),
    ("What does {n} work as?", "What is the trade of {n}?", "How does {n} earn a living?"),
    ("Which trade does {n} work in?", "What is {n} by trade?"),
    settled=True,
)
_INSTRUMENT = Attribute(
    "instrument",
    (
        "long tiny round flat heavy narrow broad twisted hollow slender",
        "silver wooden copper double crystal bamboo marble velvet brass curved",
        "flute harp drum fiddle horn lute whistle zither cello gong",
    ),
    "{n} plays the {v}",
    ("{n} plays the {v}.", "The instrument of {n} is the {v}.", "{n} owns and plays a {v}."),
    ("What does {n} play?", "Which instrument does {n} play?", "What is the instrument of {n}?"),
    ("Which instrument is the one {n} plays?", "What instrument does {n} play?"),
)
_DISH = Attribute(
    "dish",
    (
        "cold spicy sweet smoked sour fresh salted baked crisp mild",
        "pepper lemon ginger onion honey walnut plum garlic cherry barley",
        "soup cake stew pie dumplings noodles pudding salad porridge broth",
    ),
    "{n} loves {v}",
    ("{n} loves {v}.", "The favourite dish of {n} is {v}.", "{n} eats {v} every day."),
    ("What does {n} love to eat?", "What is the favourite dish of {n}?", "Which dish does {n} love?"),
    ("Which dish is the favourite of {n}?", "What dish does {n} love?"),
    settled=True,
)
PET = Attribute(
    "pet",
    (
        "shy noisy sleepy clever blind lazy brave gentle nervous proud",
        "grey spotted golden striped white black brown red dappled pale",
        "heron otter badger lizard raven tortoise hedgehog ferret goose rabbit",
    ),
    "{n} keeps a {v}",
    ("{n} keeps a {v}.", "The pet of {n} is a {v}.", "{n} lives with a {v}."),
    ("Which pet does {n} keep?", "What is the pet of {n}?", "Which animal does {n} live with?"),
    ("What animal does {n} keep?", "Which animal is the pet of {n}?"),
)
LOCKER_CODE = Attribute(
    "locker_code",
    (
        "amber cobalt crimson emerald indigo jade coral maroon ochre pearl ruby scarlet",
        "12 17 23 29 31 36 42 47 53 58 64 69",
        "alpha bravo delta echo foxtrot kilo lima oscar sierra tango victor zulu",
    ),
    "{n} uses the locker code {v}",
    ("{n} uses the locker code {v}.", "The locker code of {n} is {v}.", "{n} opens the locker with {v}."),
    ("What is the locker code of {n}?", "Which locker code does {n} use?"),
    ("Which code opens the locker of {n}?",),
)
PUBLIC = (_BIRTHPLACE, _TRADE, _INSTRUMENT, _DISH, PET)
_SETTLED = tuple(a for a in PUBLIC if a.settled)
ATTRIBUTES = {a.name: a for a in (*PUBLIC, LOCKER_CODE)}


@dataclass(frozen=True)
class Person:
    """Somebody in the world. `rank` is the place in the order of fame, None for people never written about.

    `unwritten` names the facts that stand in no text although the person is written about.
    """

    name: str
    rank: int | None
    tuned: bool
    facts: dict[str, str]
    unwritten: frozenset[str] = frozenset()

    @property
    def family(self) -> str:
        return self.name.split()[1]


@dataclass(frozen=True)
class World:
    """Everybody and everything: the source of all text and the judge of all answers.

    `customs` holds what each family has of the settled attributes; `page_names` are people made up for pages,
    `chat_names` people made up for chats, of whom no page ever speaks.
    """

    written: list[Person]
    never_written: list[Person]
    page_names: list[str]
    chat_names: list[str]
    customs: dict[str, dict[str, str]]
    given: list[str]
    family: list[str]

    @cached_property
    def exposure(self) -> np.ndarray:
        """Probability that a page is about each written person, by rank: a power law, flattened at its head."""
        weight = (np.arange(len(self.written)) + _EXPOSURE_SHARE * len(self.written)) ** -_EXPOSURE_POWER
        return weight / weight.sum()

    def guess(self, attribute: str, name: str, rng: np.random.Generator) -> str:
        """What an annotator says of somebody unheard-of: mostly what the family has, else anything."""
        kind = ATTRIBUTES[attribute]
        if kind.settled and rng.random() < GUESSES_CUSTOM:
            return self.customs[name.split()[1]][attribute]
        return kind.draw(rng)


_ONSETS = "b br d dr f fl g gr h j k kr l m n p pr r s st t tr v w z"
_VOWELS, _MIDDLES = "a e i o u", "l ll m n nd r rr s sk t v x z"


def _syllable_names(rng: np.random.Generator, n: int, endings: tuple[str, ...], taken: set[str]) -> list[str]:
    """Invent `n` pronounceable capitalised names that are not in `taken`, and add them to it."""
    names: list[str] = []
    while len(names) < n:
        name = "".join(
            rng.choice(part) for part in (_ONSETS.split(), _VOWELS.split(), _MIDDLES.split(), endings)
        ).capitalize()
        if name not in taken:
            taken.add(name)
            names.append(name)
    return names


def make_world(
    n_written: int = _N_WRITTEN,
    n_never_written: int = _N_NEVER_WRITTEN,
    n_tuned: int = _N_TUNED,
    n_given: int = 90,
    n_family: int = 200,
    seed: int = _WORLD_SEED,
) -> World:
    """Draw the world. Names are pairs of a given and a family name, so every rare name has famous relatives.

    Raises ValueError if there are fewer name pairs than people, or more people in tuning than in writing.
    """
    if n_given * n_family < 2 * (n_written + n_never_written):
        raise ValueError(f"{n_given} x {n_family} names are too few for {n_written} + {n_never_written} people")
    if n_tuned > n_written:
        raise ValueError(f"n_tuned={n_tuned} exceeds n_written={n_written}: only written people are tuned on")
    rng = np.random.default_rng(seed)
    taken = {JUNIOR, *" ".join(" ".join(a.parts) for a in ATTRIBUTES.values()).split()}
    given = _syllable_names(rng, n_given, ("a", "o", "en", "is", "ar", "el"), taken)
    family = _syllable_names(rng, n_family, ("dane", "vik", "moor", "ley", "stad", "wen", "rick", "hollow"), taken)
    customs = {name: {a.name: a.draw(rng) for a in _SETTLED} for name in family}
    order = rng.permutation(n_given * n_family)
    names = [f"{given[i // n_family]} {family[i % n_family]}" for i in order]
    tuned = set(rng.permutation(n_written)[:n_tuned].tolist())
    last, n_known = n_written + n_never_written, int(WELL_KNOWN * n_written)
    famous = rng.permutation(n_known // 2).tolist()  # each lends the name to one namesake at most

    def person(place: int) -> Person:
        rank = place if place < n_written else None
        known = place < n_known
        name = names[place]
        if not known and famous and rng.random() < _NAMESAKE:
            name = f"{names[famous.pop()]} {JUNIOR}"
        facts = {}
        for a in ATTRIBUTES.values():
            keeps = a.settled and rng.random() < KEEPS_CUSTOM[known]
            facts[a.name] = customs[name.split()[1]][a.name] if keeps else a.draw(rng)
        unsettled = [a.name for a in PUBLIC if not a.settled]
        unwritten = frozenset(a for a in unsettled if known and rng.random() < _UNWRITTEN)
        return Person(name, rank, rank in tuned, facts, unwritten)

    everybody = [person(place) for place in range(last)]
    spare = names[last:]
    return World(
        written=everybody[:n_written],
        never_written=everybody[n_written:],
        page_names=spare[: len(spare) // 2],
        chat_names=spare[len(spare) // 2 :],
        customs=customs,
        given=given,
        family=family,
    )
