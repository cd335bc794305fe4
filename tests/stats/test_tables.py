"""A result's table is to be read, its numbers to be computed with: the same, an estimate in columns of its own."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas.testing import assert_frame_equal

from hn_utils.stats.bootstrap import Estimate
from hn_utils.stats.tables import Tabled


class Two(Tabled):
    headline = "two detectors"
    table = pd.DataFrame(
        {"neurons": [3, ""], "AUROC": [Estimate(0.75, 0.5, 1.0, 8), ""], "p": [0.125, np.nan]}, index=["own", "none"]
    )


def test_an_estimate_is_one_cell_to_read_and_four_to_compute_with():
    unknown = np.nan
    expected = {
        "neurons": [3, unknown],
        "AUROC": [0.75, unknown],
        "AUROC (low)": [0.5, unknown],
        "AUROC (high)": [1.0, unknown],
        "AUROC (n)": [8, unknown],
        "p": [0.125, unknown],
    }
    assert_frame_equal(Two().numbers, pd.DataFrame(expected, index=["own", "none"]))
    assert repr(Two()).splitlines() == [
        "two detectors",
        "     neurons              AUROC    p",
        "own        3  0.75 [0.50, 1.00] 0.12",
        "none                                ",
    ]
    assert "<td>0.75 [0.50, 1.00]</td>" in Two()._repr_html_()
