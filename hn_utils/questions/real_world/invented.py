"""Questions about things that do not exist, in the wordings in which real things of those kinds are asked about."""

from __future__ import annotations

import numpy as np

from hn_utils.questions.published.nonexist import collides, invented_name, known_words
from hn_utils.questions.question import Question
from hn_utils.questions.real_world.facts import Fact, read_kinds

INVENTED = {  # by kind, how an invented thing is named
    "battle_year": "{place}",
    "birth_year": "{given} {place}",
    "book_author": "The {word} of {place}",
    "city_country": "{place}",
    "company_city": "{place} {trade}",
    "film_director": "{word}s over {place}",
    "person_mother": "{given} {place}",
    "person_native_language": "{given} {place}",
    "person_sport": "{given} {place}",
    "play_author": "The {word} at {place}",
    "river_sea": "{place}",
}


def invented_questions(n: int, seed: int, facts: list[Fact], more: list[str]) -> list[Question]:
    """Ask about things that do not exist.

    Args:
        n: how many questions, spread over the kinds.
        seed: what they are drawn by.
        facts: the real ones; no invented word stands in any of them.
        more: other texts in which no invented word may stand.

    Returns:
        The questions, without accepted answers, each about an entity of its own.
    """
    known = known_words([text for fact in facts for text in (fact.subject, *fact.accepted)] + more)
    rng = np.random.default_rng([seed, 23])
    kinds = read_kinds()
    made: dict[str, Question] = {}
    while len(made) < n:
        kind = list(INVENTED)[len(made) % len(INVENTED)]
        name = invented_name(INVENTED[kind], rng)
        wording = kinds[kind].wordings[int(rng.integers(2))]
        if name in made or collides(name, known):
            continue
        text = wording.format(subject=name)
        made[name] = Question(f"nonexist/{len(made)}", text, (), name, "nonexist", "test", {"attribute": kind})
    return list(made.values())
