"""What else detects made-up answers, and do H-Neurons add to confidence?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hn_utils.probing.against_random import scores_of
from hn_utils.probing.baselines import Added, Scored, added, coordinates, l2_probe, read, residual_probe, share_by_kind
from hn_utils.probing.probe import Detection, Detector, detect, detection_table, row_of
from hn_utils.stats.bootstrap import bootstrap
from hn_utils.stats.metrics import auroc
from hn_utils.stats.tables import Tabled
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hn_utils.probing.find import Found
    from hn_utils.contributions.collected import Collected
    from hn_utils.answers.examples import Example

DENSE = "all neurons, L2 probe"


def oracle(examples: Sequence[Example]) -> dict[str, np.ndarray]:
    """The score of somebody who knows how often each fact was read, where that is known."""
    exposures = [e.question.strata.get("exposure") for e in examples]
    return {} if None in exposures else {"oracle: exposure in training": -np.array(exposures, float)}


def told_by_exposure(collected: Collected) -> str:
    """Whether consistent answers are made up more often where facts were read less often, in one sentence. Raises
    KeyError if that was not counted."""
    rows = collected.rows("test")
    (score,) = oracle([collected.kept[i] for i in rows]).values()
    order = bootstrap(auroc, collected.labels[rows], score, groups=collected.entities[rows])
    told = (
        "more often"
        if order.low > 0.5
        else "less often"
        if order.high < 0.5
        else "no more often, as far as can be told,"
    )
    return (
        f"Rare facts are made up {told} than others: how often a fact was read orders true and made-up test answers "
        f"with AUROC {order} (n = {order.n}; 0.5 is guessing)"
    )


@dataclass(frozen=True, repr=False)
class Compared(Tabled):
    """The detection table with what stands beside H-Neurons, and whether they add to confidence.

    Attributes:
        detections: every detector on every test set, the first set's first.
        added: do the H-Neurons add to confidence?
        residual: what the probe of the residual stream is called there, with the layer that was chosen.
    """

    detections: list[Detection]
    added: Added
    residual: str

    @property
    def main(self) -> list[Detection]:
        """H-Neurons, their controls and what rivals them, on the first test set."""
        first = self.detections[0].test_set
        there = [row for row in self.detections if row.test_set == first]
        own = (Detector.H_NEURONS, Detector.SELECTED, Detector.RANDOM_LOUD, Detector.WORDS)
        return [row_of(there, name) for name in (*own, DENSE, self.residual, Detector.CONFIDENCE)]

    @property
    def headline(self) -> str:
        return f"{len(self.detections)} readings; H-Neurons added to confidence: {self.added.beyond} of AUROC"

    @property
    def table(self) -> pd.DataFrame:
        """A row a detector, as in `Found.table`."""
        return detection_table(self.detections)


def compare(found: Found) -> Compared:
    """Read every baseline on the test sets: dense probes on all neurons and on the residual stream, uncertainty,
    answer length, and exposure where it is known. What has to be chosen is chosen on validation."""
    scores, residual = _other_scores(found)
    detections = list(found.detections)
    for title, rows in found.test_sets.items():
        there = found.collected.labelled(rows, found.probe.region)
        detections += [detect(name, title, there, values[rows]) for name, values in scores.items()]
    return Compared(detections, added_to_confidence(found), residual)


def added_to_confidence(found: Found) -> Added:
    """Do the H-Neurons say anything of the standard test answers that their confidence does not?"""
    collected = found.collected
    validation, test = collected.rows("validation"), collected.test_rows("standard")
    own = found.refitted.score(collected.contributions.at(found.probe.region))
    before, after = (scored(collected, own, rows) for rows in (validation, test))
    others = scores_of(found.control, collected.contributions[test].at(found.probe.region))
    return added(before, after, others)


def scored(collected: Collected, own: np.ndarray, rows: np.ndarray) -> Scored:
    """Some answers with the H-Neurons' scores of all, and their confidence."""
    return Scored(own[rows], collected.confidence[rows], collected.labels[rows], collected.entities[rows])


def _other_scores(found: Found) -> tuple[dict[str, np.ndarray], str]:
    """What every baseline says of each kept answer, higher for more likely made up; and which is the residual
    stream's."""
    collected, labels = found.collected, found.collected.labels
    train, validation = collected.training_rows(), collected.rows("validation")
    readings = read(collected.subject, collected.kept, found.study)
    layer, residual = residual_probe(readings.residual, labels, train, validation)
    X = collected.contributions.at(found.probe.region)
    _, dense = l2_probe(coordinates(X, train), labels, train, validation)
    longer = 1 if auroc(labels[train], readings.length[train]) >= 0.5 else -1
    of_residual = f"residual stream, L2 probe (layer {layer})"
    scores = {
        DENSE: dense,
        of_residual: residual,
        "entropy": readings.entropy,
        "margin of the likeliest token": -readings.margin,
        f"answer length ({'longer' if longer > 0 else 'shorter'} is made up)": longer * readings.length,
        "kind of answer (digits, words)": share_by_kind([e.text for e in collected.kept], labels, train),
        **oracle(collected.kept),
    }
    return scores, of_residual
