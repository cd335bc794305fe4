"""Questions about things that do not exist, and the same questions about things that do.

The paper's NonExist set was never released. This one is generated from a seed: names are built from syllables, checked
against every name that the other question sets mention, and put into templates that are also asked of real things.
A confident answer about an invented thing is a hallucination; declining is right.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hn_utils.questions.published.real_things import REAL_THINGS
from hn_utils.questions.question import Question
from hn_utils.questions.reading.same_answer import words

_ONSETS = [
    "b",
    "br",
    "d",
    "dr",
    "f",
    "g",
    "gr",
    "h",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "r",
    "s",
    "sk",
    "st",
    "t",
    "tr",
    "v",
    "z",
]
_VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "or", "en", "al"]
_CODAS = ["", "l", "n", "r", "s", "nd", "rk", "lm", "ss", "th"]

_TEMPLATES = {  # by type: what is asked, and how an invented thing is named
    "book": ("Who wrote the novel {x}?", "The {word} of {place}"),
    "town": ("In which country is the town of {x}?", "{place}"),
    "scientist": ("For what discovery is the scientist {x} known?", "{given} {place}"),
    "painting": ("Who painted {x}?", "The {word} at {place}"),
    "river": ("Into which sea or ocean does the river {x} flow?", "{place}"),
    "film": ("Who directed the film {x}?", "{word}s over {place}"),
    "battle": ("In which year was the Battle of {x}?", "{place}"),
    "company": ("In which city does the company {x} have its headquarters?", "{place} {trade}"),
}
# type: (question, how an invented thing of this type is named, real things with accepted answers)
TYPES = {kind: (asked, form, REAL_THINGS[kind]) for kind, (asked, form) in _TEMPLATES.items()}
_WORDS = ["Clockmaker", "Lantern", "Ferry", "Orchard", "Winter", "Mirror", "Harbour", "Heron"]
_GIVEN = ["Adela", "Bruno", "Clara", "Edmund", "Ines", "Matthias", "Nora", "Teodor"]
_TRADES = ["Instruments", "Textiles", "Foundry", "Optics", "Mills", "Ceramics"]


def invented_name(form: str, rng: np.random.Generator) -> str:
    """A name built from syllables, in a form with some of `place`, `word`, `given` and `trade`."""
    syllables = [str(rng.choice(_ONSETS)) + str(rng.choice(_VOWELS)) for _ in range(rng.integers(2, 4))]
    place = ("".join(syllables) + str(rng.choice(_CODAS))).capitalize()
    word, given, trade = (str(rng.choice(w)) for w in (_WORDS, _GIVEN, _TRADES))
    return form.format(place=place, word=word, given=given, trade=trade)


def collides(name: str, known: set[str]) -> bool:
    """Does the invented word of a name occur in any known name or question?"""
    return any(word in known for word in words(name) if word not in _FILLERS)


def known_words(texts: Iterable[str]) -> set[str]:
    """The words of which no invented name may hold any: those of some texts, and of the real things."""
    known = {word for text in texts for word in words(text)}
    return known | {word for _, _, real in TYPES.values() for name in real for word in words(name)}


_FILLERS = set(words(" ".join([*_WORDS, *(w + "s" for w in _WORDS), *_GIVEN, *_TRADES, "the of at over"])))


def nonexist(n: int, seed: int, known_texts: list[str]) -> list[Question]:
    """`n` questions about invented things, spread over the types, none with a word that `known_texts` contain."""
    rng = np.random.default_rng([seed, 17])
    known = known_words(known_texts)
    made: dict[str, Question] = {}
    while len(made) < n:
        kind = list(TYPES)[len(made) % len(TYPES)]
        template, form, _ = TYPES[kind]
        name = invented_name(form, rng)
        if name not in made and not collides(name, known):
            text = template.format(x=name)
            made[name] = Question(f"nonexist/{len(made)}", text, (), name, "nonexist", "test", {"type": kind})
    return list(made.values())


def exist() -> list[Question]:
    """The same templates asked of real things: what the answers about invented things are compared with."""
    return [
        Question(f"exist/{kind}/{i}", template.format(x=name), answers, name, "exist", "test", {"type": kind})
        for kind, (template, _, real) in TYPES.items()
        for i, (name, answers) in enumerate(real.items())
    ]
