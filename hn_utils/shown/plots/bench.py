"""Figures of speed and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hn_utils.shown.plots.style import (
    TRUE,
    styled,
)


def log_slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """By which power cost grows with size."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def growth(panels: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> go.Figure:
    """How does cost grow with size? One log-log panel each: (sizes, seconds)."""
    figure = make_subplots(rows=2, cols=2, subplot_titles=list(panels), vertical_spacing=0.2)
    for place, (sizes, costs) in enumerate(panels.values()):
        row, col = place // 2 + 1, place % 2 + 1
        line = {"color": TRUE, "width": 3}
        figure.add_trace(go.Scatter(x=sizes, y=costs, mode="lines+markers", line=line, showlegend=False), row, col)
        figure.update_xaxes(type="log", tickvals=sizes, ticktext=[f"{s:,}" for s in sizes], row=row, col=col)
        figure.update_yaxes(type="log", title="seconds", dtick=1, row=row, col=col)
    told = "; ".join(f"{title} {log_slope(*panel):.2f}" for title, panel in panels.items())
    n = sum(len(sizes) for sizes, _ in panels.values())
    return styled(figure, f"Seconds grow with this power of the size (n = {n} sizes measured). {told}", 700)
