"""Is a handful of neurons a better lever than a direction? Both disturb as much, on the same items, by one rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from hn_utils.models.pushing import ablated, pushed
from hn_utils.probing.directions import best_layer, mass_mean, mass_mean_probe
from hn_utils.probing.streams import streams_at
from hn_utils.questions.items import behaviour_called
from hn_utils.stats.bootstrap import Estimate, bootstrap, spread
from hn_utils.stats.metrics import Weights, mean
from hn_utils.stats.rank_test import shuffled
from hn_utils.stats.tables import Tabled
from hn_utils.steering.curves import GradedResponse
from hn_utils.steering.graded import cells_of, read_odds
from hn_utils.steering.slopes import CONTROL_ALPHAS, slopes
from hn_utils.steering.verdicts import verdicts
from hn_utils.storage.cache import cached
from hn_utils.storage.files import digest
from hn_utils.storage.stages import register_stage

if TYPE_CHECKING:
    from hn_utils.answers.examples import Example
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.probing.find import Found
    from hn_utils.questions.items import Item
    from hn_utils.steering.dose_response import Intervened
    from hn_utils.study import Study

VERSION = register_stage("moved-odds", 1)
_OTHER_SEED = 7_000  # apart from the seeds of shuffles elsewhere


@dataclass(frozen=True)
class Lever:
    """The direction from true to hallucinated answers behind one layer, of length 1, and how far it is pushed.

    Pushed by `length` it changes as much of that layer as the H-Neurons change, summed, at alpha 0 or 2; at another
    alpha it is pushed by `length` times alpha - 1. `shuffled` are directions learnt in the same way from shuffled
    labels, `random` ones of no meaning, [set, d_model], of length 1 as well.
    """

    layer: int
    unit: Float[np.ndarray, "d_model"]
    length: float
    shuffled: Float[np.ndarray, "set d_model"]
    random: Float[np.ndarray, "set d_model"]


@dataclass(frozen=True, repr=False)
class ByDirection(Tabled):
    """A direction as a lever beside the H-Neurons, behaviour by behaviour.

    Attributes:
        lever: the direction.
        neurons: the graded outcome with the H-Neurons scaled.
        curves: the same with the direction pushed as far, beside directions learnt from shuffled labels, and beside
            random ones (`loud`).
        ablation: by behaviour, what taking the direction out of all layers changes, in nats, and the same for random
            directions (their mean, and the range of 95 %). How much that disturbs is not chosen.
    """

    lever: Lever
    neurons: dict[str, GradedResponse]
    curves: dict[str, GradedResponse]
    ablation: dict[str, tuple[Estimate, Estimate]]

    @property
    def headline(self) -> str:
        """How much further the H-Neurons move the odds than the direction does. Returns one line of text."""
        told = [f"{behaviour_called(name).title.lower()} {self.lead(name)}" for name in self.curves]
        return (
            f"How much further H-Neurons move the log-odds of the claim, either way, than a direction behind layer "
            f"{self.lever.layer} that disturbs as much, in nats per alpha: {'; '.join(told)}"
        )

    def lead(self, behaviour: str) -> Estimate:
        """How much further the H-Neurons move the odds, whichever way: the size of their slope minus that of the
        direction's.

        Args:
            behaviour: a key of `curves`.

        Returns:
            Nats per unit of alpha, with a 95 % interval over entities; below 0 the direction is the better lever.
            Chance alone gives either slope a size above 0.
        """
        curve = self.curves[behaviour]
        own = slopes(self.neurons[behaviour].values, CONTROL_ALPHAS)
        other = slopes(curve.values, CONTROL_ALPHAS)
        return bootstrap(_difference_in_size, own, other, groups=curve.entities)

    @property
    def table(self) -> pd.DataFrame:
        """A row a behaviour.

        Returns:
            Slopes in nats per unit of alpha, of the direction's controls as means; verdicts by the rule of
            `steering.verdicts`, and what ablation changes, in nats.
        """
        of_neurons = verdicts(self.neurons)
        of_direction = verdicts(self.curves)
        rows = []
        for name, curve in self.curves.items():
            taken_out, at_random = self.ablation[name]
            rows.append(
                {
                    "behaviour": behaviour_called(name).title,
                    "items": len(curve.items),
                    "slope, H-Neurons": self.neurons[name].slope(),
                    "slope, direction": curve.slope(),
                    "H-Neurons move further by": self.lead(name),
                    "direction beyond shuffled labels": curve.slope_beyond_control(),
                    "direction beyond random": curve.loud.slope_beyond_control(),  # type: ignore[union-attr]
                    "verdict, H-Neurons": of_neurons[name].word,
                    "verdict, direction": of_direction[name].word,
                    "direction taken out": taken_out,
                    "random directions taken out": at_random,
                }
            )
        return pd.DataFrame(rows)


def _difference_in_size(own: np.ndarray, other: np.ndarray, weights: Weights | None = None) -> Any:
    """The size of one mean minus that of another; of weighted rows, if there are weights."""
    return np.abs(mean(own, weights)) - np.abs(mean(other, weights))


def by_direction(found: Found, intervened: Intervened) -> ByDirection:
    """Push the stream along the direction from true to hallucinated answers, as far as the H-Neurons disturb.

    The direction is the difference of means at the answer's last token, of training answers, behind the layer where it
    detects best on validation answers; the last layer is left out. It is added at every position, as neurons are
    scaled at every position. At alpha it is as long as makes its share of the layer's MLP output, averaged over answer
    tokens, equal to |alpha - 1| times the summed mean contribution of the H-Neurons: the measure by which their control
    sets disturb as much.

    Args:
        found: the H-Neurons.
        intervened: what `hn.dose_response` returned for them: its items and their log-odds are used again.

    Returns:
        Slopes, verdicts and controls of both levers.

    Raises:
        ValueError: `intervened` holds no graded curve, or is of other neurons.

    Source:
        Rimsky et al. 2024 (CAA); Arditi et al. 2024 (ablation). Their directions are of prompts with a behaviour and
        without; ours is of answers, as the H-Neurons are.

    Equal disturbance is a sum of lengths: neurons' writes cancel in part, and a direction's do not. Where a norm stands
    behind the MLP (Gemma), it changes what neurons write, and not what is added to the stream.
    """
    if not intervened.graded or intervened.card != found.card:
        raise ValueError(
            "intervened must hold graded curves of these H-Neurons: give what hn.dose_response returned for them, with "
            "items that have a truth and a claim"
        )
    lever = lever_of(found)
    study = found.study
    curves = {name: _pushed_curve(found.subject, curve, lever, study) for name, curve in intervened.graded.items()}
    taken_out = {name: _ablation(found.subject, curve, lever, study) for name, curve in intervened.graded.items()}
    return ByDirection(lever, dict(intervened.graded), curves, taken_out)


def lever_of(found: Found) -> Lever:
    """The direction, how far it has to be pushed, and its controls.

    Args:
        found: the H-Neurons, with their answers.

    Returns:
        The direction at the layer that is best on validation.

    Raises:
        ValueError: the model has one layer alone.
    """
    collected = found.collected
    study = collected.study
    subject = collected.subject
    if subject.n_layers < 2:
        raise ValueError(f"{subject.name} has one layer: a direction is read and pushed before the last one")
    train = collected.training_rows()
    validation = collected.rows("validation")
    rows = np.concatenate([train, validation])
    examples = [collected.kept[i] for i in rows]
    labels = collected.labels[rows]
    ends = [example.answer[-1] for example in examples]
    streams = streams_at(subject, [e.ids for e in examples], ends, range(subject.n_layers - 1), study)
    learnt = np.arange(len(train))
    chosen_on = np.arange(len(train), len(rows))
    layer, _ = best_layer(streams, labels, chosen_on, lambda stream: mass_mean_probe(stream, labels, learnt))
    states = streams[learnt, layer]  # [train, d_model]
    directions = [mass_mean(states, labels[learnt])]
    for number in range(study.n_graded_sets):
        directions.append(mass_mean(states, shuffled(labels[learnt], _OTHER_SEED + 10_000 * study.seed + number)))
    units = _unit(np.stack(directions))
    random = np.random.default_rng([study.seed, _OTHER_SEED]).normal(size=(study.n_graded_sets, states.shape[1]))
    summed = float(found.magnitude[found.neurons].sum())
    length = summed / _share_of_unit_length(subject, examples[: len(train)], layer, study)
    return Lever(layer, units[0], length, units[1:], _unit(random))


def _unit(vectors: Float[np.ndarray, "set d_model"]) -> Float[np.ndarray, "set d_model"]:
    """The same directions with length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _share_of_unit_length(subject: HookedModel, examples: Sequence[Example], layer: int, study: Study) -> float:
    """What a write of length 1 contributes to a layer's MLP output: 1 / |h|, averaged over the tokens of each answer,
    and over answers, as contributions are."""
    lengths: dict[int, torch.Tensor] = {}

    def keep(at: int, mlp_out: torch.Tensor) -> None:
        if at == layer:
            lengths[at] = mlp_out.float().norm(dim=-1)  # [batch, pos]

    shares: list[float] = []
    for start in range(0, len(examples), study.batch_rows):
        batch = examples[start : start + study.batch_rows]
        rows = [example.ids for example in batch]
        for piece in subject.pieces(rows):
            ids, mask = subject.encoder.pad(rows[piece], "right", subject.device)
            with subject.hooked(mlp_out=keep), subject.batch_holds(piece, len(rows)):
                subject.final_hidden(ids, mask)
            for own, example in zip(lengths[layer], batch[piece], strict=True):
                shares.append(float((1 / own[example.answer]).mean()))
    return float(np.mean(shares))


