"""What else detects made-up answers, and do H-Neurons add to confidence?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hn_utils.probing.against_random import scores_of
from hn_utils.probing.baselines import Added, Scored, added, coordinates, l2_probe, read, residual_probe, share_by_kind
from hn_utils.probing.probe import Detection, Detector, detect, detection_table, row_of
from hn_utils.stats.bootstrap import bootstrap
from hn_utils.stats.metrics import auroc
from hn_utils.stats.tables import Tabled

if TYPE_CHECKING:
    from hn_utils.answers.examples import Example
    from hn_utils.contributions.collected import Collected
    from hn_utils.probing.find import Found

DENSE = "all neurons, L2 probe"


def oracle(examples: Sequence[Example]) -> dict[str, np.ndarray]:
    """The score of somebody who knows how often each fact was read, where that is known.

    Args:
        examples: answers to questions with or without the stratum `exposure`.

    Returns:
        Minus the times the fact was read, as [example], by the name of this detector: higher for rarer facts. Nothing
        if that is unknown for any of them.
    """
    exposures = [e.question.strata.get("exposure") for e in examples]
    return {} if None in exposures else {"oracle: exposure in training": -np.array(exposures, float)}


def told_by_exposure(collected: Collected) -> str:
    """Whether consistent answers are made up more often where facts were read less often, in one sentence.

    Args:
        collected: judged answers to questions with the stratum `exposure`; those about test entities are counted.

    Returns:
        A sentence with the AUROC of exposure (0 to 1, interval over entities).

    Raises:
        ValueError: if how often facts were read is not known for all of them.
    """
    rows = collected.rows("test")
    scores = list(oracle([collected.kept[i] for i in rows]).values())
    if not scores:
        raise ValueError(
            f"the questions of {collected.study.name} do not all say how often their fact was read: "
            "give rows with `exposure`"
        )
    order = bootstrap(auroc, collected.labels[rows], scores[0], groups=collected.entities[rows])
    told = {1: "more often", -1: "less often", 0: "no more often, as far as can be told,"}[order.direction(null=0.5)]
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
        """H-Neurons, their controls and what rivals them, on the first test set.

        Returns:
            Seven rows, of those detectors whose names begin as in _MAIN.
        """
        first = self.detections[0].test_set
        there = [row for row in self.detections if row.test_set == first]
        own = (Detector.H_NEURONS, Detector.SELECTED, Detector.RANDOM_LOUD, Detector.WORDS)
        return [row_of(there, name) for name in (*own, DENSE, self.residual, Detector.CONFIDENCE)]

    @property
    def headline(self) -> str:
        """How many readings, and what H-Neurons add to confidence. Returns one line of text."""
        return f"{len(self.detections)} readings; H-Neurons added to confidence: {self.added.beyond} of AUROC"

    @property
    def table(self) -> pd.DataFrame:
        """The detectors as a table.

        Returns:
            A row a detector, as in `Found.table`: AUROC on every test set, accuracy and AUPRC on the first.
        """
        return detection_table(self.detections)


def compare(found: Found) -> Compared:
    """Read every baseline on the test sets: dense probes on all neurons and on the residual stream, uncertainty, answer
    length, and exposure where it is known. What has to be chosen is chosen on validation.

    Args:
        found: the H-Neurons, with their answers and test sets.

    Returns:
        Every detector on every test set, and whether H-Neurons add to confidence on the standard one.

    Source:
        The paper has random neurons alone (Gao et al. 2025, section 2); all other baselines are this project's choice.

    That a detector reads better does not show that the model uses what it reads.
    """
    scores, residual = _other_scores(found)
    detections = list(found.detections)
    for title, rows in found.test_sets.items():
        there = found.collected.labelled(rows, found.probe.region)
        detections += [detect(name, title, there, values[rows]) for name, values in scores.items()]
    return Compared(detections, added_to_confidence(found), residual)


def added_to_confidence(found: Found) -> Added:
    """Do the H-Neurons say anything of the standard test answers that their confidence does not?

    Args:
        found: the H-Neurons; models are fitted on validation answers and compared on standard test answers.

    Returns:
        AUROC of H-Neurons and confidence together less that of confidence alone, with its interval over entities; and
        in which share of pairs of equal confidence the H-Neurons order a true and a false answer rightly, beside their
        control.

    With the consistency filter on, confidence is nearly a perfect judge, so that little can be added: see `everyday`.
    """
    collected = found.collected
    validation = collected.rows("validation")
    test = collected.test_rows("standard")
    own = found.refitted.score(collected.contributions.at(found.probe.region))
    before = scored(collected, own, validation)
    after = scored(collected, own, test)
    others = scores_of(found.control, collected.contributions[test].at(found.probe.region))
    return added(before, after, others)


def scored(collected: Collected, own: np.ndarray, rows: np.ndarray) -> Scored:
    """Some answers with the H-Neurons' scores and their confidence.

    Args:
        collected: all answers.
        own: the H-Neurons' log-odds of a hallucination for every kept answer, as [answer].
        rows: places of the wanted ones, as [row].

    Returns:
        Scores, confidence (log-probability in nats), labels (1 for hallucinated) and entities of these, each as [row].
    """
    return Scored(own[rows], collected.confidence[rows], collected.labels[rows], collected.entities[rows])


def _other_scores(found: Found) -> tuple[dict[str, np.ndarray], str]:
    """What every baseline says of each kept answer, higher for more likely made up; and which is the residual
    stream's."""
    collected = found.collected
    labels = collected.labels
    train = collected.training_rows()
    validation = collected.rows("validation")
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
