"""Numbers worked by hand, and answers whose true probability is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from hn_utils.stats.calibration import calibration, platt, reliability, risk_coverage


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


def test_platt_finds_the_line_that_is_known():
    labels, log_odds = drawn(0.1)
    slope, offset = platt(labels, log_odds / 4 - 1)  # the true log-odds are log_odds + logit(0.1)
    assert slope == pytest.approx(4, rel=0.05)
    assert offset == pytest.approx(4 + logit(0.1), abs=0.1)


def test_brier_score_and_calibration_error_by_hand():
    labels = np.array([0, 0, 1, 1])
    shown = calibration(labels, logit(np.array([0.2, 0.2, 0.6, 0.6])), np.arange(4), constant=0.5)
    assert shown.brier.value == pytest.approx((0.04 + 0.04 + 0.16 + 0.16) / 4)
    assert shown.gained.value == pytest.approx(0.25 - shown.brier.value)
    assert shown.ece.value == pytest.approx((0.2 + 0.2 + 0.4 + 0.4) / 4)
    assert (shown.predicted, shown.observed.value) == (pytest.approx(0.4), 0.5)
    assert [group["n"] for group in shown.groups] == [1, 1, 1, 1]
    # Wilson's interval of 0 in 1 is [0, z^2 / (1 + z^2)]
    assert shown.groups[0]["high"] == pytest.approx(1.959964**2 / (1 + 1.959964**2))


def test_a_perfect_forecast_has_the_error_that_chance_gives_and_another_has_more():
    log_odds = drawn(0.5, 300)[1]
    labels = (np.random.default_rng(1).random(300) < expit(log_odds)).astype(int)
    perfect, shifted = (calibration(labels, log_odds + shift, np.arange(300), 0.5) for shift in (0, 2))
    assert perfect.ece.value < perfect.ece_by_chance.high
    assert perfect.ece_by_chance.low > 0
    assert shifted.ece.value > shifted.ece_by_chance.high
    assert perfect.gained.direction() == 1
    assert calibration(np.zeros(5, int), np.zeros(5), np.arange(5), 0.5).gained.direction() == 0
