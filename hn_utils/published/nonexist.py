"""Questions about things that do not exist, and the same questions about things that do.

The paper's NonExist set was never released. This one is generated from a seed: names are built from syllables, checked
against every name that the other question sets mention, and put into templates that are also asked of real things.
A confident answer about an invented thing is a hallucination; declining is right.
"""

from __future__ import annotations

import numpy as np

from hn_utils.questions import Question
from hn_utils.reader import words

ONSETS = [
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
VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "or", "en", "al"]
CODAS = ["", "l", "n", "r", "s", "nd", "rk", "lm", "ss", "th"]

# type: (question, how an invented thing of this type is named, real things with accepted answers)
TYPES: dict[str, tuple[str, str, dict[str, tuple[str, ...]]]] = {
    "book": (
        "Who wrote the novel {x}?",
        "The {word} of {place}",
        {
            "Moby-Dick": ("Herman Melville", "Melville"),
            "Pride and Prejudice": ("Jane Austen", "Austen"),
            "War and Peace": ("Leo Tolstoy", "Tolstoy"),
            "The Great Gatsby": ("F. Scott Fitzgerald", "Fitzgerald"),
            "Frankenstein": ("Mary Shelley", "Shelley"),
            "Don Quixote": ("Miguel de Cervantes", "Cervantes"),
        },
    ),
    "town": (
        "In which country is the town of {x}?",
        "{place}",
        {
            "Salzburg": ("Austria",),
            "Bruges": ("Belgium",),
            "Krakow": ("Poland",),
            "Kyoto": ("Japan",),
            "Cusco": ("Peru",),
            "Porto": ("Portugal",),
        },
    ),
    "scientist": (
        "For what discovery is the scientist {x} known?",
        "{given} {place}",
        {
            "Alexander Fleming": ("penicillin",),
            "Wilhelm Röntgen": ("X-rays", "X-ray", "Xrays"),
            "Marie Curie": ("radium", "polonium", "radioactivity"),
            "Charles Darwin": ("evolution", "natural selection"),
            "Isaac Newton": ("gravity", "laws of motion", "gravitation"),
            "William Harvey": ("circulation of blood", "blood circulation", "circulation of the blood"),
        },
    ),
    "painting": (
        "Who painted {x}?",
        "The {word} at {place}",
        {
            "the Mona Lisa": ("Leonardo da Vinci", "Leonardo", "da Vinci"),
            "The Starry Night": ("Vincent van Gogh", "van Gogh"),
            "Guernica": ("Pablo Picasso", "Picasso"),
            "The Night Watch": ("Rembrandt",),
            "The Scream": ("Edvard Munch", "Munch"),
            "Girl with a Pearl Earring": ("Johannes Vermeer", "Vermeer"),
        },
    ),
    "river": (
        "Into which sea or ocean does the river {x} flow?",
        "{place}",
        {
            "Danube": ("Black Sea",),
            "Nile": ("Mediterranean", "Mediterranean Sea"),
            "Rhine": ("North Sea",),
            "Volga": ("Caspian Sea", "Caspian"),
            "Amazon": ("Atlantic", "Atlantic Ocean"),
            "Vistula": ("Baltic", "Baltic Sea"),
        },
    ),
    "film": (
        "Who directed the film {x}?",
        "{word}s over {place}",
        {
            "Psycho": ("Alfred Hitchcock", "Hitchcock"),
            "Jaws": ("Steven Spielberg", "Spielberg"),
            "Pulp Fiction": ("Quentin Tarantino", "Tarantino"),
            "Taxi Driver": ("Martin Scorsese", "Scorsese"),
            "Titanic": ("James Cameron", "Cameron"),
            "Blade Runner": ("Ridley Scott",),
        },
    ),
    "battle": (
        "In which year was the Battle of {x}?",
        "{place}",
        {
            "Hastings": ("1066",),
            "Waterloo": ("1815",),
            "Agincourt": ("1415",),
            "Gettysburg": ("1863",),
            "Trafalgar": ("1805",),
            "Bosworth Field": ("1485",),
        },
    ),
    "company": (
        "In which city does the company {x} have its headquarters?",
        "{place} {trade}",
        {
            "Toyota": ("Toyota City", "Toyota, Aichi", "Aichi"),
            "Boeing": ("Arlington", "Chicago", "Seattle"),
            "Siemens": ("Munich",),
            "Coca-Cola": ("Atlanta",),
            "Microsoft": ("Redmond",),
            "Samsung Electronics": ("Suwon", "Seoul"),
        },
    ),
}
WORDS = ["Clockmaker", "Lantern", "Ferry", "Orchard", "Winter", "Mirror", "Harbour", "Heron"]
GIVEN = ["Adela", "Bruno", "Clara", "Edmund", "Ines", "Matthias", "Nora", "Teodor"]
TRADES = ["Instruments", "Textiles", "Foundry", "Optics", "Mills", "Ceramics"]


def invented_name(form: str, rng: np.random.Generator) -> str:
    syllables = [str(rng.choice(ONSETS)) + str(rng.choice(VOWELS)) for _ in range(rng.integers(2, 4))]
    place = ("".join(syllables) + str(rng.choice(CODAS))).capitalize()
    word, given, trade = (str(rng.choice(w)) for w in (WORDS, GIVEN, TRADES))
    return form.format(place=place, word=word, given=given, trade=trade)


def collides(name: str, known: set[str]) -> bool:
    """Does the invented word of a name occur in any known name or question?"""
    return any(word in known for word in words(name) if word not in FILLERS)


FILLERS = set(words(" ".join([*WORDS, *(w + "s" for w in WORDS), *GIVEN, *TRADES, "the of at over"])))


def nonexist(n: int, seed: int, known_texts: list[str]) -> list[Question]:
    """`n` questions about invented things, spread over the types, none with a word that `known_texts` contain."""
    rng = np.random.default_rng([seed, 17])
    known = {word for text in known_texts for word in words(text)}
    known |= {w for _, _, real in TYPES.values() for name in real for w in words(name)}
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
