"""Which rule for C finds planted neurons best? Contributions are made up, so that the truth is known.

Each neuron's contribution is lognormal and shares factors with others; half of the neurons tell answers from other
tokens, which the paper's 3-vs-1 rows let into the path; a few planted ones fire more at made-up answers. A rule may
see train and validation answers; the neurons it chooses are refitted and scored on 2,000 others.

`python bench/choice_of_c.py` prints a table (about half an hour on one core).
"""

from __future__ import annotations

import warnings

import numpy as np

from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.probing.l1_path import Fit, c_grid, l1_path
from hn_utils.probing.probe import refit
from hn_utils.stats.bootstrap import bootstrap
from hn_utils.stats.metrics import auroc

N_NEURONS, N_FACTORS, N_GRID, N_FOLDS, N_WORLDS = 4_608, 24, 20, 5, 4
SIZES = (60, 200, 800)  # training answers of either kind; a third as many more for validation
PLANTED = ((12, 0.5), (4, 1.0), (12, 1.0))  # neurons, and how far they move, in standard deviations


class MadeUp:
    """One world of neurons; `answers` draws as many made-up as true ones, and the other tokens beside them."""

    def __init__(self, rng: np.random.Generator, n_planted: int, effect: float) -> None:
        self.rng, self.effect = rng, effect
        self.shared = rng.normal(size=(N_FACTORS, N_NEURONS)) * (rng.random((N_FACTORS, N_NEURONS)) < 0.15)
        self.size = np.exp(rng.normal(-6, 0.8, N_NEURONS))
        self.at_other_tokens = rng.normal(0, 0.6, N_NEURONS) * (rng.random(N_NEURONS) < 0.5)
        self.planted = rng.choice(N_NEURONS, n_planted, replace=False)

    def contributions(self, n: int, spread: float) -> np.ndarray:
        common = self.rng.normal(size=(n, N_FACTORS)) @ self.shared / 2
        return common + spread * self.rng.normal(size=(n, N_NEURONS))

    def answers(self, n_each: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        labels = np.repeat([1, 0], n_each)
        answer = self.contributions(2 * n_each, 1.0)
        answer[np.ix_(labels == 1, self.planted)] += self.effect
        other = self.contributions(2 * n_each, 0.4) + self.at_other_tokens  # a mean over many tokens spreads less
        scaled = [(self.size * np.exp(values / 2)).astype(np.float32) for values in (answer, other)]
        return scaled[0], scaled[1], labels


def rows(answer: np.ndarray, other: np.ndarray, labels: np.ndarray) -> tuple[TallMatrix, np.ndarray]:
    return TallMatrix([np.concatenate([answer, other])]), np.concatenate([labels, np.zeros(len(other), int)])


def by_validation(fits: list[Fit], answer: np.ndarray, labels: np.ndarray) -> dict[str, int]:
    """Places on the path: the best on validation, and the sparsest within one standard error of it."""
    scores = [bootstrap(auroc, labels, fit.score(TallMatrix([answer]))) for fit in fits]
    values = np.array([s.value for s in scores])
    best = int(values.argmax())
    error = (scores[best].high - scores[best].low) / (2 * 1.96)
    return {
        "best on validation": best,
        "one standard error, validation": int(np.argmax(values >= values[best] - error)),
    }


def by_folds(answer: np.ndarray, other: np.ndarray, labels: np.ndarray, grid: np.ndarray, seed: int) -> dict[str, int]:
    """The same over folds of all answers, and the sparsest with 95 % of the best fold's gain over chance."""
    fold = np.random.default_rng(seed).permutation(len(labels)) % N_FOLDS
    values = np.full((len(grid), N_FOLDS), np.nan)
    for k in range(N_FOLDS):
        seen = fold != k
        X, y = rows(answer[seen], other[seen], labels[seen])
        for place, fit in enumerate(l1_path(X, y, grid)):
            values[place, k] = auroc(labels[~seen], fit.score(TallMatrix([answer[~seen]])))
    mean = np.where(np.isnan(values).any(1), -1, values.mean(1))
    best = int(mean.argmax())
    error = values[best].std(ddof=1) / N_FOLDS**0.5
    return {
        f"best over {N_FOLDS} folds": best,
        f"one standard error, {N_FOLDS} folds": int(np.argmax(mean >= mean[best] - error)),
        f"95 % of the gain, {N_FOLDS} folds": int(np.argmax(mean >= 0.5 + 0.95 * (mean[best] - 0.5))),
    }


def one_world(seed: int, n_each: int, n_planted: int, effect: float) -> dict[str, tuple[float, float, float, float]]:
    """By rule: how many H-Neurons, precision, recall, AUROC of the refitted set on new answers."""
    world = MadeUp(np.random.default_rng(seed), n_planted, effect)
    train, validation, test = (world.answers(n) for n in (n_each, max(20, n_each // 3), 1_000))
    every = [np.concatenate(pair) for pair in zip(train, validation, strict=True)]
    X, y = rows(*train)  # type: ignore[arg-type]
    grid = c_grid(X, y, N_GRID)
    alone, together = (l1_path(*rows(*some), grid) for some in (train, every))  # type: ignore[arg-type]
    chosen = {name: (alone[i], train) for name, i in by_validation(alone, validation[0], validation[2]).items()}
    for name, i in by_folds(*every, grid, seed).items():  # type: ignore[arg-type]
        chosen[name] = together[min(i, len(together) - 1)], every
    result = {}
    for name, (fit, seen) in chosen.items():
        found = fit.h_neurons
        hits = len(set(found) & set(world.planted))
        scores = refit(*rows(*seen), found).score(TallMatrix([test[0]])) if len(found) else np.zeros(len(test[2]))
        result[name] = len(found), hits / max(1, len(found)), hits / n_planted, auroc(test[2], scores)
    perfect = refit(*rows(*every), world.planted).score(TallMatrix([test[0]]))  # type: ignore[arg-type]
    return result | {"the planted ones themselves": (n_planted, 1.0, 1.0, auroc(test[2], perfect))}


def main() -> None:
    print("| training answers of each kind | planted, effect | rule | H-Neurons | precision | recall | AUROC |")
    print("|---|---|---|---|---|---|---|")
    for n_each in SIZES:
        for n_planted, effect in PLANTED:
            worlds = [one_world(seed, n_each, n_planted, effect) for seed in range(N_WORLDS)]
            for rule in worlds[0]:
                count, precision, recall, area = np.mean([world[rule] for world in worlds], axis=0)
                measured = f"{count:.0f} | {precision:.2f} | {recall:.2f} | {area:.2f}"
                print(f"| {n_each} | {n_planted}, {effect:g} | {rule} | {measured} |", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # a refit of a hundred neurons on as many answers does not always converge
    main()
