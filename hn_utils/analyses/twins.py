"""Would each H-Neuron's twin do as well in its place?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hn_utils.analyses.halves import training_data
from hn_utils.probing.probe import refit
from hn_utils.probing.stability import twins
from hn_utils.stats.bootstrap import Estimate, bootstrap
from hn_utils.stats.metrics import auroc

if TYPE_CHECKING:
    from hn_utils.probing.find import Found


@dataclass(frozen=True)
class Swapped:
    """Every H-Neuron's twin in its place: mean correlation of the pairs over training answers, the same of as many
    random neurons and their twins, and AUROC on validation answers of H-Neurons and of twins, refitted alike."""

    r: float
    r_random: float
    own: Estimate
    twins: Estimate


def swapped(found: Found) -> Swapped:
    """Put the neuron that correlates most with each H-Neuron in its place, and refit.

    Args:
        found: the H-Neurons.

    Returns:
        Mean correlation (Pearson's r) of H-Neurons and twins over training answers, the same of as many random neurons
        and their twins, and AUROC (0 to 1, interval over entities) of both sets on validation answers.

    Source:
        This project's own.

    Equal AUROC says that both sets read alike. It does not say that they do alike when they are scaled.
    """
    train, X, y = training_data(found)
    answers = X[np.arange(len(train))]  # the other tokens would make all that knows where answers stand alike
    others, r = twins(answers, found.neurons)
    _, r_random = twins(answers, found.random["layer"][0].neurons)
    seen, labels, groups = found.collected.labelled(found.collected.rows("validation"), found.probe.region)
    own = bootstrap(auroc, labels, refit(X, y, found.neurons).score(seen), groups=groups)
    theirs = bootstrap(auroc, labels, refit(X, y, np.unique(others)).score(seen), groups=groups)
    return Swapped(float(r.mean()), float(r_random.mean()), own, theirs)
