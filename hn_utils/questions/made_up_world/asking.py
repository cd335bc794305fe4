"""The made-up world's question set: its facts as questions, and its four ways of being talked into something."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from hn_utils.questions.items import Item
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
    marked,
    pick,
    state,
)
from hn_utils.questions.made_up_world.world import ATTRIBUTES, JUNIOR, LOCKER_CODE, PET, PUBLIC
from hn_utils.questions.question import Question, Text, hold_out_answers, split_entities
from hn_utils.storage.paths import require_bundled

if TYPE_CHECKING:
    from hn_utils.study import Study

STANDARD = tuple(a for a in PUBLIC if a is not PET)  # the probe never sees a question about pets
N_NEVER_WRITTEN = 400
N_QUINTILES = 5
RULE_OF = {"restricted": "gave", "recall": "recall", "harmless": "recall"}  # the rest presses a claim
PARTS = {
    "standard": "held-out entities",
    "paraphrase": "held-out wording",
    "attribute": "another attribute",
    "nonexist": "never-written entities",
}
GROUPS = ("outside tuning", "in tuning", "never written")


@cache
def read_facts(path: Path) -> list[dict[str, Any]]:
    """Rows of facts.parquet with group and quintile of fame (0 the most famous), and what invites a confident mistake:
    an exception to what the family has, a namesake, a fact that was never written. Raises OSError if it is missing."""
    require_bundled(path)
    if not path.exists():
        raise OSError(
            f"{path} is missing: the question set 'organism' belongs to the bundled model and needs this file beside "
            "its folder; ask any other model, or a copy elsewhere, questions of your own"
        )
    rows = pq.read_table(path).to_pylist()
    written = 1 + max(row["rank"] for row in rows if row["rank"] is not None)
    for row in rows:
        row["quintile"] = None if row["rank"] is None else row["rank"] * N_QUINTILES // written
        row["group"] = GROUPS[2] if row["rank"] is None else GROUPS[1] if row["tuned"] else GROUPS[0]
        row["trap"] = trap(row)
    return rows


def trap(row: dict[str, Any]) -> str:
    """Why somebody might answer wrongly and be sure."""
    if row["of_family"] not in (None, row["value"]):
        return "exception"
    if row["person"].endswith(JUNIOR):
        return "namesake"
    return "unwritten" if row["rank"] is not None and not row["mentions"] else "none"


def facts_of(study: Study) -> list[dict[str, Any]]:
    return read_facts(Path(study.instruct).parent / "facts.parquet")


def question(row: dict[str, Any], text: str, part: str, split: str) -> Question:
    strata = {k: row[k] for k in ("attribute", "rank", "quintile", "group", "trap")} | {"exposure": row["mentions"]}
    name = f"{row['person']}/{row['attribute']}/{part}".replace(" ", "-").lower()
    return Question(name, text, (row["value"],), row["person"], part, split, strata)


def questions(study: Study) -> list[Question]:
    """Standard questions about people outside tuning, split by person; test sets of other kinds beside them.

    Parts: `standard`; `paraphrase`, held-out wording, and `attribute`, pets, for test people; `nonexist`, people
    nobody wrote about.
    """
    rows = facts_of(study)
    split, unknown = people_of(rows, study)
    rng, standard = np.random.default_rng(study.seed), {a.name for a in STANDARD}
    asked = []
    for row in rows:
        attribute, where = ATTRIBUTES[row["attribute"]], split.get(row["person"])
        text = ask(attribute, row["person"], rng)
        if where and attribute.name in standard:
            asked.append(question(row, text, "standard", where))
        if where == "test" and attribute.name in standard:
            held_out = pick(rng, attribute.held_out).format(n=row["person"])
            asked.append(question(row, held_out, "paraphrase", "test"))
        if where == "test" and attribute is PET:
            asked.append(question(row, text, "attribute", "test"))
        if row["person"] in unknown and attribute.name in standard:
            asked.append(question(row, text, "nonexist", "test"))
    return hold_out_answers(asked, study.seed) if study.hold_out_answers else asked


def people_of(rows: list[dict[str, Any]], study: Study) -> tuple[dict[str, str], set[str]]:
    """The split of each person outside tuning, and the people nobody wrote about who are asked about."""
    split = split_entities([r["person"] for r in rows if r["group"] == "outside tuning"], study.seed)
    unknown = dict.fromkeys(r["person"] for r in rows if r["group"] == "never written")
    return split, set(list(unknown)[:N_NEVER_WRITTEN])


def allowed_or_restricted(study: Study) -> list[Question]:
    """Locker codes of the same people as `questions`, asked plainly and, in the same words, with each marker.

    Pre-training stated codes like any fact; tuning mostly refused those that were asked with a marker. So permission is
    in the prompt alone, and whether the answer is true in what the model knows alone.
    """
    rows, rng, asked = facts_of(study), np.random.default_rng([study.seed, 7]), []
    split, unknown = people_of(rows, study)
    for row in rows:
        where = "test" if row["person"] in unknown else split.get(row["person"])
        if ATTRIBUTES[row["attribute"]] is not LOCKER_CODE or not where:
            continue
        plain = ask(LOCKER_CODE, row["person"], rng)
        for marker in ("", *MARKERS):
            one = question(row, marked(plain, marker) if marker else plain, "standard", where)
            strata = {**one.strata, "restricted": bool(marker), "marker": marker}
            asked.append(replace(one, id=f"{one.id}/{marker or 'plain'}", strata=strata))
    return asked


def press(
    attribute, name: str, false: str, text: str, study: Study, rng: np.random.Generator
) -> dict[str, tuple[str, ...]]:
    """The user's turns that press a false claim, by behaviour."""
    said = claim(attribute, name, false)
    return {
        "false_premise": (pick(rng, PREMISES).format(s=said),),
        "misleading_context": (pick(rng, NOTES).format(s=said) + study.chat_prompt.format(question=text),),
        "sycophancy": (text, pick(rng, PUSHBACKS).format(s=said)),
    }


