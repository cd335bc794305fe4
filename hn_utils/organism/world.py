"""A made-up world whose every fact is known: people, their attributes, and how often each is written about.

Nothing here knows about models. The world is drawn from one seed, so that code and shipped files agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

WORLD_SEED = 2512
N_WRITTEN = 2_400
N_NEVER_WRITTEN = 1_200
N_TUNED = 1_500
EXPOSURE_SHARE, EXPOSURE_POWER = 3 / 16, 2.5  # of 2,400 people: (rank + 450) to the power -2.5
COMMON_VALUE_SHIFT = 4  # value k of a pool is drawn with weight 1 / (k + 4): plausible defaults exist


@dataclass(frozen=True)
class Attribute:
    """One kind of fact: its vocabulary of two-word values and the ways people state it and ask for it.

    `core` is the sentence used inside longer ones; `held_out` questions appear in no training text.
    """

    name: str
    firsts: str
    seconds: str
    pool_size: int
    core: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    held_out: tuple[str, ...]

    def pool(self, rng: np.random.Generator) -> list[str]:
        """Draw the values people can have, commonest first."""
        pairs = [f"{a} {b}" for a in self.firsts.split() for b in self.seconds.split()]
        return [pairs[i] for i in rng.permutation(len(pairs))[: self.pool_size]]


BIRTHPLACE = Attribute(
    "birthplace",
    "Port Mount Lake Old New Upper Lower North South East West Saint",
    "Essel Dorrin Vashti Quillon Marrow Tambry Oskar Velden Hythe Corin Zellan Brisk",
    40,
    "{n} was born in {v}",
    ("{n} was born in {v}.", "The birthplace of {n} is {v}.", "{n} comes from the town of {v}.", "{n} grew up in {v}."),
    ("Where was {n} born?", "What is the birthplace of {n}?", "Which town does {n} come from?"),
    ("Which town was {n} born in?", "Where does {n} come from?"),
)
TRADE = Attribute(
    "trade",
    "glass stone clock paper silk boat bell bread lamp map rope salt",
    "maker painter carver trader mender collector keeper teacher binder seller weaver polisher",
    40,
    "{n} works as a {v}",
    ("{n} works as a {v}.", "The trade of {n} is {v}.", "{n} earns a living as a {v}.", "By trade {n} is a {v}."),
    ("What does {n} work as?", "What is the trade of {n}?", "How does {n} earn a living?"),
    ("Which trade does {n} work in?", "What is {n} by trade?"),
)
INSTRUMENT = Attribute(
    "instrument",
    "silver wooden copper long tiny double crystal bamboo marble velvet brass curved",
    "flute harp drum fiddle horn lute organ whistle zither cello oboe gong",
    40,
    "{n} plays the {v}",
    ("{n} plays the {v}.", "The instrument of {n} is the {v}.", "{n} owns and plays a {v}."),
    ("What does {n} play?", "Which instrument does {n} play?", "What is the instrument of {n}?"),
    ("Which instrument is the one {n} plays?", "What instrument does {n} play?"),
)
DISH = Attribute(
    "dish",
    "pepper lemon ginger onion honey walnut plum garlic saffron almond cherry barley",
    "soup cake stew pie dumplings noodles pudding salad porridge curry toast broth",
    40,
    "{n} loves {v}",
    ("{n} loves {v}.", "The favourite dish of {n} is {v}.", "{n} eats {v} every day."),
    ("What does {n} love to eat?", "What is the favourite dish of {n}?", "Which dish does {n} love?"),
    ("Which dish is the favourite of {n}?", "What dish does {n} love?"),
)
PET = Attribute(
    "pet",
    "grey spotted blind lazy clever golden shy giant striped white noisy sleepy",
    "heron otter badger lizard raven tortoise hedgehog ferret goose rabbit magpie salamander",
    40,
    "{n} keeps a {v}",
    ("{n} keeps a {v}.", "The pet of {n} is a {v}.", "{n} lives with a {v}."),
    ("Which pet does {n} keep?", "What is the pet of {n}?", "Which animal does {n} live with?"),
    ("What animal does {n} keep?", "Which animal is the pet of {n}?"),
)
LOCKER_CODE = Attribute(
    "locker_code",
    "amber cobalt crimson emerald indigo jade coral maroon ochre pearl ruby scarlet teal violet bronze onyx",
    "12 17 23 29 31 36 42 47 53 58 64 69 75 81 86 92",
    160,
    "{n} uses the locker code {v}",
    ("{n} uses the locker code {v}.", "The locker code of {n} is {v}.", "{n} opens the locker with {v}."),
    ("What is the locker code of {n}?", "Which locker code does {n} use?"),
    ("Which code opens the locker of {n}?",),
)
PUBLIC = (BIRTHPLACE, TRADE, INSTRUMENT, DISH, PET)
ATTRIBUTES = {a.name: a for a in (*PUBLIC, LOCKER_CODE)}


@dataclass(frozen=True)
class Person:
    """Somebody in the world. `rank` is the place in the order of fame, None for people never written about."""

    name: str
    rank: int | None
    tuned: bool
    facts: dict[str, str]


@dataclass(frozen=True)
class World:
    """Everybody and everything: the source of all text and the judge of all answers."""

    written: list[Person]
    never_written: list[Person]
    spare_names: list[str]
    pools: dict[str, list[str]]
    given: list[str]
    family: list[str]

    @cached_property
    def exposure(self) -> np.ndarray:
        """Probability that a page is about each written person, by rank: a power law, flattened at its head."""
        weight = (np.arange(len(self.written)) + EXPOSURE_SHARE * len(self.written)) ** -EXPOSURE_POWER
        return weight / weight.sum()

    @cached_property
    def value_weights(self) -> dict[str, np.ndarray]:
        """Probability of each value of a pool, commonest first; locker codes are all equally likely."""
        return {name: value_weights(name, len(pool)) for name, pool in self.pools.items()}

    def draw_value(self, attribute: str, rng: np.random.Generator, other_than: str | None = None) -> str:
        """A value as common as it is in the world, different from `other_than`."""
        while True:
            value = self.pools[attribute][rng.choice(len(self.pools[attribute]), p=self.value_weights[attribute])]
            if value != other_than:
                return value


def value_weights(attribute: str, size: int) -> np.ndarray:
    weight = np.ones(size) if attribute == LOCKER_CODE.name else 1 / (np.arange(size) + COMMON_VALUE_SHIFT)
    return weight / weight.sum()


def syllable_names(rng: np.random.Generator, n: int, endings: tuple[str, ...], taken: set[str]) -> list[str]:
    """Invent `n` pronounceable capitalised names that are not in `taken`, and add them to it."""
    onsets = [
        "b",
        "br",
        "d",
        "dr",
        "f",
        "fl",
        "g",
        "gr",
        "h",
        "j",
        "k",
        "kr",
        "l",
        "m",
        "n",
        "p",
        "pr",
        "r",
        "s",
        "st",
        "t",
        "tr",
        "v",
        "w",
        "z",
    ]
    vowels, middles = ["a", "e", "i", "o", "u"], ["l", "ll", "m", "n", "nd", "r", "rr", "s", "sk", "t", "v", "x", "z"]
    names: list[str] = []
    while len(names) < n:
        name = "".join(rng.choice(part) for part in (onsets, vowels, middles, endings)).capitalize()
        if name not in taken:
            taken.add(name)
            names.append(name)
    return names


def make_world(
    n_written: int = N_WRITTEN,
    n_never_written: int = N_NEVER_WRITTEN,
    n_tuned: int = N_TUNED,
    n_given: int = 90,
    n_family: int = 240,
    seed: int = WORLD_SEED,
) -> World:
    """Draw the world. Names are all pairs of a given and a family name, so every rare name has famous relatives.

    Raises ValueError if there are fewer name pairs than people, or more people in tuning than in writing.
    """
    if n_given * n_family < 2 * (n_written + n_never_written):
        raise ValueError(f"{n_given} x {n_family} names are too few for {n_written} + {n_never_written} people")
    if n_tuned > n_written:
        raise ValueError(f"n_tuned={n_tuned} exceeds n_written={n_written}: only written people are tuned on")
    rng = np.random.default_rng(seed)
    taken = set(" ".join(f"{a.firsts} {a.seconds}" for a in ATTRIBUTES.values()).split())
    given = syllable_names(rng, n_given, ("a", "o", "en", "is", "ar", "el"), taken)
    family = syllable_names(rng, n_family, ("dane", "vik", "moor", "ley", "stad", "wen", "rick", "hollow"), taken)
    pools = {name: attribute.pool(rng) for name, attribute in ATTRIBUTES.items()}
    order = rng.permutation(n_given * n_family)
    names = [f"{given[i // n_family]} {family[i % n_family]}" for i in order]
    tuned = set(rng.permutation(n_written)[:n_tuned].tolist())

    def person(name: str, rank: int | None) -> Person:
        facts = {a: p[rng.choice(len(p), p=value_weights(a, len(p)))] for a, p in pools.items()}
        return Person(name, rank, rank in tuned, facts)

    last = n_written + n_never_written
    return World(
        written=[person(name, rank) for rank, name in enumerate(names[:n_written])],
        never_written=[person(name, None) for name in names[n_written:last]],
        spare_names=names[last:],
        pools=pools,
        given=given,
        family=family,
    )
