"""Would the H-Neurons be found again, on other people?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hn_utils.probing.probe import three_vs_one
from hn_utils.probing.stability import Group, Stability, stability
from hn_utils.stats.rank_test import shuffled

if TYPE_CHECKING:
    from hn_utils.contributions.tall_matrix import TallMatrix
    from hn_utils.probing.find import Found


def training_data(found: Found) -> tuple[np.ndarray, TallMatrix, np.ndarray]:
    """What the probe was trained on.

    Args:
        found: the H-Neurons.

    Returns:
        Places of the training answers among the kept ones, as [answer]; contributions as [row, neuron], answers first
        and then what they were set against; labels as [row], 1 for hallucinated answers.

    Source:
        The rows are the 3-vs-1 rows of Gao et al. 2025, sections 2 and 6.1, unless `find` was told otherwise.
    """
    collected = found.collected
    train = collected.training_rows()
    labels = collected.labels[train]
    X, y = three_vs_one(collected.contributions[train], labels, found.probe.region, found.probe.other)
    return train, X, y


def find_again(found: Found) -> tuple[Stability, Stability]:
    """Fit the path again and again on halves of the training people: which neurons come back?

    Args:
        found: the H-Neurons; C goes up to the one that was chosen for them.

    Returns:
        Stability of the probe's neurons over halves, as [half, neuron]; and the same with right and wrong shuffled,
        which leaves only the neurons that know where answers stand.

    Source:
        Stability selection: Meinshausen & Bühlmann 2010; complementary halves: Shah & Samworth 2013.

    A neuron that does not come back may still know: L1 takes one of several interchangeable ones.
    """
    train, X, y = training_data(found)
    collected = found.collected
    seed = found.study.seed
    grid = np.array([fit.C for fit in found.probe.path if fit.C <= found.probe.fit.C])
    groups = np.tile(collected.entities[train], 2)  # [row]: answers, then the other tokens of the same ones
    labels = collected.labels[train]
    noise = np.concatenate([shuffled(labels, seed), y[len(labels) :]])
    own = stability(X, y, groups, grid, seed=seed)
    by_chance = stability(X, noise, groups, grid, seed=seed)
    return own, by_chance


def found_groups(found: Found, halves: Stability) -> list[Group]:
    """The neurons found in any half, as groups of those whose contributions go together over the training answers.

    Args:
        found: the H-Neurons.
        halves: the first of what `find_again` returns.

    Returns:
        Groups with the neurons of each and how often any of them was found.
    """
    train, X, _ = training_data(found)
    return halves.groups(X[np.arange(len(train))])
