"""The explorer's cards: what is known of each H-Neuron alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from hn_utils.report.plots.style import neuron_name

if TYPE_CHECKING:
    from hn_utils.models.prompt_encoder import PromptEncoder
    from hn_utils.origins.transfer import Drift
    from hn_utils.probing.find import Found

N_BINS = 24
_N_TOP = 6  # examples, and tokens, on a card


def cards(found: Found, planted: Int[np.ndarray, "p"] | None, drift: Drift | None) -> list[dict[str, Any]]:
    """For each H-Neuron: whether it was planted; weight in the L1 probe; what a percent of contribution `adds` to the
    score of the refitted H-Neurons; distributions over validation answers, in percent of the layer's output; the
    answers to which it contributes most; the tokens that its write favours; and how far tuning turned it (rank in its
    layer: 0 moved most, 1 least), where that was measured."""
    subject, card, rows = found.subject, found.card, found.collected.rows("validation")
    adds = dict(zip(found.refitted.neurons.tolist(), found.refitted.weights.tolist(), strict=True))
    labels, regions = found.collected.labels[rows], found.collected.contributions[rows]
    answers = [found.collected.kept[row] for row in rows]
    at_answer, elsewhere = (100 * regions.at(r).columns(card.neurons) for r in (card.region, "other"))
    made = []
    for place, (flat, row) in enumerate(zip(card.neurons.tolist(), card.rows, strict=True)):
        own, other = at_answer[:, place], elsewhere[:, place]
        parts = {"made up": own[labels == 1], "true": own[labels == 0], "other tokens": other}
        top = float(np.quantile(np.concatenate([own, other]), 0.995)) + 1e-6
        effect = subject.direct_logit_effect(*divmod(flat, card.d_mlp))  # [vocab]
        best, worst = (effect.topk(_N_TOP, largest=large).indices.tolist() for large in (True, False))
        strongest = np.argsort(-own, kind="stable")[:_N_TOP].tolist()
        made.append(
            {
                "name": neuron_name(flat, card.d_mlp),
                "planted": planted is not None and flat in planted,
                "weight": rounded(row["weight"]),
                "adds": rounded(adds[flat] / 100),
                "top": rounded(top),
                "shares": {name: histogram(values, top) for name, values in parts.items()},
                "means": {name: rounded(float(values.mean())) for name, values in parts.items()},
                "strongest": [
                    [answers[i].question.text, answers[i].text, called(answers[i].label), rounded(float(own[i]))]
                    for i in strongest
                ],
                "favours": [word(subject.encoder, i) for i in best],
                "disfavours": [word(subject.encoder, i) for i in worst],
                "drift": rounded(float(drift.rank_within[flat])) if drift and drift.anything_moved else None,
            }
        )
    return made


def called(label: int | None) -> str:
    return "made up" if label else "true"


def histogram(values: np.ndarray, top: float) -> list[float]:
    """Shares of the values in N_BINS equal bins from 0 to top; what lies beyond counts in the last."""
    counts, _ = np.histogram(values.clip(max=top), N_BINS, (0, top))
    return [rounded(n / max(1, len(values))) for n in counts.tolist()]


def word(encoder: PromptEncoder, token: int) -> str:
    """A token's text; the name of one that has none."""
    return encoder.decode([token]).strip() or encoder.tokenizer.convert_ids_to_tokens(token)


def rounded(value: float) -> float:
    return float(f"{value:.3g}")
