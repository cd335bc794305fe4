"""What do as many neurons detect, whatever the number that the rule keeps? So models and seeds can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from hn_utils.probing.against_random import AgainstRandom
from hn_utils.probing.find import N_SELECTED, Found
from hn_utils.probing.probe import refit, refits
from hn_utils.stats.bootstrap import Estimate, spread
from hn_utils.stats.rank_test import two_sided_rank_p
from hn_utils.stats.tables import Tabled

_SIZES = (1, 2, 4, 8, 16)


@dataclass(frozen=True, repr=False)
class BySize(Tabled):
    """AUROC on the standard test set of the first k neurons that the procedure picks, refitted, by k; and of as many
    that it picks on shuffled labels, `control` [size, set].

    How many neurons a rule keeps hangs on how many answers there are and how they are spread: a set of forty detects
    more than a set of one for its size alone.
    """

    sizes: tuple[int, ...]
    own: list[Estimate]
    control: Float[np.ndarray, "size set"]

    @property
    def p(self) -> list[float]:
        """How far out the true labels' AUROC lies among those of shuffled labels, at each size.

        Returns:
            Two-sided rank p at each size, not corrected for how many sizes there are.

        Source:
            Besag & Clifford 1991, Sequential Monte Carlo p-values.
        """
        return [two_sided_rank_p(own.value, sets) for own, sets in zip(self.own, self.control, strict=True)]

    @property
    def headline(self) -> str:
        """AUROC of the first k neurons, true against shuffled labels, for each k. Returns one line of text."""
        told = [
            f"k = {size}: {own.value:.2f} against {sets.mean():.2f}"
            for size, own, sets in zip(self.sizes, self.own, self.control, strict=True)
        ]
        return f"AUROC of the first k neurons, true against shuffled labels: {', '.join(told)}"

    @property
    def table(self) -> pd.DataFrame:
        """AUROC and p by number of neurons.

        Returns:
            A row a size: AUROC of what is picked on true labels, with its interval over entities; mean and 95 % range
            of what is picked on shuffled ones; the two-sided rank p.
        """
        return pd.DataFrame(
            {
                "neurons": self.sizes,
                "picked on true labels": self.own,
                "picked on shuffled labels": [spread(sets, own.n) for own, sets in self._pairs()],
                "rank p": self.p,
            }
        )

    def _pairs(self) -> list[tuple[Estimate, Float[np.ndarray, "set"]]]:
        """The picks on true labels and those on shuffled ones, size by size."""
        return list(zip(self.own, self.control, strict=True))


def by_size(found: Found, sizes: Sequence[int] = _SIZES, n_sets: int = N_SELECTED) -> BySize:
    """Pick k neurons on the true labels and on `n_sets` shuffled ones, for each k of `sizes`, all refitted alike.

    Args:
        found: the H-Neurons; their training answers are used, and the standard test set.
        sizes: numbers of neurons k, in rising order.
        n_sets: how many times labels are shuffled.

    Returns:
        AUROC (0 to 1) by size: own as [size], control as [size, set]. Sizes that not every path reaches are left out.

    Source:
        This project's own: the procedure of Gao et al. 2025, sections 2 and 6.1, at equal numbers of neurons.

    It does not show how many neurons it takes: the first k of an L1 path are not the best k.
    """
    X, y = found.training_data
    read = found.collected.labelled(found.collected.test_rows("standard"), found.probe.region)
    own = []
    control = []
    reached = []
    for size in sizes:
        selection = found.selection("any", size)
        picked = selection.true()
        sets = [some for some in selection.sets(0, n_sets) if len(some) == size]
        if len(picked) < size or len(sets) < n_sets:  # the path explains all before it has so many
            break
        reached.append(size)
        compared = AgainstRandom(refit(X, y, picked), refits(X, y, sets)).on(read)
        own.append(compared.own)
        control.append(compared.sets)
    return BySize(tuple(reached), own, np.array(control).reshape(len(reached), -1))  # [size, set]
