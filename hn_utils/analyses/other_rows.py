"""Does it matter where one reads, and what answers are set against?"""

from __future__ import annotations

import contextlib

from hn_utils.probing.find import Found, find
from hn_utils.probing.probe import NoHNeurons


def read_elsewhere(found: Found) -> dict[str, Found]:
    """H-Neurons found again with other rows: other places to read, and other things to set answers against.

    Args:
        found: the H-Neurons, as the paper's rows give them.

    Returns:
        What was found, by the rows that were used; the first is `found` itself. Left out are those where no neuron has
        a positive weight.

    Source:
        3-vs-1: Gao et al. 2025, sections 2 and 6.1; 1-vs-1: their official code. The others are this project's own.
    """
    results = {"answer, 3-vs-1 (the paper's)": found}
    with contextlib.suppress(NoHNeurons):
        results["answer, 3-vs-1 without the first token"] = find(found.collected, other="body")
    with contextlib.suppress(NoHNeurons):
        results["answer, 1-vs-1"] = find(found.collected, other=None)
    with contextlib.suppress(NoHNeurons):
        results["before the answer, 3-vs-1"] = find(found.collected, region="before")
    return results