def _pushed_curve(subject: HookedModel, neurons: GradedResponse, lever: Lever, study: Study) -> GradedResponse:
    """The graded outcome of the same items with the direction pushed, beside both kinds of control."""
    items = neurons.items
    untouched = neurons.values[:, CONTROL_ALPHAS.index(1.0)]  # [item]
    sets = np.concatenate([lever.unit[None], lever.shuffled, lever.random])  # [set, d_model]
    moved = [alpha for alpha in CONTROL_ALPHAS if alpha != 1]
    pushes = np.concatenate([(alpha - 1) * lever.length * sets for alpha in moved])  # [alpha set, d_model]
    odds = pushed_log_odds(subject, items, lever.layer, pushes, study)  # [item, alpha set]
    by_alpha = dict(zip(moved, odds.reshape(len(items), len(moved), len(sets)).swapaxes(0, 1), strict=True))
    by_alpha[1.0] = np.repeat(untouched[:, None], len(sets), axis=1)  # [item, set]
    values = np.stack([by_alpha[alpha] for alpha in CONTROL_ALPHAS], axis=2).swapaxes(0, 1)  # [set, item, alpha]
    n = len(lever.shuffled)
    alphas = np.array(CONTROL_ALPHAS)
    loud = GradedResponse(neurons.behaviour, items, alphas, values[0], values[1 + n :])
    return GradedResponse(neurons.behaviour, items, alphas, values[0], values[1 : 1 + n], loud=loud)


