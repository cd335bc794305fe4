"""Figures. Each answers one question, names its finding with n and interval in the title, and returns a plotly figure.

Colours (Okabe-Ito, safe for colour-blind readers) mean the same everywhere: H-Neurons vermilion, controls grey,
true answers blue, hallucinated answers orange, the base model sky blue, confidence green, dense probes purple, planted
neurons violet.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from hn_utils.controls import Estimate
from hn_utils.probe import HNeurons
from hn_utils.tabled import counted

H_NEURON, CONTROL, TRUE, FALSE, BASE, ABSTAINED = (
    "#D55E00",
    "#9A9A9A",
    "#0072B2",
    "#E69F00",
    "#56B4E9",
    "#444444",
)
CONFIDENCE, DENSE = "#009E73", "#CC79A7"  # what the model gives away of how sure it is; a probe on all neurons
PLANTED = "#5E3C99"
HEIGHT = 520
MATCHED = "random neurons, same layers and loudness"


def styled(figure: go.Figure, title: str, height: int = HEIGHT, caption: str = "") -> go.Figure:
    """House layout: white, wrapped left-aligned title that states the finding, numbers in the caption, legend below."""
    wrapped = "<br>".join(wrap(printable(title), 105))
    below = "<br>".join(wrap(printable(caption), 125)) if caption else ""
    lines = wrapped.count("<br>") + 1 + (below.count("<br>") + 1 if caption else 0)
    figure.update_layout(
        template="plotly_white",
        title={
            "text": wrapped,
            "x": 0.01,
            "xanchor": "left",
            "y": 1 - 24 / height,  # plotly measures from the middle of the first line
            "yanchor": "top",
            "font": {"size": 15},
        },
        font={"size": 13},
        height=height,
        margin={"t": 60 + 20 * lines, "l": 70, "r": 30, "b": 110},
        legend={"orientation": "h", "y": -0.2, "x": 0},
        hoverlabel={"font_size": 13},
    )
    if caption:
        figure.update_layout(title_subtitle={"text": below, "font": {"size": 13, "color": "#555555"}})
    return figure


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


def band(x: Sequence[float] | Sequence[str], estimates: Sequence[Estimate], colour: str, name: str) -> list[go.Scatter]:
    """A line with its 95 % interval as error bars."""
    return [
        go.Scatter(
            x=x,
            y=[e.value for e in estimates],
            error_y={
                "type": "data",
                "array": [e.high - e.value for e in estimates],
                "arrayminus": [e.value - e.low for e in estimates],
                "thickness": 1.2,
            },
            mode="lines+markers",
            name=name,
            line={"color": colour, "width": 3},
            hovertemplate="%{x}: %{y:.2f}<extra>" + name + "</extra>",
        )
    ]


def printable(text: str) -> str:
    """A model's words as a figure can show them: plotly reads < as markup, and fails at control characters."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text).replace("<", "&lt;")


def neuron_name(flat: int, d_mlp: int) -> str:
    return f"L{flat // d_mlp}.N{flat % d_mlp}"


def envelope(figure: go.Figure, x: Sequence[float] | Sequence[str], values: np.ndarray, column: int, name: str) -> None:
    """What random sets do, [set, alpha]: a band that holds 95 % of them, and their median; named in column 1."""
    low, middle, high = np.percentile(values, [2.5, 50, 97.5], axis=0)
    band = go.Scatter(
        x=[*x, *x[::-1]],
        y=[*high, *low[::-1]],
        fill="toself",
        fillcolor="rgba(154,154,154,0.3)",
        line={"width": 0},
        mode="lines",
        name=f"{name}: 95 % of the sets",
        legendgroup="band",
        hoverinfo="skip",
    )
    median = go.Scatter(
        x=list(x),
        y=middle,
        mode="lines",
        line={"color": CONTROL, "width": 2},
        name="their median",
        legendgroup="median",
        customdata=np.stack([low, high], axis=1),
        hovertemplate="random sets at alpha %{x}: median %{y:.3f}, 95 % from %{customdata[0]:.3f} to "
        "%{customdata[1]:.3f}<extra></extra>",
    )
    for trace in (band, median):
        figure.add_trace(trace.update(showlegend=column == 1), row=1, col=column)


def read_at(card: HNeurons) -> str:
    """Whose curves these are."""
    place = "before" if card.region == "before" else "at"
    return f"{counted(len(card.rows), 'H-Neuron')} read {place} the answer,"
