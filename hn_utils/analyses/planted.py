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
    """`n` answers, half of them made up, of N_SIMULATED neurons: heavy-tailed sizes, of which blocks of fifty share a
    cause to the degree `correlated`. N_PLANTED of them, far apart, are larger in made-up answers, by `strength`
    standard deviations of their logarithm. Returns rows, labels and the planted neurons."""
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
    correlation. At strength 0 nothing is there to be found."""
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
