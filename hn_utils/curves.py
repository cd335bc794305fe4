"""Dose-response: how often the model gives in against alpha, for one set of neurons and for control sets beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from hn_utils.controls import Control, Estimate, bootstrap, mean
from hn_utils.graded import log_odds
from hn_utils.intervene import Dose
from hn_utils.items import Item, Outcome, Reply, outcomes
from hn_utils.replies import replies_at
from hn_utils.slopes import CONTROL_ALPHAS, Sloped
from hn_utils.study import Study
from hn_utils.subject import Subject

AT_ONCE = 20  # control sets between two looks at whether the rank is settled


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

    unit = "points"

    @property
    def entities(self) -> list[str]:  # type: ignore[override]
        return [item.entity for item in self.items]

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

    @property
    def n_different(self) -> int:
        """How many of the control sets differ: shuffled labels may pick the same again and again."""
        return len({tuple(np.sort(control.neurons).tolist()) for control in self.controls})

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
    loud: GradedResponse | None = None

    unit = "nats"

    @property
    def entities(self) -> list[str]:  # type: ignore[override]
        return [item.entity for item in self.items]

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

    Of both as many are drawn as the rank of the neurons' slope needs: some twenty where it lies among theirs.
    """
    return {
        name: _curve_of(subject, name, group, neurons, study, selected, loud)
        for name, group in by_behaviour(items).items()
    }


def _curve_of(
    subject: Subject,
    behaviour: str,
    items: list[Item],
    neurons: Int[np.ndarray, "k"],
    study: Study,
    selected: ControlSource,
    loud: ControlSource,
) -> DoseResponse:
    alphas = np.array(study.alphas)
    replies = replies_at(subject, items, [Dose(neurons, alpha) for alpha in study.alphas], study)
    own = outcomes(items, replies, study)
    none = np.empty((0, len(items), len(CONTROL_ALPHAS)), own.dtype)
    bare = DoseResponse(behaviour, items, alphas, replies, own, none)

    def drawn_on(curve: DoseResponse, controls: Sequence[Control]) -> DoseResponse:
        doses = [Dose(control.neurons, control.alpha(a)) for control in controls for a in CONTROL_ALPHAS]
        written = replies_at(subject, items, doses, study)
        shape = (len(items), len(controls), len(CONTROL_ALPHAS))
        words = outcomes(items, written, study).reshape(shape).swapaxes(0, 1)
        broken = np.array([[reply.broken for reply in row] for row in written]).reshape(shape).mean(0)
        return replace(
            curve,
            control_outcomes=np.concatenate([curve.control_outcomes, words]),
            controls=(*curve.controls, *controls),
            control_broken=np.concatenate([curve.control_broken, broken]),
        )

    curve, beside = _drawn_until_settled(bare, bare, drawn_on, selected, loud)
    return replace(curve, loud=beside if loud.n else None)


def graded_curves_of(
    subject: Subject,
    items: Sequence[Item],
    neurons: Int[np.ndarray, "k"],
    study: Study,
    selected: ControlSource = NO_CONTROLS,
    loud: ControlSource = NO_CONTROLS,
) -> dict[str, GradedResponse]:
    """The graded outcome of every behaviour whose items have a truth and a claim, beside the same control sets."""
    able = [item for item in items if item.truth and item.claim]
    return {
        name: _graded_curve_of(subject, name, group, neurons, study, selected, loud)
        for name, group in by_behaviour(able).items()
    }


def _graded_curve_of(
    subject: Subject,
    behaviour: str,
    items: list[Item],
    neurons: Int[np.ndarray, "k"],
    study: Study,
    selected: ControlSource,
    loud: ControlSource,
) -> GradedResponse:
    own = log_odds(subject, items, [Dose(neurons, alpha) for alpha in study.alphas], study)
    none = np.empty((0, len(items), len(CONTROL_ALPHAS)))
    bare = GradedResponse(behaviour, items, np.array(study.alphas), own, none)

    def drawn_on(curve: GradedResponse, controls: Sequence[Control]) -> GradedResponse:
        doses = [Dose(control.neurons, control.alpha(a)) for control in controls for a in CONTROL_ALPHAS]
        odds = log_odds(subject, items, doses, study).reshape(len(items), len(controls), len(CONTROL_ALPHAS))
        return replace(curve, control_values=np.concatenate([curve.control_values, odds.swapaxes(0, 1)]))

    curve, beside = _drawn_until_settled(bare, bare, drawn_on, selected, loud)
    return replace(curve, loud=beside if loud.n else None)


def _drawn_until_settled(curve, beside, drawn_on, selected: ControlSource, loud: ControlSource):
    """Both curves with as many control sets as they need: a few more of each kind, as long as there are any, until the
    rank among either kind is settled. Then the neurons under study are not told apart, whatever the others say."""
    n_drawn = 0
    while n_drawn < max(selected.n, loud.n):
        last = n_drawn + AT_ONCE
        if some := selected.draw(n_drawn, min(last, selected.n)):
            curve = drawn_on(curve, some)
        if some := loud.draw(n_drawn, min(last, loud.n)):
            beside = drawn_on(beside, some)
        n_drawn = last
        if curve.is_settled or beside.is_settled:
            break
    return curve, beside
