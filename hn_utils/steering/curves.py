"""Dose-response: how often the model gives in against alpha, for one set of neurons and for control sets beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int

from hn_utils.models.hooked_model import Subject
from hn_utils.models.scaling import Dose
from hn_utils.questions.items import Item
from hn_utils.stats.bootstrap import Estimate, bootstrap
from hn_utils.stats.metrics import mean
from hn_utils.stats.neuron_sets import Control
from hn_utils.stats.rank_test import LEVEL, holm
from hn_utils.steering.graded import log_odds
from hn_utils.steering.outcomes import Outcome, Reply, outcomes
from hn_utils.steering.replies import replies_at
from hn_utils.steering.slopes import CONTROL_ALPHAS, Sloped
from hn_utils.study import Study

AT_ONCE = 10  # control sets of a kind between two looks at whether more can change a verdict


@dataclass(frozen=True)
class ControlSource:
    """Where control sets come from: `draw(first, last)` gives those of these numbers, of `n` at most. They are drawn as
    far as they are needed."""

    draw: Callable[[int, int], list[Control]]
    n: int


NO_CONTROLS = ControlSource(lambda *_: [], 0)


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


def by_behaviour(items: Sequence[Item]) -> dict[str, list[Item]]:
    groups: Mapping[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[item.behaviour].append(item)
    return dict(groups)


def curves_of(
    subject: Subject,
    items: Sequence[Item],
    neurons: Int[np.ndarray, "k"],
    study: Study,
    selected: ControlSource = NO_CONTROLS,
    loud: ControlSource = NO_CONTROLS,
) -> dict[str, DoseResponse]:
    """Every behaviour among the items against alpha, for `neurons` and, at CONTROL_ALPHAS, for control sets: what the
    same procedure picks on shuffled labels, and random sets that are as loud together.

    Of both as many are drawn as a verdict on this family of curves needs: the first AT_ONCE where nothing can come of
    more, up to as many as there are where an effect is possible.
    """
    bare = {name: _bare(subject, name, some, neurons, study) for name, some in by_behaviour(items).items()}

    def beside(curve: DoseResponse, controls: Sequence[Control]) -> DoseResponse:
        doses = [Dose(control.neurons, control.alpha(a)) for control in controls for a in CONTROL_ALPHAS]
        written = replies_at(subject, curve.items, doses, study)
        shape = (len(curve.items), len(controls), len(CONTROL_ALPHAS))
        words = outcomes(curve.items, written, study).reshape(shape).swapaxes(0, 1)  # [set, item, alpha]
        broken = np.array([[reply.broken for reply in row] for row in written]).reshape(shape).mean(0)  # [set, alpha]
        return replace(
            curve,
            control_outcomes=np.concatenate([curve.control_outcomes, words]),
            controls=(*curve.controls, *controls),
            control_broken=np.concatenate([curve.control_broken, broken]),
        )

    return _beside_controls(bare, beside, selected, loud)


def _bare(
    subject: Subject, behaviour: str, items: list[Item], neurons: Int[np.ndarray, "k"], study: Study
) -> DoseResponse:
    """One behaviour against alpha, no control beside it yet."""
    replies = replies_at(subject, items, [Dose(neurons, alpha) for alpha in study.alphas], study)
    own = outcomes(items, replies, study)
    none = np.empty((0, len(items), len(CONTROL_ALPHAS)), own.dtype)
    return DoseResponse(behaviour, items, np.array(study.alphas), replies, own, none)


def graded_curves_of(
    subject: Subject,
    items: Sequence[Item],
    neurons: Int[np.ndarray, "k"],
    study: Study,
    selected: ControlSource = NO_CONTROLS,
    loud: ControlSource = NO_CONTROLS,
) -> dict[str, GradedResponse]:
    """The graded outcome of every behaviour whose items have a truth and a claim, beside control sets as in
    `curves_of`."""
    bare = {}
    for name, some in by_behaviour([item for item in items if item.truth and item.claim]).items():
        own = log_odds(subject, some, [Dose(neurons, alpha) for alpha in study.alphas], study)
        none = np.empty((0, len(some), len(CONTROL_ALPHAS)))
        bare[name] = GradedResponse(name, some, np.array(study.alphas), own, none)

    def beside(curve: GradedResponse, controls: Sequence[Control]) -> GradedResponse:
        doses = [Dose(control.neurons, control.alpha(a)) for control in controls for a in CONTROL_ALPHAS]
        odds = log_odds(subject, curve.items, doses, study)
        by_set = odds.reshape(len(curve.items), len(controls), len(CONTROL_ALPHAS)).swapaxes(0, 1)  # [set, item, alpha]
        values = np.concatenate([curve.control_values, by_set])
        return replace(curve, control_values=values, controls=(*curve.controls, *controls))

    return _beside_controls(bare, beside, selected, loud)


AnyCurve = TypeVar("AnyCurve", DoseResponse, GradedResponse)


def _beside_controls(
    bare: dict[str, AnyCurve],
    beside: Callable[[AnyCurve, Sequence[Control]], AnyCurve],
    selected: ControlSource,
    loud: ControlSource,
) -> dict[str, AnyCurve]:
    """A family of curves with as many control sets as they need: AT_ONCE more of either kind, as long as there are any,
    for those that could still be told apart after Holm's correction, whatever comes."""
    curves = {name: replace(curve, n_at_most=selected.n) for name, curve in bare.items()}
    others = {name: replace(curve, n_at_most=loud.n) for name, curve in bare.items()}
    going, n_drawn = list(curves), 0
    while going and n_drawn < max(selected.n, loud.n):
        last = n_drawn + AT_ONCE
        for name in going:
            if some := selected.draw(n_drawn, min(last, selected.n)):
                curves[name] = beside(curves[name], some)
            if some := loud.draw(n_drawn, min(last, loud.n)):
                others[name] = beside(others[name], some)
        n_drawn = last
        kinds = [of for of, source in ((curves, selected), (others, loud)) if source.n]
        possible = holm(np.array([max(of[name].possible_p() for of in kinds) for name in curves]))
        going = [name for name, p in zip(curves, possible, strict=True) if p <= LEVEL and name in going]
    if not loud.n:
        return curves
    return {name: replace(curve, loud=others[name]) for name, curve in curves.items()}
