"""Figures of base against instruct."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hn_utils.contributions import Contributions
from hn_utils.origins import Drift, Transfer
from hn_utils.probe import HNeurons
from hn_utils.shown.plots.style import (
    CONTROL,
    H_NEURON,
    MATCHED,
    TRUE,
    band,
    neuron_name,
    styled,
)


def timeline(transfers: Sequence[Transfer], names: Sequence[str]) -> go.Figure:
    """From which checkpoint on does the instruct model's probe work, beside random neurons and confidence?"""
    figure = go.Figure()
    able = [(n, t) for n, t in zip(names, transfers, strict=True) if t.h_neurons is not None]
    for number in range(len(able[0][1].random) if able else 0):
        figure.add_trace(
            go.Scatter(
                x=[n for n, _ in able],
                y=[t.random[number] for _, t in able],
                mode="lines+markers",
                line={"color": CONTROL, "width": 0.6},
                marker={"size": 3},
                opacity=0.5,
                name=MATCHED,
                legendgroup="random",
                showlegend=number == 0,
                hoverinfo="skip",
            )
        )
    ticks = [n for n, _ in able]
    for name, colour in (("confidence", TRUE), ("h_neurons", H_NEURON)):
        label = {"confidence": "plain confidence", "h_neurons": "H-Neurons, weights of the instruct model"}[name]
        figure.add_traces(band(ticks, [getattr(t, name) for _, t in able], colour, label))
    figure.add_hline(y=0.5, line={"color": "#333333", "dash": "dot", "width": 1})
    figure.update_xaxes(title="pre-training checkpoint (n right + n wrong)", type="category")
    figure.update_yaxes(title="AUROC on the checkpoint's own answers", range=[0.25, 1.03])
    if not able:
        return styled(figure, "No checkpoint gives enough right and wrong answers (n = 0)")
    first, last = able[0], able[-1]
    early = f"Before {first[1].model}: too few consistently right answers. " if able[0][0] != names[0] else ""
    return styled(
        figure,
        f"{early}H-Neurons with the instruct model's weights: AUROC {first[1].h_neurons} at {first[0]}, "
        f"{last[1].h_neurons} "
        f"at {last[0]}; there random neurons {last[1].random.mean():.2f}, confidence {last[1].confidence}",
    )


def base_and_instruct(
    base: Contributions, instruct: Contributions, card: HNeurons, others: Sequence[np.ndarray]
) -> go.Figure:
    """Do the H-Neurons say as much in the base model? Mean contribution at each model's own answers."""
    # Rounded, since the last digits hang on the order in which rows lie in the cache.
    softly, loudly = ((100 * read.at(card.region).mean()).round(5) for read in (base, instruct))
    ratio = loudly / np.maximum(softly, 1e-9)
    rest = np.setdiff1d(np.arange(len(softly)), card.flat)
    figure = go.Figure()
    for name, some, colour, size in (
        ("all other neurons", rest, "rgba(154,154,154,0.35)", 4),
        ("H-Neurons", card.flat, H_NEURON, 10),
    ):
        figure.add_trace(
            go.Scattergl(
                x=softly[some],
                y=loudly[some],
                mode="markers",
                name=name,
                marker={"color": colour, "size": size},
                text=[neuron_name(j, card.d_mlp) for j in some.tolist()],
                hovertemplate="%{text}: base %{x:.2f} %, instruct %{y:.2f} %<extra></extra>",
            )
        )
    ends = [float(np.quantile(np.concatenate([softly, loudly]), q)) for q in (0.001, 1)]
    line = {"color": "#333333", "dash": "dot", "width": 1}
    figure.add_trace(go.Scatter(x=ends, y=ends, mode="lines", name="as much in both", line=line, hoverinfo="skip"))
    figure.update_xaxes(title="mean contribution at the base model's answers (% of the layer's output)", type="log")
    figure.update_yaxes(title="at the instruct model's answers (%)", type="log")
    own, random = np.median(ratio[card.flat]), np.array([np.median(ratio[some]) for some in others])
    low, high = np.quantile(random, [0.025, 0.975])
    return styled(
        figure,
        f"At its answers the median H-Neuron contributes {own:.2f} times as much in the instruct model as in the base "
        f"model (n = {len(instruct)} and {len(base)} answers); as many random neurons of the same layers and loudness "
        f"{random.mean():.2f} (95 % of {len(others)} sets: {low:.2f} to {high:.2f})",
        560,
    )


def drift_ranks(drift: Drift, card: HNeurons) -> go.Figure:
    """Did tuning move the H-Neurons' weights less than those of other neurons?"""
    titles = ("among all neurons", "among neurons of the same layer")
    figure = make_subplots(rows=1, cols=2, subplot_titles=titles, shared_yaxes=True)
    add_histograms(figure, drift, card)
    for name, values, colour in (
        ("means of what shuffled labels pick", drift.shuffled, "#333333"),
        ("mean of the H-Neurons", np.array([drift.mean_rank]), H_NEURON),
    ):
        marker = {"color": colour, "symbol": "line-ns-open", "size": 16, "line": {"width": 2}}
        ticks = go.Scatter(x=values, y=np.full(len(values), -2.0), mode="markers", marker=marker, name=name)
        figure.add_trace(ticks.update(hovertemplate="mean rank %{x:.2f}<extra>" + name + "</extra>"), row=1, col=1)
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(title="rank: 0 moved most, 1 moved least")
    figure.update_yaxes(title="% of neurons", col=1)
    noise = ""
    if len(drift.shuffled):
        picked = f"{drift.shuffled.mean():.0%}, p = {drift.p['shuffled']:.2f}"
        noise = f". What the same probe picks on shuffled labels: {picked}"
    return styled(
        figure,
        f"On average tuning turned an H-Neuron less than it turned {drift.mean_rank:.0%} of all neurons (50 % is "
        f"chance; n = {len(card.rows)}): p = {drift.p['none']:.4f} against random neurons, {drift.p['layer']:.4f} "
        f"against the same layers, {drift.p['magnitude']:.4f} against the same layers and lengths of weights{noise}",
    )


def add_histograms(figure: go.Figure, drift: Drift, card: HNeurons) -> None:
    """Ranks of all neurons and of the H-Neurons, among all and within their layers."""
    for column, ranks in enumerate((drift.rank, drift.rank_within), start=1):
        for name, values, colour in (
            ("all neurons", ranks, CONTROL),
            ("H-Neurons", ranks[card.flat], H_NEURON),
        ):
            figure.add_trace(
                go.Histogram(
                    x=values.round(4),
                    xbins={"start": 0, "end": 1.0001, "size": 0.1},
                    marker_color=colour,
                    opacity=0.6,
                    histnorm="percent",
                    name=name,
                    showlegend=column == 1,
                    hovertemplate="rank %{x}: %{y:.0f} % of " + name + "<extra></extra>",
                ),
                row=1,
                col=column,
            )
