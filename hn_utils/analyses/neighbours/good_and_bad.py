"""Good and bad neurons by antagonism (NeuronLLM, arXiv 2601.04548): a re-implementation from second-hand equations. The
official code is not public, and what is not told in a review or another re-implementation is chosen here.

A *good* neuron raises the probability of the truth, a *bad* one lowers it, and one that does both at different
questions is neither. How much a neuron adds is read by integrated gradients at the output of the up projection, at the
last token of the question, one layer at a time. Each question is put several times with other options, so that no
option is a hint. Ours are: the outcome (probability of the truth among rivals of its kind), how many neurons count as
good or bad at a question, and how many are kept.

The up projection's output is not what CETT reads, the product behind the gate: a neuron that is silent there still
counts here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hn_utils.analyses.neighbours.options import Options, last_logits, mean_truth_share, options_of, truth_share
from hn_utils.models.checks import require_reading_mode
from hn_utils.models.hook_points import Point, hooked_at
from hn_utils.stats.bootstrap import spread
from hn_utils.stats.neuron_sets import loud_sets
from hn_utils.stats.rank_test import two_sided_rank_p
from hn_utils.stats.tables import Tabled

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.probing.find import Found

N_QUESTIONS = 40
N_PROXIES = 10
STEPS = 16
_EXTREME = 0.01  # share of all neurons that count as good, and as bad, at one question
_N_KEPT = 10  # good neurons, and as many bad ones
_N_RANDOM = 20
_EXCITED = 2.0
TREATMENTS = {  # what the good and the bad neurons are multiplied by
    "good silenced, bad doubled": (0.0, _EXCITED),
    "good doubled, bad silenced": (_EXCITED, 0.0),
}


@dataclass(frozen=True)
class Treated:
    """Mean probability of the truth on held-out questions under one treatment, and under the same of random neurons as
    loud, [set]."""

    name: str
    own: float
    random: Float[np.ndarray, "set"]

    @property
    def p(self) -> float:
        """Two-sided p of the neurons' rank among random ones; uncorrected."""
        return two_sided_rank_p(self.own, self.random)


@dataclass(frozen=True, repr=False)
class GoodAndBad(Tabled):
    """Neurons that raise the probability of the truth, and neurons that lower it.

    Attributes:
        score: of each neuron, summed over the questions at which it is extreme; 0 if it is so both ways,
            [layer_neuron].
        good: flat indices, the largest score first.
        bad: flat indices, the lowest score first.
        incomplete: the largest gap, over layers, between the mean sum of the integrated gradients and the change of the
            outcome that they should add up to.
        untouched: mean probability of the truth on held-out questions.
        treated: what silencing and doubling make of it.
        n_conflicting: neurons that were extreme both ways, and were dropped.
    """

    score: Float[np.ndarray, "layer_neuron"]
    good: Int[np.ndarray, "some"]
    bad: Int[np.ndarray, "some"]
    incomplete: float
    untouched: float
    treated: list[Treated]
    n_conflicting: int

    @property
    def neurons(self) -> Int[np.ndarray, "some"]:
        """Good and bad ones together, flat indices in rising order."""
        return np.sort(np.concatenate([self.good, self.bad]))

    @property
    def headline(self) -> str:
        """What both treatments make of the probability of the truth, beside random neurons as loud; and how well the
        gradients add up."""
        told = []
        for one in self.treated:
            told.append(f"{one.name} {one.own:.2f} (random {spread(one.random, len(one.random))}, p = {one.p:.3f})")
        return (
            f"Probability of the truth among its rivals {self.untouched:.2f}; {'; '.join(told)}; the gradients add "
            f"up to within {self.incomplete:.3f} of it"
        )

    @property
    def table(self) -> pd.DataFrame:
        """A row a treatment: mean probability of the truth on held-out questions."""
        return pd.DataFrame(
            [
                {
                    "treatment": one.name,
                    "probability of the truth": one.own,
                    "change": one.own - self.untouched,
                    "random neurons as loud": spread(one.random, len(one.random)),
                    "rank p": one.p,
                }
                for one in self.treated
            ]
        )


