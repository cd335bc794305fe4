"""The L1 path of a sparse logistic probe over any number of neurons, each point with a certificate that it is optimal.

The objective is liblinear's, as in the official code: sum |w| + |b| + C * sum log(1 + exp(-y (x w + b))).

**The certificate.** Let r_i = y_i / (1 + exp(y_i z_i)), by how much example i still pulls, and g_j = sum_i r_i x_ij,
how hard all of them pull at the weight of neuron j. The penalty holds every weight with force 1. So a solution is
optimal exactly when C |g_j| <= 1 for each neuron without a weight, and C g_j = sign(w_j) for each neuron with one. The
objective is convex: whoever passes this test on *all* neurons cannot be improved, however the solution was found. One
product, X^T r, tests them all.

**The search** lives off that. Nearly all neurons will have no weight, so a few hundred columns are guessed and the path
is solved on them alone, as far as they suffice. One pass over the data then tests every neuron at every C so solved,
and those that pull hardest join the guess. A handful of passes does it, and little else grows with the number of
neurons.

**On few columns** each fit is Newton's method. As long as no weight changes its sign the penalty is linear, and a step
is a linear solve; weights that it would drive through zero become zero, and the others are solved for again. The same
curvature then serves for more steps while it brings the fit nearer. Where this gets nowhere, a weighted lasso finds out
which weights are zero (Friedman, Hastie & Tibshirani 2010; the lasso is scikit-learn's). Each fit starts from its
neighbours on the path.
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
TOLERANCE = 1e-4  # largest violation of optimality that a fit may have
_EXACT = 1e-7  # what is aimed at on the few columns,
_ROUGH = 0.1  # and first, to see whether they suffice
_GRID_SPAN = 300.0  # the path runs from the C at which the first neuron enters to this many times it
_SWEEPS = 20  # of coordinate descent, between two looks at the loss
FIRST_GUESS = 400  # columns
_FEWEST = 60  # of a path that is asked for its first few neurons
_CROWDED = 1 / 3  # share of the guessed columns with a weight, beyond which more are brought in first:
_WIDER = 1  # times as many
EXPLAINED = 0.99  # of the deviance: beyond it the path only makes certain answers more certain


@dataclass(frozen=True)
class Fit:
    """One point of the path: the neurons with a weight, flat indices, and how far from optimal the fit is."""

    C: float
    neurons: Int[np.ndarray, "k"]
    weights: Float[np.ndarray, "k"]
    intercept: float
    violation: float
    deviance_explained: float

    def score(self, X: TallMatrix) -> Float[np.ndarray, "example"]:
        """Log-odds that the answer is hallucinated."""
        return X.columns(self.neurons) @ self.weights + self.intercept

    @property
    def h_neurons(self) -> Int[np.ndarray, "h"]:
        """Neurons with a positive weight: more contribution, more hallucination."""
        return self.neurons[self.weights > 0]


def check_labels(labels: np.ndarray, n: int) -> None:
    if len(labels) != n:
        raise ValueError(f"{len(labels)} labels do not fit {n} examples")
    if set(np.unique(labels)) != {0, 1}:
        raise ValueError(f"labels hold only {sorted(set(np.unique(labels).tolist()))}: a probe needs both 0 and 1")


def _before_any(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """y, which is 1 or -1, and z: what the intercept gives before any neuron adds to it."""
    share = labels.mean()
    return np.where(labels == 1, 1.0, -1.0), np.full(len(labels), np.log(share / (1 - share)))


def pull(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """r: minus the derivative of each example's log-loss by its z."""
    return y * expit(-y * z)


def _curvature(y: np.ndarray, z: np.ndarray, C: float) -> np.ndarray:
    """The second derivative of each example's log-loss by its z, times C."""
    return C * np.maximum(expit(y * z) * expit(-y * z), 1e-10)


def violation_of(g: np.ndarray, w: np.ndarray, C: float) -> np.ndarray:
    """How far each column is from optimal, in units of its penalty."""
    return np.where(w == 0, np.maximum(0, C * np.abs(g) - 1), np.abs(C * g - np.sign(w)))


def objective(w: np.ndarray, z: np.ndarray, y: np.ndarray, C: float) -> float:
    return float(np.abs(w).sum() + C * np.logaddexp(0, -y * z).sum())


def _towards(aim: np.ndarray, w: np.ndarray, A: np.ndarray, y: np.ndarray, C: float) -> np.ndarray:
    """From `w` as far towards `aim` as makes the objective smaller: all the way, half, a quarter..."""
    z, dz, step = A @ w, A @ (aim - w), 1.0
    before = objective(w, z, y, C)
    while step > 1e-9:
        taken = aim if step == 1.0 else w + step * (aim - w)
        if objective(taken, z + step * dz, y, C) < before:
            return taken
        step /= 2
    return w


