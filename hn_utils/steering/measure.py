"""Dose-response curves measured: the model is asked at each dose, with as many control sets as a verdict needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from jaxtyping import Float, Int

from hn_utils.answers.asking import chat_about
from hn_utils.answers.thoughts import without_thought
from hn_utils.models.scaling import Dose
from hn_utils.questions.items import ABOUT_FACTS, Item
from hn_utils.stats.neuron_sets import Control, control_of, loud_sets
from hn_utils.stats.rank_test import LEVEL, holm
from hn_utils.steering.curves import DoseResponse, GradedResponse
from hn_utils.steering.graded import log_odds
from hn_utils.steering.outcomes import outcomes
from hn_utils.steering.replies import replies_at, replies_of_own_length
from hn_utils.steering.reply import states_truth
from hn_utils.steering.slopes import CONTROL_ALPHAS
from hn_utils.storage.progress import tell_once

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.probing.find import Found
    from hn_utils.study import Study


AT_ONCE = 10  # control sets of a kind between two looks at whether more can change a verdict


@dataclass(frozen=True)
class ControlSource:
    """Where control sets come from: `draw(first, last)` gives those of these numbers, of `n` at most. They are drawn as
    far as they are needed."""

    draw: Callable[[int, int], list[Control]]
    n: int


NO_CONTROLS = ControlSource(lambda *_: [], 0)


def control_doses(controls: Sequence[Control]) -> list[Dose]:
    """Scale control sets so that they disturb as much as the neurons under study do at each of CONTROL_ALPHAS.

    Args:
        controls: the sets.

    Returns:
        A dose for each of CONTROL_ALPHAS, set by set.
    """
    return [Dose(control.neurons, control.alpha(alpha)) for control in controls for alpha in CONTROL_ALPHAS]


def _by_behaviour(items: Sequence[Item]) -> dict[str, list[Item]]:
    groups: Mapping[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[item.behaviour].append(item)
    return dict(groups)


def curves_of(
    subject: HookedModel,
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
    bare = {name: _bare(subject, name, some, neurons, study) for name, some in _by_behaviour(items).items()}

    def beside(curve: DoseResponse, controls: Sequence[Control]) -> DoseResponse:
        written = replies_at(subject, curve.items, control_doses(controls), study)
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
    subject: HookedModel, behaviour: str, items: list[Item], neurons: Int[np.ndarray, "k"], study: Study
) -> DoseResponse:
    """One behaviour against alpha, no control beside it yet."""
    replies = replies_at(subject, items, [Dose(neurons, alpha) for alpha in study.alphas], study)
    own = outcomes(items, replies, study)
    none = np.empty((0, len(items), len(CONTROL_ALPHAS)), own.dtype)
    return DoseResponse(behaviour, items, np.array(study.alphas), replies, own, none)


def graded_curves_of(
    subject: HookedModel,
    items: Sequence[Item],
    neurons: Int[np.ndarray, "k"],
    study: Study,
    selected: ControlSource = NO_CONTROLS,
    loud: ControlSource = NO_CONTROLS,
) -> dict[str, GradedResponse]:
    """The graded outcome of every behaviour whose items have a truth and a claim, beside control sets as in
    `curves_of`."""
    bare = {}
    for name, some in _by_behaviour([item for item in items if item.truth and item.claim]).items():
        own = log_odds(subject, some, [Dose(neurons, alpha) for alpha in study.alphas], study)
        none = np.empty((0, len(some), len(CONTROL_ALPHAS)))
        bare[name] = GradedResponse(name, some, np.array(study.alphas), own, none)

    def beside(curve: GradedResponse, controls: Sequence[Control]) -> GradedResponse:
        odds = log_odds(subject, curve.items, control_doses(controls), study)
        by_set = odds.reshape(len(curve.items), len(controls), len(CONTROL_ALPHAS)).swapaxes(0, 1)  # [set, item, alpha]
        values = np.concatenate([curve.control_values, by_set])
        return replace(curve, control_values=values, controls=(*curve.controls, *controls))

    return _beside_controls(bare, beside, selected, loud)


_AnyCurve = TypeVar("_AnyCurve", DoseResponse, GradedResponse)


def _beside_controls(
    bare: dict[str, _AnyCurve],
    beside: Callable[[_AnyCurve, Sequence[Control]], _AnyCurve],
    selected: ControlSource,
    loud: ControlSource,
) -> dict[str, _AnyCurve]:
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


def selected_controls(found: Found, study: Study) -> ControlSource:
    """What the same procedure picks on shuffled labels, the H-Neurons left out, to be scaled as they are."""
    selection = found.selection("others")

    def draw(first: int, last: int) -> list[Control]:
        return [control_of(some, found.neurons, found.magnitude) for some in selection.sets(first, last)]

    return ControlSource(draw, study.n_control_sets)


def loud_controls(found: Found, study: Study, neurons: Int[np.ndarray, "k"]) -> ControlSource:
    """Random sets that are together as loud as some neurons (flat), layer by layer, to be scaled as these are."""
    return sets_as_loud(neurons, found.card.shape, found.magnitude, study)


def sets_as_loud(
    neurons: Int[np.ndarray, "k"], shape: tuple[int, int], magnitude: Float[np.ndarray, "layer_neuron"], study: Study
) -> ControlSource:
    """Draw random sets that are together as loud as some neurons, layer by layer, to be scaled as these are.

    Args:
        neurons: flat indices.
        shape: layers of the model, and neurons in each.
        magnitude: every neuron's mean contribution.
        study: how many sets, and the seed.

    Returns:
        Where the sets come from.
    """
    sets = loud_sets(neurons, shape, magnitude, study.n_control_sets, study.seed + 1)
    controls = [control_of(some, neurons, magnitude) for some in sets]
    return ControlSource(lambda first, last: controls[first:last], len(controls))


def few_known(study: Study, subject: HookedModel, items: Sequence[Item]) -> list[Item]:
    """`study.n_items` of each behaviour, at random, whose fact the model knows."""
    asked = few_of_each(items, study.seed, 5 * study.n_items)  # not all are known
    return few_of_each(known_items(subject, asked, study), study.seed, study.n_items)


def few_of_each(items: Sequence[Item], seed: int, n: int) -> list[Item]:
    """At most `n` items of each behaviour, at random."""
    rng, chosen = np.random.default_rng(seed), []
    for behaviour in dict.fromkeys(i.behaviour for i in items):
        group = [i for i in items if i.behaviour == behaviour]
        chosen += [group[i] for i in sorted(rng.permutation(len(group))[:n])]
    return chosen


def known_items(subject: HookedModel, items: Sequence[Item], study: Study) -> list[Item]:
    """The items whose fact the unscaled model states when asked plainly: what it can be talked out of.

    In a dialogue its own first reply must state the fact as well: one can only cave from the truth. Items that name no
    plain question are kept, and how many of these press a fact is told once. Raises ValueError if it knows none.
    """
    if unverified := [item for item in items if item.rule in ABOUT_FACTS and not item.verified]:
        many = len(unverified)
        named = "1 item names" if many == 1 else f"{many} items name"
        tell_once(f"{named} no plain question: whether the model knows their fact was not checked")
    plain = {text: item for item in items for text in item.openings}
    prompts = subject.encoder.encode_chats([chat_about(study, text) for text in plain])
    replies = replies_of_own_length(subject, list(plain.values()), prompts, study)
    pairs = zip(plain.items(), replies, strict=True)
    known = {text for (text, item), reply in pairs if states_truth(item, without_thought(reply.text))}
    kept = [item for item in items if known.issuperset(item.openings)]
    if not kept:
        raise ValueError(f"{subject.name} knows none of {len(items)} facts: there is nothing to talk it out of")
    return kept
