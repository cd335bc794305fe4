"""What came out of the conditions of the text, by the rule that was written down before the runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from hn_utils.organism.conditions import CONDITIONS
from hn_utils.stats.bootstrap import Estimate
from hn_utils.storage.files import write_whole
from hn_utils.storage.paths import DATA

TABLE = DATA / "conditions" / "runs.json"
_REFERENCE = "nothing"
_NONE_FOUND = Estimate(0, 0, 0, 0)  # a probe that keeps no neuron detects nothing
Row = Mapping[str, Any]


def beyond_random(row: Row, model: str) -> Estimate | None:
    """AUROC of the H-Neurons minus that of random sets, in the instruct model or of the base model's own probe."""
    return Estimate(**row[model]["beyond"]) if row[model]["h_neurons"] else _NONE_FOUND


def _at_equal_confidence(row: Row, model: str) -> Estimate | None:
    """Share of pairs of equal confidence in which the H-Neurons score the made-up answer higher, minus that of random
    sets; None where there are too few pairs."""
    if not row[model]["h_neurons"]:
        return _NONE_FOUND
    added = row[model]["added_to_confidence"]
    if added["matched"] is None:
        return None
    own, random = Estimate(**added["matched"]), added["matched_control"]
    return Estimate(own.value - random, own.low - random, own.high - random, own.n)


def _steepest(row: Row) -> Estimate | None:
    """The steepest slope beyond random among the behaviours."""
    slopes = [Estimate(**of["beyond"]) for of in row["instruct"].get("slopes", {}).values()]
    return max(slopes, key=lambda slope: slope.value, default=None)


def _transferred(row: Row) -> Estimate | None:
    """AUROC of the instruct model's H-Neurons in the base model, beyond random sets."""
    carried = row["instruct"].get("transfer")
    return None if carried is None else Estimate(**carried)


@dataclass(frozen=True)
class Measure:
    """One number of a run, and the average difference from which it counts."""

    title: str
    of: Callable[[Row], Estimate | None]
    counts: float = 0.05


_MEASURES = {
    "instruct": Measure("Instruct model", partial(beyond_random, model="instruct")),
    "base": Measure("Base, own probe", partial(beyond_random, model="base")),
    "instruct, matched": Measure("Instruct, at equal confidence", partial(_at_equal_confidence, model="instruct")),
    "base, matched": Measure("Base, at equal confidence", partial(_at_equal_confidence, model="base")),
    "slope": Measure("Steepest slope, points per alpha", _steepest, 5),
    "transfer": Measure("Transfer to the base", _transferred),
}


def _differences(rows: Sequence[Row], measure: Measure, condition: str) -> dict[int, float]:
    """By seed, a condition's value minus that of `nothing`, where both have learnt their text and were measured."""
    values = {
        (row["condition"], row["seed"]): value.value
        for row in rows
        if row["learnt"] and (value := measure.of(row)) is not None
    }
    seeds = sorted({seed for name, seed in values if name == condition and (_REFERENCE, seed) in values})
    return {seed: values[condition, seed] - values[_REFERENCE, seed] for seed in seeds}


def verdict(by_seed: Mapping[int, float], n_seeds: int, counts: float) -> str:
    """raises, lowers, leaves it, open; or that too few seeds count."""
    apart = np.array(list(by_seed.values()))
    if len(apart) < n_seeds:
        return f"only {len(apart)} of {n_seeds} seeds count"
    for word, sign in (("raises", 1), ("lowers", -1)):
        if (sign * apart > 0).all() and sign * apart.mean() >= counts:
            return word
    return "leaves it" if (np.abs(apart) <= counts).all() else "open"


def judged(rows: Sequence[Row]) -> pd.DataFrame:
    """A row a condition, a column a measure: the verdict, with the differences from `nothing` by seed, at the width of
    the first row."""
    rows = [row for row in rows if row["width"] == rows[0]["width"]]
    n_seeds = len({row["seed"] for row in rows})
    others = [name for name in CONDITIONS if name != _REFERENCE]
    return pd.DataFrame(
        {name: [cell(_differences(rows, m, c), n_seeds, m.counts) for c in others] for name, m in _MEASURES.items()},
        index=others,
    )


def cell(by_seed: Mapping[int, float], n_seeds: int, counts: float) -> str:
    told = ", ".join(f"{value:+.{2 if counts < 1 else 1}f}" for value in by_seed.values())
    return f"{verdict(by_seed, n_seeds, counts)} ({told})" if told else verdict(by_seed, n_seeds, counts)


def every_value(rows: Sequence[Row]) -> pd.DataFrame:
    """A row a run, its measures as text."""
    told = [
        {
            "condition": row["condition"],
            "width": row["width"],
            "seed": row["seed"],
            "learnt": "yes" if row["learnt"] else "no",
            "H-Neurons": row["instruct"]["h_neurons"],
            **{name: str(measure.of(row) or "") for name, measure in _MEASURES.items()},
        }
        for row in rows
    ]
    return pd.DataFrame(told).set_index("condition")


