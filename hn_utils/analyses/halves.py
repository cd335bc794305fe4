"""Would the H-Neurons be found again, on other people?"""

from __future__ import annotations

import numpy as np

from hn_utils.probing.probe import three_vs_one
from hn_utils.probing.stability import Group, Stability, stability
from hn_utils.stats.rank_test import shuffled
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hn_utils.probing.find import Found
    from hn_utils.contributions.tall_matrix import TallMatrix


def training_data(found: Found) -> tuple[np.ndarray, TallMatrix, np.ndarray]:
    """What the probe was trained on: indices of the examples, rows and their labels."""
    collected = found.collected
    train = collected.training_rows()
    labels = collected.labels[train]
    X, y = three_vs_one(collected.contributions[train], labels, found.probe.region, found.probe.other)
    return train, X, y


def find_again(found: Found) -> tuple[Stability, Stability]:
    """Stability of the probe's neurons over halves of the training people, up to the chosen C; the same with right and
    wrong shuffled, which leaves only the neurons that know where answers stand."""
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
    """The neurons found in any half, as groups of those whose contributions go together over the training answers."""
    train, X, _ = training_data(found)
    return halves.groups(X[np.arange(len(train))])
