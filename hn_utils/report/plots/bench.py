"""Figures of speed and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hn_utils.report.plots.style import OTHER, log_axis, styled


def log_slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """By which power cost grows with size."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def growth(panels: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> go.Figure:
    """How does cost grow with size? One log-log panel each: (sizes, seconds)."""
    powers = {title: log_slope(*panel) for title, panel in panels.items()}
    titles = [f"{title}: power {power:.2f}" for title, power in powers.items()]
    figure = make_subplots(rows=2, cols=2, subplot_titles=titles, vertical_spacing=0.2, horizontal_spacing=0.14)
    for place, (sizes, costs) in enumerate(panels.values()):
        row, col = place // 2 + 1, place % 2 + 1
        drawn = go.Scatter(x=sizes, y=costs, mode="lines+markers", line={"color": OTHER, "width": 3}, showlegend=False)
        figure.add_trace(drawn, row, col)
        figure.update_xaxes(type="log", tickvals=sizes, ticktext=[f"{s:,}" for s in sizes], row=row, col=col)
        figure.update_yaxes(title="seconds", **log_axis(costs, (1, 2, 5)), row=row, col=col)
    n = sum(len(sizes) for sizes, _ in panels.values())
    return styled(
        figure,
        f"Seconds grow at most with power {max(powers.values()):.2f} of a size",
        f"Power: slope of log seconds against log size; 1 is proportional, 2 quadratic. n = {n} sizes measured.",
        700,
    )
