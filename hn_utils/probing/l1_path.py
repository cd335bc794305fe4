"""The L1 path of a sparse logistic probe over any number of neurons, each point with a certificate that it is optimal.

The objective is liblinear's, as in the official code: sum |w| + |b| + C * sum log(1 + exp(-y (x w + b))).

**The certificate** is the Karush-Kuhn-Tucker (KKT) conditions. Let r_i = y_i / (1 + exp(y_i z_i)), minus the derivative
of example i's loss by its log-odds z_i, and g_j = sum_i r_i x_ij, minus the derivative of the whole loss by the weight
of neuron j. A solution is optimal exactly when C |g_j| <= 1 for each neuron without a weight, and C g_j = sign(w_j) for
each neuron with one. The objective is convex: whoever passes this test on *all* neurons cannot be improved, however the
solution was found. One product, X^T r, tests them all.

**The working set** lives off that. Nearly all neurons will have no weight, so a few hundred columns are guessed and the
path is solved on them alone, as far as they suffice. One pass over the data then tests every neuron at every C so
solved, and those that violate the conditions most join the working set. A handful of passes does it, and little else
grows with the number of neurons.

**On few columns** each fit is Newton's method with an active set. As long as no weight changes its sign the penalty is
linear, and a step is a linear solve; weights that it would drive through zero become zero, and the others are solved
for again. The same Hessian then serves for more steps while it brings the fit nearer. Where this gets nowhere,
coordinate descent on a weighted lasso finds out which weights are zero (Friedman, Hastie & Tibshirani 2010; the lasso
is scikit-learn's). Each fit starts from its neighbours on the path.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lasso_path
from threadpoolctl import ThreadpoolController

from hn_utils.storage.cache import cached_whole
from hn_utils.storage.stages import register_stage

if TYPE_CHECKING:
    from hn_utils.contributions.tall_matrix import TallMatrix

VERSION = register_stage("paths", 5)
TOLERANCE = 1e-4  # largest violation of the KKT conditions that a fit may have
_FINE = 1e-7  # what is aimed at on the working set,
_COARSE = 0.1  # and first, to see whether its columns suffice
_GRID_SPAN = 300.0  # the path runs from the C at which the first neuron enters to this many times it
_MAX_SWEEPS = 20  # of coordinate descent, between two looks at the loss
FIRST_WORKING_SET = 400  # columns
_LEAST_WORKING_SET = 60  # columns, of a path that is asked for its first few neurons
_MAX_SUPPORT = 1 / 3  # share of the working set with a weight, beyond which it grows first:
_GROWTH = 1  # by as many times its own columns
MAX_DEVIANCE_EXPLAINED = 0.99  # beyond it the path only makes certain answers more certain
NO_NEURONS = np.array([], dtype=int)


@dataclass(frozen=True)
class Fit:
    """One point of the path: the neurons with a weight, flat indices, and how far from optimal the fit is.

    `kkt_violation` is the largest violation of the KKT conditions over all neurons, in units of the penalty;
    `deviance_explained` the share of the null model's log-loss that is gone.
    """

    C: float
    neurons: Int[np.ndarray, "k"]
    weights: Float[np.ndarray, "k"]
    intercept: float
    kkt_violation: float
    deviance_explained: float

    def score(self, X: TallMatrix) -> Float[np.ndarray, "example"]:
        """Log-odds that the answer is hallucinated, at the share of hallucinations that was trained on.

        Args:
            X: contributions of the answers, [example, layer * neuron].

        Returns:
            Log-odds, [example], in nats.

        Raises:
            ValueError: `X` lacks a column of the fit.
        """
        return X.columns(self.neurons) @ self.weights + self.intercept

    @property
    def h_neurons(self) -> Int[np.ndarray, "h"]:
        """Neurons with a positive weight: more contribution, more hallucination.

        Returns:
            Flat indices, [h], in rising order. A weight is a correlation, no effect.

        Source:
            Gao et al., arXiv 2512.01797: the definition of H-Neurons.
        """
        return self.neurons[self.weights > 0]


def check_labels(labels: np.ndarray, n: int) -> None:
    """Refuse labels that no probe can be fitted to.

    Args:
        labels: 1 or 0 for each example, [example].
        n: how many examples there are.

    Raises:
        ValueError: the labels are not `n`, or are not both of 0 and 1.
    """
    if len(labels) != n:
        raise ValueError(f"{len(labels)} labels do not fit {n} examples")
    if set(np.unique(labels)) != {0, 1}:
        raise ValueError(f"labels hold only {sorted(set(np.unique(labels).tolist()))}: a probe needs both 0 and 1")


def _null_model(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """y, which is 1 or -1, and z: the log-odds that the intercept gives before any neuron adds to it."""
    share = labels.mean()
    y = np.where(labels == 1, 1.0, -1.0)
    return y, np.full(len(labels), np.log(share / (1 - share)))


def loss_gradient(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """r: minus the derivative of each example's log-loss by its log-odds, the direction of descent.

    Args:
        y: classes, 1 or -1, [example], or any shape that fits `z`.
        z: log-odds of class 1 under a fit, [example], in nats.

    Returns:
        r, of the shape of `z`, between -1 and 1 and without unit: 0 where the example is classed with certainty.

    Source:
        Friedman, Hastie & Tibshirani 2010, section 3: the working residual times its weight.
    """
    return y * expit(-y * z)


def _hessian_weights(y: np.ndarray, z: np.ndarray, C: float) -> np.ndarray:
    """The second derivative of each example's log-loss by its log-odds, times C."""
    return C * np.maximum(expit(y * z) * expit(-y * z), 1e-10)


