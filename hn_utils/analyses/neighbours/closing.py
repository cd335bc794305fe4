"""All neighbours in one table, and their neurons beside the H-Neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hn_utils.analyses.neighbours.beside import Beside, set_beside
from hn_utils.stats.rank_test import LEVEL, holm
from hn_utils.stats.tables import Tabled

if TYPE_CHECKING:
    from hn_utils.models.neurons import Neurons
    from hn_utils.probing.find import Found


@dataclass(frozen=True, repr=False)
class Closing(Tabled):
    """Every neighbour's neurons beside the H-Neurons.

    Attributes:
        rows: by the neighbour's name, its neurons beside the H-Neurons.
        without: neighbours that name no neurons, such as those about heads, or whose rule found none.
    """

    rows: Mapping[str, Beside]
    without: Sequence[str] = ()

    @property
    def corrected(self) -> dict[str, float]:
        """The p of each overlap with the H-Neurons, corrected for as many neighbours (Holm)."""
        p = holm(np.array([row.shared.p for row in self.rows.values()]))
        return dict(zip(self.rows, p.tolist(), strict=True))

    @property
    def headline(self) -> str:
        """Which neighbours share more neurons with the H-Neurons than chance, and which detect beyond shuffled
        labels."""
        sharing = [name for name, p in self.corrected.items() if p <= LEVEL]
        telling = [name for name, row in self.rows.items() if row.detection.beyond.direction() > 0]
        return (
            f"Of {len(self.rows)} lists of neurons, more than by chance are H-Neurons in: "
            f"{', '.join(sharing) or 'none that is told apart'}; beyond picks on shuffled labels detect: "
            f"{', '.join(telling) or 'none that is told apart'}"
        )

    @property
    def table(self) -> pd.DataFrame:
        """A row a neighbour."""
        rows = []
        for name, row in self.rows.items():
            cells = {"neighbour": name, **row.row}
            cells["p of as many"] = self.corrected[name]
            rows.append(cells)
        for name in self.without:
            rows.append({"neighbour": name, "neurons": 0})
        return pd.DataFrame(rows).fillna("").rename(columns={"p of as many": "corrected p of as many"})


def closing_table(found: Found, neighbours: Mapping[str, Neurons], *, n_items: int = 0) -> Closing:
    """Set every neighbour's neurons beside the H-Neurons, all in the same way.

    Args:
        found: the H-Neurons, with the answers they were found on.
        neighbours: each one's neurons by its name; an empty list where it names none.
        n_items: items of each behaviour on which all are turned up and down as well; 0 for none.

    Returns:
        A table with overlap beyond chance (Fisher's exact test, corrected for the number of lists), detection beside
        what shuffled labels pick, and, where they were scaled, dose-response.

    Raises:
        ValueError: a list names a neuron that the model does not have.

    Source:
        This project's own.

    That two lists share neurons does not say that their methods see the same: loud neurons are on many lists.
    """
    rows: dict[str, Beside] = {}
    without: list[str] = []
    for name, neurons in neighbours.items():
        if isinstance(neurons, Sequence | np.ndarray) and not len(neurons):
            without.append(name)
        else:
            rows[name] = set_beside(found, neurons, n_items=n_items)
    return Closing(rows, without)
