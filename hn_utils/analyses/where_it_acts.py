"""Where does scaling act: at the prompt or at the answer, in which layer, and does it take 0, a mean, or another name?

Scaled at every token, H-Neurons change what is written by two ways: what they write at the prompt is attended to later,
and what they write at an answer token goes into the next one. Each variant here leaves out one of them, or puts
something else in the neurons' place. Beside each stand the same of what shuffled labels pick, and of random neurons as
loud.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hn_utils.models.activations import mean_activations
from hn_utils.models.scaling import UNSCALED, Dose
from hn_utils.models.studied_model import LOADED, StudiedModel
from hn_utils.stats.bootstrap import Estimate, beyond_random, bootstrap, spread
from hn_utils.stats.drawn import figure_of
from hn_utils.stats.metrics import mean
from hn_utils.stats.tables import Tabled, counted
from hn_utils.steering.dose_response import scaled_neurons
from hn_utils.steering.graded import log_odds
from hn_utils.steering.other_name import patched_log_odds, with_another_name
from hn_utils.study import check_given

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from hn_utils.contributions.collected import Collected
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.models.neurons import Neurons
    from hn_utils.probing.find import Found
    from hn_utils.questions.items import Item
    from hn_utils.stats.neuron_sets import Control
    from hn_utils.study import Study

PICKED = "picked on shuffled labels"
LOUD = "random, as loud"
_MOVED = 1e-3  # nats: more than two ways to batch the same rows differ by


@dataclass(frozen=True)
class Variant:
    """One way to turn neurons, and what it changes.

    Attributes:
        name: the variant in words.
        own: how far it moves each item's log-odds of claim against truth, in nats.
        controls: by kind of control the same of each control set; a kind that cannot stand beside it is not there.
        disturbance: by kind how much its sets change, over what the neurons under study change, in the mean.
        entities: what each item is about.
    """

    name: str
    own: Float[np.ndarray, "item"]
    controls: dict[str, Float[np.ndarray, "item set"]]
    disturbance: dict[str, float]
    entities: np.ndarray

    @property
    def change(self) -> Estimate:
        """The mean change. Returns nats, with an interval over entities."""
        return bootstrap(mean, self.own, groups=self.entities)

    def beyond(self, kind: str) -> Estimate:
        """The mean change beyond that of control sets.

        Args:
            kind: a key of `controls`.

        Returns:
            Nats, with an interval over entities and sets.
        """
        return beyond_random(mean, self.own, self.controls[kind], self.entities)

    @property
    def n_moved(self) -> int:
        """How many items anything moved, the neurons or a control set. Returns a number of items.

        Where claim and truth are one token each and nothing stands before them, nothing that is done at answer tokens
        can move them.
        """
        moved = np.abs(np.column_stack([self.own, *self.controls.values()])) > _MOVED
        return int(moved.any(1).sum())


@dataclass(frozen=True, repr=False)
class WhereItActs(Tabled):
    """The graded effect of one set of neurons, variant by variant.

    Attributes:
        model: its short name.
        n_neurons: how many neurons are turned.
        alpha: what they are multiplied by where they are scaled.
        variants: what was done, and what came of it.
    """

    model: str
    n_neurons: int
    alpha: float
    variants: list[Variant]

    @property
    def headline(self) -> str:
        """What the first three variants do beyond their hardest control. Returns one line of text."""
        whole = self.variants[0]
        kind = next(iter(whole.controls))
        told = [f"{variant.name} {variant.beyond(kind)}" for variant in self.variants[:3]]
        return (
            f"{counted(self.n_neurons, 'neuron')} of {self.model}, log-odds of claim against truth on "
            f"{counted(len(whole.own), 'item')}, nats beyond neurons {kind}: {'; '.join(told)}"
        )

    @property
    def table(self) -> pd.DataFrame:
        """A row a variant. Returns changes of log-odds in nats; that of control sets with the range of 95 % of them."""
        rows = {}
        for variant in self.variants:
            row: dict[str, object] = {"change": variant.change}
            for kind in (PICKED, LOUD):
                sets = variant.controls.get(kind)
                row[kind] = "" if sets is None else spread(sets.mean(0), len(sets))
                row[f"beyond {kind}"] = "" if sets is None else variant.beyond(kind)
                row[f"disturbance, {kind}"] = variant.disturbance.get(kind, np.nan)
            row |= {"items": len(variant.own), "items that move": variant.n_moved}
            rows[variant.name] = row
        return pd.DataFrame.from_dict(rows, orient="index")

    def plot(self) -> go.Figure:
        """Returns the same as a figure."""
        return figure_of("where_it_acts", self)


def where_it_acts(
    model: HookedModel,
    neurons: Found | Neurons,
    items: Sequence[Item],
    *,
    answers: Collected | None = None,
    alpha: float = 3.0,
    n_sets: int = 10,
) -> WhereItActs:
    """Turn neurons in several ways, and see which of them moves the log-odds of a claim against the truth.

    The ways: scaled by `alpha` everywhere, at the prompt's tokens alone, at the answer's alone, and in one layer at a
    time; ablated to 0, and to their mean activation; and with the activations that they have, at the end of the prompt,
    where another name stands in it.

    Args:
        model: the model, from `hn.load` or `hn.wrap`.
        neurons: what `hn.find` returns; or a card, flat indices, or pairs (layer, neuron).
        items: attempts to make the model give in, such as `intervened.behaviours["misleading_context"].items`; those
            without a truth and a claim are left out.
        answers: with neurons that were named, the answers on which their mean contribution is measured. Mean
            activations are those over all tokens of training answers.
        alpha: what activations are multiplied by, other than 1.
        n_sets: control sets of either kind.

    Returns:
        A row a variant: change of log-odds (nats) against the unscaled model, with intervals over entities, beside what
        the same procedure picks on shuffled labels, the found neurons left out, and beside random sets as loud, both
        scaled so that they disturb as much. Neurons that were named have the random sets alone, and so has a single
        layer, in which shuffled labels may pick none.

    Raises:
        ValueError: the neurons are not the model's, no item has a truth and a claim, `alpha` is 1, negative or not
            finite, or `n_sets` is below 2.

    Source:
        Scaling: Gao et al. 2025, sections 3 and 6.2, at all tokens. Mean ablation beside the effect: Stolfo et al.
        2024. Patching: Meng et al. 2022, here of neurons and with another name in place of noise.

    Variants do not add up: what is written at the prompt changes how neurons fire at the answer. No variant is
    corrected for the others. A variant that moves nothing may still move what no claim or truth names.
    """
    check_given("model", model, StudiedModel, LOADED)
    scaled = scaled_neurons(neurons, answers, model)
    pressed = [item for item in items if item.truth and item.claim]
    _require_possible(pressed, len(items), alpha, n_sets)
    study = replace(scaled.study, n_control_sets=n_sets)
    picked, loud = (source.draw(0, n_sets) for source in scaled.controls(study))
    controls = {kind: sets for kind, sets in ((PICKED, picked), (LOUD, loud)) if sets}
    plain = log_odds(model, pressed, [UNSCALED], study)[:, 0]
    asked = _Asked(model, pressed, study, scaled.neurons, controls, plain)
    collected = answers if scaled.found is None else scaled.found.collected
    variants = asked.at_doses(_ways(scaled.neurons, model, _means(model, collected), alpha))
    return WhereItActs(model.short_name, len(scaled.neurons), alpha, variants + asked.with_another_name())


def _means(model: HookedModel, answers: Collected | None) -> Float[np.ndarray, "layer_neuron"]:
    """Mean activations over the training answers and their prompts."""
    assert answers is not None  # who names neurons gives them, or is refused
    return mean_activations(model, [answers.kept[row].ids for row in answers.training_rows()])


@dataclass(frozen=True)
class _Way:
    """A variant that is a dose: its name, alpha of the neurons under study, the dose of a set of neurons at an alpha of
    its own, and the kinds of control that can stand beside it."""

    name: str
    alpha: float
    dose: Callable[[Int[np.ndarray, "k"], float], Dose]
    kinds: tuple[str, ...] = (PICKED, LOUD)


def _ways(
    neurons: Int[np.ndarray, "k"], model: HookedModel, means: Float[np.ndarray, "layer_neuron"], alpha: float
) -> list[_Way]:
    """Every variant that is a dose, in the order of the table."""
    times = f"× {alpha:g}"
    ways = [
        _Way(f"{times} everywhere", alpha, Dose),
        _Way(f"{times} at the prompt", alpha, lambda some, by: Dose(some, by, "prompt")),
        _Way(f"{times} at the answer", alpha, lambda some, by: Dose(some, by, "answer")),
    ]
    for layer in np.unique(neurons // model.d_mlp).tolist():
        ways.append(_Way(f"{times} in layer {layer} alone", alpha, _in_layer(layer, model.d_mlp), (LOUD,)))
    return [
        *ways,
        _Way("ablated to 0", 0.0, Dose),
        _Way("ablated to their mean", 0.0, lambda some, by: Dose(some, by, around=means[some])),
    ]


def _in_layer(layer: int, d_mlp: int) -> Callable[[Int[np.ndarray, "k"], float], Dose]:
    """Scale those of a set's neurons that lie in one layer. Sets as loud are so layer by layer."""
    return lambda some, by: Dose(some[some // d_mlp == layer], by)


@dataclass(frozen=True)
class _Asked:
    """What every variant is tried on: items, the neurons, control sets by kind, and the unscaled log-odds."""

    model: HookedModel
    items: list[Item]
    study: Study
    neurons: Int[np.ndarray, "k"]
    controls: dict[str, list[Control]]
    plain: Float[np.ndarray, "item"]

    @property
    def entities(self) -> np.ndarray:
        """What each item is about. Returns names, as [item]."""
        return np.array([item.entity for item in self.items])

    def at_doses(self, ways: Sequence[_Way]) -> list[Variant]:
        """The variants that are doses, all in the same batches."""
        doses: list[Dose] = []
        ends: list[int] = []
        for way in ways:
            doses.append(way.dose(self.neurons, way.alpha))
            for kind in self._kinds(way):
                doses += [way.dose(one.neurons, one.alpha(way.alpha)) for one in self.controls[kind]]
            ends.append(len(doses))
        change = log_odds(self.model, self.items, doses, self.study) - self.plain[:, None]  # [item, dose]
        each = np.split(change, ends[:-1], axis=1)  # [way][item, dose]
        return [self._variant(way, values) for way, values in zip(ways, each, strict=True)]

    def _kinds(self, way: _Way) -> list[str]:
        """The kinds of control that can stand beside a variant, and were drawn."""
        return [kind for kind in self.controls if kind in way.kinds]

    def _variant(self, way: _Way, change: Float[np.ndarray, "item dose"]) -> Variant:
        """A variant from what its doses change, the neurons' first."""
        controls = {kind: self.controls[kind] for kind in self._kinds(way)}
        disturbance = {k: float(np.mean([one.disturbance(way.alpha) for one in sets])) for k, sets in controls.items()}
        return Variant(way.name, change[:, 0], _by_kind(change[:, 1:], controls), disturbance, self.entities)

    def with_another_name(self) -> list[Variant]:
        """The variant in which activations come from the same prompt with another name; none if no item can have it."""
        others = with_another_name(self.items, self.study.seed)
        able = [i for i, other in enumerate(others) if other is not None]
        there = [other for other in others if other is not None]
        if not able:
            return []
        sets = [self.neurons]
        for controls in self.controls.values():
            sets += [one.neurons for one in controls]
        odds = patched_log_odds(self.model, [self.items[i] for i in able], there, sets, self.study)
        change = odds - self.plain[able][:, None]  # [item, set]
        loudness = {kind: float(np.mean([one.loudness for one in some])) for kind, some in self.controls.items()}
        values = _by_kind(change[:, 1:], self.controls)
        return [Variant("as with another name", change[:, 0], values, loudness, self.entities[able])]


def _by_kind(
    values: Float[np.ndarray, "item set"], controls: dict[str, list[Control]]
) -> dict[str, Float[np.ndarray, "item set"]]:
    """The columns of all control sets, parted by their kind."""
    ends = np.cumsum([len(sets) for sets in controls.values()])
    return dict(zip(controls, np.split(values, ends[:-1], axis=1), strict=True))


def _require_possible(pressed: Sequence[Item], n_given: int, alpha: float, n_sets: int) -> None:
    if not pressed:
        raise ValueError(
            f"none of {n_given} items has both a truth and a claim: give such, for log-odds compare the two"
        )
    if not (np.isfinite(alpha) and alpha >= 0 and alpha != 1):
        raise ValueError(f"alpha={alpha} must be finite, not negative and not 1, which changes nothing")
    if n_sets < 2:
        raise ValueError(f"n_sets={n_sets} must be at least 2: one control set has no spread")
