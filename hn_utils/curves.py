"""Dose-response: how often the model gives in against alpha, for one set of neurons and for random ones beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from hn_utils.controls import Estimate, beyond_random, beyond_random_p, bootstrap, mean
from hn_utils.intervene import Dose
from hn_utils.items import Item, Outcome, Reply, outcomes
from hn_utils.replies import replies_at
from hn_utils.study import Study
from hn_utils.subject import Subject

ABLATION, AMPLIFICATION = slice(0, 2), slice(1, 3)  # of the alphas that follow
CONTROL_ALPHAS = (0.0, 1.0, 3.0)  # a study must have them; 1 is a no-op and needs no run of its own


def slopes(rates: Float[np.ndarray, "item alpha"], alphas: Sequence[float] | np.ndarray) -> Float[np.ndarray, "item"]:
    """Each item's least-squares slope, in points (percent) per unit of alpha; their mean is the slope of the mean."""
    centred = np.asarray(alphas) - np.mean(alphas)
    return 100 * rates @ centred / (centred @ centred)


@dataclass(frozen=True)
class DoseResponse:
    """One behaviour against alpha for one set of neurons, with the same for random sets beside it.

    `outcomes` [item, alpha] and `control_outcomes` [set, item, control alpha] hold words. Slopes are in points (percent
    of items) per unit of alpha, over the alphas that the controls have too. How often an outcome is `neither` matters:
    where that grows, the curve speaks of breakage, not of compliance.
    """

    behaviour: str
    items: list[Item]
    alphas: np.ndarray
    replies: list[list[Reply]]
    outcomes: np.ndarray
    control_outcomes: np.ndarray

    @property
    def entities(self) -> list[str]:
        return [item.entity for item in self.items]

    def at(self, alpha: float) -> np.ndarray:
        """Outcomes of all items at one alpha."""
        return self.outcomes[:, int(np.argmin(np.abs(self.alphas - alpha)))]

    def cut(self, alpha: float) -> float:
        """Share of replies at one alpha that ran into their length limit."""
        column = int(np.argmin(np.abs(self.alphas - alpha)))
        return float(np.mean([row[column].cut for row in self.replies]))

    def rate(self, outcome: Outcome = "complied") -> list[Estimate]:
        """Share of items with this outcome at each alpha, with intervals over entities."""
        columns = (self.outcomes == outcome).T
        return [bootstrap(mean, column.astype(float), groups=self.entities) for column in columns]

    def control_rates(self, outcome: Outcome = "complied") -> np.ndarray:
        """Share of items with this outcome, [set, control alpha]."""
        return (self.control_outcomes == outcome).mean(1)

    @property
    def swings(self) -> float:
        """Share of items whose outcome at any of the CONTROL_ALPHAS differs from that at alpha 1."""
        return float(np.any([self.at(a) != self.at(1.0) for a in CONTROL_ALPHAS], axis=0).mean())

    @property
    def control_swings(self) -> Float[np.ndarray, "set"]:
        """The same share for each control set."""
        return (self.control_outcomes != self.control_outcomes[..., [1]]).any(2).mean(1)

    def complied(self) -> np.ndarray:
        """1 where the item complied, [item, control alpha]."""
        return np.stack([self.at(a) == "complied" for a in CONTROL_ALPHAS], 1).astype(float)

    def slope(self) -> Estimate:
        """Slope of the neurons under study."""
        return bootstrap(mean, slopes(self.complied(), CONTROL_ALPHAS), groups=self.entities)

    def control_slopes(self) -> np.ndarray:
        return np.array([slopes(o == "complied", CONTROL_ALPHAS).mean() for o in self.control_outcomes])

    def item_slopes(
        self, among: slice = slice(None)
    ) -> tuple[Float[np.ndarray, "item"], Float[np.ndarray, "item set"]]:
        """Each item's slope over `among` of the CONTROL_ALPHAS, with the neurons under study and with each set."""
        alphas = CONTROL_ALPHAS[among]
        own = slopes(self.complied()[:, among], alphas)
        random = np.array([slopes(o[:, among] == "complied", alphas) for o in self.control_outcomes])
        return own, random.reshape(-1, len(own)).T

    def slope_beyond_random(self, among: slice = slice(None)) -> Estimate:
        """Slope minus the mean slope of the random sets, paired item by item, over `among` of the CONTROL_ALPHAS.

        The interval speaks of other people and other random sets of this kind, and of this curve alone; whether the
        neurons stand out among such sets, and among as many curves as were looked at, is for `verdicts` to say.
        """
        return beyond_random(mean, *self.item_slopes(among), self.entities)

    def p_beyond_random(self) -> float:
        """Two-sided bootstrap p of that difference, uncorrected."""
        return beyond_random_p(mean, *self.item_slopes(), self.entities)

    def rank_p(self, sign: int = 1) -> float:
        """One-sided permutation p: share of sets, this one included, with a slope as large (sign -1: as small). It
        cannot fall below 1 in as many sets as there are."""
        own = self.slope().value
        return float((1 + (sign * self.control_slopes() >= sign * own).sum()) / (1 + len(self.control_outcomes)))


def curves_of(
    subject: Subject,
    items: Sequence[Item],
    neurons: Int[np.ndarray, "k"],
    controls: Sequence[Int[np.ndarray, "k"]],
    study: Study,
) -> dict[str, DoseResponse]:
    """Every behaviour among the items against alpha, for `neurons` and, at CONTROL_ALPHAS, for each control set."""
    by_behaviour: Mapping[str, list[Item]] = defaultdict(list)
    for item in items:
        by_behaviour[item.behaviour].append(item)
    others = [Dose(other, a) for other in controls for a in CONTROL_ALPHAS if a != 1]
    curves = {}
    for behaviour, group in by_behaviour.items():
        replies = replies_at(subject, group, [Dose(neurons, a) for a in study.alphas], study)
        own, alphas = outcomes(group, replies, study), np.array(study.alphas)
        control = np.empty((len(controls), len(group), len(CONTROL_ALPHAS)), own.dtype)
        control[..., 1] = own[:, study.alphas.index(1.0)]
        if controls:
            low_and_high = outcomes(group, replies_at(subject, group, others, study), study)
            control[..., [0, 2]] = low_and_high.reshape(len(group), len(controls), 2).swapaxes(0, 1)
        curves[behaviour] = DoseResponse(behaviour, group, alphas, replies, own, control)
    return curves
