"""Slopes worked by hand, and items that swing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from curves import curve

from hn_utils.curves import curves_of, slopes
from hn_utils.items import Item


def test_slope_is_in_points_per_unit_alpha():
    complied = np.array([[0, 0, 1, 1], [0, 1, 1, 1]], float)  # rates 0, .5, 1, 1 at alpha 0, 1, 2, 3
    each = slopes(complied, np.array([0.0, 1, 2, 3]))
    assert each == pytest.approx([40.0, 30.0])
    assert each.mean() == pytest.approx(100 * np.polyfit([0, 1, 2, 3], complied.mean(0), 1)[0])


def test_items_that_swing():
    own = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 1, 1]])
    both = curve(own, np.array([[[0, 0, 0]] * 4, [[0, 0, 1]] * 2 + [[1, 1, 1]] * 2]))
    assert both.swings == 0.5
    assert both.control_swings.tolist() == [0.0, 0.5]


def test_bad_input(subject, study):
    item = Item("1", "false_premise", ("Why is it that A was born in Great Corin?",), claim="Great Corin")
    with pytest.raises(ValueError, match="out of range"):
        curves_of(subject, [item], np.array([10**7]), [], study)
    with pytest.raises(ValueError, match=r"must include \[3.0\]"):
        replace(study, alphas=(0.0, 1.0))
