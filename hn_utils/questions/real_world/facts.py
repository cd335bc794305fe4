"""The bundled facts about the real world, as they lie in data/real_world, and what is known of each kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from xxhash import xxh3_128

from hn_utils.questions.question import connected
from hn_utils.questions.reading.same_answer import normalise
from hn_utils.storage.paths import DATA

_N_SET_ASIDE = 200
FOLDER = DATA / "real_world"
# Never trained on. Fixed before any model was asked: two that are easy, one in the middle, one that is hard.
HELD_OUT_KINDS = ("airline_country", "painting_painter", "product_company", "star_constellation")
# A fact of these kinds tells two names of one thing: a country and its capital, an element and its symbol.
_TWO_NAMES = ("country_capital", "capital_country", "region_capital", "element_symbol", "symbol_element")
_NAMED_WITH_THE = (
    "United States;United Kingdom;Netherlands;Czech Republic;Democratic Republic of the Congo;Republic of the Congo;"
    "United Arab Emirates;Dominican Republic;Central African Republic;Bahamas;Gambia;Philippines;Maldives;Seychelles;"
    "Comoros;Solomon Islands;Marshall Islands;State of Mexico;Basque Country;Canary Islands;Valencian Community;"
    "Black Sea;North Sea;"
    "Caspian Sea;Baltic Sea;Sea of Azov;Mediterranean;Adriatic;Tyrrhenian;Ligurian;Aegean;Atlantic;Caribbean;"
    "Indian Ocean;Arabian Sea;Bay of Bengal;Andaman Sea;South China Sea;East China Sea;Pacific;Bering Sea;Arctic;"
    "Beaufort Sea;Laptev Sea;East Siberian Sea;Kara Sea;Barents Sea;White Sea;Baltic;Caspian"
)
_WITH_THE = frozenset(_NAMED_WITH_THE.split(";"))


@dataclass(frozen=True)
class Fact:
    """One thing that is so: the `answer` to what is asked of the `subject`, with other names of the answer."""

    kind: str
    subject: str
    answer: str
    aliases: tuple[str, ...]
    source: str

    @property
    def name(self) -> str:
        """What no other fact is called, and the ids of its questions begin with."""
        return f"{self.kind}/{normalise(self.subject)}"

    @property
    def accepted(self) -> tuple[str, ...]:
        """All accepted answers, the first one canonical."""
        return (self.answer, *self.aliases)


@dataclass(frozen=True)
class Kind:
    """What facts of one kind share: three ways to ask, of which the third is held out, and a clause that states one."""

    name: str
    first: str
    second: str
    held_out: str
    claim: str

    @property
    def wordings(self) -> tuple[str, str]:
        """The two ways to ask in which the standard part asks."""
        return self.first, self.second

    def state(self, subject: str, value: str) -> str:
        """The clause that says `value` of the subject, with its article where it has one."""
        named = f"the {value}" if value in _WITH_THE else value
        return self.claim.format(subject=subject, value=named)


def _rows(name: str) -> list[dict[str, str]]:
    """Rows of a table with a head, columns apart by tabs. Raises OSError if it cannot be read."""
    head, *lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    columns = head.split("\t")
    return [dict(zip(columns, line.split("\t"), strict=True)) for line in lines]


@lru_cache(maxsize=1)
def read_facts() -> tuple[Fact, ...]:
    """All facts, in the order of the file."""
    facts = []
    for row in _rows("facts.tsv"):
        aliases = tuple(alias for alias in row["aliases"].split("|") if alias)
        facts.append(Fact(row["kind"], row["subject"], row["answer"], aliases, row["source"]))
    return tuple(facts)


@lru_cache(maxsize=1)
def set_aside() -> frozenset[str]:
    """Names of facts that no part asks: to choose a prompt on, by accuracy alone.

    As good as random, and nearly the same whatever else is added: those whose names have the smallest hashes.
    """
    names = [fact.name for fact in read_facts() if fact.kind not in HELD_OUT_KINDS]
    in_order = sorted(names, key=lambda name: xxh3_128(name.encode()).digest())
    return frozenset(in_order[:_N_SET_ASIDE])


@lru_cache(maxsize=1)
def read_kinds() -> Mapping[str, Kind]:
    """What is known of each kind, by its name."""
    return {row["kind"]: Kind(row["kind"], *list(row.values())[1:]) for row in _rows("kinds.tsv")}


def entities(facts: Sequence[Fact]) -> list[str]:
    """What each fact is about: its subject, or what its subject is another name of.

    Paris is asked about as the capital of France, and Fe as iron, so that neither is in another split than the other.
    """
    names = []
    for fact in facts:
        also = [fact.answer] if fact.kind in _TWO_NAMES else []
        names.append({normalise(name) for name in (fact.subject, *also)})
    return [facts[first].subject for first in connected(names)]


@lru_cache(maxsize=1)
def read_texts() -> tuple[str, ...]:
    """The bundled ordinary paragraphs."""
    return tuple((FOLDER / "texts.txt").read_text(encoding="utf-8").strip().split("\n\n"))
