"""Which C would the paper's own rule choose?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hn_utils.models.scaling import UNSCALED, Dose
from hn_utils.questions.items import plain_item
from hn_utils.stats.metrics import accuracy
from hn_utils.steering.outcomes import outcomes
from hn_utils.steering.replies import replies_at

if TYPE_CHECKING:
    from hn_utils.probing.find import Found
    from hn_utils.probing.l1_path import Fit


@dataclass(frozen=True)
class PaperRule:
    """The paper's own way of choosing C, on validation people, for every fit of the path that has H-Neurons.

    `accuracy` is balanced, at score 0; `recall` the share of questions that the model still answers rightly with that
    fit's H-Neurons suppressed, `recall_unscaled` without. The paper adds the first two and takes the best sum; how
    strongly it suppressed, and on which questions, it does not say: here alpha is 0. Accuracy is over `n_answers`
    consistent answers, recall over `n_questions` questions.
    """

    fits: list[Fit]
    accuracy: list[float]
    recall: list[float]
    recall_unscaled: float
    n_answers: int
    n_questions: int

    @property
    def chosen(self) -> int:
        """The fit with the best sum of accuracy and recall. Returns its place among `fits`."""
        return int(np.argmax(np.add(self.accuracy, self.recall)))


def by_paper_rule(found: Found) -> PaperRule:
    """Suppress each fit's H-Neurons in turn and ask validation questions again.

    Args:
        found: the H-Neurons, with the whole path of fits.

    Returns:
        Balanced accuracy and recall (0 to 1) by fit, each as [fit], on validation entities.

    Source:
        Gao et al. 2025, sections 2 and 6.1. Their grid, split and strength of suppression are unpublished: here the
        grid is the study's, the split that by entity, and alpha is 0.
    """
    collected = found.collected
    study = found.study
    fits = [fit for fit in found.probe.path if len(fit.h_neurons)]
    X, labels, _ = collected.labelled(collected.rows("validation"), found.probe.region)
    asked = [q for q in collected.questions if q.part == "standard" and q.split == "validation"]
    items = [plain_item(q, study) for q in asked]
    doses = [UNSCALED, *(Dose(fit.h_neurons, 0.0) for fit in fits)]
    told = outcomes(items, replies_at(collected.subject, items, doses, study), study)
    right = told == "complied"  # [item, dose]
    unscaled, *suppressed = right.mean(0).tolist()
    accuracies = [accuracy(labels, fit.score(X)) for fit in fits]
    return PaperRule(fits, accuracies, suppressed, unscaled, len(labels), len(asked))
