"""Checks of notebook 5."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hn_utils.course.mistakes import compare


def package_effects(m: np.ndarray) -> tuple[float, float, float]:
    return (m[:, 1] - m[:, 0]).mean(), (m[1] - m[0]).mean(), m[1, 1] - m[1, 0] - m[0, 1] + m[0, 0]


def check_effects(answer: Callable[[np.ndarray], tuple[float, float, float]]) -> None:
    """Means of the four cells, [allowed or restricted, true or false], to two main effects and their interaction."""
    cases = [(np.array([[1.0, 2.0], [4.0, 9.0]]),), (np.array([[0.5, 0.0], [0.25, 2.0]]),)]
    compare(
        answer,
        cases,
        package_effects,
        [
            (
                "falsehood and restriction are swapped: rows are allowed and restricted, columns true and false",
                lambda m: ((m[1] - m[0]).mean(), (m[:, 1] - m[:, 0]).mean(), m[1, 1] - m[1, 0] - m[0, 1] + m[0, 0]),
            ),
            (
                "a main effect is the *mean* of two differences: you added them up",
                lambda m: ((m[:, 1] - m[:, 0]).sum(), (m[1] - m[0]).sum(), m[1, 1] - m[1, 0] - m[0, 1] + m[0, 0]),
            ),
            (
                "those are differences from the cell of true, allowed answers alone: a main effect is over both rows, "
                "or both columns",
                lambda m: (m[0, 1] - m[0, 0], m[1, 0] - m[0, 0], m[1, 1] - m[1, 0] - m[0, 1] + m[0, 0]),
            ),
            (
                "the interaction has the wrong sign: it is what falsehood does among restricted answers minus what it "
                "does among allowed ones",
                lambda m: ((m[:, 1] - m[:, 0]).mean(), (m[1] - m[0]).mean(), m[0, 1] - m[0, 0] - m[1, 1] + m[1, 0]),
            ),
        ],
    )
