"""A sheet of answers, labelled by hand and read back."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from hn_utils.answers.examples import Response
from hn_utils.answers.reading_sheet import kappa_of, read_sheet, write_sheet
from hn_utils.questions.question import Question

ASKED = [Question(str(i), f"Who wrote book {i}?", (f"Author {i}",), str(i)) for i in range(12)]
DRAWN = [
    [Response(str(i), [1], [0.0], f"Author {i}" if i % 3 else "Somebody", "right" if i % 3 else "wrong")] * 2
    for i in range(12)
]


def labelled(path, label_of):
    """The sheet with labels filled in, as a spreadsheet saves it."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        sheet = csv.DictWriter(file, rows[0])
        sheet.writeheader()
        sheet.writerows({**row, "label": label_of(row)} for row in rows)
    return rows


def test_kappa_by_hand():
    # 3 x 3 cells: 8 of 10 agree; by chance .5 x .6 + .4 x .3 + .1 x .1 = .43; (.8 - .43) / (1 - .43)
    pairs = [("right", "right")] * 5 + [("wrong", "wrong")] * 2 + [("abstained", "abstained")]
    pairs += [("wrong", "right"), ("wrong", "wrong")]
    judged, read = zip(*pairs, strict=True)
    assert (judged.count("right"), read.count("right")) == (5, 6)
    assert kappa_of(pairs).value == pytest.approx((0.9 - 0.43) / (1 - 0.43))
    assert kappa_of(pairs).low < kappa_of(pairs).value <= kappa_of(pairs).high == 1


def test_a_sheet_holds_no_verdicts_and_comes_back(tmp_path):
    path = write_sheet(tmp_path / "sheet.csv", ASKED, DRAWN, 12, seed=0)
    assert "wrong" not in path.read_text(encoding="utf-8")
    rows = labelled(path, lambda row: "Wrong " if row["response"] == "Somebody" else "right")
    assert len({row["question"] for row in rows}) == 12
    told = read_sheet(path, DRAWN)
    assert (told.kappa.value, told.n_agree, len(told.table)) == (1, 12, 0)
    labelled(path, lambda row: "" if row["question"].endswith(" 1?") else "right")
    told = read_sheet(path, DRAWN)
    assert told.headline.startswith("The judge and the reader agree on 7 of 11 answers")
    assert told.headline.endswith("1 were left without a label")
    assert set(told.table["judge"]) == {"wrong"}


def test_what_is_no_sheet_is_said_in_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="n=13 answers to read: choose from 1 to 12"):
        write_sheet(tmp_path / "sheet.csv", ASKED, DRAWN, 13, seed=0)
    with pytest.raises(ValueError, match="must end in .csv"):
        write_sheet(tmp_path / "sheet.xlsx", ASKED, DRAWN, 3, seed=0)
    path = write_sheet(tmp_path / "sheet.csv", ASKED, DRAWN, 3, seed=0)
    with pytest.raises(ValueError, match="has no label yet"):
        read_sheet(path, DRAWN)
    labelled(path, lambda row: "yes")
    with pytest.raises(ValueError, match="label='yes' of .*: choose one of right, wrong, abstained"):
        read_sheet(path, DRAWN)
    labelled(path, lambda row: "right")
    with pytest.raises(ValueError, match="is not among these"):
        read_sheet(path, [[Response("x", [1], [0.0], "other", "right")]])
    with pytest.raises(OSError, match="could not read the sheet"):
        read_sheet(tmp_path / "none.csv", DRAWN)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="is no sheet of answers"):
        read_sheet(tmp_path / "other.csv", DRAWN)
    assert np.isnan(kappa_of([("right", "right")] * 3).value)
