"""Figures of models in which it is known which neurons make it give in."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hn_utils.analyses import Recovery
from hn_utils.analyses.recovery import mean_contribution
from hn_utils.finding import Found
from hn_utils.shown.plots.style import CONTROL, FALSE, H_NEURON, PLANTED, TRUE, band, neuron_name, styled


def recovery(found: Found, recovered: Recovery) -> go.Figure:
    """Which of the planted neurons did the probe find, and is there anything in them to find?"""
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=("Weight in the probe", "Mean contribution of the planted neurons")
    )
    weights = dict.fromkeys(recovered.planted.tolist(), 0.0)
    weights |= {j: row["weight"] for j, row in zip(found.neurons.tolist(), found.card.rows, strict=True)}
    planted = set(recovered.planted.tolist())
    order = sorted(weights, key=lambda j: weights[j])
    for name, colour, some in (
        ("planted", PLANTED, [j for j in order if j in planted]),
        ("not planted", H_NEURON, [j for j in order if j not in planted]),
    ):
        figure.add_trace(
            go.Bar(
                x=[weights[j] for j in some],
                y=[neuron_name(j, found.card.d_mlp) for j in some],
                orientation="h",
                name=name,
                marker_color=colour,
                hovertemplate="%{y}: weight %{x:.2f}<extra>" + name + "</extra>",
            ),
            row=1,
            col=1,
        )
    collected = found.collected
    rows = collected.test_rows("standard")
    mean = 100 * mean_contribution(collected.labelled(rows, "answer").X, recovered.planted)
    for name, label, colour in (("true answers", 0, TRUE), ("made-up answers", 1, FALSE)):
        some = mean[collected.labels[rows] == label]
        figure.add_trace(
            go.Violin(x=some, name=name, line_color=colour, points=False, spanmode="hard", showlegend=False),
            row=1,
            col=2,
        )
    figure.update_yaxes(categoryorder="array", categoryarray=[neuron_name(j, found.card.d_mlp) for j in order], col=1)
    figure.update_xaxes(title="weight (0: not found)", col=1)
    figure.update_xaxes(title="% of the layer's output", col=2)
    return styled(
        figure,
        f"{len(recovered.both)} of {len(recovered.found)} H-Neurons are planted; "
        f"{len(recovered.both)} of {len(recovered.planted)} planted neurons are found",
        caption=f"By chance {recovered.by_chance:.2f} of the H-Neurons would be planted. The planted neurons' mean "
        f"contribution tells made-up from true answers with AUROC {recovered.auroc} (n = {recovered.auroc.n}).",
        height=max(420, 180 + 26 * len(order)),
    )


def strengths(table: pd.DataFrame) -> go.Figure:
    """What the method finds as the plant weakens. A row a model: see `hn_utils.organism.strengths`."""
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=("Detection at the answer", "Restricted requests: slope beyond random")
    )
    x = [f"{value:g}" for value in table["strength"]]
    for column, name, colour in (
        ("h_neurons", "H-Neurons", H_NEURON),
        ("random", "random neurons, same layers and loudness", CONTROL),
        ("planted", "planted neurons, mean contribution", PLANTED),
    ):
        figure.add_traces(band(x, table[column].tolist(), colour, name), rows=1, cols=1)
    for column, colour in (("slope_found", H_NEURON), ("slope_planted", PLANTED)):
        (line,) = band(x, table[column].tolist(), colour, column)
        figure.add_trace(line.update(showlegend=False), row=1, col=2)
    figure.add_hline(y=0, line={"color": "#333333", "width": 1}, col=2)  # type: ignore[arg-type]
    figure.update_xaxes(title="strength of the plant", type="category")
    figure.update_yaxes(title="AUROC", range=[0.2, 1.02], col=1)
    figure.update_yaxes(title="points per unit of alpha", col=2)
    counts = zip(table["strength"], table["n_both"], table["n_found"], strict=True)
    shares = "; ".join(f"{both} of {found} at strength {strength:g}" for strength, both, found in counts)
    return styled(
        figure,
        "What the method finds, by how strongly it was planted",
        caption=f"Planted neurons among the H-Neurons: {shares}. Bars: 95 % over people, or over random sets.",
    )
