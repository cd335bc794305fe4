"""The path's certificate computed anew, its optimum against liblinear's on all columns, its end, its guesses."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.probing.l1_path import FIRST_WORKING_SET, MAX_DEVIANCE_EXPLAINED, TOLERANCE, Fit, c_grid, l1_path


def problem(n: int, p: int, seed: int = 0, strength: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Heavy-tailed sizes, like contributions, one in four rows positive as in 3-vs-1; every 50th column tells."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % 4 == 0).astype(int)
    X = 0.05 * rng.lognormal(0, 0.7, (n, p))
    X[:, ::50] *= np.exp(strength * rng.random(len(range(0, p, 50))) * labels[:, None])
    return X.astype(np.float16), labels


def liblinear(X: np.ndarray, labels: np.ndarray, C: float) -> np.ndarray:
    """The official fit, on all columns and converged; the intercept comes last."""
    ones = np.column_stack([X.astype(np.float64), np.ones(len(X))])
    settings = {"l1_ratio": 1, "solver": "liblinear", "fit_intercept": False, "tol": 1e-10, "max_iter": 200_000}
    return LogisticRegression(C=C, random_state=0, **settings).fit(ones, labels).coef_[0]


def spread(fit: Fit, p: int) -> np.ndarray:
    w = np.zeros(p + 1)
    w[fit.neurons], w[-1] = fit.weights, fit.intercept
    return w


def objective(w: np.ndarray, X: np.ndarray, labels: np.ndarray, C: float) -> float:
    margins = np.where(labels == 1, 1, -1) * (X.astype(np.float64) @ w[:-1] + w[-1])
    return np.abs(w).sum() + C * np.logaddexp(0, -margins).sum()


@pytest.mark.parametrize("p", [300, 1_200])  # fewer and more columns than are guessed at first
def test_the_optimum_is_liblinears_intercept_included(p):
    X, labels = problem(240, p)
    for fit in l1_path(TallMatrix([X]), labels, c_grid(TallMatrix([X]), labels, 12)):
        ours, theirs = spread(fit, p), liblinear(X, labels, fit.C)
        assert set(np.flatnonzero(ours)) == set(np.flatnonzero(np.abs(theirs) > 1e-9 * np.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, atol=1e-6 * np.abs(theirs).max())
        ours_at, theirs_at = (objective(w, X, labels, fit.C) for w in (ours, theirs))
        assert ours_at <= theirs_at * (1 + 1e-9)


def test_certificate_computed_anew_on_all_columns():
    X, labels = problem(400, 5_000)
    dense, y = X.astype(np.float64), np.where(labels == 1, 1.0, -1.0)
    path = l1_path(TallMatrix([X[:150], X[150:]]), labels, c_grid(TallMatrix([X]), labels, 15))
    assert len(path[-1].neurons) > 50
    for fit in path:
        w = spread(fit, 5_000)
        residuals = y / (1 + np.exp(y * (dense @ w[:-1] + fit.intercept)))
        g = fit.C * np.append(dense.T @ residuals, residuals.sum())
        worst = np.where(w == 0, np.maximum(0, np.abs(g) - 1), np.abs(g - np.sign(w))).max()
        assert worst <= TOLERANCE
        assert worst == pytest.approx(fit.kkt_violation, abs=2e-6)


def test_columns_that_only_matter_later_are_brought_in():
    # Two columns that tell nothing alone and much together: no first guess by single columns can contain them.
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 200)
    X = np.abs(1 + 0.1 * rng.normal(size=(400, 3 * FIRST_WORKING_SET))).astype(np.float32)
    shared = 5 * rng.normal(size=400)
    X[:, -2], X[:, -1] = 20 + shared, 20 + shared + 0.5 * labels
    fit = l1_path(TallMatrix([X]), labels, np.geomspace(0.05, 5, 10))[-1]
    assert {3 * FIRST_WORKING_SET - 2, 3 * FIRST_WORKING_SET - 1} <= set(fit.neurons)
    assert fit.kkt_violation <= TOLERANCE


def test_ends_where_everything_is_explained():
    X, labels = problem(100, 2_000, strength=3)
    grid = np.geomspace(1, 1e6, 30)
    path = l1_path(TallMatrix([X]), labels, grid)
    assert len(path) < 30
    assert path[-1].deviance_explained > MAX_DEVIANCE_EXPLAINED
    assert all(fit.deviance_explained <= MAX_DEVIANCE_EXPLAINED for fit in path[:-1])
    assert all(fit.kkt_violation <= TOLERANCE for fit in path)


def test_deviance_by_hand():
    # one column of 0 and 1, half of each class wrong way round at 25 %: a weight cannot explain all
    X, labels = np.array([[1.0], [1], [1], [0], [0], [0], [0], [1]]), np.array([1, 1, 1, 1, 0, 0, 0, 0])
    fit = l1_path(TallMatrix([X]), labels, [1e6])[0]
    p = 3 / 4  # of the columns at 1, and at 0, three in four have the label that the column says
    loss = -8 * (p * np.log(p) + (1 - p) * np.log(1 - p))
    assert fit.deviance_explained == pytest.approx(1 - loss / (8 * np.log(2)), abs=1e-5)


def test_bad_input():
    with pytest.raises(ValueError, match=r"labels hold only \[1\]"):
        l1_path(TallMatrix([np.ones((3, 2))]), np.ones(3, int), [1.0])


def test_the_example_of_the_page_on_certificates():
    """Four answers, two neurons: worked out by hand in notebooks/certificate.md."""
    X, labels = TallMatrix([np.array([[2, 1], [2, 0], [0, 1], [0, 0]], np.float32)]), np.array([1, 1, 0, 0])
    assert c_grid(X, labels, 2)[0] == pytest.approx(1 / 2)
    early, later = l1_path(X, labels, [0.49, 1.0])
    assert len(early.neurons) == 0
    assert later.neurons.tolist() == [0]
    assert later.weights[0] == pytest.approx(np.log(3) / 2, abs=1e-6)
    assert later.intercept == 0
    assert later.kkt_violation < 1e-6


@pytest.mark.parametrize("seed", [0, 45, 129, 228, 270, 309, 393, *range(1, 9)])
def test_every_fit_keeps_its_certificate_where_columns_go_together(seed):
    """Weights that shrink to nothing while others take their place are where a Newton step can get stuck: on the first
    seven it once did."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(60, 15)).repeat(20, 1)
    logs = 0.4 * rng.normal(size=common.shape) + 0.9 * common
    labels = rng.permutation(np.repeat([0, 1], 30))
    X = np.exp(0.7 * (logs + 0.3 * labels[:, None] * (np.arange(300) % 37 == 0))).astype(np.float16)
    path = l1_path(TallMatrix([X]), labels, c_grid(TallMatrix([X]), labels, 20))
    assert max(fit.kkt_violation for fit in path) < 1e-6
