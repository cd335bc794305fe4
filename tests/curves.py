"""Dose-response curves made up for tests."""

from __future__ import annotations

import numpy as np

from hn_utils.compliance import DoseResponse, Item


def curve(own: np.ndarray, control: np.ndarray) -> DoseResponse:
    """Of compliance, 0 or 1, [item, alpha] and [set, item, alpha], at alpha 0, 1 and 3; each item about a person."""
    words = np.array(["resisted", "complied"])
    listed = [Item(str(i), "false_premise", (), "", "", entity=str(i)) for i in range(len(own))]
    return DoseResponse("false_premise", listed, np.array([0.0, 1, 3]), [], words[own], words[control])


def noisy(rng: np.random.Generator, rates: list[float], n: int = 200) -> np.ndarray:
    """Items that comply at these rates, [item, alpha]."""
    return (rng.random((n, 3)) < rates).astype(int)