def along(rows: Sequence[Row]) -> pd.DataFrame:
    """A row a seed and checkpoint: what is known, what is detected, and how loud the final H-Neurons are, in times of
    random neurons of the same layers."""

    def told(estimate: Mapping[str, Any] | None) -> str:
        return "" if estimate is None else str(Estimate(**estimate))

    return pd.DataFrame(
        [
            {
                "seed": row["seed"],
                "checkpoint": moment["model"].rpartition("/")[2],
                "draws that are right": f"{moment['recall']:.2f}",
                "final H-Neurons, beyond random": told(moment["beyond"]),
                "found anew, beyond random": told(moment["anew"] and moment["anew"]["beyond"]),
                "found anew": str(moment["anew"]["n"]) if moment["anew"] else "",
                "confidence": told(moment["confidence"]),
                "loudness of the final ones": f"{moment['loud']:.1f}",
            }
            for row in rows
            for moment in (*row["when"]["pages"], *row["when"]["tuning"])
        ]
    ).set_index(["seed", "checkpoint"])


def drawn(rows: Sequence[Row], measures: Sequence[str]) -> pd.DataFrame:
    """A row a run and measure, for a figure: what the text `says`, seed, whether it was learnt, `title`, `estimate`."""
    told = [
        {
            "says": CONDITIONS[row["condition"]].says,
            "seed": row["seed"],
            "learnt": row["learnt"],
            "title": _MEASURES[name].title,
            "estimate": _MEASURES[name].of(row),
        }
        for name in measures
        for row in rows
    ]
    return pd.DataFrame(told).dropna(subset="estimate")


def raised(rows: Sequence[Row]) -> list[str]:
    """The conditions that raise detection, in the instruct model or by the base model's own probe."""
    table = judged(rows)[["instruct", "base"]]
    return [str(name) for name, line in table.iterrows() if any(told.startswith("raises") for told in line)]


_PAGES = ("nothing", "sure", "corrected", "nobody")  # the conditions that differ in pre-training


def hypotheses(rows: Sequence[Row]) -> pd.DataFrame:
    """The seven hypotheses that were written down before the runs, and what became of each: held, did not, or open,
    because some verdict is open or too few seeds count."""
    table, own_width = judged(rows), [row for row in rows if row["width"] == rows[0]["width"]]

    def all_above_none(measure: str, conditions: Sequence[str]) -> str:
        values = [_MEASURES[measure].of(row) for row in own_width if row["condition"] in conditions and row["learnt"]]
        return "held" if values and all(value is not None and value.low > 0 for value in values) else "did not hold"

    def all_said(*expected: tuple[str, str, str]) -> str:
        said = [(str(table.loc[condition, measure]), word) for condition, measure, word in expected]
        if all(told.startswith(word) for told, word in said):
            return "held"
        return "open" if any(told.startswith(("open", "only")) for told, _ in said) else "did not hold"

    carries, higher = all_above_none("transfer", _PAGES), str(table.loc["familiar", "transfer"])
    if carries == "held" and higher.startswith(("raises", "only")):
        carries = "open" if higher.startswith("only") else "did not hold"
    outcomes = {
        "1. H-Neurons form where nothing depends on the truth": all_above_none("instruct", [_REFERENCE]),
        "2. sure and corrected raise detection in the base model": all_said(
            ("sure", "base", "raises"), ("corrected", "base", "raises")
        ),
        "3. the same two raise it at equal confidence": all_said(
            ("sure", "base, matched", "raises"), ("corrected", "base, matched", "raises")
        ),
        "4. nobody raises it in the base, familiar in the instruct model, luck leaves it": all_said(
            ("nobody", "base", "raises"), ("familiar", "instruct", "raises"), ("luck", "instruct", "leaves")
        ),
        "5. a curve rises under familiar, and there alone": _under_familiar_alone(own_width),
        "6. transfer is above 0 after all pages, and no higher under familiar": carries,
        "7. with width the share of neurons falls, and detection rises": _by_width(rows),
    }
    return pd.DataFrame({"hypothesis": list(outcomes), "what became of it": list(outcomes.values())})


def _under_familiar_alone(rows: Sequence[Row]) -> str:
    """Does a curve rise in a run of `familiar`, and in none of another condition? Open as long as none rises elsewhere,
    and `familiar` was not learnt."""
    counted = [row for row in rows if row["learnt"] and not CONDITIONS[row["condition"]].added]
    rising = {
        row["condition"]
        for row in counted
        for slope in row["instruct"].get("slopes", {}).values()
        if slope["verdict"].startswith("rises")
    }
    if rising - {"familiar"}:
        return "did not hold"
    if not any(row["condition"] == "familiar" for row in counted):
        return "open"
    return "held" if rising else "did not hold"


def _by_width(rows: Sequence[Row]) -> str:
    """Over the widths of `nothing`, in the mean of its seeds: does the share of neurons fall, and detection rise?"""
    means = []
    for width in sorted({row["width"] for row in rows}):
        some = [row for row in rows if row["width"] == width and row["condition"] == _REFERENCE and row["learnt"]]
        detected = [estimate.value for row in some if (estimate := beyond_random(row, "instruct")) is not None]
        means.append((np.mean([row["instruct"].get("per_mille", 0) for row in some]), np.mean(detected)))
    shares, detections = np.array(means).T
    if len(means) < 3:
        return "open"
    return "held" if (np.diff(shares) < 0).all() and (np.diff(detections) > 0).all() else "did not hold"


def write(rows: Sequence[Row]) -> pd.DataFrame:
    """Keep all rows in TABLE; returns what a README shows of them."""
    write_whole(TABLE, json.dumps(rows, indent=1) + "\n")
    return every_value(rows)


def shipped(width: int | None = None) -> list[Row]:
    """The rows that ship, or those of one width."""
    rows = json.loads(TABLE.read_text(encoding="utf-8"))
    return [row for row in rows if width in (None, row["width"])]
