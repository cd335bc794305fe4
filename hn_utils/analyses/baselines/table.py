"""Is a handful of neurons better than what people would use instead? One table, and which score adds to which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hn_utils.analyses.baselines.cost import Pace, Passes, counted_passes, measured_pace
from hn_utils.analyses.baselines.detectors import (
    EXACT_TOKEN,
    H_NEURONS,
    LOG_PROBABILITY,
    SEMANTIC_ENTROPY,
    DetectorScores,
    all_detectors,
)
from hn_utils.analyses.baselines.pool import EVERYDAY, FILTERED, Pool, pooled
from hn_utils.probing.baselines import combined
from hn_utils.probing.probe import Detection, detect
from hn_utils.stats.bootstrap import Estimate, auroc_difference, spread
from hn_utils.stats.drawn import figure_of
from hn_utils.stats.metrics import auroc
from hn_utils.stats.tables import Tabled

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from hn_utils.probing.find import Found

# One of each family, by how its name begins: what is put together in pairs.
_NESTED = (
    LOG_PROBABILITY,
    "entropy of the predictions",
    "words of the answer",
    "p(True)",
    SEMANTIC_ENTROPY,
    "EigenScore",
    EXACT_TOKEN,
    "dense contributions",
    H_NEURONS,
)


@dataclass(frozen=True)
class DetectorRow:
    """One detector beside the others.

    Attributes:
        name: what it is called in the table.
        passes: what it costs for each answer.
        detections: what it reaches, by the title of the test answers.
        controls: mean AUROC of its control, by the same titles, and the range that holds 95 % of the control's sets or
            shuffles; None where nothing is fitted.
        difference: AUROC of the H-Neurons as found minus its own, on everyday answers.
    """

    name: str
    passes: Passes
    detections: dict[str, Detection]
    controls: dict[str, Estimate | None]
    difference: Estimate


@dataclass(frozen=True)
class Agreeing:
    """How often all draws mean the same, among right and among hallucinated test answers: shares from 0 to 1."""

    right: float
    wrong: float


@dataclass(frozen=True, repr=False)
class Baselines(Tabled):
    """Detectors side by side on everyday and on filtered answers, with what they cost.

    Attributes:
        rows: the detectors.
        missing: detectors that this model cannot be asked for, each with the reason.
        gains: on everyday answers, by (first, second): AUROC of a logistic regression on both scores, fitted on
            validation answers, minus that of the first alone, with its interval over entities.
        agreeing: how often all draws mean the same, by the title of the test answers.
        pace: how long passes took, here and now.
    """

    rows: list[DetectorRow]
    missing: dict[str, str]
    gains: dict[tuple[str, str], Estimate]
    agreeing: dict[str, Agreeing]
    pace: Pace

    def row(self, name: str) -> DetectorRow:
        """Find a detector.

        Args:
            name: how its name begins, such as "EigenScore".

        Returns:
            The first such row.

        Raises:
            ValueError: there is none.
        """
        for row in self.rows:
            if row.name.startswith(name):
                return row
        raise ValueError(f"no detector is called {name!r}: choose one of {', '.join(row.name for row in self.rows)}")

    @property
    def headline(self) -> str:
        """Where the H-Neurons stand on everyday answers, beside the first of all and the first of those that cost
        nothing. The first of many was chosen on these answers: it is too high by what was gained in that."""
        others = [row for row in self.rows if not row.name.startswith("H-Neurons")]
        own = self.row(H_NEURONS).detections[EVERYDAY].auroc
        first = max(others, key=_everyday)
        free = max((row for row in others if not row.passes.total), key=_everyday)
        more, less = (sum(row.difference.direction() == sign for row in others) for sign in (-1, 1))
        told = (
            f"On {own.n} everyday answers the H-Neurons reach AUROC {own}; of {len(others)} other detectors {more} "
            f"reach more, {less} less, {len(others) - more - less} are not told apart. First is {first.name} "
            f"({first.detections[EVERYDAY].auroc}, {counted_passes(first.passes)})"
        )
        if first is free:
            return told
        return f"{told}; first without a further pass {free.name} ({free.detections[EVERYDAY].auroc})"

    @property
    def filter_told(self) -> str:
        """What the consistency filter does to detectors that read several draws. Returns two sentences."""
        filtered = self.agreeing[FILTERED]
        everyday = self.agreeing[EVERYDAY]
        return (
            f"Where the filter keeps answers that all draws agree on, detectors that read the draws are handed a part "
            f"of the label: all draws mean the same for {filtered.right:.0%} of right and {filtered.wrong:.0%} of "
            f"hallucinated filtered answers, and for {everyday.right:.0%} and {everyday.wrong:.0%} of everyday ones. "
            "Read the everyday column first."
        )

    @property
    def table(self) -> pd.DataFrame:
        """A row a detector, the columns of everyday answers before those of filtered ones.

        Returns:
            Further passes, milliseconds, AUROC on either set with its control, and the AUROC of the H-Neurons minus its
            own. An interval of a control is the range of its sets or shuffles.
        """
        rows = {}
        for row in self.rows:
            cells: dict[str, object] = {"passes": row.passes.total, "ms": self.pace.milliseconds(row.passes)}
            for title, detection in row.detections.items():
                control = row.controls[title]
                cells[f"AUROC, {title}"] = detection.auroc
                cells[f"shuffled labels, {title}"] = "" if control is None else control
            cells[f"H-Neurons minus it, {EVERYDAY}"] = row.difference
            rows[row.name] = cells
        return pd.DataFrame.from_dict(rows, orient="index")

    @property
    def nested_table(self) -> pd.DataFrame:
        """What each score (column) adds to another (row): AUROC of both minus that of the row's alone.

        Returns:
            A square of estimates, empty on its diagonal. Of so many intervals one in twenty lies off 0 by chance.
        """
        names = list(dict.fromkeys(first for first, _ in self.gains))
        cells = [[self.gains.get((first, second), "") for second in names] for first in names]
        return pd.DataFrame(cells, index=names, columns=names)

    def plot(self) -> go.Figure:
        """Returns the table as a figure."""
        return figure_of("baselines", self)


def beside_baselines(found: Found) -> Baselines:
    """Set H-Neurons beside what people would use instead, on the same answers and with the same intervals.

    Whatever is fitted learns from the filtered training answers that the H-Neurons were found in, and chooses its layer
    and strength on filtered validation answers. Everyday test answers come first: the filter keeps what all draws agree
    on, and so hands a part of the label to whatever reads several draws.

    Args:
        found: the H-Neurons, in answers with two draws or more a question.

    Returns:
        Every detector with its cost and its control, and which score adds to which.

    Raises:
        ValueError: only one response was drawn to each question, or the everyday answers lack right or wrong ones.

    Source:
        Sources stand where each detector is computed: `probing.draws`, `probing.directions`, `probing.p_true`,
        `probing.baselines`.

    A detector that reads better does not show that the model uses what it reads, nor that it would read as well on
    other questions.
    """
    pool = pooled(found)
    detectors, missing = all_detectors(found, pool)
    own = next(detector for detector in detectors if detector.name == H_NEURONS)
    semantic = next(detector for detector in detectors if detector.name == SEMANTIC_ENTROPY)
    agreeing = {title: _agreeing(semantic.scores[rows], pool.labels[rows]) for title, rows in pool.tests.items()}
    rows = [_compared(pool, detector, own) for detector in detectors]
    return Baselines(rows, missing, gains(pool, _one_of_each_family(detectors)), agreeing, measured_pace(pool))


def gains(pool: Pool, detectors: Sequence[DetectorScores]) -> dict[tuple[str, str], Estimate]:
    """What each score adds to each other on everyday answers.

    Args:
        pool: the answers.
        detectors: whose scores are put together.

    Returns:
        By (first, second): AUROC of a logistic regression on both, fitted on everyday validation answers and read on
        everyday test answers, minus that of the first alone, with its interval over test entities.
    """
    before = pool.nested
    after = pool.tests[EVERYDAY]
    labels = pool.labels[after]
    found = {}
    for first, second in permutations(detectors, 2):
        scores = np.stack([first.scores, second.scores], 1)  # [answer, score]
        both = combined(scores[before], pool.labels[before], scores[after])
        found[first.name, second.name] = auroc_difference(labels, both, first.scores[after], pool.entities[after])
    return found


def _one_of_each_family(detectors: Sequence[DetectorScores]) -> list[DetectorScores]:
    """The detectors that are put together in pairs, as far as they are there."""
    found = []
    for beginning in _NESTED:
        found += [detector for detector in detectors if detector.name.startswith(beginning)][:1]
    return found


def _compared(pool: Pool, detector: DetectorScores, own: DetectorScores) -> DetectorRow:
    """A detector on both test sets."""
    detections: dict[str, Detection] = {}
    controls: dict[str, Estimate | None] = {}
    for title, rows in pool.tests.items():
        detections[title] = detect(detector.name, title, pool.labelled(rows), detector.scores[rows], detector.n_neurons)
        controls[title] = None if detector.control is None else _control(pool, detector.control, rows)
    rows = pool.tests[EVERYDAY]
    difference = auroc_difference(pool.labels[rows], own.scores[rows], detector.scores[rows], pool.entities[rows])
    return DetectorRow(detector.name, detector.passes, detections, controls, difference)


def _control(pool: Pool, scores: np.ndarray, rows: np.ndarray) -> Estimate:
    """AUROC of what learnt from shuffled labels: its mean, and the range of 95 % of it."""
    reached = [auroc(pool.labels[rows], column) for column in scores[rows].T]
    return spread(np.array(reached), len(rows))


def _agreeing(entropies: np.ndarray, labels: np.ndarray) -> Agreeing:
    """How often all draws mean the same, which is where semantic entropy is 0, among right and hallucinated answers."""
    alike = entropies == 0
    return Agreeing(float(alike[labels == 0].mean()), float(alike[labels == 1].mean()))


def _everyday(row: DetectorRow) -> float:
    """What a detector reaches on everyday answers."""
    return row.detections[EVERYDAY].auroc.value
