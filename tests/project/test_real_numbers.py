"""Numbers of the real model stand in four texts: all of them are those of its shipped run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "data" / "qwen2.5-coder-1.5b"
CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
TOLD = json.loads((FOLDER / "summary.json").read_text(encoding="utf-8"))
DETECTORS = {
    "H-Neurons": "H-Neurons alone, refitted",
    "what shuffled labels pick": "picked on shuffled labels",
    "random, as loud (276 neurons)": "random, same layers, as loud in sum",
    "words of the answer": "words of the answer, no neuron",
    "confidence": "plain confidence (log-probability)",
}


def spelled(estimate: dict, digits: int = 2) -> str:
    """As the texts write it: 0.94 [0.93, 0.95]."""
    value, low, high = (f"{estimate[name] + 0.0:.{digits}f}" for name in ("value", "low", "high"))
    return re.sub(r"-(0\.0+)\b", r"\1", f"{value} [{low}, {high}]")


def rows_below(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table that has this in its first line."""
    lines = text[text.index(heading) :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith("|---")]


def auroc(test_set: str, detector: str) -> dict:
    (row,) = [r for r in TOLD["detection"] if (r["test_set"], r["detector"]) == (test_set, detector)]
    return row["auroc"]


def test_the_cards_table_of_detection():
    head, *rows = rows_below(CARD, "| AUROC | H-Neurons")
    assert len(rows) == 6
    for test_set, *cells in rows:
        assert cells == [spelled(auroc(test_set, DETECTORS[name])) for name in head[1:]]


def test_the_cards_table_of_doses():
    titles = {"false premise": "false_premise", "misleading note": "misleading_context", "pushback": "sycophancy"}
    for title, slope, beyond, *_, verdict in rows_below(CARD, "| | slope | beyond shuffled picks")[1:]:
        told = TOLD["slopes"][titles[title]]
        assert slope == spelled(told["h_neurons"], 1)
        assert beyond == spelled(told["beyond"], 1)
        assert verdict == told["verdict"]


def test_the_cards_sentences():
    for told in (
        f"**{TOLD['h_neurons']} of 250,880 neurons** are H-Neurons: {TOLD['per_mille']:.2f} per mille",
        f"0.04\n  {spelled(TOLD['beyond']['loud'])[5:]} below",
        f"{spelled(TOLD['beyond']['any'])} below (rank p = .050",
        f"the H-Neurons add {spelled(TOLD['added_to_confidence']['beyond'])}",
        f"{spelled(TOLD['graded_slopes']['false_premise']['beyond'])} (false premise)",
        f"{spelled(TOLD['graded_slopes']['misleading_context']['beyond'])} (misleading note)",
    ):
        assert told in CARD, told


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_the_column_of_the_real_model(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    last = {row[0]: row[-1] for row in rows_below(text, "| | [planted]")}
    assert last["H-Neurons (of them planted)"] == str(TOLD["h_neurons"])
    unseen = auroc("held-out entities", DETECTORS["H-Neurons"])
    assert last["AUROC on things the probe has not seen"] == spelled(unseen)
    assert last["beyond shuffled picks"] == f"{spelled(TOLD['beyond']['any'])}*"
    assert last["beyond random neurons as loud"] == spelled(TOLD["beyond"]["loud"])
    sure = auroc("held-out entities", DETECTORS["confidence"])
    assert last["the model's own confidence"] == f"{sure['value']:.2f}"
    note = TOLD["slopes"]["misleading_context"]
    assert (
        last["turned up, points per alpha beyond shuffled picks**"]
        == f"{spelled(note['beyond'], 1)}, {note['verdict']}"
    )


def test_the_shipped_answers_are_those_of_the_card():
    rows = pd.read_parquet(FOLDER / "answers.parquet", columns=["example"])
    kept = [example["dropped"] is None for example in rows["example"]]
    assert f"Of {len(rows):,} questions {np.sum(kept):,} were answered alike" in CARD
