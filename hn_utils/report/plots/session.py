"""Figures of the ninety-minute session: every neuron alone, and a beautiful curve beside its control."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, Int

from hn_utils.report.plots.style import (
    CONTROL,
    H_NEURON,
    OTHER,
    PLANTED,
    REFERENCE,
    envelope,
    log_axis,
    neuron_name,
    styled,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_BINS = np.arange(0, 1.0001, 0.02)


def each_alone(
    own: Float[np.ndarray, "layer_neuron"],
    shuffled: Float[np.ndarray, "layer_neuron"],
    planted: Int[np.ndarray, "p"],
    d_mlp: int,
) -> go.Figure:
    """How well does each neuron alone tell made-up from true, with true and with shuffled labels?

    Args:
        own: AUROC of each neuron on the training answers.
        shuffled: the same with shuffled labels.
        planted: the planted neurons, flat.
        d_mlp: how many neurons each layer has.

    Returns:
        Two histograms, with marks where the planted neurons lie.
    """
    figure = go.Figure()
    middles = (_BINS[:-1] + _BINS[1:]) / 2
    for values, colour, name in ((own, OTHER, "true labels"), (shuffled, CONTROL, "labels shuffled")):
        bars = go.Bar(x=middles, y=np.histogram(values, _BINS)[0], name=name, marker={"color": colour}, opacity=0.8)
        figure.add_trace(bars.update(hovertemplate="AUROC near %{x:.2f}: %{y} neurons<extra>" + name + "</extra>"))
    names = [neuron_name(j, d_mlp) for j in planted.tolist()]
    marks = go.Scatter(x=own[planted], y=[1.5] * len(planted), mode="markers", name="planted neurons", text=names)
    marks.update(marker={"color": PLANTED, "size": 14, "symbol": "diamond"})
    figure.add_trace(marks.update(hovertemplate="%{text}: %{x:.2f}<extra></extra>"))
    figure.add_vline(x=0.5, line=REFERENCE)  # type: ignore[arg-type]
    figure.update_xaxes(title="AUROC of one neuron alone", range=[0, 1])
    figure.update_yaxes(title="neurons", **log_axis([1, len(own)]))
    figure.update_layout(barmode="overlay", bargap=0)
    best = int(np.argmax(own))
    whose = "a planted one" if best in planted else "not a planted one"
    rank = 1 + (own[:, None] > own[planted]).sum(0)
    return styled(
        figure,
        f"The neuron that tells best alone is {whose}",
        f"{neuron_name(best, d_mlp)}: AUROC {own[best]:.2f}. With shuffled labels the best of {len(own):,} neurons has "
        f"{shuffled.max():.2f}. The planted ones rank {_listed(np.sort(rank))}. Read on training answers.",
    )


def _listed(numbers: Sequence[int] | np.ndarray) -> str:
    *first, last = [str(number) for number in numbers]
    return f"{', '.join(first)} and {last}" if first else last


def in_sample(
    Cs: Float[np.ndarray, "C"],
    own: Float[np.ndarray, "C"],
    shuffled: Float[np.ndarray, "shuffle C"],
    n_neurons: Int[np.ndarray, "C"],
) -> go.Figure:
    """How well do L1 probes tell the answers that they were trained on, with true and with shuffled labels?

    Args:
        Cs: the prices of an error.
        own: AUROC with the true labels.
        shuffled: AUROC with shuffled labels.
        n_neurons: neurons with a weight, with the true labels.

    Returns:
        A curve against C, beside the band of the shuffles.
    """
    band, median = envelope(Cs.tolist(), shuffled)
    figure = go.Figure([band.update(name="labels shuffled: 95 % of the probes"), median])
    told = [f"{n} neurons" for n in n_neurons]
    curve = go.Scatter(x=Cs, y=own, mode="lines+markers", name="true labels", text=told)
    curve.update(line={"color": H_NEURON, "width": 3}, hovertemplate="C %{x:.2g}: %{y:.2f}, %{text}<extra></extra>")
    figure.add_trace(curve)
    figure.add_hline(y=0.5, line=REFERENCE)  # type: ignore[arg-type]
    figure.update_xaxes(title="C, the price of an error", **log_axis(Cs.tolist()))
    figure.update_yaxes(title="AUROC on the training answers", range=[0.4, 1.03])
    return styled(
        figure,
        f"Read on its training answers: AUROC {own[-1]:.2f}, with shuffled labels {np.median(shuffled[:, -1]):.2f}",
        f"C from {Cs[0]:.2g} to {Cs[-1]:.2g}: from {n_neurons[0]} to {n_neurons[-1]} neurons. Band: 95 % of "
        f"{len(shuffled)} probes, each trained and read on shuffled labels; in its middle their median.",
    )
