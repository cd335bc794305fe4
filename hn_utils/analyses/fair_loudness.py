"""Are random sets a fair control where H-Neurons are louder than every other neuron?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hn_utils.analyses.halves import training_data
from hn_utils.controls import Estimate, Match, auroc, beyond_random, bootstrap, random_sets
from hn_utils.finding import Found, scores_of
from hn_utils.probe import refit, refits

AS_LOUD, MIN_STAND_INS = 1.25, 10


@dataclass(frozen=True)
class AsLoud:
    """The H-Neurons that have stand-ins as loud as themselves: `n` of them with at least MIN_STAND_INS others of their
    layer whose mean contribution differs by no more than the factor AS_LOUD. `auroc` on the test set, `beyond` random
    sets of such stand-ins; `loudness` is the mean contribution of these H-Neurons and of the sets (in percent)."""

    n: int
    auroc: Estimate
    beyond: Estimate
    loudness: tuple[float, float]


def as_loud(found: Found, n_sets: int = 100) -> AsLoud | None:
    """Some H-Neurons are louder than every other neuron of their layer: no random set is as loud as they are. Without
    them, the comparison is fair. None if no H-Neuron has stand-ins."""
    _, X, y = training_data(found)
    loud = found.magnitude
    chosen = np.array([j for j in found.neurons.tolist() if n_stand_ins(found, j) >= MIN_STAND_INS], dtype=int)
    if not len(chosen):
        return None
    match = Match("magnitude", loud, within=AS_LOUD, never=found.neurons)
    sets = random_sets(chosen, found.card.shape, n_sets, match, found.study.seed)
    read, labels, groups = found.collected.labelled(found.collected.test_rows("standard"), found.probe.region)
    own, random = refit(X, y, chosen).score(read), scores_of(refits(X, y, sets), read)
    return AsLoud(
        len(chosen),
        bootstrap(auroc, labels, own, groups=groups),
        beyond_random(auroc, own, random, groups, labels),
        (float(100 * loud[chosen].mean()), float(100 * np.mean([loud[s].mean() for s in sets]))),
    )


def n_stand_ins(found: Found, neuron: int) -> int:
    """How many other neurons of its layer are about as loud, and no H-Neurons."""
    loud, d_mlp = found.magnitude, found.card.d_mlp
    free = np.setdiff1d(np.arange(len(loud)), found.neurons)
    near = np.abs(np.log((loud[free] + 1e-9) / (loud[neuron] + 1e-9))) <= np.log(AS_LOUD)
    return int((near & (free // d_mlp == neuron // d_mlp)).sum())
