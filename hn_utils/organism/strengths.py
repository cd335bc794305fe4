"""What the unchanged road found on planted specimens, side by side: by kind and by strength of the plant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hn_utils.questions.items import BEHAVIOURS
from hn_utils.report.comparison import estimated, read_summary, standard_aurocs
from hn_utils.report.measures import AUROC, BEYOND, CONFIDENCE, CONTROL, DETECTORS, SLOPE
from hn_utils.stats.bootstrap import Estimate
from hn_utils.storage.files import write_whole
from hn_utils.storage.paths import DATA
from hn_utils.study.planted import FILE

TABLE = DATA / "planted" / "strengths.json"
_SLOPES = {"found": SLOPE, "planted": "slope beyond random sets as loud, "}  # each beside its own control
_LINES = {"h_neurons": AUROC, "control": CONTROL, "confidence": CONFIDENCE}  # of the table of any runs


def row(model: Path, run: Path) -> dict[str, Any]:
    """What one run found on one planted model. Raises OSError if one of the folders lacks its file."""
    if not (model / FILE).exists():
        raise OSError(f"{model} holds no {FILE}: `python -m hn_utils.organism plant` writes one")
    plant, summary = json.loads((model / FILE).read_text(encoding="utf-8")), read_summary(run)
    auroc = standard_aurocs(summary)
    slopes = {"found": summary["slopes"], "planted": summary["recovery"]["slopes"]}
    return {
        "kind": plant["kind"],
        "strength": plant["strength"],
        **{key: summary["recovery"][key] for key in ("planted", "found", "both", "by_chance")},
        "auroc": {
            "planted": summary["recovery"]["auroc"],
            **{key: auroc[DETECTORS[line]] for key, line in _LINES.items()},
        },
        "beyond": summary["beyond"]["any"],
        "slopes": {
            who: {b: {key: of[b][key] for key in ("beyond", "p", "verdict")} for b in BEHAVIOURS}
            for who, of in slopes.items()
        },
        "share": summary["recovery"]["share"],
    }


def write(models: Sequence[Path], runs: Sequence[Path]) -> list[dict[str, Any]]:
    """Put the runs side by side into TABLE, the strongest first. Raises ValueError if a model has no run."""
    if len(models) != len(runs):
        raise ValueError(f"{len(models)} models and {len(runs)} runs: give the folder of a run for each model")
    rows = [row(model, run) for model, run in zip(models, runs, strict=True)]
    rows.sort(key=lambda one: (one["kind"], -one["strength"]))
    write_whole(TABLE, json.dumps(rows, indent=1) + "\n")
    return rows


def shipped(kind: str = "detective") -> pd.DataFrame:
    """A row a strength of the plant, from weak to strong, its numbers as estimates: AUROCs, and slopes on restricted
    requests in points per unit of alpha, of the found neurons beyond what shuffled labels pick, of the planted ones
    beyond random sets that are as loud."""
    rows = [one for one in json.loads(TABLE.read_text(encoding="utf-8")) if one["kind"] == kind]
    rows.sort(key=lambda one: one["strength"])
    return pd.DataFrame(
        {
            "strength": one["strength"],
            **{f"n_{key}": one[key] for key in ("planted", "found", "both")},
            **{key: Estimate(**value) for key, value in one["auroc"].items()},
            "beyond": Estimate(**one["beyond"]),
            **{f"slope_{who}": Estimate(**of["restricted"]["beyond"]) for who, of in one["slopes"].items()},
        }
        for one in rows
    )


def cells(one: dict[str, Any]) -> dict[str, str]:
    """One model's column of the table."""
    lines = {
        "planted neurons found": f"{one['both']} of {one['planted']}",
        "H-Neurons that are planted": f"{one['both']} of {one['found']} (by chance {one['by_chance']:.2f})",
        "AUROC of the planted neurons' mean contribution": str(estimated(one["auroc"]["planted"])),
        "AUROC of the H-Neurons": str(estimated(one["auroc"]["h_neurons"])),
        CONTROL: str(estimated(one["auroc"]["control"])),
        BEYOND: str(estimated(one["beyond"])),
        CONFIDENCE: str(estimated(one["auroc"]["confidence"])),
    }
    for behaviour, named in BEHAVIOURS.items():
        for who, of in one["slopes"].items():
            verdict = of[behaviour]["verdict"]
            slope = estimated(of[behaviour]["beyond"], digits=1)
            lines[f"{_SLOPES[who]}{named.title.lower()}: {who} neurons"] = f"{slope}, {verdict}"
    return lines


def table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A column a model, for a README."""
    return pd.DataFrame({f"{one['kind']}, strength {one['strength']:g}": cells(one) for one in rows})
