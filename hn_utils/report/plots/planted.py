"""Figures of models in which it is known which neurons make it give in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hn_utils.analyses.recovery import mean_contribution
from hn_utils.report.plots.style import FALSE, H_NEURON, PLANTED, TRUE, line, neuron_name, put, shaded, styled

if TYPE_CHECKING:
    from hn_utils.analyses import Recovery
    from hn_utils.probing.find import Found


def recovery(found: Found, recovered: Recovery) -> go.Figure:
    """Which of the planted neurons did the probe find, and is there anything in them to find?"""
    titles = ("Weight in the probe", "Mean contribution<br>of the planted neurons")
    figure = make_subplots(rows=1, cols=2, subplot_titles=titles, horizontal_spacing=0.22)
    d_mlp, planted = found.card.d_mlp, recovered.planted.tolist()
    weights = dict.fromkeys(planted, 0.0)
    weights |= {j: row["weight"] for j, row in zip(found.neurons.tolist(), found.card.rows, strict=True)}
    order = sorted(weights, key=lambda j: weights[j])
    names = [neuron_name(j, d_mlp) for j in order]
    bars = go.Bar(x=[weights[j] for j in order], y=names, orientation="h", name="H-Neuron", marker_color=H_NEURON)
    marks = go.Scatter(x=[0] * len(planted), y=[neuron_name(j, d_mlp) for j in planted], mode="markers", name="planted")
    marks.update(marker={"color": PLANTED, "symbol": "diamond", "size": 16}, hoverinfo="skip")
    figure.add_traces([bars.update(hovertemplate="%{y}: weight %{x:.2f}<extra></extra>"), marks], rows=1, cols=1)
    collected = found.collected
    rows = collected.test_rows("standard")
    mean = 100 * mean_contribution(collected.labelled(rows, "answer").X, recovered.planted)
    for name, label, colour in (("true<br>answers", 0, TRUE), ("made-up<br>answers", 1, FALSE)):
        some = mean[collected.labels[rows] == label]
        violin = go.Violin(x=some, name=name, line_color=colour, points=False, spanmode="hard", showlegend=False)
        figure.add_trace(violin, row=1, col=2)
    figure.update_yaxes(categoryorder="array", categoryarray=names, col=1)
    heaviest = max(weights.values())
    figure.update_xaxes(title="weight (0: not found)", range=[-0.1 * heaviest, 1.05 * heaviest], col=1)
    figure.update_xaxes(title="% of the layer's output", col=2)
    n_both = len(recovered.both)
    return styled(
        figure,
        f"{n_both} of {len(recovered.found)} H-Neurons planted; {n_both} of {len(planted)} planted neurons found",
        f"By chance {recovered.by_chance:.2f} of the H-Neurons would be planted. The planted neurons' mean "
        f"contribution tells made-up from true answers with AUROC {recovered.auroc} (n = {recovered.auroc.n}).",
        max(460, 240 + 26 * len(order)),
    )


def strengths(table: pd.DataFrame) -> go.Figure:
    """What the method finds as the plant weakens. A row a model: see `hn_utils.organism.strengths`."""
    titles = ("Detection at the answer", "Restricted requests:<br>slope beyond control sets")
    figure = make_subplots(rows=1, cols=2, subplot_titles=titles, horizontal_spacing=0.14)
    x, random = [f"{value:g}" for value in table["strength"]], table["control"].tolist()
    low, mean, high = ([getattr(e, end) for e in random] for end in ("low", "value", "high"))
    put(figure, shaded(x, low, mean, high, "their mean"), 1)
    for name, colour, *columns in (
        ("H-Neurons", H_NEURON, "h_neurons", "slope_found"),
        ("planted neurons", PLANTED, "planted", "slope_planted"),
    ):
        for place, column in enumerate(columns, start=1):
            put(figure, [line(x, table[column].tolist(), colour, name)], place)
    figure.add_hline(y=0, line={"color": "#333333", "width": 1}, col=2)  # type: ignore[arg-type]
    figure.update_xaxes(title="strength of the plant", type="category")
    figure.update_yaxes(title="AUROC", range=[0.2, 1.02], col=1)
    figure.update_yaxes(title="points per unit of alpha", col=2)
    counts = zip(table["strength"], table["n_both"], table["n_found"], strict=True)
    shares = "; ".join(f"{both} of {found} at strength {strength:g}" for strength, both, found in counts)
    return styled(
        figure,
        _found_since(table),
        f"Planted neurons among the H-Neurons: {shares}. Of the planted neurons the mean contribution is read. Bars: "
        f"95 % over people (n = {random[0].n} to {random[-1].n} answers), or over control sets: picks on shuffled "
        "labels, for the slope of the planted neurons random sets that are as loud.",
    )


def _found_since(table: pd.DataFrame) -> str:
    """From which strength on a planted neuron is among the H-Neurons, in a dozen words."""
    found = (table["n_both"] > 0).tolist()
    since = len(found) - next((i for i, one in enumerate(reversed(found)) if not one), len(found))
    if since == len(found):
        return "At full strength no planted neuron is among the H-Neurons"
    return f"From strength {table['strength'].iloc[since]:g} on, a planted neuron is among the H-Neurons"