def integrated_gradients(
    outcome: Callable[[Float[Tensor, "*any neuron"]], Float[Tensor, ""]], at: Float[Tensor, "*any neuron"], steps: int
) -> Float[Tensor, "*any neuron"]:
    """How much each coordinate adds to an outcome, on the straight line from 0.

    Args:
        outcome: of the coordinates, a number.
        at: where the line ends.
        steps: how many points of the line are read, its end among them.

    Returns:
        Attributions in the unit of the outcome. They add up to outcome(at) - outcome(0), the more exactly the more
        steps; of a linear outcome exactly.

    Raises:
        ValueError: `steps` is below 1.

    Source:
        Sundararajan, Taly & Yan 2017; the sum as in NeuronLLM's equation 3.
    """
    if steps < 1:
        raise ValueError(f"steps={steps} must be 1 or more")
    total = torch.zeros_like(at)
    for step in range(1, steps + 1):
        point = (at * step / steps).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(outcome(point), point)
        total += gradient
    return at / steps * total


def antagonism(
    scores: Float[np.ndarray, "question layer_neuron"], n_extreme: int
) -> tuple[Float[np.ndarray, "layer_neuron"], Int[np.ndarray, "some"]]:
    """Add up over questions what neurons add, where they are extreme; drop those that are so both ways.

    Args:
        scores: what each neuron adds at each question.
        n_extreme: how many neurons count as good, and as bad, at one question.

    Returns:
        A score for each neuron, and the flat indices of those that were dropped.

    Raises:
        ValueError: `n_extreme` is below 1, or the good and the bad ones would overlap.

    Source:
        NeuronLLM's equation 5 (ACE), second-hand.
    """
    if not 0 < 2 * n_extreme <= scores.shape[1]:
        raise ValueError(f"n_extreme={n_extreme} must lie between 1 and {scores.shape[1] // 2}, half of all neurons")
    order = np.argsort(scores, axis=1, kind="stable")  # [question, layer_neuron]
    bad = np.zeros(scores.shape, bool)
    good = np.zeros(scores.shape, bool)
    np.put_along_axis(bad, order[:, :n_extreme], True, axis=1)
    np.put_along_axis(good, order[:, -n_extreme:], True, axis=1)
    conflicting = good.any(0) & bad.any(0)
    score = (scores * (good | bad)).sum(0)
    return np.where(conflicting, 0.0, score), np.flatnonzero(conflicting)


def find_antagonists(
    found: Found, *, n_questions: int = N_QUESTIONS, n_proxies: int = N_PROXIES, steps: int = STEPS, n: int = _N_KEPT
) -> GoodAndBad | None:
    """Look for neurons that raise or lower the probability of the truth, and turn them on other questions.

    Args:
        found: the H-Neurons; the questions and answers they were found on, and how loud each neuron is.
        n_questions: training questions on which neurons are scored, and as many test questions on which they are
            turned.
        n_proxies: how often each question is put, with other rivals.
        steps: of the integrated gradients.
        n: good neurons that are kept, and as many bad ones.

    Returns:
        The neurons, and what silencing and doubling them does to held-out questions, beside random neurons of the same
        layers that are as loud. None if no training or no test question has rivals.

    Raises:
        ValueError: the model is in training mode.

    Source:
        NeuronLLM, arXiv 2601.04548, from second-hand equations (see above).

    A gradient is local: what a neuron adds along a line from 0 is not what silencing it takes away.
    """
    model, collected = found.subject, found.collected
    require_reading_mode(model.model, model.name)
    seed = collected.study.seed
    scored = options_of(collected, "train", n_questions, n_proxies, seed=seed)
    tested = options_of(collected, "test", n_questions, n_proxies, seed=seed)
    if scored is None or tested is None:
        return None
    scores, incomplete = attributions(model, scored, steps)
    score, conflicting = antagonism(scores, max(1, round(_EXTREME * scores.shape[1])))
    order = np.argsort(-score, kind="stable")
    good = order[:n][score[order[:n]] > 0]
    bad = order[::-1][:n][score[order[::-1][:n]] < 0]
    untouched = mean_truth_share(model, tested)
    treated = _treated(found, good, bad, tested)
    return GoodAndBad(score, good, bad, incomplete, untouched, treated, len(conflicting))