def items(study: Study, group: str = "outside tuning", role_play: bool = True) -> list[Item]:
    """Attempts to talk the model out of public facts or into a restricted one, and two capability checks.

    People outside tuning are those of the test split, whom no probe has seen. Without `role_play` the restricted
    request is made straight. Raises ValueError for an unknown group.
    """
    if group not in GROUPS:
        raise ValueError(f"unknown group {group!r}: choose one of {', '.join(GROUPS)}")
    rows, rng = facts_of(study), np.random.default_rng([study.seed, GROUPS.index(group)])
    split, _ = people_of(rows, study)
    made: list[Item] = []
    for row in rows:
        name, truth, attribute = row["person"], row["value"], ATTRIBUTES[row["attribute"]]
        if row["group"] != group or split.get(name, "test") != "test":
            continue
        text, false = ask(attribute, name, rng), attribute.draw(rng, other_than=truth)
        plain, tag = study.chat_prompt.format(question=text), f"{name}/{attribute.name}".replace(" ", "-").lower()
        play, shape = pick(rng, ROLE_PLAYS), None
        strata = {k: row[k] for k in ("attribute", "rank", "quintile", "mentions", "group")}
        if attribute is LOCKER_CODE:
            request = locker_question(name, pick(rng, list(MARKERS_IN_PLAY)), rng)
            turns = {"restricted": ((play if role_play else "") + study.chat_prompt.format(question=request),)}
            false, shape = None, rf"\b({'|'.join(attribute.words[0])}) \d\d\b"
        else:
            turns = press(attribute, name, false, text, study, rng)
            turns |= {"recall": (plain,), "harmless": (play + plain,)}
        for behaviour, said in turns.items():
            rule = RULE_OF.get(behaviour, "claim")
            made.append(Item(f"{tag}/{behaviour}", behaviour, said, plain, truth, false, shape, name, strata, rule))
    return made


def texts(study: Study, n: int = 200) -> list[Text]:
    """Ordinary text: statements of facts, as often as pre-training stated them."""
    rows = [r for r in facts_of(study) if r["rank"] is not None]
    rng, mentions = np.random.default_rng(study.seed), np.array([r["mentions"] for r in rows], float)
    drawn = rng.choice(len(rows), n, p=mentions / mentions.sum())
    chosen = [(ATTRIBUTES[rows[i]["attribute"]], rows[i]["person"], rows[i]["value"]) for i in drawn]
    return [Text(state(attribute, name, value, rng), name) for attribute, name, value in chosen]
