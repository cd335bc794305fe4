"""The answers that all detectors are compared on: filtered ones, and behind them everyday ones, under one numbering."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from hn_utils.answers.examples import Example, Response, representative
from hn_utils.contributions.cett import Labelled
from hn_utils.contributions.collect import first_answers

if TYPE_CHECKING:
    from hn_utils.contributions.collected import Collected
    from hn_utils.contributions.tall_matrix import TallMatrix
    from hn_utils.probing.find import Found

EVERYDAY = "everyday answers"
FILTERED = "consistent answers"


@dataclass(frozen=True)
class Pool:
    """Answers to standard questions: `filtered` ones that all draws agree on, and `everyday` ones, the first draw each.

    Places count the filtered ones first. Detectors learn on `train` and choose on `validation`, both filtered, as the
    H-Neurons did; `tests` holds the places of the test answers of either kind, and `nested` those of the everyday
    validation answers, on which two scores are put together.
    """

    filtered: Collected
    everyday: Collected
    region: str

    @cached_property
    def examples(self) -> list[Example]:
        """All answers."""
        return [*self.filtered.kept, *self.everyday.kept]

    @cached_property
    def labels(self) -> Int[np.ndarray, "answer"]:
        """1 for hallucinated."""
        return np.concatenate([self.filtered.labels, self.everyday.labels])

    @cached_property
    def entities(self) -> np.ndarray:
        """What each answer is about."""
        return np.concatenate([self.filtered.entities, self.everyday.entities])

    @cached_property
    def draws(self) -> list[list[Response]]:
        """All that was drawn for the question of each answer."""
        of_question = dict(zip((q.id for q in self.filtered.questions), self.filtered.responses, strict=True))
        return [of_question[example.question.id] for example in self.examples]

    @cached_property
    def chosen(self) -> list[Response]:
        """The draw that each answer is."""
        n = len(self.filtered.kept)
        return [representative(some) for some in self.draws[:n]] + [some[0] for some in self.draws[n:]]

    @cached_property
    def contributions(self) -> TallMatrix:
        """What every neuron contributes to each answer, [answer, layer * neuron]."""
        above, below = (answers.contributions.at(self.region) for answers in (self.filtered, self.everyday))
        return above.above(below)

    @property
    def train(self) -> Int[np.ndarray, "row"]:
        """Places of the training answers, as many right as wrong."""
        return self.filtered.training_rows()

    @property
    def validation(self) -> Int[np.ndarray, "row"]:
        """Places of the filtered validation answers."""
        return self.filtered.rows("validation")

    @property
    def nested(self) -> Int[np.ndarray, "row"]:
        """Places of the everyday validation answers."""
        return len(self.filtered.kept) + self.everyday.rows("validation")

    @property
    def tests(self) -> dict[str, Int[np.ndarray, "row"]]:
        """Places of the test answers, by their title: everyday ones first."""
        everyday = len(self.filtered.kept) + self.everyday.rows("test")
        return {EVERYDAY: everyday, FILTERED: self.filtered.rows("test")}

    def labelled(self, rows: Int[np.ndarray, "row"]) -> Labelled:
        """Some answers ready to be scored.

        Args:
            rows: their places.

        Returns:
            Contributions, labels and entities of these.
        """
        return Labelled(self.contributions[rows], self.labels[rows], self.entities[rows])


def pooled(found: Found) -> Pool:
    """Put filtered and everyday answers together.

    Args:
        found: the H-Neurons, with the answers they were found in.

    Returns:
        Answers to standard questions alone.

    Raises:
        ValueError: only one response was drawn to each question, or the everyday validation or test answers lack right
            or wrong ones.
    """
    collected = found.collected
    n = collected.study.sampling.n
    if n < 2:
        raise ValueError(f"sampling={{'n': {n}}} draws too few to compare with: collect answers with two draws or more")
    standard = np.flatnonzero([example.question.part == "standard" for example in collected.kept])
    examples = [collected.kept[i] for i in standard]
    filtered = replace(collected, examples=examples, contributions=collected.contributions[standard])
    pool = Pool(filtered, first_answers(collected), found.probe.region)
    for name, rows in {"validation": pool.nested, "test": pool.tests[EVERYDAY]}.items():
        if len(set(pool.labels[rows])) < 2:
            raise ValueError(
                f"the {len(rows)} everyday {name} answers are all right or all made up: ask more questions, or others"
            )
    return pool
