"""Slopes against alpha, of one set of neurons and of control sets beside it, whatever is measured at each alpha."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from hn_utils.stats.bootstrap import Estimate, beyond_random, beyond_random_p, bootstrap
from hn_utils.stats.metrics import mean
from hn_utils.stats.rank_test import possible_p, settled, two_sided_rank_p

if TYPE_CHECKING:
    from hn_utils.questions.items import Item
    from hn_utils.stats.neuron_sets import Control

ABLATION, AMPLIFICATION = slice(0, 2), slice(1, 3)  # of the alphas that follow
CONTROL_ALPHAS = (0.0, 1.0, 3.0)  # a study must have them; 1 is a no-op and needs no run of its own


def slopes(values: Float[np.ndarray, "item alpha"], alphas: Sequence[float] | np.ndarray) -> Float[np.ndarray, "item"]:
    """Each item's least-squares slope, per unit of alpha; their mean is the slope of the mean. 0 where alpha does not
    differ."""
    centred = np.asarray(alphas) - np.mean(alphas)
    return values @ centred / max(float(centred @ centred), 1e-12)


class Sloped:
    """What dose-response curves of any kind have in common: a value of each item at each of CONTROL_ALPHAS, `values`
    [item, alpha] for the neurons under study and `control_values` [set, item, alpha] for each of the `controls`, in the
    order in which these were drawn; and `n_at_most`, how many of them would have been drawn for an effect."""

    items: list[Item]
    values: Float[np.ndarray, "item alpha"]
    control_values: Float[np.ndarray, "set item alpha"]
    controls: Sequence[Control]
    n_at_most: int

    @property
    def entities(self) -> list[str]:
        """What the items are about."""
        return [item.entity for item in self.items]

    def slope(self) -> Estimate:
        """Slope of the neurons under study."""
        return bootstrap(mean, slopes(self.values, CONTROL_ALPHAS), groups=self.entities)

    @property
    def control_doses(self) -> Float[np.ndarray, "set alpha"]:
        """At which alphas of the neurons under study each control set disturbed as much: CONTROL_ALPHAS, but for sets
        that are quieter and could not be turned far enough."""
        if not self.controls:
            return np.tile(CONTROL_ALPHAS, (len(self.control_values), 1))
        return np.array([[control.reached(alpha) for alpha in CONTROL_ALPHAS] for control in self.controls])

    @property
    def n_different(self) -> int:
        """How many of the control sets differ: shuffled labels may pick the same again and again."""
        if not self.controls:
            return len(self.control_values)
        return len({tuple(np.sort(control.neurons).tolist()) for control in self.controls})

    def control_item_slopes(self, among: slice = slice(None)) -> Float[np.ndarray, "set item"]:
        """Each item's slope with each control set, per unit of what the neurons under study change at an alpha."""
        pairs = zip(self.control_values, self.control_doses, strict=True)
        found = [slopes(values[:, among], doses[among]) for values, doses in pairs]
        return np.array(found).reshape(-1, len(self.values))

    def control_slopes(self) -> Float[np.ndarray, "set"]:
        """Slope of each control set."""
        return self.control_item_slopes().mean(1)

    def item_slopes(
        self, among: slice = slice(None)
    ) -> tuple[Float[np.ndarray, "item"], Float[np.ndarray, "item set"]]:
        """Each item's slope over `among` of the CONTROL_ALPHAS, with the neurons under study and with each set."""
        own = slopes(self.values[:, among], CONTROL_ALPHAS[among])
        return own, self.control_item_slopes(among).T

    def slope_beyond_control(self, among: slice = slice(None)) -> Estimate:
        """Slope minus the mean slope of the control sets, paired item by item, over `among` of the CONTROL_ALPHAS.

        The interval speaks of other people and other sets of this kind, and of this curve alone; whether the neurons
        stand out among such sets, and among as many curves as were looked at, is for `verdicts` to say.
        """
        return beyond_random(mean, *self.item_slopes(among), self.entities)

    def p_of_people(self) -> float:
        """Two-sided bootstrap p of that difference, over people and sets; uncorrected. Of people who all agree there is
        no draw that disagrees, however few they are: so it is no smaller than that of a sign test over all of them."""
        by_sign = 2.0 ** (1 - len(set(self.entities)))
        return max(by_sign, beyond_random_p(mean, *self.item_slopes(), self.entities))

    def p_of_rank(self) -> float:
        """Two-sided p of the slope's rank among those of the control sets; uncorrected."""
        return two_sided_rank_p(self.slope_value, self.control_slopes())

    @property
    def slope_value(self) -> float:
        return float(slopes(self.values, CONTROL_ALPHAS).mean())

    def possible_p(self) -> float:
        """The smallest p that the rank could still reach, if no further control set lay as far out as the slope."""
        return possible_p(self.slope_value, self.control_slopes(), self.n_at_most)

    @property
    def is_settled(self) -> bool:
        """Have enough control sets been drawn that no further one can change the rank's p?"""
        return settled(self.slope_value, self.control_slopes())
