"""The explorer's cards: what is known of each H-Neuron alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from hn_utils.models.hooked_model import weights_unchanged
from hn_utils.report.plots.style import neuron_name
from hn_utils.steering.one_neuron import Neuron, neuron

if TYPE_CHECKING:
    from hn_utils.origins.transfer import Drift
    from hn_utils.probing.find import Found

N_BINS = 24
_N_TOP = 6  # examples, and tokens, on a card


def cards(found: Found, planted: Int[np.ndarray, "p"] | None, drift: Drift | None) -> list[dict[str, Any]]:
    """For each H-Neuron what `hn.neuron` says of it on validation answers: distributions, in percent of the layer's
    output; the answers to which it contributes most; the tokens that its write favours. Beside it whether it was
    planted; its weight in the L1 probe; what a percent of contribution `adds` to the score of the refitted H-Neurons;
    and how far tuning turned it (rank in its layer: 0 moved most, 1 least), where that was measured."""
    subject, card = found.subject, found.card
    adds = dict(zip(found.refitted.neurons.tolist(), found.refitted.weights.tolist(), strict=True))
    made = []
    with weights_unchanged():
        for flat, row in zip(card.neurons.tolist(), card.rows, strict=True):
            layer, index = divmod(flat, card.d_mlp)
            one = neuron(subject, layer, index, answers=found.collected, split="validation", region=card.region)
            made.append(
                {
                    "name": neuron_name(flat, card.d_mlp),
                    "planted": planted is not None and flat in planted,
                    "weight": rounded(row["weight"]),
                    "adds": rounded(adds[flat] / 100),
                    **_distributions(one),
                    "strongest": _strongest(one),
                    "favours": one.tokens(_N_TOP)["raised"].tolist(),
                    "disfavours": one.tokens(_N_TOP)["lowered"].tolist(),
                    "drift": rounded(float(drift.rank_within[flat])) if drift and drift.anything_moved else None,
                }
            )
    return made


def _distributions(one: Neuron) -> dict[str, Any]:
    """Shares and means of its contribution at made-up answers, at true ones, and at other tokens."""
    own, other = one.contributions, one.elsewhere
    parts = {"made up": own[one.labels == 1], "true": own[one.labels == 0], "other tokens": other}
    top = float(np.quantile(np.concatenate([own, other]), 0.995)) + 1e-6
    return {
        "top": rounded(top),
        "shares": {name: histogram(values, top) for name, values in parts.items()},
        "means": {name: rounded(float(values.mean())) for name, values in parts.items()},
    }


def _strongest(one: Neuron) -> list[list[Any]]:
    """Question, answer, whether it is made up, and contribution, of the answers to which it contributes most."""
    told = []
    for place in one.strongest_rows(_N_TOP).tolist():
        example = one.answers.kept[one.rows[place]]
        told.append(
            [example.question.text, example.text, called(example.label), rounded(float(one.contributions[place]))]
        )
    return told


def called(label: int | None) -> str:
    return "made up" if label else "true"


def histogram(values: np.ndarray, top: float) -> list[float]:
    """Shares of the values in N_BINS equal bins from 0 to top; what lies beyond counts in the last."""
    counts, _ = np.histogram(values.clip(max=top), N_BINS, (0, top))
    return [rounded(n / max(1, len(values))) for n in counts.tolist()]


def rounded(value: float) -> float:
    return float(f"{value:.3g}")
