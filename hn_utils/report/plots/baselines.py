"""Figures of H-Neurons beside what people would use instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from hn_utils.analyses.baselines.cost import counted_passes
from hn_utils.analyses.baselines.pool import EVERYDAY, FILTERED
from hn_utils.report.plots.style import CONFIDENCE, CONTROL, DENSE, H_NEURON, OTHER, REFERENCE, around, styled

if TYPE_CHECKING:
    from hn_utils.analyses import Baselines
    from hn_utils.analyses.baselines.table import DetectorRow

_PER_ROW = 26  # pixels
_LEARNT = ("residual probe", "mass-mean", "SAPLMA", "dense")


def baselines(result: Baselines) -> go.Figure:
    """How well does each detector do, on everyday answers and on filtered ones, and what does it cost?"""
    rows = result.rows[::-1]  # plotly counts from below
    names = [f"{row.name} · {counted_passes(row.passes)}" for row in rows]
    figure = go.Figure([_controls(rows, names)])
    for title, symbol in ((EVERYDAY, "circle"), (FILTERED, "circle-open")):
        estimates = [row.detections[title].auroc for row in rows]
        look = {"color": [_colour(row.name) for row in rows], "size": 11, "symbol": symbol, "line": {"width": 2}}
        points = go.Scatter(x=[e.value for e in estimates], y=names, mode="markers", name=title, marker=look)
        if title == EVERYDAY:
            points.update(error_x={**around(estimates), "color": OTHER})
        told = [f"{e}<br>{result.pace.milliseconds(row.passes):.1f} ms" for e, row in zip(estimates, rows, strict=True)]
        figure.add_trace(points.update(text=told, hovertemplate="%{y}<br>%{text}<extra></extra>"))
    figure.add_vline(x=0.5, line=REFERENCE)
    figure.update_xaxes(title="AUROC", range=[0.3, 1.02])
    figure.update_yaxes(automargin=True, categoryorder="array", categoryarray=names)
    others = [row for row in rows if not row.name.startswith("H-Neurons")]
    more = sum(row.difference.direction() < 0 for row in others)
    n_everyday, n_filtered = (rows[0].detections[title].auroc.n for title in (EVERYDAY, FILTERED))
    missing = f" Not asked: {', '.join(result.missing)}." if result.missing else ""
    return styled(
        figure,
        f"{more} of {len(others)} other detectors read more from everyday answers than H-Neurons",
        f"n = {n_everyday} everyday and {n_filtered} consistent answers; bars: 95 % over entities. Grey: fitted or "
        f"picked on shuffled labels, 95 % of it.{missing} {result.filter_told}",
        300 + _PER_ROW * len(rows),
    )


def _controls(rows: list[DetectorRow], names: list[str]) -> go.Scatter:
    """A grey bar for each detector that learns: what it reaches on everyday answers with nothing to learn from."""
    there = [(name, row.controls[EVERYDAY]) for name, row in zip(names, rows, strict=True)]
    able = [(name, control) for name, control in there if control is not None]
    estimates = [control for _, control in able]
    bars = {**around(estimates), "color": CONTROL, "thickness": 8, "width": 0}
    return go.Scatter(
        x=[e.value for e in estimates],
        y=[name for name, _ in able],
        error_x=bars,
        mode="markers",
        marker={"color": CONTROL, "size": 4},
        name="shuffled labels",
        hovertemplate="%{y}<br>shuffled labels: %{x:.2f}<extra></extra>",
    )


def _colour(name: str) -> str:
    """By what a detector reads: neurons, the stream or all neurons, the words, or how sure the model is."""
    if name.startswith("H-Neurons"):
        return H_NEURON
    if name.startswith(_LEARNT):
        return DENSE
    return OTHER if name.startswith("words") else CONFIDENCE
