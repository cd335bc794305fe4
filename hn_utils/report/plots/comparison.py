"""Figures of several runs side by side: a row a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hn_utils.report.measures import AUROC, BEYOND, CONFIDENCE, SLOPE, Measure
from hn_utils.report.measures import CONTROL as PICKED
from hn_utils.report.plots.style import CONFIDENCE as CONFIDENCE_COLOUR
from hn_utils.report.plots.style import CONTROL, H_NEURON, printable, styled

Runs = Mapping[str, Mapping[str, Measure]]  # findings by run
_ROW, _REST = 44, 270  # pixels of a run's row, and of title, axis and legend
_LEGEND = 70  # pixels below the axis
_SHIFTS = {PICKED: -0.2, CONFIDENCE: 0.0, AUROC: 0.2}  # so that detectors do not cover each other
_LOOKS = {
    AUROC: ("H-Neurons", H_NEURON, "circle"),
    CONFIDENCE: ("plain confidence", CONFIDENCE_COLOUR, "diamond"),
    PICKED: ("picked on shuffled labels: 95 % of the sets", CONTROL, "square"),
}


def intervals(found: Sequence[tuple[str, float, Measure]], colour: str, name: str, symbol: str) -> go.Scatter:
    """A point with its interval for each (run, height, measure)."""
    return go.Scatter(
        x=[m.value for _, _, m in found],
        y=[height for _, height, _ in found],
        error_x={
            "type": "data",
            "array": [m.high - m.value for _, _, m in found if m.high is not None],
            "arrayminus": [m.value - m.low for _, _, m in found if m.low is not None],
            "thickness": 1.5,
        },
        mode="markers",
        name=name,
        marker={"color": colour, "size": 10, "symbol": symbol},
        text=[printable(f"{run}: {m} (n = {m.n})") for run, _, m in found],
        hovertemplate="%{text}<extra>" + name + "</extra>",
    )


def named(figure: go.Figure, runs: Runs, title: str, caption: str) -> go.Figure:
    """The runs from top to bottom, in house style; the legend stands a fixed number of pixels below the axis."""
    names, height = [printable(name) for name in runs], _ROW * len(runs) + _REST
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.5, -0.5])
    figure.update_yaxes(automargin=True)
    styled(figure, title, caption, height)
    margin = figure.layout.margin  # type: ignore[union-attr]
    return figure.update_layout(legend_y=-_LEGEND / (height - margin.t - margin.b))


def detection_of_runs(runs: Runs) -> go.Figure:
    """In which runs do the H-Neurons detect more than what shuffled labels pick, and than confidence?"""
    figure = go.Figure()
    for detector, (name, colour, symbol) in _LOOKS.items():
        found = [(run, i - _SHIFTS[detector], m[detector]) for i, (run, m) in enumerate(runs.items()) if detector in m]
        figure.add_trace(intervals(found, colour, name, symbol))
    figure.add_vline(x=0.5, line={"color": "#333333", "dash": "dot", "width": 1})
    figure.update_xaxes(title="AUROC on held-out entities", range=[0, 1.05])
    beyond = sorted((m[BEYOND] for m in runs.values()), key=lambda m: m.value)
    above = sum(m.low is not None and m.low > 0 for m in beyond)
    return named(
        figure,
        runs,
        f"H-Neurons detect more than picks on shuffled labels in {above} of {len(runs)} runs",
        f"AUROC beyond what shuffled labels pick: from {beyond[0]} (n = {beyond[0].n}) to "
        f"{beyond[-1]} (n = {beyond[-1].n})",
    )


def slopes_of_runs(runs: Runs) -> go.Figure:
    """In which runs does turning the H-Neurons up change a behaviour more than turning up their controls?"""
    slopes = list(dict.fromkeys(line for m in runs.values() for line in m if line.startswith(SLOPE)))
    titles = [printable(line.removeprefix(SLOPE)) for line in slopes]
    figure = make_subplots(1, max(1, len(slopes)), shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.03)
    words = list[str]()
    for column, line in enumerate(slopes, start=1):
        found = [(run, float(i), m[line]) for i, (run, m) in enumerate(runs.items()) if line in m]
        figure.add_trace(intervals(found, H_NEURON, "H-Neurons", "circle"), row=1, col=column)
        figure.add_vline(x=0, line={"color": "#333333", "dash": "dot", "width": 1}, row=1, col=column)  # type: ignore[arg-type]
        words += [m.verdict for _, _, m in found]
    figure.update_xaxes(title="points per alpha")
    figure.update_layout(showlegend=False)
    apart, able = sum(w in ("rises", "falls") for w in words), sum("too few" not in w for w in words)
    return named(
        figure,
        runs,
        f"Beyond their controls, {apart} of {len(words)} curves stand out",
        f"Slope of over-compliance from alpha 0 to 3, minus that of picks on shuffled labels. {able} of {len(words)} "
        "curves had enough control sets for a verdict; p is corrected within a run, not over runs",
    )