def _lasso_step(A: np.ndarray, y: np.ndarray, C: float, w: np.ndarray) -> np.ndarray:
    """Newton: the loss's second-order expansion at `w` is a least-squares problem, so with the penalty it is a lasso.

    A few rounds of coordinate descent: enough to see which weights are zero.
    """
    z = A @ w
    bend = _curvature(y, z, C)
    design = np.asfortranarray(A * np.sqrt(bend)[:, None])
    target = np.sqrt(bend) * (z + C * pull(y, z) / bend)
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
            max_iter=_SWEEPS,
            copy_X=False,
        )
    return _towards(path[:, 0], w, A, y, C)


def _gram(M: np.ndarray) -> np.ndarray:
    """M^T M. M is no longer held when it returns."""
    return M.T @ M


def _signed_step(A: np.ndarray, y: np.ndarray, C: float, w: np.ndarray, violation: float) -> np.ndarray:
    """Newton with each weight's sign held, a zero's as it is pulled, until `violation` or as long as one curvature
    serves."""
    z = A @ w
    g = C * (A.T @ pull(y, z))
    signs = np.where(w != 0, np.sign(w), np.sign(g))
    H = _gram(A * np.sqrt(_curvature(y, z, C))[:, None])
    H[np.diag_indices_from(H)] *= 1 + 1e-10
    force, free = H @ w + g - signs, np.arange(len(w))
    while True:
        factor = cho_factor(H[np.ix_(free, free)], overwrite_a=True, check_finite=False)
        aim = np.zeros_like(w)
        aim[free] = cho_solve(factor, force[free], check_finite=False)
        kept = np.sign(aim[free]) == signs[free]
        if kept.all():
            break
        free = free[kept]
    w = _towards(aim, w, A, y, C)
    before = np.inf
    while w is aim:  # the step was taken whole
        rest = C * (A.T @ pull(y, A @ w))[free] - signs[free]
        off = np.abs(rest).max(initial=0)
        ahead = w[free] + cho_solve(factor, rest, check_finite=False)
        if off <= violation or off > before / 4 or np.any(np.sign(ahead) != signs[free]):
            break
        aim[free], before = ahead, off
    return w