def kkt_violation(g: np.ndarray, w: np.ndarray, C: float) -> np.ndarray:
    """How far each column is from meeting its KKT condition, in units of its penalty.

    Args:
        g: X^T r, minus the gradient of the summed log-loss, [column].
        w: weights, [column].
        C: weight of the loss over the penalty, as in liblinear.

    Returns:
        Violations, [column], 0 or more: 0 in all columns exactly at the optimum. It bounds neither how far a weight is
        from the optimal one nor the loss.

    Source:
        Yuan, Chang, Hsieh & Lin 2010: the optimality conditions of liblinear's objective.
    """
    return np.where(w == 0, np.maximum(0, C * np.abs(g) - 1), np.abs(C * g - np.sign(w)))


def objective(w: np.ndarray, z: np.ndarray, y: np.ndarray, C: float) -> float:
    """What a fit makes as small as can be: penalty and loss together.

    Args:
        w: weights, the intercept's among them, [column].
        z: log-odds of class 1 under these weights, [example], in nats.
        y: classes, 1 or -1, [example].
        C: weight of the loss over the penalty.

    Returns:
        sum |w| + C * sum log(1 + exp(-y z)), in no unit that is comparable between values of C.

    Source:
        liblinear's L1-regularised logistic regression (Fan et al. 2008), which the paper's official code uses.
    """
    return float(np.abs(w).sum() + C * np.logaddexp(0, -y * z).sum())


def _backtracking_step(target: np.ndarray, w: np.ndarray, A: np.ndarray, y: np.ndarray, C: float) -> np.ndarray:
    """Line search by step halving from `w` towards `target`: the whole step, half, a quarter..., until the objective
    falls. Returns `target` itself if the whole step does."""
    z = A @ w
    dz = A @ (target - w)
    before = objective(w, z, y, C)
    step = 1.0
    while step > 1e-9:
        tried = target if step == 1.0 else w + step * (target - w)
        if objective(tried, z + step * dz, y, C) < before:
            return tried
        step /= 2
    return w


