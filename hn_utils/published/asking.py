"""Published question sets as questions: which column is what, and which things share an entity."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace

from hn_utils.published.nonexist import exist, nonexist
from hn_utils.published.sources import NOT_AS_PUBLISHED, SOURCES, Row, read_rows
from hn_utils.questions import Question, first_form, forms, share_entities, split_entities
from hn_utils.reader import normalise
from hn_utils.study import Study, check_types

N_NONEXIST = 400


def triviaqa(row: Row, _: int) -> Question | None:
    """TriviaQA, rc.nocontext: questions with the same answer share an entity; rows that hide theirs are left out."""
    answer = row["answer"]
    aliases = tuple(dict.fromkeys([answer["value"], *answer["aliases"], *answer["normalized_aliases"]]))
    if aliases == ("<unk>",):
        return None
    return Question(row["question_id"], row["question"], aliases, first_form(aliases))


def nq_open(row: Row, index: int) -> Question | None:
    text = row["question"].strip()
    text = text if text.endswith("?") else text[:1].upper() + text[1:] + "?"
    return Question(f"nq/{index}", text, tuple(row["answer"]), first_form(row["answer"]))


def bioasq(row: Row, index: int) -> Question | None:
    """BioASQ: the official JSON (factoid questions only), or the question and `<answer>` pairs found on the hub."""
    if "text" in row:
        found = re.match(r"<answer>\s*(.+?)\s*<context>", row["text"], re.DOTALL)
        return Question(f"bioasq/{index}", row["question"], (found[1],), first_form([found[1]])) if found else None
    if row.get("type") != "factoid" or not row.get("exact_answer"):
        return None
    flat = [a for answer in row["exact_answer"] for a in (answer if isinstance(answer, list) else [answer])]
    return Question(f"bioasq/{row.get('id', index)}", row["body"], tuple(flat), first_form(flat))


def popqa(row: Row, _: int) -> Question | None:
    """PopQA: the monthly page views of what is asked about stand in for exposure."""
    answers = row["possible_answers"]
    aliases = tuple(json.loads(answers) if isinstance(answers, str) else answers)
    strata = {"exposure": int(row["s_pop"]), "attribute": row["prop"]}
    return Question(
        f"popqa/{row['id']}", row["question"], aliases, normalise(row["subj"]) or row["subj"], strata=strata
    )


READERS: dict[str, Callable[[Row, int], Question | None]] = {
    "triviaqa": triviaqa,
    "nq_open": nq_open,
    "bioasq": bioasq,
    "popqa": popqa,
}


def read_questions(name: str, study: Study) -> list[Question]:
    """A published set, each question text once. Raises ValueError if a row has not the published columns."""
    asked: dict[str, Question] = {}
    for index, row in enumerate(read_rows(name, study)):
        try:
            question = READERS[name](row, index)
            if question is not None:
                check_types(question)
                "".join((question.text, *question.aliases)).encode()  # half a character is no text
        except NOT_AS_PUBLISHED as error:
            raise ValueError(
                f"{name}, row {index} is not in the published format ({type(error).__name__}: {error}); "
                f"it has the columns {', '.join(row)}"
            ) from error
        if question is not None and forms(*question.aliases):
            asked.setdefault(normalise(question.text), question)
    if not asked:
        raise ValueError(f"{name} has no question with an answer: its test split hides them, choose another")
    return list(asked.values())


def questions(study: Study) -> list[Question]:
    """The study's first question set, split by entity; the others, and invented things, are test sets of their own.

    A later set's question is left out if the first set asks it too, or trains on its answer. Raises ValueError if the
    study names no question set.
    """
    known = {*SOURCES, "nonexist"}
    if unknown := [name for name in (*study.sets, *study.sources) if name not in known]:
        raise ValueError(f"unknown set {unknown[0]!r} in sets or sources: choose of {', '.join(sorted(known))}")
    named = [s for s in study.sets if s in READERS]
    if not named:
        raise ValueError(f"sets={study.sets} names no question set: begin with one of {', '.join(READERS)}")
    first, *others = named
    standard = read_questions(first, study)
    standard = standard if first == "popqa" else share_entities(standard)  # PopQA's entity is whom it asks about
    split = split_entities([q.entity for q in standard], study.seed)
    asked = [replace(q, split=split[q.entity]) for q in standard]
    seen = {form for q in asked if q.split != "test" for form in forms(q.text, q.entity, *q.aliases)}

    def unseen(q: Question) -> bool:
        return seen.isdisjoint(forms(q.text, q.entity, *q.aliases))

    texts = {normalise(q.text) for q in standard}
    for name in others:
        new = [q for q in read_questions(name, study) if normalise(q.text) not in texts]
        asked += [replace(q, part=name) for q in new if unseen(q)]
    if "nonexist" in study.sets:
        known = [text for q in asked for text in (q.text, *q.aliases)]
        asked += [*nonexist(N_NONEXIST, study.seed, known), *(q for q in exist() if unseen(q))]
    return asked
