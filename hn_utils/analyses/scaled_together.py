"""Does scaling a neuron by alpha scale its contribution by alpha?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from hn_utils.contributions.cett import REGIONS, mean_contributions

if TYPE_CHECKING:
    from hn_utils.probing.find import Found


def joint_scaling(
    found: Found, alphas: Sequence[float] = (0.0, 0.5, 1.0, 2.0, 3.0), n: int = 200
) -> Float[np.ndarray, "alpha neuron"]:
    """Mean contribution of each H-Neuron at the answer while all are scaled, relative to that at alpha 1.

    The paper takes it to grow in proportion to alpha. It need not: how strongly a neuron fires depends on those before
    it, and the layer's whole output, which the contribution is relative to, changes as well.
    """
    collected = found.collected
    examples = [collected.kept[i] for i in collected.test_rows("standard")[:n]]
    means = []
    for alpha in alphas:
        with collected.subject.scaled(found.neurons, alpha):
            read_at = mean_contributions(collected.subject, examples)[:, REGIONS.index("answer")]
        means.append(read_at.flatten(1)[:, found.neurons].mean(0).cpu().numpy())
    return np.array(means) / means[list(alphas).index(1.0)]
