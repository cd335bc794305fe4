"""The road on the same recipe trained with several seeds, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from hn_utils.report.comparison import read_summary, side_by_side
from hn_utils.report.measures import AUROC
from hn_utils.study import ORGANISM

TABLE = ORGANISM / "seeds.csv"


def of_seeds(runs: Mapping[str, Path]) -> pd.DataFrame:
    """A column for each run, by name and folder; entities are people in this world."""
    table = side_by_side({name: read_summary(folder) for name, folder in runs.items()})
    return table.rename(index={AUROC: AUROC.replace("entities", "people")})


def shipped() -> pd.DataFrame:
    """The table of seeds 1, 2 and 3 that ships with the model."""
    return pd.read_csv(TABLE, index_col=0, dtype=str)


def markdown(table: pd.DataFrame) -> str:
    """The table for a README."""
    head = f"| | {' | '.join(table.columns)} |\n|---|{'---|' * len(table.columns)}"
    return "\n".join([head, *(f"| {line} | {' | '.join(map(str, cells))} |" for line, *cells in table.itertuples())])