def attributions(
    model: HookedModel, options: Options, steps: int
) -> tuple[Float[np.ndarray, "question layer_neuron"], float]:
    """What each neuron's up projection adds to the probability of the truth, summed over the proxies of a question.

    Args:
        model: the model.
        options: the questions.
        steps: of the integrated gradients.

    Returns:
        Attributions, one layer at a time while all others are as they are; and the largest gap, over layers, between
        their mean sum and the mean change of the outcome, which a layer without these outputs would show.

    Raises:
        ValueError: `steps` is below 1.
    """
    parts: list[np.ndarray] = []
    gaps = np.zeros(model.n_layers)
    for piece in model.pieces(options.prompts):
        rows, tokens = options.prompts[piece], options.tokens[piece]
        ups: dict[int, Tensor] = {}

        def keep(layer: int, up: Tensor, ups: dict[int, Tensor] = ups) -> None:
            ups[layer] = up[:, -1].detach()  # [question, neuron]

        with torch.no_grad(), hooked_at(model, Point.UP, keep):
            last_logits(model, rows)
        by_layer: list[np.ndarray] = []
        for layer, up in sorted(ups.items()):
            outcome = partial(_with_up, model, rows, tokens, layer)
            adds = integrated_gradients(outcome, up, steps)  # [question, neuron]
            with torch.no_grad():
                change = outcome(up) - outcome(torch.zeros_like(up))
            gaps[layer] += float(adds.sum() - change)
            by_layer.append(adds.float().cpu().numpy())
        parts.append(np.concatenate(by_layer, axis=1))
    return np.concatenate(parts), float(np.abs(gaps).max() / options.tokens[..., 0].size)


def _with_up(
    model: HookedModel,
    rows: list[list[int]],
    tokens: Int[np.ndarray, "question proxy option"],
    layer: int,
    point: Float[Tensor, "question neuron"],
) -> Float[Tensor, ""]:
    """Probability of the truth, summed over questions and proxies, with one layer's up projection replaced at the last
    token. Questions do not see each other, so that the gradient of the sum holds that of each."""

    def replace_last(at: int, up: Tensor) -> Tensor | None:
        return torch.cat([up[:, :-1], point[:, None].to(up)], dim=1) if at == layer else None

    with hooked_at(model, Point.UP, replace_last):
        return truth_share(last_logits(model, rows), tokens).sum()


def _treated(
    found: Found, good: Int[np.ndarray, "some"], bad: Int[np.ndarray, "some"], tested: Options
) -> list[Treated]:
    """Both treatments on held-out questions, of these neurons and of random ones as loud."""
    if not len(good) or not len(bad):
        return []
    shape, seed = found.card.shape, found.study.seed
    pairs = list(
        zip(
            loud_sets(good, shape, found.magnitude, _N_RANDOM, seed + 1),
            loud_sets(bad, shape, found.magnitude, _N_RANDOM, seed + 2),
            strict=True,
        )
    )
    treated = []
    for name, (alpha_good, alpha_bad) in TREATMENTS.items():

        def under(some: np.ndarray, others: np.ndarray, a: float = alpha_good, b: float = alpha_bad) -> float:
            with found.subject.scaled(some, a), found.subject.scaled(others, b):
                return mean_truth_share(found.subject, tested)

        treated.append(Treated(name, under(good, bad), np.array([under(*pair) for pair in pairs])))
    return treated
