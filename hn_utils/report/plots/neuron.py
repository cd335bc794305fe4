"""Figures of one neuron, and of where a set of neurons acts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hn_utils.report.plots.style import CONTROL, FALSE, H_NEURON, REFERENCE, TRUE, neuron_name, styled
from hn_utils.stats.bootstrap import Estimate, spread

if TYPE_CHECKING:
    from hn_utils.analyses.where_it_acts import WhereItActs
    from hn_utils.steering.one_neuron import Neuron

_N_BINS = 24
_ROW, _REST = 34, 240  # pixels of a row, and of title, axis and legend


def one_neuron(one: Neuron) -> go.Figure:
    """Is anything about this neuron special, beside the neurons of its layer nearest in loudness?"""
    titles = ("Contribution at answers", "Above how many of its controls?")
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.3, column_widths=[0.42, 0.58])
    edges = np.histogram_bin_edges(one.contributions, _N_BINS)
    for label, name, colour in ((0, "right", TRUE), (1, "hallucinated", FALSE)):
        values = one.contributions[one.labels == label]
        share = np.histogram(values, edges)[0] / len(values)
        line = go.Scatter(
            x=(edges[1:] + edges[:-1]) / 2,
            y=share,
            mode="lines",
            line={"color": colour, "width": 3, "shape": "hvh"},
            name=f"{name} (n = {len(values)})",
            hovertemplate="%{x:.2f} %: %{y:.2f}<extra>" + name + "</extra>",
        )
        figure.add_trace(line, row=1, col=1)
    figure.add_trace(_places(one), row=1, col=2)
    figure.add_vline(x=50, line=REFERENCE, row=1, col=2)  # type: ignore[arg-type]
    figure.update_xaxes(title="percent of the layer's output", row=1, col=1)
    figure.update_yaxes(title="share of answers", row=1, col=1)
    figure.update_xaxes(title="percent of controls that it lies above", range=[-4, 104], row=1, col=2)
    figure.update_yaxes(autorange="reversed", row=1, col=2)
    n_out = sum(measured.is_outermost for measured in one.free)
    return styled(
        figure,
        f"{neuron_name(one.flat, one.model.d_mlp)}: {n_out} of {len(one.free)} numbers lie beyond all controls",
        f"By chance {one.outermost_by_chance:.1f} would. Controls: the {len(one.controls)} neurons of its layer "
        f"nearest in loudness ({one.loudness:.2f} times its own). AUROC of its contribution {one.auroc} over entities, "
        f"n = {one.auroc.n} answers; turned on {len(one.read_on)} of them.",
        _ROW * len(one.measured) + _REST,
    )


def _places(one: Neuron) -> go.Scatter:
    """Where each number lies among those of the controls."""
    beside = [spread(measured.controls, measured.own.n) for measured in one.measured]
    return go.Scatter(
        x=[100 * measured.above for measured in one.measured],
        y=[measured.name for measured in one.measured],
        mode="markers",
        marker={"color": H_NEURON, "size": 11},
        showlegend=False,
        text=[f"{measured.own}, controls {other}" for measured, other in zip(one.measured, beside, strict=True)],
        hovertemplate="%{y}: %{text}<extra></extra>",
    )


def where_it_acts(acts: WhereItActs) -> go.Figure:
    """Which way of turning the neurons moves the log-odds of the claim, beside control sets?"""
    figure = go.Figure()
    names = [variant.name for variant in acts.variants]
    kinds = list(dict.fromkeys(kind for variant in acts.variants for kind in variant.controls))
    for shift, kind in enumerate(kinds, start=1):
        having = [(place, variant) for place, variant in enumerate(acts.variants) if kind in variant.controls]
        ranges = [spread(variant.controls[kind].mean(0), len(variant.own)) for _, variant in having]
        places = [place + 0.22 * shift for place, _ in having]
        symbol = ("square", "diamond")[shift - 1]
        figure.add_trace(_bars(ranges, places, CONTROL, f"{kind}: 95 % of the sets", symbol))
    changes = [variant.change for variant in acts.variants]
    figure.add_trace(_bars(changes, list(range(len(names))), H_NEURON, "the neurons: 95 % over entities", "circle"))
    figure.add_vline(x=0, line=REFERENCE)
    figure.update_xaxes(title="change of log-odds of claim against truth, nats")
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.3, -0.5], automargin=True
    )
    beyond = [v for v in acts.variants if all(v.beyond(kind).direction() != 0 for kind in v.controls)]
    n_sets = {kind: acts.variants[0].controls[kind].shape[1] for kind in kinds}
    drawn = ", ".join(f"{n} {kind}" for kind, n in n_sets.items())
    return styled(
        figure,
        f"{len(beyond)} of {len(names)} ways move the claim beyond their controls",
        f"Beyond: the interval over entities and sets, 95 % and uncorrected, excludes 0 beside every kind of control; "
        f"by chance at most {0.05 * len(names):.1f} would. {acts.n_neurons} neurons, control sets: {drawn}. "
        f"n = {len(acts.variants[0].own)} items.",
        int(1.5 * _ROW) * len(names) + _REST,
    )


def _bars(estimates: Sequence[Estimate], places: Sequence[float], colour: str, name: str, symbol: str) -> go.Scatter:
    """A point and its interval a row."""
    return go.Scatter(
        x=[estimate.value for estimate in estimates],
        y=list(places),
        error_x={
            "type": "data",
            "array": [estimate.high - estimate.value for estimate in estimates],
            "arrayminus": [estimate.value - estimate.low for estimate in estimates],
            "thickness": 1.5,
        },
        mode="markers",
        marker={"color": colour, "size": 9, "symbol": symbol},
        name=name,
        text=[str(estimate) for estimate in estimates],
        hovertemplate="%{text}<extra>" + name + "</extra>",
    )
