"""Can the instrument be trusted? Stability selection where it is known which neurons know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.probing.l1_path import c_grid
from hn_utils.probing.stability import stability

N_SIMULATED = 3_000  # neurons
N_PLANTED = 5  # of these


@dataclass(frozen=True)
class Planted:
    """What stability selection found among made-up contributions of which N_PLANTED neurons know.

    `recall` is the share of these that was found, `false` how many others were: means over a few draws.
    """

    n: int
    strength: float
    correlated: float
    recall: float
    false: float


def plant(n: int, strength: float, correlated: float, seed: int) -> tuple[TallMatrix, np.ndarray, np.ndarray]:
    """Simulate contributions of answers, half of them hallucinated, where it is known which neurons tell.

    Sizes are heavy-tailed, and blocks of fifty neurons share a cause. N_PLANTED of N_SIMULATED neurons, far apart, are
    larger in hallucinated answers.

    Args:
        n: answers; an odd number gives one fewer.
        strength: by how many standard deviations of their logarithm the planted ones are larger.
        correlated: share of the variance that a block has in common, 0 to 1.
        seed: of the draw.

    Returns:
        Contributions as [answer, neuron] without unit, labels as [answer] (1 for hallucinated), and the planted neurons
        as flat indices [planted].
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1], n // 2))
    chosen = np.arange(N_PLANTED) * (N_SIMULATED // N_PLANTED) + 5
    common = rng.normal(size=(len(labels), N_SIMULATED // 50)).repeat(50, 1)  # [answer, neuron]
    logs = np.sqrt(1 - correlated) * rng.normal(size=common.shape) + np.sqrt(correlated) * common
    logs[:, chosen] += strength * labels[:, None]  # [answer, planted]
    return TallMatrix([np.exp(0.7 * logs).astype(np.float16)]), labels, chosen


def planted_truth(
    ns: Sequence[int] = (100, 300, 900),
    strengths: Sequence[float] = (0.0, 0.5, 1.0),
    correlations: Sequence[float] = (0.0, 0.5),
    seeds: int = 2,
) -> list[Planted]:
    """Recall and false discoveries of stability selection where the truth is known, against size, signal and
    correlation.

    Args:
        ns: numbers of answers.
        strengths: of the signal, in standard deviations; at 0 nothing is there to be found.
        correlations: shares of variance that a block of neurons has in common, 0 to 1.
        seeds: how many draws are averaged.

    Returns:
        Share of the planted neurons found (nan at strength 0) and mean number of others found, for each combination.

    Source:
        Stability selection: Meinshausen & Bühlmann 2010; Shah & Samworth 2013. The simulation is this project's own.

    Real contributions are correlated in ways that blocks of fifty do not show: it trusts the instrument, not a finding.
    """
    results = []
    for correlated, strength, n in product(correlations, strengths, ns):
        hits = []
        others = []
        for seed in range(seeds):
            X, labels, chosen = plant(n, strength, correlated, seed)
            stable = stability(X, labels, np.arange(len(labels)), c_grid(X, labels, 30)[:12], 6, seed).stable
            hits.append(np.isin(chosen, stable).mean() if strength else np.nan)
            others.append(np.isin(stable, chosen, invert=True).sum() if strength else len(stable))
        results.append(Planted(n, strength, correlated, float(np.mean(hits)), float(np.mean(others))))
    return results
