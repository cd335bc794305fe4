"""Figures. Each answers one question, names its finding in at most twelve words, says the numbers behind it (n,
intervals) in its caption, and returns a plotly figure.

Colours (Okabe-Ito, safe for colour-blind readers) mean the same everywhere: H-Neurons vermilion, controls grey,
true answers blue, hallucinated answers orange, confidence green, dense probes purple, planted neurons violet, and dark
what is none of these. Random sets are a band that holds 95 % of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from hn_utils.stats.tables import counted

if TYPE_CHECKING:
    from hn_utils.probing.given_neurons import GivenNeurons
    from hn_utils.probing.probe import HNeurons
    from hn_utils.stats.bootstrap import Estimate

H_NEURON, CONTROL, TRUE, FALSE, PLANTED = "#D55E00", "#9A9A9A", "#0072B2", "#E69F00", "#5E3C99"
CONFIDENCE, DENSE = "#009E73", "#CC79A7"  # what the model gives away of how sure it is; a probe on all neurons
OTHER = "#444444"
REFERENCE: dict[str, Any] = {"color": "#333333", "dash": "dot", "width": 1}  # chance, no change, a threshold
HEIGHT = 520
TEXT, _TITLE, _CAPTION = 16, 19, 15  # pixels of letters, such that they can be read at half size
MATCHED = "neurons picked on shuffled labels"


def styled(figure: go.Figure, title: str, caption: str, height: int = HEIGHT) -> go.Figure:
    """House layout: white, a title that states the finding, the numbers below it, the legend at the bottom."""
    wrapped, below = ("<br>".join(wrap(printable(text), width)) for text, width in ((title, 92), (caption, 112)))
    panels = [a.text for a in figure.layout.annotations if a.yref == "paper"]  # type: ignore[union-attr]
    lines = max((text.count("<br>") + 1 for text in panels), default=0)
    figure.update_layout(
        template="plotly_white",
        title={
            "text": wrapped,
            "x": 0.01,
            "xanchor": "left",
            "y": 1 - 24 / height,  # plotly measures from the middle of the first line
            "yanchor": "top",
            "font": {"size": _TITLE},
            "subtitle": {"text": below, "font": {"size": _CAPTION, "color": "#555555"}},
        },
        font={"size": TEXT},
        height=height,
        margin={"t": 50 + 24 * (wrapped.count("<br>") + 1) + 20 * (below.count("<br>") + 1) + 22 * lines, "l": 70},
        legend={"orientation": "h", "yref": "container", "y": 0.01, "yanchor": "bottom", "x": 0},
        hoverlabel={"font_size": TEXT},
    )
    figure.update_layout(margin={"r": 30, "b": 60})
    figure.update_xaxes(title_font_size=TEXT, title_standoff=8)
    return figure.update_yaxes(title_font_size=TEXT, title_standoff=8)


def add_slider(
    figure: go.Figure, prefix: str, labels: Sequence[str], start: int, below: int = 0, told: Sequence[str] = ()
) -> None:
    """A slider with a step a label. The figure's traces are those of the first step, then of the second, and so on;
    `told` is what the first annotation says at each. It stands `below` pixels under the axis."""
    n = len(list(figure.select_traces()))
    owner = [trace * len(labels) // n for trace in range(n)]
    steps = []
    for place, label in enumerate(labels):
        arguments: list[dict[str, object]] = [{"visible": [step == place for step in owner]}]
        if told:
            arguments.append({"annotations[0].text": told[place]})
        steps.append({"label": label, "method": "update", "args": arguments})
    for trace, step in enumerate(owner):
        figure.update_traces(visible=step == start, selector=trace)
    slider = {"active": start, "steps": steps, "currentvalue": {"prefix": prefix}, "pad": {"t": below}}
    figure.update_layout(sliders=[slider])


def wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def around(estimates: Sequence[Estimate]) -> dict[str, Any]:
    """Error bars that reach over each interval."""
    return {
        "type": "data",
        "array": [e.high - e.value for e in estimates],
        "arrayminus": [e.value - e.low for e in estimates],
        "thickness": 1.5,
    }


def line(x: Sequence[float] | Sequence[str], estimates: Sequence[Estimate], colour: str, name: str) -> go.Scatter:
    """A line with its 95 % interval as error bars."""
    return go.Scatter(
        x=x,
        y=[e.value for e in estimates],
        error_y=around(estimates),
        mode="lines+markers",
        name=name,
        legendgroup=name,
        line={"color": colour, "width": 3},
        hovertemplate="%{x}: %{y:.2f}<extra>" + name + "</extra>",
    )


def envelope(x: Sequence[float] | Sequence[str], values: np.ndarray) -> list[go.Scatter]:
    """What control sets do, [set, x]: a band that holds 95 % of them, and their median."""
    low, middle, high = np.percentile(values, [2.5, 50, 97.5], axis=0)
    return shaded(x, low, middle, high, "their median")


def shaded(
    x: Sequence[float] | Sequence[str], low: Sequence[float], middle: Sequence[float], high: Sequence[float], named: str
) -> list[go.Scatter]:
    """The band of control sets between `low` and `high`, and a line, `named`, in its middle."""
    band = go.Scatter(
        x=[*x, *x[::-1]],
        y=[*high, *low[::-1]],
        fill="toself",
        fillcolor="rgba(154,154,154,0.3)",
        line={"width": 0},
        mode="lines",
        name="picked on shuffled labels: 95 % of the sets",
        legendgroup="band",
        hoverinfo="skip",
    )
    centre = go.Scatter(
        x=list(x),
        y=middle,
        mode="lines",
        line={"color": CONTROL, "width": 2},
        name=named,
        legendgroup="middle of the band",
        customdata=np.stack([low, high], axis=1),
        hovertemplate="control sets at %{x}: %{y:.3f}, 95 % from %{customdata[0]:.3f} to %{customdata[1]:.3f}"
        "<extra></extra>",
    )
    return [band, centre]


def put(figure: go.Figure, traces: Sequence[go.Scatter], column: int) -> None:
    """Add traces to a panel; each name stands in the legend once."""
    named = {trace.name for trace in figure.data}  # type: ignore[union-attr]
    for trace in traces:
        figure.add_trace(trace.update(showlegend=trace.name not in named), row=1, col=column)


def auroc_map(
    x: Sequence[str], y: Sequence[str], values: np.ndarray, text: list[list[str]], ends: tuple[float, float], hover: str
) -> go.Figure:
    """AUROCs [row, column] as colours around 0.5, on a scale between two `ends`."""
    return go.Figure(
        go.Heatmap(
            x=x,
            y=y,
            z=values,
            text=text,
            texttemplate="%{text}",
            colorscale="RdBu_r",
            zmid=0.5,
            zmin=ends[0],
            zmax=ends[1],
            colorbar={"title": "AUROC"},
            hovertemplate=f"{hover}<br>%{{text}}<extra></extra>",
        )
    )


def log_axis(values: Sequence[float], steps: Sequence[int] = (1, 3)) -> dict[str, Any]:
    """A log axis over these values, with round numbers as its ticks."""
    ticks = [step * 10.0**power for power in range(-9, 10) for step in steps]
    shown = [tick for tick in ticks if 0.9 * min(values) <= tick <= 1.1 * max(values)]
    return {"type": "log", "tickvals": shown, "ticktext": [f"{tick:,g}" for tick in shown]}


def printable(text: str) -> str:
    """A model's words as a figure can show them: plotly reads < as markup, and fails at control characters."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text).replace("<", "&lt;")


def neuron_name(flat: int, d_mlp: int) -> str:
    return f"L{flat // d_mlp}.N{flat % d_mlp}"


def read_at(card: HNeurons | GivenNeurons) -> str:
    """Whose curves these are."""
    place = "before" if card.region == "before" else "at"
    return f"{counted(len(card.rows), card.noun)} read {place} the answer,"