def _solve_on(A: np.ndarray, y: np.ndarray, C: float, w: np.ndarray, violation: float) -> np.ndarray:
    """The optimum on few columns, from `w`: Newton on those with a weight and those whose certificate fails most."""
    stuck = False
    for _ in range(200):
        worst = violation_of(A.T @ pull(y, A @ w), w, C)
        if worst.max() <= violation:
            break
        on, missing = np.flatnonzero(w), np.flatnonzero((w == 0) & (worst > violation))
        active = np.concatenate([on, missing[np.argsort(-worst[missing])[: max(20, len(on) // 2)]]])
        B, moved = A[:, active], w.copy()
        start = _lasso_step(B, y, C, w[active]) if stuck else w[active]
        moved[active] = _signed_step(B, y, C, start, violation)
        if stuck and np.array_equal(moved, w):
            break
        w, stuck = moved, np.array_equal(moved, w)
    return w


def beside(A: np.ndarray, more: np.ndarray) -> np.ndarray:
    """The columns of both, in double precision; columns lie together in memory, and nothing is held twice."""
    both = np.empty((len(A), A.shape[1] + more.shape[1]), order="F")
    both[:, : A.shape[1]], both[:, A.shape[1] :] = A, more
    return both


def _onwards(w: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Where the path goes next, if weights move on as from the last C to this one, and none changes its sign."""
    if len(earlier) != len(w):
        return w
    ahead = 2 * w - earlier
    return np.where((earlier != 0) & (np.sign(ahead) == np.sign(w)), ahead, w)


NOBODY = np.array([], dtype=int)


def _first_forces(
    X: TallMatrix, labels: Int[np.ndarray, "problem row"], never: Int[np.ndarray, "m"]
) -> Float[np.ndarray, "problem column"]:
    """How hard the examples pull at each weight while none has one; 0 at the columns that are `never` to have one.

    Raises ValueError if a value is not finite, since no search would end, or if nothing pulls at all.
    """
    alone = [pull(*_before_any(own)) for own in labels]
    forces = np.abs(X.times_transposed(np.column_stack(alone)))
    forces[:, never] = 0
    if not np.isfinite(forces).all():
        raise ValueError(
            f"column {int(np.flatnonzero(~np.isfinite(forces).all(0))[0])} of the contributions holds NaN or infinity: "
            "leave out the examples that have them"
        )
    if not forces.any(1).all():
        raise ValueError("no contribution differs between the two labels: there is nothing to fit")
    return forces


class _Search:
    """One path so far, and the columns on which it is solved.

    `A` holds these columns, the first of them the intercept's; `crowded` says that the last solution used too large a
    share of them to be trusted; `force` is how hard every other column pulls, in units of its penalty, and `n_wanted`
    how many of them are brought in next. The columns `never` stay without a weight, and `n_positive` positive weights
    are enough.
    """

    def __init__(
        self,
        X: TallMatrix,
        labels: np.ndarray,
        force: Float[np.ndarray, "column"],
        grid: Sequence[float],
        n_positive: float = np.inf,
        never: Int[np.ndarray, "m"] = NOBODY,
        n_wanted: int = FIRST_GUESS,
    ) -> None:
        self.X, self.grid, self.force, self.n_wanted = X, grid, force, n_wanted
        self.n_positive, self.never = n_positive, never
        self.y, alone = _before_any(labels)
        self.null = np.logaddexp(0, -self.y * alone).sum()
        self.columns, self.A, self.w = np.array([], dtype=int), np.ones((len(X), 1)), np.zeros(1)
        self.guesses: dict[float, np.ndarray] = {}
        self.path: list[Fit] = []
        self.crowded = self.ended = False

    @property
    def ahead(self) -> Sequence[float]:
        """The C that are left to fit."""
        return self.grid[len(self.path) :]

    @property
    def n_free(self) -> int:
        """How many columns may have a weight."""
        return self.X.shape[1] - len(self.never)

    def bring_in(self) -> None:
        """Add the columns that pull hardest."""
        n = min(self.n_wanted, self.n_free - len(self.columns))
        force = self.force.copy()
        force[self.never] = -1  # behind those that do not pull at all
        wanted = np.argsort(-force, kind="stable")[:n]
        self.columns, self.A = np.append(self.columns, wanted), beside(self.A, self.X.columns(wanted))

    def enough(self, w: np.ndarray) -> bool:
        """Is this as far as the path is asked for?"""
        return bool(np.count_nonzero(w[1:] > 0) >= self.n_positive or self.explained(w) > EXPLAINED)

    def explained(self, w: np.ndarray) -> float:
        return float(1 - np.logaddexp(0, -self.y * (self.A @ w)).sum() / self.null)

    def solve(self) -> list[np.ndarray]:
        """Solutions on these columns for the next C, as far along the grid as they can be trusted."""
        tried, earlier = [], np.zeros(0)
        for C in self.ahead:
            start = self.guesses.get(C, _onwards(self.w, earlier))
            earlier = self.w
            w = _solve_on(self.A, self.y, C, np.pad(start, (0, self.A.shape[1] - len(start))), _ROUGH)
            few, all_in = len(self.columns), len(self.columns) == self.n_free
            self.crowded = np.count_nonzero(w) > _CROWDED * few and not all_in
            self.w = self.guesses[C] = w if self.crowded else _solve_on(self.A, self.y, C, w, _EXACT)
            tried.append(self.w)
            if self.crowded or self.enough(self.w):
                break
        return tried

    def residuals(self, tried: Sequence[np.ndarray]) -> Float[np.ndarray, "row solution"]:
        """How hard each example still pulls under each solution."""
        return pull(self.y[:, None], self.A @ np.column_stack(tried))

    def accept(
        self,
        tried: Sequence[np.ndarray],
        residuals: Float[np.ndarray, "row solution"],
        forces: Float[np.ndarray, "solution column"],
    ) -> None:
        """Test all columns at the C of each solution and keep those that pass, up to the first that does not; `forces`
        are those of the residuals on every column."""
        grid = self.ahead[: len(tried)]
        np.abs(forces, out=forces)
        forces *= np.array(grid)[:, None].astype(forces.dtype)
        forces[:, self.columns] = 0
        forces[:, self.never] = 0
        for C, w, r, outside in zip(grid, tried, residuals.T, forces.max(1), strict=True):
            if outside > 1 + TOLERANCE or (self.crowded and w is tried[-1]):
                break
            violation = max(outside - 1, violation_of(self.A.T @ r, w, C).max())
            kept = np.flatnonzero(w[1:])
            kept = kept[np.argsort(self.columns[kept])]
            neurons, weights = self.columns[kept], w[1:][kept]
            self.path.append(Fit(C, neurons, weights, float(w[0]), float(violation), self.explained(w)))
            self.ended = self.enough(w) or len(self.path) == len(self.grid)
            if self.ended:
                break
        self.force = forces.max(0)
        hardest = int(np.count_nonzero(self.force > 1 + TOLERANCE))
        self.n_wanted = _WIDER * len(self.columns) if self.crowded else hardest


def _advance(X: TallMatrix, searches: Sequence[_Search]) -> None:
    """Take every path as far as its columns carry it, and test all of them by one pass over the data."""
    tried = []
    for search in searches:
        search.bring_in()
        tried.append(search.solve())
    residuals = [search.residuals(some) for search, some in zip(searches, tried, strict=True)]
    forces = X.times_transposed(np.column_stack(residuals))
    start = 0
    for search, some, left in zip(searches, tried, residuals, strict=True):
        search.accept(some, left, forces[start : start + len(some)])
        start += len(some)


def _search_to_the_end(X: TallMatrix, searches: Sequence[_Search]) -> None:
    """Advance until every path has ended."""
    while going := [search for search in searches if not search.ended]:
        _advance(X, going)


@ThreadpoolController().wrap(limits=1, user_api="blas")  # several libraries' threads would wait for each other, busily
def l1_path(X: TallMatrix, labels: np.ndarray, grid: Sequence[float] | np.ndarray) -> list[Fit]:
    """Fit every C of the grid, smallest first. The path ends early where the deviance is all but explained.

    Raises ValueError for one-class labels, values that are not finite, or a C that is not above 0.
    """
    labels = np.asarray(labels)
    check_labels(labels, len(X))
    if not len(grid) or not all(0 < C < np.inf for C in grid):
        raise ValueError(f"grid={list(grid)} must hold values of C above 0, and finite")
    (force,) = _first_forces(X, labels[None], NOBODY)
    search = _Search(X, labels, force, sorted(float(C) for C in grid))
    _search_to_the_end(X, [search])
    return search.path


@ThreadpoolController().wrap(limits=1, user_api="blas")
def short_paths(
    X: TallMatrix, labels: Int[np.ndarray, "problem row"], n_grid: int, n_positive: int, never: Int[np.ndarray, "m"]
) -> list[list[Fit]]:
    """Several paths over the same rows, each with labels of its own, on a grid of its own (`c_grid`), as far as the
    first C at which `n_positive` neurons have a positive weight. The neurons `never` (flat) get none, as if they were
    not there. Each pass over the data serves all of them.

    Raises ValueError as `l1_path` does.
    """
    for own in labels:
        check_labels(own, len(X))
    forces, few = _first_forces(X, labels, never), max(_FEWEST, 8 * n_positive)
    searches = [
        _Search(X, own, force, _grid_from(force, n_grid).tolist(), n_positive, never, few)
        for own, force in zip(labels, forces, strict=True)
    ]
    _search_to_the_end(X, searches)
    return [search.path for search in searches]


def cached_l1_path(X: TallMatrix, labels: np.ndarray, grid: np.ndarray) -> list[Fit]:
    """`l1_path`, read from the cache if these very rows, labels and grid were fitted before."""

    def compute() -> dict[str, np.ndarray]:
        fits = l1_path(X, labels, grid)
        scalars = [[f.C, f.intercept, f.violation, f.deviance_explained] for f in fits]
        split = {f"neurons_{i}": f.neurons for i, f in enumerate(fits)} | {
            f"weights_{i}": f.weights for i, f in enumerate(fits)
        }
        return {"scalars": np.array(scalars), **split}

    key = {"version": VERSION, "rows": X.digest, "labels": np.asarray(labels).tolist(), "grid": grid.tolist()}
    kept = cached_whole("paths", key, compute)
    return [
        Fit(C, kept[f"neurons_{i}"], kept[f"weights_{i}"], intercept, violation, explained)
        for i, (C, intercept, violation, explained) in enumerate(kept["scalars"].tolist())
    ]


def c_grid(X: TallMatrix, labels: np.ndarray, n: int) -> np.ndarray:
    """`n` values of C, evenly spaced in the logarithm, from where the first neuron enters."""
    return _grid_from(_first_forces(X, np.asarray(labels)[None], NOBODY)[0], n)


def _grid_from(force: Float[np.ndarray, "column"], n: int) -> np.ndarray:
    """The grid of `c_grid`, from how hard the examples pull at each weight while none has one."""
    first = 1 / force.max()
    return np.geomspace(first, first * _GRID_SPAN, n)
