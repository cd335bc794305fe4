"""Numbers worked by hand, and answers whose true probability is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from hn_utils.calibration import prior_shifted, reliability, risk_coverage


def drawn(share: float, n: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """A score with unit-variance noise, two units apart: its log-odds at equal shares are exactly 2 x."""
    rng = np.random.default_rng(0)
    labels = (rng.random(n) < share).astype(int)
    return labels, 2 * (rng.normal(size=n) + 2 * labels - 1)


def test_a_perfect_score_at_its_own_share_is_calibrated():
    assert reliability(*drawn(0.5)).ece < 0.01


def test_elsewhere_the_prior_shift_is_all_that_is_missing():
    labels, log_odds = drawn(0.1)
    assert reliability(labels, log_odds).ece > 0.05
    assert reliability(labels, prior_shifted(log_odds, 0.5, 0.1)).ece < 0.01


def test_by_hand():
    assert expit(prior_shifted(np.array([0.0]), 0.5, 0.2))[0] == pytest.approx(0.2)
    two = reliability(np.array([0, 0, 1, 1]), logit(np.array([0.2, 0.2, 0.6, 0.6])))
    assert two.ece == pytest.approx((0.2 + 0.2 + 0.4 + 0.4) / 4)
    assert risk_coverage(np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4])).tolist() == [0, 1 / 2, 1 / 3, 1 / 2]


def test_ties_do_not_flatter():
    assert risk_coverage(np.array([0, 1]), np.array([0.5, 0.5])).tolist() == [1, 1 / 2]


def test_a_share_of_none_or_all_is_refused():
    with pytest.raises(ValueError, match=r"real=0.0 must lie between 0 and 1"):
        prior_shifted(np.zeros(2), 0.5, 0.0)
