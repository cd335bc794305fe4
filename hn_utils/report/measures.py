"""The measures by which runs are compared, and what they are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hn_utils.questions.question import STANDARD_TITLE
from hn_utils.stats.tables import PARTS

AUROC = f"AUROC of the H-Neurons, {STANDARD_TITLE}"


CONTROL, CONFIDENCE = "picked on shuffled labels", "plain confidence"
BEYOND, SLOPE = "H-Neurons beyond what shuffled labels pick", "slope beyond what shuffled labels pick, "


DETECTORS = {
    AUROC: "H-Neurons alone, refitted",
    CONTROL: "picked on shuffled labels",
    "a dense probe on all neurons": "all neurons, L2 probe",
    CONFIDENCE: "plain confidence (log-probability)",
}


AGAINST_RANDOM = ("none", "layer", "magnitude")


@dataclass(frozen=True)
class Measure:
    """One number that a run found, with its 95 % interval (of a control the range of 95 % of its sets), its p, the
    questions behind it and the words of its verdict, where it has them."""

    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    n: int | None = None
    verdict: str = ""
    digits: int = 2
    p_digits: int = 2

    def __str__(self) -> str:
        told = f"{self.value:.{self.digits}f}"
        if self.low is None:
            return told if self.p is None else f"{told}, {self.p:.{self.p_digits}f}"
        between = f"{told} [{self.low:.{self.digits}f}, {self.high:.{self.digits}f}]"
        return between if self.p is None else f"{between}, p = {self.p:.{self.p_digits}f}"

    @property
    def columns(self) -> dict[str, Any]:
        """What of it is known, by the ending of its column's name."""
        known = {end: getattr(self, part) for end, part in {**PARTS, " (p)": "p"}.items()}
        return {end: value for end, value in known.items() if value is not None}