def _coordinate_descent_step(A: np.ndarray, y: np.ndarray, C: float, w: np.ndarray) -> np.ndarray:
    """Newton: the loss's second-order expansion at `w` is a least-squares problem, so with the penalty it is a lasso.

    A few rounds of coordinate descent: enough to see which weights are zero.
    """
    z = A @ w
    hessian_weights = _hessian_weights(y, z, C)
    design = np.asfortranarray(A * np.sqrt(hessian_weights)[:, None])
    target = np.sqrt(hessian_weights) * (z + C * loss_gradient(y, z) / hessian_weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the certificate says it better
        _, path, _ = lasso_path(
            design,
            target,
            alphas=[1 / len(y)],  # type: ignore[arg-type]
            coef_init=w.copy(),
            precompute=True,  # type: ignore[arg-type]
            Xy=design.T @ target,
            tol=1e-10,
            max_iter=_MAX_SWEEPS,
            copy_X=False,
        )
    return _backtracking_step(path[:, 0], w, A, y, C)


def _gram(M: np.ndarray) -> np.ndarray:
    """M^T M. M is no longer held when it returns."""
    return M.T @ M


def _fixed_sign_newton_step(A: np.ndarray, y: np.ndarray, C: float, w: np.ndarray, tolerance: float) -> np.ndarray:
    """Newton with each weight's sign held, a zero's as the gradient has it, until the KKT conditions hold within
    `tolerance` or as long as one Hessian serves."""
    z = A @ w
    g = C * (A.T @ loss_gradient(y, z))
    signs = np.where(w != 0, np.sign(w), np.sign(g))
    H = _gram(A * np.sqrt(_hessian_weights(y, z, C))[:, None])  # [column, column]
    H[np.diag_indices_from(H)] *= 1 + 1e-10
    right_side = H @ w + g - signs
    free = np.arange(len(w))
    while True:
        factor = cho_factor(H[np.ix_(free, free)], overwrite_a=True, check_finite=False)  # [free, free]
        target = np.zeros_like(w)
        target[free] = cho_solve(factor, right_side[free], check_finite=False)
        keeps_sign = np.sign(target[free]) == signs[free]
        if keeps_sign.all():
            break
        free = free[keeps_sign]
    w = _backtracking_step(target, w, A, y, C)
    before = np.inf
    while w is target:  # the step was taken whole
        rest = C * (A.T @ loss_gradient(y, A @ w))[free] - signs[free]
        off = np.abs(rest).max(initial=0)
        refined = w[free] + cho_solve(factor, rest, check_finite=False)
        if off <= tolerance or off > before / 4 or np.any(np.sign(refined) != signs[free]):
            break
        target[free] = refined
        before = off
    return w


def _solve(A: np.ndarray, y: np.ndarray, C: float, w: np.ndarray, tolerance: float) -> np.ndarray:
    """The optimum on few columns, from `w`: Newton on the active set, which is the columns with a weight and those
    that violate their KKT conditions most."""
    stuck = False
    for _ in range(200):
        violations = kkt_violation(A.T @ loss_gradient(y, A @ w), w, C)
        if violations.max() <= tolerance:
            break
        support = np.flatnonzero(w)
        missing = np.flatnonzero((w == 0) & (violations > tolerance))
        worst = missing[np.argsort(-violations[missing])[: max(20, len(support) // 2)]]
        active = np.concatenate([support, worst])
        B = A[:, active]  # [row, active]
        start = _coordinate_descent_step(B, y, C, w[active]) if stuck else w[active]
        moved = w.copy()
        moved[active] = _fixed_sign_newton_step(B, y, C, start, tolerance)
        unmoved = np.array_equal(moved, w)
        if stuck and unmoved:
            break
        w, stuck = moved, unmoved
    return w


def _with_columns(A: np.ndarray, more: np.ndarray) -> np.ndarray:
    """The columns of both, in double precision; columns lie together in memory, and nothing is held twice."""
    both = np.empty((len(A), A.shape[1] + more.shape[1]), order="F")  # [row, column]
    both[:, : A.shape[1]] = A
    both[:, A.shape[1] :] = more
    return both


def _extrapolate(w: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """Where the path goes next, if weights move on as from the last C to this one, and none changes its sign."""
    if len(previous) != len(w):
        return w
    ahead = 2 * w - previous
    return np.where((previous != 0) & (np.sign(ahead) == np.sign(w)), ahead, w)


def _null_gradients(
    X: TallMatrix, labels: Int[np.ndarray, "problem row"], never: Int[np.ndarray, "m"]
) -> Float[np.ndarray, "problem column"]:
    """Size of the loss's gradient by each weight while none has one; 0 at the columns that are `never` to have one.

    Raises ValueError if a value is not finite, since no search would end, or if all gradients are 0.
    """
    residuals = [loss_gradient(*_null_model(own)) for own in labels]
    gradients = np.abs(X.times_transposed(np.column_stack(residuals)))  # [problem, column]
    gradients[:, never] = 0
    if not np.isfinite(gradients).all():
        raise ValueError(
            f"column {int(np.flatnonzero(~np.isfinite(gradients).all(0))[0])} of the contributions holds NaN or "
            "infinity: leave out the examples that have them"
        )
    if not gradients.any(1).all():
        raise ValueError("no contribution differs between the two labels: there is nothing to fit")
    return gradients


class _PathSolver:
    """One path so far, and the working set on which it is solved.

    `A` holds the working set's columns, the first of them the intercept's; `too_small` says that the last solution gave
    a weight to too large a share of them to be trusted; `gradient` is the size of the loss's gradient by every other
    weight, in units of its penalty, and `n_next` how many of them are brought in next. The columns `never` stay without
    a weight, and `n_positive` positive weights are enough.
    """

    def __init__(
        self,
        X: TallMatrix,
        labels: np.ndarray,
        gradient: Float[np.ndarray, "column"],
        grid: Sequence[float],
        n_positive: float = np.inf,
        never: Int[np.ndarray, "m"] = NO_NEURONS,
        n_next: int = FIRST_WORKING_SET,
    ) -> None:
        self.X = X
        self.grid = grid
        self.gradient = gradient
        self.n_next = n_next
        self.n_positive = n_positive
        self.never = never
        self.y, null_log_odds = _null_model(labels)
        self.null_deviance = np.logaddexp(0, -self.y * null_log_odds).sum()
        self.columns = np.array([], dtype=int)
        self.A = np.ones((len(X), 1))
        self.w = np.zeros(1)
        self.warm_starts: dict[float, np.ndarray] = {}
        self.path: list[Fit] = []
        self.too_small = False
        self.done = False

    @property
    def remaining(self) -> Sequence[float]:
        """The C that are left to fit."""
        return self.grid[len(self.path) :]

    @property
    def n_candidates(self) -> int:
        """How many columns may have a weight."""
        return self.X.shape[1] - len(self.never)

    def grow_working_set(self) -> None:
        """Add the columns with the largest gradient."""
        n = min(self.n_next, self.n_candidates - len(self.columns))
        gradient = self.gradient.copy()
        gradient[self.never] = -1  # behind those whose gradient is 0
        added = np.argsort(-gradient, kind="stable")[:n]
        self.columns = np.append(self.columns, added)
        self.A = _with_columns(self.A, self.X.columns(added))

    def is_last(self, w: np.ndarray) -> bool:
        """Is this as far as the path is asked for?"""
        enough = np.count_nonzero(w[1:] > 0) >= self.n_positive
        return bool(enough or self.deviance_explained(w) > MAX_DEVIANCE_EXPLAINED)

    def deviance_explained(self, w: np.ndarray) -> float:
        """Which share of the null model's log-loss is gone."""
        return float(1 - np.logaddexp(0, -self.y * (self.A @ w)).sum() / self.null_deviance)

    def solve_ahead(self) -> list[np.ndarray]:
        """Solutions on the working set for the next C, as far along the grid as they can be trusted."""
        solutions: list[np.ndarray] = []
        previous = np.zeros(0)
        n_columns = len(self.columns)
        for C in self.remaining:
            start = self.warm_starts.get(C, _extrapolate(self.w, previous))
            previous = self.w
            w = _solve(self.A, self.y, C, np.pad(start, (0, self.A.shape[1] - len(start))), _COARSE)
            self.too_small = np.count_nonzero(w) > _MAX_SUPPORT * n_columns and n_columns != self.n_candidates
            self.w = w if self.too_small else _solve(self.A, self.y, C, w, _FINE)
            self.warm_starts[C] = self.w
            solutions.append(self.w)
            if self.too_small or self.is_last(self.w):
                break
        return solutions

    def residuals(self, solutions: Sequence[np.ndarray]) -> Float[np.ndarray, "row solution"]:
        """`loss_gradient` of each example under each solution."""
        return loss_gradient(self.y[:, None], self.A @ np.column_stack(solutions))  # [row, solution]

    def accept(
        self,
        solutions: Sequence[np.ndarray],
        residuals: Float[np.ndarray, "row solution"],
        gradients: Float[np.ndarray, "solution column"],
    ) -> None:
        """Test the KKT conditions of all columns at the C of each solution and keep those that pass, up to the first
        that does not; `gradients` are X^T r of the residuals, and are overwritten."""
        grid = self.remaining[: len(solutions)]
        np.abs(gradients, out=gradients)
        gradients *= np.array(grid)[:, None].astype(gradients.dtype)  # [solution, column]
        gradients[:, self.columns] = 0
        gradients[:, self.never] = 0
        for C, w, r, outside in zip(grid, solutions, residuals.T, gradients.max(1), strict=True):
            if outside > 1 + TOLERANCE or (self.too_small and w is solutions[-1]):
                break
            self.path.append(self.fit_of(w, C, max(outside - 1, kkt_violation(self.A.T @ r, w, C).max())))
            self.done = self.is_last(w) or len(self.path) == len(self.grid)
            if self.done:
                break
        self.gradient = gradients.max(0)
        n_violating = int(np.count_nonzero(self.gradient > 1 + TOLERANCE))
        self.n_next = _GROWTH * len(self.columns) if self.too_small else n_violating

    def fit_of(self, w: np.ndarray, C: float, violation: float) -> Fit:
        """A solution on the working set as a point of the path, its neurons in rising order."""
        support = np.flatnonzero(w[1:])
        support = support[np.argsort(self.columns[support])]
        neurons = self.columns[support]
        return Fit(C, neurons, w[1:][support], float(w[0]), float(violation), self.deviance_explained(w))


def _extend_paths(X: TallMatrix, solvers: Sequence[_PathSolver]) -> None:
    """Take every path as far as its working set carries it, and test all of them by one pass over the data."""
    solutions = []
    for solver in solvers:
        solver.grow_working_set()
        solutions.append(solver.solve_ahead())
    residuals = [solver.residuals(own) for solver, own in zip(solvers, solutions, strict=True)]
    gradients = X.times_transposed(np.column_stack(residuals))  # [solution of any solver, column]
    start = 0
    for solver, own, left in zip(solvers, solutions, residuals, strict=True):
        solver.accept(own, left, gradients[start : start + len(own)])
        start += len(own)


def _complete_paths(X: TallMatrix, solvers: Sequence[_PathSolver]) -> None:
    """Extend until every path is done."""
    while unfinished := [solver for solver in solvers if not solver.done]:
        _extend_paths(X, unfinished)


@ThreadpoolController().wrap(limits=1, user_api="blas")  # several libraries' threads would wait for each other, busily
def l1_path(X: TallMatrix, labels: np.ndarray, grid: Sequence[float] | np.ndarray) -> list[Fit]:
    """Fit every C of the grid, smallest first. The path ends early where the deviance is all but explained.

    Args:
        X: contributions, [row, layer * neuron]; read block by block.
        labels: 1 or 0 for each row, [row].
        grid: values of C, the weight of the loss over the penalty, [C], in any order.

    Returns:
        A fit for each C, smallest first, each with the violation of the KKT conditions over all neurons. That a fit is
        optimal does not make it good: it is the training rows' optimum.

    Raises:
        ValueError: labels are of one class or do not fit the rows, a value is not finite, no contribution differs
            between the labels, or a C is not above 0.

    Source:
        The objective of Gao et al.'s official code (liblinear). Working set, warm starts and certificate are ours,
        after Friedman, Hastie & Tibshirani 2010.
    """
    labels = np.asarray(labels)
    check_labels(labels, len(X))
    if not len(grid) or not all(0 < C < np.inf for C in grid):
        raise ValueError(f"grid={list(grid)} must hold values of C above 0, and finite")
    (gradient,) = _null_gradients(X, labels[None], NO_NEURONS)
    solver = _PathSolver(X, labels, gradient, sorted(float(C) for C in grid))
    _complete_paths(X, [solver])
    return solver.path


@ThreadpoolController().wrap(limits=1, user_api="blas")
def short_paths(
    X: TallMatrix, labels: Int[np.ndarray, "problem row"], n_grid: int, n_positive: int, never: Int[np.ndarray, "m"]
) -> list[list[Fit]]:
    """Several paths over the same rows, as far as the first C at which enough neurons have a positive weight.

    Each path has labels of its own and a grid of its own (`c_grid`). Each pass over the data serves all of them.

    Args:
        X: contributions, [row, layer * neuron].
        labels: 1 or 0 for each row of each problem, [problem, row].
        n_grid: number of C on each grid.
        n_positive: how many positive weights are enough.
        never: neurons, flat indices, [m], that get no weight, as if they were not there.

    Returns:
        A path for each problem. The last fit has fewer positive weights than were asked for, if its grid ended first.

    Raises:
        ValueError: as in `l1_path`.

    Source:
        As `l1_path`.
    """
    for own in labels:
        check_labels(own, len(X))
    gradients = _null_gradients(X, labels, never)
    n_first = max(_LEAST_WORKING_SET, 8 * n_positive)
    solvers = [
        _PathSolver(X, own, gradient, _grid_from(gradient, n_grid).tolist(), n_positive, never, n_first)
        for own, gradient in zip(labels, gradients, strict=True)
    ]
    _complete_paths(X, solvers)
    return [solver.path for solver in solvers]


def cached_l1_path(X: TallMatrix, labels: np.ndarray, grid: np.ndarray) -> list[Fit]:
    """`l1_path`, read from the cache if these very rows, labels and grid were fitted before.

    Args:
        X: contributions, [row, layer * neuron].
        labels: 1 or 0 for each row, [row].
        grid: values of C, [C].

    Returns:
        A fit for each C, smallest first.

    Raises:
        ValueError: as in `l1_path`.
    """

    def compute() -> dict[str, np.ndarray]:
        fits = l1_path(X, labels, grid)
        arrays = {"scalars": np.array([[f.C, f.intercept, f.kkt_violation, f.deviance_explained] for f in fits])}
        for i, fit in enumerate(fits):
            arrays[f"neurons_{i}"] = fit.neurons
            arrays[f"weights_{i}"] = fit.weights
        return arrays

    key = {"version": VERSION, "rows": X.digest, "labels": np.asarray(labels).tolist(), "grid": grid.tolist()}
    kept = cached_whole("paths", key, compute)
    return [
        Fit(C, kept[f"neurons_{i}"], kept[f"weights_{i}"], intercept, violation, explained)
        for i, (C, intercept, violation, explained) in enumerate(kept["scalars"].tolist())
    ]


def c_grid(X: TallMatrix, labels: np.ndarray, n: int) -> np.ndarray:
    """Values of C, evenly spaced in the logarithm, from where the first neuron enters.

    Args:
        X: contributions, [row, layer * neuron].
        labels: 1 or 0 for each row, [row].
        n: how many values.

    Returns:
        C in rising order, [n], the last 300 times the first.

    Raises:
        ValueError: a value is not finite, or no contribution differs between the labels.

    Source:
        Friedman, Hastie & Tibshirani 2010, section 2.5: a grid from the point at which all weights are 0.
    """
    return _grid_from(_null_gradients(X, np.asarray(labels)[None], NO_NEURONS)[0], n)


def _grid_from(gradient: Float[np.ndarray, "column"], n: int) -> np.ndarray:
    """The grid of `c_grid`, from the size of the loss's gradient by each weight while none has one."""
    first = 1 / gradient.max()
    return np.geomspace(first, first * _GRID_SPAN, n)
