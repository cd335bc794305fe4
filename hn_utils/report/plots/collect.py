"""Figures of the first notebook: what is asked, and what neurons write at each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from hn_utils.report.plots.style import FALSE, OTHER, TRUE, line, log_axis, neuron_name, printable, styled
from hn_utils.stats.bootstrap import bootstrap
from hn_utils.stats.metrics import mean

if TYPE_CHECKING:
    from hn_utils.contributions.collected import Collected

_NEVER = 0.3  # where a log axis shows what was stated zero times
_N_NEURONS, _N_TOKENS = 8, 14  # that a heat map can show so that they can be read


def exposure(collected: Collected, n_bins: int = 8) -> go.Figure:
    """How often is an answer right, wrong or withheld, by how often the fact was written about?"""
    asked = [(q, r) for q, r in zip(collected.questions, collected.responses, strict=True) if q.part == "standard"]
    mentions = np.array([q.strata["exposure"] for q, _ in asked])
    edges = np.unique(np.quantile(mentions[mentions > 0], np.linspace(0, 1, n_bins + 1)))
    bins = np.clip(np.searchsorted(edges, mentions, side="right") - 1, 0, len(edges) - 2)
    bins[mentions == 0] = -1  # a bin of their own
    groups = np.array([q.entity for q, _ in asked])
    centres = [float(np.median(mentions[bins == b])) or _NEVER for b in np.unique(bins)]
    figure, rates = go.Figure(), {}
    for verdict, colour in (("right", TRUE), ("wrong", FALSE), ("abstained", OTHER)):
        share = np.array([np.mean([x.verdict == verdict for x in r]) for _, r in asked])
        rates[verdict] = [bootstrap(mean, share[bins == b], groups=groups[bins == b]) for b in np.unique(bins)]
        figure.add_trace(line(centres, rates[verdict], colour, verdict))
    axis = log_axis(centres)
    if centres[0] == _NEVER:
        axis["ticktext"][0] = "never"
    figure.update_xaxes(title="times the fact was stated in pre-training (median of bin)", **axis)
    figure.update_yaxes(title="share of sampled answers", range=[0, 1.02])
    first, last = rates["wrong"][0], rates["wrong"][-1]
    fewest = "never stated" if centres[0] == _NEVER else "stated least often"
    return styled(
        figure,
        "The more often a fact was read, the fewer answers are wrong"
        if last.high < first.low
        else "Facts that were read often are answered wrongly as often",
        f"Wrong: {first} of the answers about the facts {fewest}, {last} about those stated most often. Bars: 95 % "
        f"over entities. n = {len(asked)} questions, {len(collected.responses[0])} answers each.",
    )


class AtTokens(NamedTuple):
    """A question with its answer, its tokens, the contributions of all neurons at each, and where the answer stands."""

    text: str
    tokens: Sequence[str]
    values: Float[np.ndarray, "pos layer_neuron"]
    answer: Sequence[int]


def token_heat_maps(true: AtTokens, made_up: AtTokens, d_mlp: int) -> go.Figure:
    """Which neurons write at which token of a true and of a made-up answer? One colour scale for both."""
    both = {"a true answer": (true, TRUE), "a made-up answer": (made_up, FALSE)}
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=list(both))
    means = [shown.values[list(shown.answer)].mean(0) for shown, _ in both.values()]
    loudest = np.argsort(-np.mean(means, 0), kind="stable")[:_N_NEURONS]
    names = [neuron_name(j, d_mlp) for j in loudest.tolist()]
    for column, (shown, colour) in enumerate(both.values(), start=1):
        start = max(0, len(shown.tokens) - _N_TOKENS)
        places, tokens = list(range(start, len(shown.tokens))), [printable(token) for token in shown.tokens[start:]]
        heat = go.Heatmap(
            z=100 * shown.values[start:, loudest].T,
            x=places,
            y=names,
            text=[tokens] * len(names),
            coloraxis="coloraxis",
            hovertemplate="%{y} at %{text}: %{z:.1f} %<extra></extra>",
        )
        figure.add_trace(heat, row=1, col=column)
        figure.add_shape(
            **{"type": "rect", "x0": min(shown.answer) - 0.5, "x1": max(shown.answer) + 0.5, "y0": -0.5},
            **{"y1": len(names) - 0.5, "line": {"color": colour, "width": 4}, "row": 1, "col": column},
        )
        figure.update_xaxes(tickvals=places, ticktext=tokens, tickangle=-90, showgrid=False, col=column)
    figure.update_layout(coloraxis={"colorscale": "Cividis", "colorbar": {"title": "% of<br>layer"}})
    alike = len(set.intersection(*(set(np.argsort(-m, kind="stable")[:_N_NEURONS].tolist()) for m in means)))
    return styled(
        figure,
        f"{alike} of the {_N_NEURONS} loudest neurons are the same at both answers",
        f"Contribution at each token, in % of the layer's output, of the {_N_NEURONS} neurons with the largest mean "
        f"over the two framed answers. True: {true.text}. Made up: {made_up.text}. n = 1 each: an example, no "
        "finding about neurons.",
    )
