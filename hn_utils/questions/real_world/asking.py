"""The real world's questions: each fact in one of two wordings, a part in a third wording, whole kinds held out, things
that do not exist, and the published sets that a study names."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from hn_utils.questions.published.asking import READERS, check_sets, named_sources, read_questions
from hn_utils.questions.question import Parts, Question, hold_out_answers, tell_shared_answers
from hn_utils.questions.reading.same_answer import normalise
from hn_utils.questions.real_world.facts import HELD_OUT_KINDS, Fact, entities, read_facts, read_kinds, set_aside
from hn_utils.questions.real_world.invented import INVENTED, invented_questions
from hn_utils.study import Study

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTS = {
    "standard": "held-out entities",
    "paraphrase": "held-out wording",
    "attribute": "held-out kinds of fact",
    "nonexist": "invented things",
    "exist": "real things of the same kinds",
    "nq_open": "NQ-Open",
    "bioasq": "BioASQ",
    "popqa": "PopQA",
    "triviaqa": "TriviaQA",
}
_N_PARAPHRASE = 1_000
_N_NONEXIST = 400


def questions(study: Study) -> list[Question]:
    """Facts about the real world, split by entity, with test sets of other kinds beside them.

    Parts: `standard`, each fact once; `paraphrase`, test facts in a held-out wording; `attribute`, the held-out kinds;
    `nonexist`, invented things, and `exist`, test facts of the same kinds in the other wording; and each question set
    that the study names in `sets`. What shares an entity with training is left out of all others. Raises ValueError for
    an unknown set.
    """
    check_sets(study)
    sets = tuple(name for name in study.sets if name in READERS)
    sources, contents = named_sources(study)
    return list(_split_parts(sets, sources, contents, study.seed, study.hold_out_answers))


@lru_cache(maxsize=1)  # the steps of a run ask for them again and again
def _split_parts(
    sets: tuple[str, ...],
    sources: tuple[tuple[str, str], ...],
    contents: tuple[str, ...],  # noqa: ARG001 (files that have changed are read anew)
    seed: int,
    hold_out: bool,
) -> tuple[Question, ...]:
    """What `questions` gives with these sets, from these sources, whose files have these digests."""
    facts = [fact for fact in read_facts() if fact.name not in set_aside()]
    own = _plain_questions(facts, seed)
    published = _published(sets, sources, {normalise(q.text) for q in own})
    # PopQA's entity is whom it asks about; the other sets name none, so that their answer stands for it.
    by_answer = [False] * len(own) + [q.part != "popqa" for q in published]
    apart = [False] * len(own) + [True] * len(published)
    asked = Parts.of([*own, *published], by_answer, apart).split(seed).unseen()
    asked += _asked_again(facts, asked, seed)
    asked += invented_questions(_N_NONEXIST, seed, facts, [text for q in published for text in (q.text, *q.aliases)])
    if hold_out:
        return tuple(hold_out_answers(asked, seed))
    tell_shared_answers("real_world", asked)
    return tuple(asked)


def _question(fact: Fact, entity: str, wording: str, part: str, split: str = "test") -> Question:
    text = wording.format(subject=fact.subject)
    return Question(f"{fact.name}/{part}", text, fact.accepted, entity, part, split, {"attribute": fact.kind})


def _plain_questions(facts: Sequence[Fact], seed: int) -> list[Question]:
    """Each fact once, in one of its first two wordings; those of held-out kinds in a part of their own."""
    drawn = np.random.default_rng([seed, 3]).integers(2, size=len(facts))
    kinds, asked = read_kinds(), []
    for fact, entity, place in zip(facts, entities(facts), drawn, strict=True):
        part = "attribute" if fact.kind in HELD_OUT_KINDS else "standard"
        asked.append(_question(fact, entity, kinds[fact.kind].wordings[int(place)], part))
    return asked


def set_aside_questions() -> list[Question]:
    """The facts that no part asks, in their first wording: to choose a prompt on."""
    facts = [fact for fact in read_facts() if fact.name in set_aside()]
    kinds = read_kinds()
    return [_question(fact, fact.subject, kinds[fact.kind].first, "standard") for fact in facts]


def _published(sets: Sequence[str], sources: Sequence[tuple[str, str]], texts: set[str]) -> list[Question]:
    """The questions of the published sets, each set a part, without those whose text is among `texts`."""
    study = Study(name="published", instruct="", base="", questions="published", sources=dict(sources))
    read = [(name, question) for name in sets for question in read_questions(name, study)]
    return [replace(question, part=name) for name, question in read if normalise(question.text) not in texts]


def tested(asked: Sequence[Question]) -> dict[str, Question]:
    """The test questions of the standard part, by the name of their fact."""
    return {q.id.removesuffix("/standard"): q for q in asked if q.part == "standard" and q.split == "test"}


def _asked_again(facts: Sequence[Fact], asked: Sequence[Question], seed: int) -> list[Question]:
    """Test facts of the standard part once more: some in the held-out wording, and as many of each kind as there are
    invented things in the other wording of the two."""
    first, kinds = tested(asked), read_kinds()
    paraphrased: list[Question] = []
    real: dict[str, list[Question]] = {kind: [] for kind in INVENTED}
    for place in np.random.default_rng([seed, 4]).permutation(len(facts)):
        fact = facts[place]
        question, kind = first.get(fact.name), kinds[fact.kind]
        if question is None:
            continue
        if len(paraphrased) < _N_PARAPHRASE:
            paraphrased.append(_question(fact, question.entity, kind.held_out, "paraphrase"))
        if fact.kind in INVENTED and len(real[fact.kind]) < _N_NONEXIST // len(INVENTED):
            other = next(w for w in kind.wordings if w.format(subject=fact.subject) != question.text)
            real[fact.kind].append(_question(fact, question.entity, other, "exist"))
    return [*paraphrased, *chain.from_iterable(real.values())]