def _ablation(subject: HookedModel, neurons: GradedResponse, lever: Lever, study: Study) -> tuple[Estimate, Estimate]:
    """What taking out the direction changes, in nats, and what taking out random ones does."""
    directions = np.concatenate([lever.unit[None], lever.random])  # [direction, d_model]
    odds = ablated_log_odds(subject, neurons.items, directions, study)  # [item, direction]
    changes = odds - neurons.values[:, [CONTROL_ALPHAS.index(1.0)]]
    own = bootstrap(mean, changes[:, 0], groups=neurons.entities)
    return own, spread(changes[:, 1:].mean(0), len(changes))


def pushed_log_odds(
    subject: HookedModel,
    items: Sequence[Item],
    layer: int,
    vectors: Float[np.ndarray, "push d_model"],
    study: Study,
) -> Float[np.ndarray, "item push"]:
    """`graded.log_odds` with a vector added to the stream behind a layer, in place of a dose. Kept on disk.

    Args:
        subject: the model.
        items: attempts that have a truth and a claim.
        layer: behind which layer.
        vectors: each of the vectors that are added, in the unit of the stream.
        study: how the model is asked, and how many rows are read at once.

    Returns:
        Log-odds of the claim against the truth, [item, push], in nats.

    Raises:
        ValueError: as `models.pushing.pushed` does.
    """
    cells = list(cells_of(subject, items, study).values())
    pairs = [(cell, place) for cell in cells for place in range(len(vectors))]
    values = torch.as_tensor(vectors, dtype=torch.float32)
    names = [digest(vector.numpy().tobytes()) for vector in values]

    def compute(some: list[int]) -> dict[str, np.ndarray]:
        with pushed(subject, layer, values[[pairs[i][1] for i in some]]):
            return {"odds": read_odds(subject, [pairs[i][0] for i in some])}

    keys = [(cell, names[place]) for cell, place in pairs]
    settings = subject.key(VERSION, layer=layer)
    lengths = [len(cell.shared) for cell, _ in pairs]
    kept = cached("moved-odds", settings, keys, compute, max(1, study.batch_rows // 2), lengths)
    return kept.array("odds").reshape(len(cells), len(vectors))


def ablated_log_odds(
    subject: HookedModel, items: Sequence[Item], directions: Float[np.ndarray, "direction d_model"], study: Study
) -> Float[np.ndarray, "item direction"]:
    """`graded.log_odds` with a direction taken out of the stream behind every layer. Kept on disk.

    Args:
        subject: the model.
        items: attempts that have a truth and a claim.
        directions: each of the directions, of any length but 0.
        study: how the model is asked, and how many rows are read at once.

    Returns:
        Log-odds of the claim against the truth, [item, direction], in nats.

    Raises:
        ValueError: as `models.pushing.ablated` does.
    """
    cells = list(cells_of(subject, items, study).values())
    columns = []
    for direction in torch.as_tensor(directions, dtype=torch.float32):

        def compute(some: list[int], direction: torch.Tensor = direction) -> dict[str, np.ndarray]:
            with ablated(subject, direction):
                return {"odds": read_odds(subject, [cells[i] for i in some])}

        settings = subject.key(VERSION, ablated=digest(direction.numpy().tobytes()))
        kept = cached("moved-odds", settings, cells, compute, max(1, study.batch_rows // 2))
        columns.append(kept.array("odds"))
    return np.stack(columns, 1)  # [item, direction]
