"""The road on the same recipe trained with several seeds, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hn_utils.collecting import STANDARD_TITLE
from hn_utils.items import BEHAVIOURS
from hn_utils.study import ORGANISM

TABLE = ORGANISM / "seeds.csv"
DETECTORS = {
    "AUROC of the H-Neurons, held-out people": "H-Neurons alone, refitted",
    "random neurons, same layers and loudness": "random, same layers and loudness",
    "a dense probe on all neurons": "all neurons, L2 probe",
    "plain confidence": "plain confidence (log-probability)",
}


def told(estimate: Mapping[str, float], digits: int = 2) -> str:
    """An estimate of a summary with its interval."""
    value, low, high = (f"{estimate[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def column(summary: Mapping[str, Any]) -> dict[str, str]:
    """What one run found, from its summary.json, a line a finding."""
    read = {row["detector"]: row["auroc"] for row in summary["detection"] if row["test_set"] == STANDARD_TITLE}
    base, drift = summary["transfer"][-1], summary["drift"]
    lines = {"H-Neurons": str(summary["h_neurons"])}
    lines |= {line: told(read[name]) for line, name in DETECTORS.items()}
    lines["H-Neurons beyond random"] = told(summary["beyond"]["random"])
    for name, behaviour in BEHAVIOURS.items():
        slope = summary["slopes"][name]
        lines[f"slope beyond random, {behaviour.title.lower()}"] = (
            f"{told(slope['beyond_random'], 1)}, p = {slope['p']:.2f}"
        )
    lines["AUROC of the H-Neurons in the base model"] = told(base["h_neurons"])
    lines["beyond random there"] = told(summary["transfer_beyond_random"])
    lines["drift: mean rank, largest of three p against random neurons"] = (
        f"{drift['mean_rank']:.2f}, {max(drift['p'][kind] for kind in ('none', 'layer', 'magnitude')):.4f}"
    )
    lines["drift: p against what shuffled labels pick"] = f"{drift['p']['shuffled']:.2f}"
    return lines


def side_by_side(runs: Mapping[str, Path]) -> pd.DataFrame:
    """A column for each run, by name and folder. Raises OSError if a folder holds no summary.json."""
    columns = {}
    for name, folder in runs.items():
        path = folder / "summary.json"
        if not path.exists():
            raise OSError(f"{folder} holds no summary.json: `python -m hn_utils run --out {folder}` writes one")
        columns[name] = column(json.loads(path.read_text(encoding="utf-8")))
    return pd.DataFrame(columns)


def shipped() -> pd.DataFrame:
    """The table of seeds 1, 2 and 3 that ships with the model."""
    return pd.read_csv(TABLE, index_col=0, dtype=str)


def markdown(table: pd.DataFrame) -> str:
    """The table for a README."""
    head = f"| | {' | '.join(table.columns)} |\n|---|{'---|' * len(table.columns)}"
    return "\n".join([head, *(f"| {line} | {' | '.join(cells)} |" for line, *cells in table.itertuples())])
