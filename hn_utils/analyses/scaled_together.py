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

    Args:
        found: the H-Neurons.
        alphas: strengths, among them 1.
        n: at most so many standard test answers are read.

    Returns:
        Ratios as [alpha, neuron] without unit, 1 at alpha 1; not a number for a neuron that contributes nothing there.

    Raises:
        ValueError: if 1 is not among `alphas`.

    Source:
        Gao et al. 2025, sections 2 (contribution) and 3 (scaling).
    """
    collected = found.collected
    examples = [collected.kept[i] for i in collected.test_rows("standard")[:n]]
    means = []
    for alpha in alphas:
        with collected.subject.scaled(found.neurons, alpha):
            read = mean_contributions(collected.subject, examples)
        at_answer = read[:, REGIONS.index("answer")].flatten(1)  # [example, layer_neuron]
        means.append(at_answer[:, found.neurons].mean(0).cpu().numpy())  # [neuron]
    return np.array(means) / means[list(alphas).index(1.0)]  # [alpha, neuron]
