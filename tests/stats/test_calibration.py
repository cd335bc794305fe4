"""Numbers worked by hand, and answers whose true probability is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit

from hn_utils.stats.calibration import reliability, risk_coverage


def drawn(share: float, n: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """A score with unit-variance noise, two units apart: its log-odds at equal shares are exactly 2 x."""
    rng = np.random.default_rng(0)
    labels = (rng.random(n) < share).astype(int)
    return labels, 2 * (rng.normal(size=n) + 2 * labels - 1)


def test_a_perfect_score_at_its_own_share_is_calibrated():
    assert reliability(*drawn(0.5)).ece < 0.01


def test_at_another_share_it_is_not():
    assert reliability(*drawn(0.1)).ece > 0.05


def test_by_hand():
    two = reliability(np.array([0, 0, 1, 1]), logit(np.array([0.2, 0.2, 0.6, 0.6])))
    assert two.ece == pytest.approx((0.2 + 0.2 + 0.4 + 0.4) / 4)
    assert risk_coverage(np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4])).tolist() == [0, 1 / 2, 1 / 3, 1 / 2]


def test_ties_do_not_flatter():
    assert risk_coverage(np.array([0, 1]), np.array([0.5, 0.5])).tolist() == [1, 1 / 2]
