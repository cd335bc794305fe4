"""Published question sets as questions: which column is what, and which things share an entity."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hn_utils.questions.published.nonexist import exist, nonexist
from hn_utils.questions.published.sources import NOT_AS_PUBLISHED, SOURCES, TRIVIAQA_NAMES, read_rows, renamed
from hn_utils.questions.question import (
    Parts,
    Question,
    first_form,
    forms,
    hold_out_answers,
    merge_repeated,
    tell_shared_answers,
)
from hn_utils.questions.reading.same_answer import normalise
from hn_utils.storage.files import file_digest
from hn_utils.study import Study, check_types, is_file
from hn_utils.study.own_rows import check_characters, texts_of

if TYPE_CHECKING:
    from hn_utils.study.row_files import Row

_N_NONEXIST = 400


def triviaqa(row: Row, _: int) -> Question | None:
    """TriviaQA, as on the hub or in its authors' own JSON: questions with the same answer share an entity; rows that
    hide theirs are left out."""
    answer = renamed(record_of(row["answer"]), TRIVIAQA_NAMES)
    more = (*texts_of("aliases", answer["aliases"]), *texts_of("aliases", answer["normalized_aliases"]))
    aliases = tuple(dict.fromkeys([answer["value"], *more]))
    if aliases == ("<unk>",):
        return None
    return Question(row["question_id"], row["question"], aliases, first_form(aliases))


def record_of(said: Any) -> Mapping[str, Any]:
    """A record, or the text that a CSV file makes of one, in JSON or as Python prints it."""
    if not isinstance(said, str):
        return said
    try:
        return json.loads(said)
    except ValueError:
        return ast.literal_eval(said)


def nq_open(row: Row, index: int) -> Question | None:
    text = row["question"].strip()
    text = text if text.endswith("?") else text[:1].upper() + text[1:] + "?"
    aliases = texts_of("answer", row["answer"])
    return Question(f"nq/{index}", text, aliases, first_form(aliases))


def bioasq(row: Row, index: int) -> Question | None:
    """BioASQ: the official JSON (factoid questions only), or the question and `<answer>` pairs found on the hub."""
    if "text" in row:
        found = re.match(r"<answer>\s*(.+?)\s*<context>", row["text"], re.DOTALL)
        return Question(f"bioasq/{index}", row["question"], (found[1],), first_form([found[1]])) if found else None
    if row.get("type") != "factoid" or not row.get("exact_answer"):
        return None
    given = row["exact_answer"]
    answers = given if isinstance(given, list) else texts_of("exact_answer", given)
    flat = tuple(alias for answer in answers for alias in texts_of("exact_answer", answer))
    return Question(f"bioasq/{row.get('id', index)}", row["body"], flat, first_form(flat))


def popqa(row: Row, _: int) -> Question | None:
    """PopQA: the monthly page views of what is asked about stand in for exposure."""
    aliases = texts_of("possible_answers", row["possible_answers"])
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
    """A published set, each question once, with the accepted answers of all its rows. Raises ValueError if a row has
    not the published columns."""
    asked: list[Question] = []
    for index, row in enumerate(read_rows(name, study)):
        try:
            question = READERS[name](row, index)
            if question is not None:
                check_types(question)
                for text in (question.text, *question.aliases):
                    check_characters("a text", text)
        except (*NOT_AS_PUBLISHED, SyntaxError, MemoryError) as error:
            raise ValueError(
                f"{name}, row {index} is not in the published format ({type(error).__name__}: {error}); "
                f"it has the columns {', '.join(row)}"
            ) from error
        if question is not None and forms(*question.aliases):
            asked.append(question)
    if not asked:
        raise ValueError(f"{name} has no question with an answer: its test split hides them, choose another")
    return merge_repeated(asked, name)


def check_sets(study: Study) -> None:
    """Raises ValueError that names a set, of `sets` or `sources`, which there is not."""
    known = {*SOURCES, "nonexist"}
    if unknown := [name for name in (*study.sets, *study.sources) if name not in known]:
        raise ValueError(f"unknown set {unknown[0]!r} in sets or sources: choose of {', '.join(sorted(known))}")


def named_sources(study: Study) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Where the study's question sets are, by name, and the digests of those that are files: what changes, is read
    anew."""
    sources = tuple((name, where) for name, where in sorted(study.sources.items()) if name in READERS)
    return sources, tuple(file_digest(Path(where)) for _, where in sources if is_file(where))


def questions(study: Study) -> list[Question]:
    """The study's first question set, split by entity; the others, and invented things, are test sets of their own.

    Entities go over all sets (`hn_utils.questions.question.Parts`): a later set's question is left out if the first
    set asks it too, or trains on its answer. The real things that are asked about beside invented ones, and their
    answers, are test entities. Raises ValueError if the study names no question set.
    """
    check_sets(study)
    named = [s for s in study.sets if s in READERS]
    if not named:
        raise ValueError(f"sets={study.sets} names no question set: begin with one of {', '.join(READERS)}")
    sets = (*named, *(s for s in study.sets if s == "nonexist"))
    sources, contents = named_sources(study)
    return list(_split_sets(sets, sources, contents, study.seed, study.hold_out_answers))


@lru_cache(maxsize=1)  # the steps of a run ask for them again and again
def _split_sets(
    sets: tuple[str, ...],
    sources: tuple[tuple[str, str], ...],
    contents: tuple[str, ...],  # noqa: ARG001 (files that have changed are read anew)
    seed: int,
    hold_out: bool,
) -> tuple[Question, ...]:
    """What `questions` gives for these sets, from these sources, whose files have these digests."""
    study = Study(
        name="published", instruct="", base="", questions="published", sets=sets, sources=dict(sources), seed=seed
    )
    first, *others = [name for name in sets if name in READERS]
    asked = read_questions(first, study)
    texts = {normalise(q.text) for q in asked}
    for name in others:
        asked += [replace(q, part=name) for q in read_questions(name, study) if normalise(q.text) not in texts]
    invented: list[Question] = []
    if "nonexist" in sets:
        invented = nonexist(_N_NONEXIST, seed, [text for q in asked for text in (q.text, *q.aliases)])
        asked += exist()
    # PopQA's entity is whom it asks about: there an answer is shared by many, which is told instead.
    named = {"standard", "exist"} if first == "popqa" else set()
    parts = Parts.of(asked, [q.part not in named | {"popqa"} for q in asked], [q.part not in named for q in asked])
    asked = [*parts.split(seed, kept="exist").unseen(), *invented]
    if hold_out:
        return tuple(hold_out_answers(asked, seed))
    tell_shared_answers(first, asked)
    return tuple(asked)
