"""Dose-response: how often the model gives in against alpha, for one set of neurons and for control sets beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from hn_utils.stats.bootstrap import Estimate, bootstrap
from hn_utils.stats.metrics import mean
from hn_utils.steering.slopes import CONTROL_ALPHAS, Sloped

if TYPE_CHECKING:
    from hn_utils.questions.items import Item
    from hn_utils.stats.neuron_sets import Control
    from hn_utils.steering.outcomes import Outcome
    from hn_utils.steering.replies import Reply


@dataclass(frozen=True)
class DoseResponse(Sloped):
    """One behaviour against alpha for one set of neurons, with the same for control sets beside it.

    `outcomes` [item, alpha] and `control_outcomes` [set, item, control alpha] hold words. Slopes are in points (percent
    of items) per unit of alpha, over the alphas that the controls have too. A broken reply's outcome is `neither`:
    where that grows, the curve speaks of breakage, not of compliance. `controls` are the sets of `control_outcomes`:
    what the same procedure picks on shuffled labels; `control_broken` [set, control alpha] is the share of their
    replies that are broken. `loud` is the same curve beside random sets that are as loud together.
    """

    behaviour: str
    items: list[Item]
    alphas: np.ndarray
    replies: list[list[Reply]]
    outcomes: np.ndarray
    control_outcomes: np.ndarray
    controls: Sequence[Control] = ()
    control_broken: Float[np.ndarray, "set alpha"] = field(default_factory=lambda: np.empty((0, len(CONTROL_ALPHAS))))
    loud: DoseResponse | None = None
    n_at_most: int = 0

    unit = "points"

    @property
    def values(self) -> Float[np.ndarray, "item alpha"]:  # type: ignore[override]
        """100 where the item complied, [item, control alpha]."""
        return 100.0 * np.stack([self.at(alpha) == "complied" for alpha in CONTROL_ALPHAS], 1)

    @property
    def control_values(self) -> Float[np.ndarray, "set item alpha"]:  # type: ignore[override]
        return 100.0 * (self.control_outcomes == "complied")

    def at(self, alpha: float) -> np.ndarray:
        """Outcomes of all items at one alpha. Raises ValueError for an alpha that was not measured."""
        return self.outcomes[:, place_of(alpha, self.alphas)]

    def cut(self, alpha: float) -> float:
        """Share of replies at one alpha that ran into their length limit."""
        place = place_of(alpha, self.alphas)
        return float(np.mean([row[place].cut for row in self.replies]))

    def broken(self, alpha: float) -> float:
        """Share of replies at one alpha that are broken."""
        place = place_of(alpha, self.alphas)
        return float(np.mean([row[place].broken for row in self.replies]))

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

    @property
    def loudness(self) -> float:
        """Mean over the control sets of their summed mean contribution over that of the neurons under study."""
        return float(np.mean([control.loudness for control in self.controls])) if self.controls else float("nan")

    def disturbance(self, alpha: float) -> float:
        """Mean over the control sets of how much they change over what the neurons under study change at this alpha."""
        return float(np.mean([c.disturbance(alpha) for c in self.controls])) if self.controls else float("nan")


@dataclass(frozen=True)
class GradedResponse(Sloped):
    """How much likelier the claim is than the truth against alpha: log-odds in nats, without a reply or a judge.

    `log_odds` [item, alpha] are of the neurons under study, `control_values` [set, item, control alpha] of the control
    sets; slopes are in nats per unit of alpha. `loud` is as in DoseResponse.
    """

    behaviour: str
    items: list[Item]
    alphas: np.ndarray
    log_odds: Float[np.ndarray, "item alpha"]
    control_values: Float[np.ndarray, "set item alpha"]
    controls: Sequence[Control] = ()
    loud: GradedResponse | None = None
    n_at_most: int = 0

    unit = "nats"

    @property
    def values(self) -> Float[np.ndarray, "item alpha"]:  # type: ignore[override]
        """Log-odds at the control alphas."""
        places = [place_of(alpha, self.alphas) for alpha in CONTROL_ALPHAS]
        return self.log_odds[:, places]


def place_of(alpha: float, alphas: Sequence[float] | np.ndarray) -> int:
    """Where an alpha stands among those that were measured. Raises ValueError if it was not."""
    places = np.flatnonzero(np.isclose(alphas, alpha, atol=1e-9))
    if not len(places):
        raise ValueError(f"alpha={alpha:g} was not measured: choose one of {', '.join(f'{a:g}' for a in alphas)}")
    return int(places[0])
