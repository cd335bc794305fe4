"""Does it matter where one reads, and what answers are set against?"""

from __future__ import annotations

import contextlib

from hn_utils.probing.find import Found, find
from hn_utils.probing.probe import NoHNeurons


def read_elsewhere(found: Found) -> dict[str, Found]:
    """H-Neurons found again with other rows: other places to read, and other things to set answers against.

    Left out are those where no neuron has a positive weight.
    """
    results = {"answer, 3-vs-1 (the paper's)": found}
    with contextlib.suppress(NoHNeurons):
        results["answer, 3-vs-1 without the first token"] = find(found.collected, other="body")
    with contextlib.suppress(NoHNeurons):
        results["answer, 1-vs-1"] = find(found.collected, other=None)
    with contextlib.suppress(NoHNeurons):
        results["before the answer, 3-vs-1"] = find(found.collected, region="before")
    return results
