"""Exercise of the deeper notebook on what else it could be: which of three suspects explains a detector away?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hn_utils.course.mistakes import YOUR_TURN, Mistake, compare
from hn_utils.stats.metrics import auroc


def stratified() -> dict[str, np.ndarray]:
    """Four thousand answers and a detector that sees only how long they are, and the hour of the day, which has nothing
    to do with truth. Made-up answers are more often long, and more often about towns, which the score does not see."""
    rng, n = np.random.default_rng(7), 4_000
    labels = rng.permutation(np.repeat([0, 1], n // 2))
    long, town = (rng.random(n) < np.where(labels == 1, 0.8, 0.2) for _ in range(2))
    late = rng.random(n) < 0.5
    score = 2.0 * long + 1.0 * late + rng.normal(size=n)
    return {"labels": labels, "score": score, "length": 1 + long, "topic": 1 * town, "time of day": 1 * late}


def auroc_within(labels: np.ndarray, score: np.ndarray, stratum: np.ndarray) -> float:
    """AUROC among pairs of one true and one made-up answer of the same stratum; every pair counts alike."""
    pairs = areas = 0.0
    for value in np.unique(stratum):
        own = labels[stratum == value]
        weight = float(own.sum()) * float((1 - own).sum())
        if weight:
            areas += weight * auroc(own, score[stratum == value])
            pairs += weight
    return areas / pairs


def check_confound(answer: tuple[Callable[..., float], str]) -> None:
    """(AUROC within strata, name of the variable that explains the detector away)."""
    within, name = answer
    if within is ... or name is ...:
        raise Mistake(YOUR_TURN)
    _check_within(within)
    because = {
        "topic": "that differs between true and made-up answers, but the score does not see it: within topics the "
        "detector does as well as before",
        "time of day": "that moves the score, but is the same for true and made-up answers: a nuisance, no confound",
    }
    if name in because:
        raise Mistake(because[name])
    if name != "length":
        raise Mistake(f"{name!r} is none of the suspects: length, topic, time of day")


def _check_within(answer: Callable[..., float]) -> None:
    """Labels, scores and strata to the AUROC within strata."""
    data = stratified()
    labels, score = np.array([1, 0, 0, 0, 1, 1, 0, 0, 1, 0]), np.array([5.0, 6, 1, 2, 3, 4, 0, 3.5, 1, 2])
    stratum = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])  # 3, 4 and 1 pairs

    def plain_mean(y: np.ndarray, s: np.ndarray, g: np.ndarray) -> float:
        return float(np.mean([auroc(y[g == v], s[g == v]) for v in np.unique(g)]))

    def by_size(y: np.ndarray, s: np.ndarray, g: np.ndarray) -> float:
        values, sizes = np.unique(g, return_counts=True)
        return float(np.average([auroc(y[g == v], s[g == v]) for v in values], weights=sizes))

    compare(
        answer,
        [(data["labels"], data["score"], data["length"]), (labels, score, stratum)],
        auroc_within,
        [
            (
                "that is the AUROC of all answers together: compare only answers of the same stratum",
                lambda y, s, _: auroc(y, s),
            ),
            ("that is the AUROC of the stratum itself, not of the score within it", lambda y, _, g: auroc(y, g)),
            (
                "weigh a stratum by its pairs of a true and a made-up answer, (made up) x (true), not by its size",
                by_size,
            ),
            ("strata with more pairs say more: weigh each by (made up) x (true)", plain_mean),
        ],
    )
