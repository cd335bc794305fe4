"""Accuracy crossed with permission: true and false answers to questions that are allowed and to restricted ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hn_utils.answers.sampling import sample_responses
from hn_utils.contributions.collect import answered
from hn_utils.probing.baselines import CALIPER
from hn_utils.probing.find import Found
from hn_utils.questions.question import SPLITS, Question, own_questions
from hn_utils.questions.question_sets import crossed_questions
from hn_utils.stats.tables import Tabled
from hn_utils.study import check_given
from hn_utils.study.own_rows import present, rows_of

if TYPE_CHECKING:
    from hn_utils.answers.examples import Example, Response
    from hn_utils.contributions.collected import Collected

CELLS = ("true, allowed", "false, allowed", "true, restricted", "false, restricted")
FEWEST = 20  # test answers in each cell, below which nothing is measured
_GIVEN = ("right", "wrong")  # verdicts on a response that hands an answer over


@dataclass(frozen=True, repr=False)
class Crossed(Tabled):
    """Answers to questions that were answered at all: of all draws the first true one and the first false one, refusals
    and "I do not know" left out. Labels of `answers` are 1 for a false answer.

    The consistency filter of the study is left out: of few answers left by refusals it is easier for all to agree. That
    a question may give two answers was decided when one each, the first given, had left 28 in each cell of the bundled
    model at equal confidence, too few for a verdict.
    `asked` and `drawn` hold every question and all its draws. `restricted`, `cells` (places in CELLS) and `confidence`
    are aligned with `answers.kept`.
    """

    found: Found
    asked: list[Question]
    drawn: list[list[Response]]
    answers: Collected

    @cached_property
    def restricted(self) -> Bool[np.ndarray, "answer"]:
        """Whether each answer is to a restricted question. Returns [answer]."""
        return np.array([bool(e.question.strata["restricted"]) for e in self.answers.kept])

    @cached_property
    def cells(self) -> Int[np.ndarray, "answer"]:
        """The cell of each answer. Returns places in CELLS, 0 to 3, as [answer]."""
        return self.answers.labels + 2 * self.restricted

    @cached_property
    def confidence(self) -> Float[np.ndarray, "answer"]:
        """How confident each answer is, what refusals compete with left out (`confidence_if_answered`).

        Returns:
            Mean log-probability of the answer's tokens as [answer], in nats, 0 or less.
        """
        draws = {q.id: some for q, some in zip(self.asked, self.drawn, strict=True)}
        return np.array([confidence_if_answered(e, draws[e.question.id]) for e in self.answers.kept])

    @cached_property
    def test(self) -> Int[np.ndarray, "test"]:
        """The answers about test entities, of which no probe has seen anything.

        Returns:
            Their places among `answers.kept`, as [test].
        """
        return self.answers.rows("test")

    @cached_property
    def equal_confidence(self) -> Float[np.ndarray, "test"]:
        """How much each test answer counts where all cells shall be equally confident (`equal_confidence_weights`).

        Returns:
            Weights from 0 to 1 as [test], aligned with `test`.
        """
        return equal_confidence_weights(self.confidence[self.test], self.cells[self.test])

    @cached_property
    def known(self) -> dict[str, bool]:
        """Whether the model's first answer about each test entity was true when it was allowed.

        Returns:
            True or False by entity. Entities of which no allowed question was answered are left out.
        """
        known: dict[str, bool] = {}
        for question, draws in zip(self.asked, self.drawn, strict=True):
            given = [r.verdict for r in draws if r.verdict in _GIVEN]
            if question.split == "test" and not question.strata["restricted"] and given:
                known[question.entity] = known.get(question.entity, False) or given[0] == "right"
        return known

    @property
    def headline(self) -> str:
        """How many test answers there are in each cell. Returns one line of text."""
        counts = np.bincount(self.cells[self.test], minlength=4)
        told = ", ".join(f"{n:,} {name}" for n, name in zip(counts, CELLS, strict=True))
        return f"{len(self.test):,} test answers of {self.answers.subject.short_name}: {told}"

    @property
    def table(self) -> pd.DataFrame:
        """What there is of each cell.

        Returns:
            A row a cell: answers by split, test entities, mean confidence (log-probability in nats), and how many
            answers are left at equal confidence.
        """
        rows: dict[str, dict[str, float]] = {}
        for cell, name in enumerate(CELLS):
            splits = {split: self.answers.rows(split) for split in SPLITS}
            mine = {split: some[self.cells[some] == cell] for split, some in splits.items()}
            rows[name] = {
                **{split: len(some) for split, some in mine.items()},
                "test entities": len(set(self.answers.entities[mine["test"]])),
                "log-probability": round(float(self.confidence[mine["test"]].mean()), 2),
                "equally sure": round(self.equal_confidence[self.cells[self.test] == cell].sum()),
            }
        return pd.DataFrame.from_dict(rows, orient="index")

    @property
    def refusals(self) -> pd.DataFrame:
        """What is refused, and whom that selects: test questions about entities of which the model's first answer was
        true, or false, when it was allowed.

        Returns:
            A row for each of restricted and allowed, true and false: questions, share of draws refused, and questions
            never answered. The last two columns are the confidence (log-probability in nats) of the plain answers, for
            questions that were answered at least once and for those never answered.
        """
        plain: dict[str, float] = {}
        for i in self.test:
            example = self.answers.kept[i]
            if not self.restricted[i] and self.known[example.question.entity] != example.label:
                plain[example.question.entity] = float(self.confidence[i])
        rows = []
        for question, draws in zip(self.asked, self.drawn, strict=True):
            if question.split == "test" and question.entity in plain:
                refused = [r.verdict == "abstained" for r in draws]
                confidence = {"never" if all(refused) else "answered": plain[question.entity]}
                asked = "restricted" if question.strata["restricted"] else "allowed"
                known = "true" if self.known[question.entity] else "false"
                rows.append(
                    {
                        "question": asked,
                        "asked plainly": known,
                        "refused": np.mean(refused),
                        "never": all(refused),
                        "confidence": confidence.get("answered"),
                        "confidence, never": confidence.get("never"),
                    }
                )
        names = ["question", "asked plainly", "refused", "never", "confidence", "confidence, never"]
        frame = pd.DataFrame(rows, columns=names).astype({"confidence": float, "confidence, never": float})
        told = frame.groupby(["question", "asked plainly"])
        columns = {
            "questions": ("refused", "size"),
            "draws refused": ("refused", "mean"),
            "never answered": ("never", "sum"),
            "plain confidence, answered": ("confidence", "mean"),
            "plain confidence, never": ("confidence, never", "mean"),
        }
        return told.agg(**columns).round(2)


def cross_permission(
    found: Found,
    rows: Sequence[Mapping[str, Any]] | pd.DataFrame | None = None,
    splits: Sequence[str] = tuple(SPLITS),
) -> Crossed | None:
    """Ask questions that are allowed and their restricted twins, and keep what is answered.

    Args:
        found: the H-Neurons whose model is asked. An entity that their probe was trained, chosen or tested on keeps its
            split.
        rows: a user's own: `question`, `answers` and `restricted` (True or False), and perhaps `entity` and `split` as
            in `questions.question.own_questions`. Without rows the study's own set is asked.
        splits: who is asked about; only `two_probes` needs more than the test entities.

    Returns:
        Of each question the first true and the first false answer, as far as there are such. None if the study's set
        has no such questions.

    Raises:
        TypeError: if `found` is not what `hn.find` returns.
        ValueError: before anything is captured, for rows of no use, or if a cell has fewer than FEWEST test answers.

    Source:
        This project's own. Gao et al. 2025, section 3, count harmful answers and accepted false premises alike as
        over-compliance.
    """
    check_given("found", found, Found, "what hn.find returns")
    study = found.study
    asked = crossed_questions(study) if rows is None else own_twins(rows, found)
    asked = [q for q in asked if q.split in splits]
    if not asked:
        return None
    drawn = sample_responses(found.subject, asked, study)
    given = []
    for question, draws in zip(asked, drawn, strict=True):
        given += [(question, first) for first in first_of_each(draws)]
    require_cells([(q, first) for q, first in given if q.split == "test"])
    answers = answered(found.collected, [q for q, _ in given], [[first] for _, first in given])
    return Crossed(found, asked, drawn, answers)


def first_of_each(draws: Sequence[Response]) -> list[Response]:
    """The first true and the first false answer among some draws, as far as there are such.

    Args:
        draws: all responses to one question, judged, in the order in which they were drawn.

    Returns:
        At most two of them, the true one first. Refusals and "I do not know" are neither.
    """
    firsts = (next((r for r in draws if r.verdict == verdict), None) for verdict in _GIVEN)
    return [first for first in firsts if first is not None]


def own_twins(rows: Sequence[Mapping[str, Any]] | pd.DataFrame, found: Found) -> list[Question]:
    """A user's own questions, each with the split that its entity has already.

    Args:
        rows: `question`, `answers` and `restricted`, as in `cross_permission`.
        found: the H-Neurons, whose standard questions say which split an entity has.

    Returns:
        One question a row, but for those that `own_questions` joins.

    Raises:
        ValueError: names the row that does not say whether it is restricted, or that has a part of its own.
    """
    for place, row in enumerate(rows_of("rows", rows, "question, answers and restricted")):
        if row.get("part", "standard") != "standard" and present(row, "part"):
            raise ValueError(f"rows[{place}] has part={row['part']!r}: leave it out, all four cells are one test set")
    asked = own_questions(rows, found.study.seed, found.study.hold_out_answers)
    for place, question in enumerate(asked):
        said = question.strata.get("restricted")
        if not isinstance(said, bool | np.bool_):
            raise ValueError(
                f"rows[{place}] ({question.text!r}) has restricted={said!r}: give True for a question that is often "
                "refused, False for its plain twin"
            )
    seen = {q.entity: q.split for q in found.collected.questions if q.part == "standard"}
    return [replace(q, split=seen.get(q.entity, q.split)) for q in asked]


def require_cells(given: Sequence[tuple[Question, Response]]) -> None:
    """Refuse to measure on too few answers in a cell.

    Args:
        given: questions and answers to them, about test entities.

    Raises:
        ValueError: if a cell has fewer than FEWEST; counts the answers of each cell, and says of which there are too
            few.
    """
    counts = Counter(2 * bool(q.strata["restricted"]) + (r.verdict == "wrong") for q, r in given)
    short = [name for cell, name in enumerate(CELLS) if counts[cell] < FEWEST]
    if short:
        told = ", ".join(f"{counts[cell]} {name}" for cell, name in enumerate(CELLS))
        raise ValueError(
            f"too few test answers in a cell ({told}; {FEWEST} are needed in each): add rows for {'; '.join(short)}. "
            "True answers need facts that the model knows, false ones facts that it does not; restricted ones "
            "questions that it does not always refuse"
        )


def confidence_if_answered(example: Example, draws: Sequence[Response]) -> float:
    """Mean log-probability (nats) of the answer's tokens, given that there is an answer.

    A refusal competes with the answer for the first token only. So what the refusals among the draws began with is
    taken out of that token's alternatives; else every restricted answer would pass for a hesitant one.

    Args:
        example: the answer.
        draws: all responses to its question, among them the one that the answer is from.

    Returns:
        Nats, 0 or less, and never less than `example.confidence`. The same as that if the answer does not open the
        response, or if a refusal began with the same token.

    Refusals that were not drawn are not taken out: with few draws it stays too low.
    """
    refusals = {r.ids[0]: np.exp(r.logprobs[0]) for r in draws if r.verdict == "abstained"}
    first = example.response_ids[0]
    if first in refusals or example.answer[0] != len(example.prompt_ids):
        return example.confidence
    chosen = next(r.logprobs[0] for r in draws if r.ids[0] == first)
    left = max(1 - sum(refusals.values()), np.exp(chosen))  # rounding apart, at least the answer itself
    return float(example.confidence - np.log(left) / len(example.answer))


def equal_confidence_weights(
    confidence: Float[np.ndarray, "row"], cells: Int[np.ndarray, "row"]
) -> Float[np.ndarray, "row"]:
    """Weights by which, in every narrow range of confidence, each cell counts as much as the smallest one there.

    Within a cell the answers of one range count alike: it is the mean over all ways of drawing as many of each. (Drawn
    once, as was done at first, the H-Neurons' verdict on the bundled model hung on the draw.)

    Args:
        confidence: log-probabilities as [row], in nats.
        cells: places in CELLS as [row].

    Returns:
        Weights from 0 to 1 as [row]; 0 in a range that some cell has no answer in.
    """
    width = CALIPER * confidence.std() + 1e-12
    _, place = np.unique(np.floor((confidence - confidence.min()) / width), return_inverse=True)
    counts = np.zeros((place.max() + 1, len(CELLS)))  # [range, cell]
    np.add.at(counts, (place, cells), 1)
    return counts.min(1)[place] / counts[place, cells]  # [row]
