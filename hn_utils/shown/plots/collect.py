"""Figures of the first notebook: what is asked, and what neurons write at each token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from hn_utils.collecting import Collected
from hn_utils.controls import bootstrap, mean
from hn_utils.shown.plots.style import ABSTAINED, FALSE, H_NEURON, TRUE, band, printable, styled

NEVER = 0.3  # where a log axis shows what was stated zero times


def exposure(collected: Collected, n_bins: int = 8) -> go.Figure:
    """How often is an answer right, wrong or withheld, by how often the fact was written about?"""
    asked = [(q, r) for q, r in zip(collected.questions, collected.responses, strict=True) if q.part == "standard"]
    mentions = np.array([q.strata["exposure"] for q, _ in asked])
    edges = np.unique(np.quantile(mentions[mentions > 0], np.linspace(0, 1, n_bins + 1)))
    bins = np.clip(np.searchsorted(edges, mentions, side="right") - 1, 0, len(edges) - 2)
    bins[mentions == 0] = -1  # a bin of their own
    shares = {
        v: np.array([np.mean([x.verdict == v for x in r]) for _, r in asked]) for v in ("right", "wrong", "abstained")
    }
    groups = np.array([q.entity for q, _ in asked])
    centres = [float(np.median(mentions[bins == b])) or NEVER for b in np.unique(bins)]
    figure, ends = go.Figure(), {}
    for verdict, colour in zip(shares, (TRUE, FALSE, ABSTAINED), strict=True):
        rates = [bootstrap(mean, shares[verdict][bins == b], groups=groups[bins == b]) for b in np.unique(bins)]
        ends[verdict] = rates
        figure.add_traces(band(centres, rates, colour, verdict))
    ticks = {NEVER: "never", **{10**k * n: f"{10**k * n:,}" for k in range(9) for n in (1, 3)}}
    shown = {at: name for at, name in ticks.items() if centres[0] <= at <= 2 * centres[-1]}
    figure.update_xaxes(
        title="times the fact was stated in pre-training (median of bin)",
        type="log",
        tickvals=list(shown),
        ticktext=list(shown.values()),
    )
    figure.update_yaxes(title="share of sampled answers", range=[0, 1.02])
    first, last = ends["wrong"][0], ends["wrong"][-1]
    fewest = "never stated" if centres[0] == NEVER else "stated least often"
    return styled(
        figure,
        f"Share of wrong answers: {first} about the facts {fewest}, {last} about those stated most often "
        f"(n = {len(asked)} questions, {len(collected.responses[0])} answers each)",
    )


def token_heat_map(
    tokens: Sequence[str], values: np.ndarray, neurons: Sequence[str], answer: Sequence[int], title: str
) -> go.Figure:
    """Which tokens light up which neurons: contribution in percent of the layer's output, [neuron, token]."""
    labels = [f"{i}: {printable(t)}" for i, t in enumerate(tokens)]
    figure = go.Figure(
        go.Heatmap(
            z=100 * values,
            x=labels,
            y=list(neurons),
            colorscale="Cividis",
            colorbar={"title": "% of<br>layer"},
            hovertemplate="%{y} at %{x}: %{z:.1f} %<extra></extra>",
        )
    )
    for i in answer:
        figure.add_vrect(x0=i - 0.5, x1=i + 0.5, line={"color": H_NEURON, "width": 2}, fillcolor="rgba(0,0,0,0)")
    figure.update_xaxes(tickangle=-50)
    return styled(figure, title)
