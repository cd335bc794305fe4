"""Figures of what a model has read, and of when its H-Neurons form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hn_utils.report.plots.style import CONTROL, H_NEURON, TRUE, log_axis, styled, wrap

_APART = 0.22  # between the seeds of one kind of text, in rows


def what_text(table: pd.DataFrame, raised: Sequence[str]) -> go.Figure:
    """What H-Neurons do after each kind of text, a panel a measure: see `hn_utils.organism.texts_compared.drawn`. The
    first kind of text is the one that the others are compared with; `raised` names those that raise detection."""
    titles, texts = (list(dict.fromkeys(table[column])) for column in ("title", "says"))
    heads = ["<br>".join(wrap(title, 16)) for title in titles]
    figure = make_subplots(rows=1, cols=len(titles), subplot_titles=heads, shared_yaxes=True)
    for column, title in enumerate(titles, start=1):
        panel = cast(pd.DataFrame, table[table["title"] == title])
        for learnt in (True, False):
            trace = marks(cast(pd.DataFrame, panel[panel["learnt"] == learnt]), texts, learnt)
            figure.add_trace(trace.update(showlegend=column == 1), row=1, col=column)
        reference = [estimate.value for estimate in panel[panel["says"] == texts[0]]["estimate"]]
        for x, dash in ((0, "solid"), *((value, "dot") for value in [np.mean(reference)] if reference)):
            figure.add_vline(x=x, line={"color": "#333333", "dash": dash, "width": 1}, col=column)  # type: ignore[arg-type]
    ticks = ["<br>".join(wrap(text, 30)) for text in texts]
    figure.update_yaxes(tickvals=list(range(len(texts))), ticktext=ticks, range=[len(texts) - 0.4, -0.6])
    nothing = "No property of the text raised detection in all seeds"
    return styled(
        figure,
        f"Detection rises under: {', '.join(raised)}" if raised else nothing,
        "H-Neurons minus random sets of the same layers and loudness: AUROC, or the share of pairs of equal confidence "
        "in which the made-up answer scores higher. A mark a seed, with its 95 % interval over people; hollow: the "
        f"model has not learnt its text. Dotted: the mean where {texts[0]}.",
        240 + 64 * len(texts),
    )


def marks(panel: pd.DataFrame, texts: Sequence[str], learnt: bool) -> go.Scatter:
    """A mark a run with its interval."""
    told, name = panel["estimate"].tolist(), "text learnt" if learnt else "text not learnt"
    return go.Scatter(
        x=[value.value for value in told],
        y=[texts.index(says) + _APART * (seed - 2) for says, seed in zip(panel["says"], panel["seed"], strict=True)],
        error_x={
            "type": "data",
            "array": [value.high - value.value for value in told],
            "arrayminus": [value.value - value.low for value in told],
            "thickness": 1.2,
        },
        mode="markers",
        marker={"color": H_NEURON if learnt else CONTROL, "size": 9, "symbol": "circle" if learnt else "circle-open"},
        name=name,
        text=[f"seed {seed}" for seed in panel["seed"]],
        hovertemplate="%{text}: %{x:.2f}<extra>" + name + "</extra>",
    )


def since_when(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Over pre-training and tuning, a line a seed: what is known, and what the H-Neurons detect beyond random sets."""
    figure = make_subplots(rows=1, cols=2, subplot_titles=("Draws that are right", "AUROC beyond random neurons"))
    for number, row in enumerate(rows):
        moments = [*row["when"]["pages"], *row["when"]["tuning"]]
        lines = (
            (1, "recall", [m["recall"] for m in moments], TRUE, "solid"),
            (2, "the final H-Neurons, unchanged", [_value_of(m["beyond"]) for m in moments], H_NEURON, "solid"),
            (2, "H-Neurons found anew", _anew_beyond(moments), H_NEURON, "dot"),
        )
        for column, name, y, colour, dash in lines:
            figure.add_trace(_seed_line(row, moments, y, name, colour, dash, number == 0), row=1, col=column)
    figure.add_hline(y=0, line={"color": "#333333", "width": 1}, col=2)  # type: ignore[arg-type]
    figure.update_xaxes(title="step of pre-training, then of tuning", type="category")
    first = [_first_detected(row["when"]["pages"]) for row in rows]
    title = "H-Neurons can be found before pre-training ends" if all(first) else "H-Neurons are not found in every base"
    return styled(
        figure,
        title,
        caption="First checkpoint of pre-training at which a set found anew lies above random sets with its whole "
        f"95 % interval, by seed: {', '.join(name or 'none' for name in first)}.",
    )


def _seed_line(
    row: Mapping[str, Any],
    moments: Sequence[Mapping[str, Any]],
    y: Sequence[float | None],
    name: str,
    colour: str,
    dash: str | None,
    in_legend: bool,
) -> go.Scatter:
    """One run's line over its checkpoints."""
    return go.Scatter(
        x=[moment_name(moment) for moment in moments],
        y=y,
        mode="lines+markers",
        line={"color": colour, "dash": dash, "width": 2},
        name=name,
        legendgroup=name,
        showlegend=in_legend,
        hovertemplate=f"seed {row['seed']}, %{{x}}: %{{y:.2f}}<extra>{name}</extra>",
    )


def _anew_beyond(moments: Sequence[Mapping[str, Any]]) -> list[float | None]:
    """What the sets found anew detect beyond random; None where there is none."""
    return [_value_of((moment["anew"] or {}).get("beyond")) for moment in moments]


def with_width(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """The same over pre-training alone for models of several widths, a column a width and a line a seed."""
    widths = sorted({row["width"] for row in rows})
    heads = [f"width {width}" for width in widths]
    figure = make_subplots(rows=2, cols=len(widths), shared_xaxes=True, shared_yaxes="rows", column_titles=heads)  # type: ignore[arg-type]
    for column, width in enumerate(widths, start=1):
        for row in (one for one in rows if one["width"] == width):
            moments = row["when"]["pages"]
            lines = (
                (1, "draws that are right", [m["recall"] for m in moments], TRUE),
                (2, "H-Neurons found anew", _anew_beyond(moments), H_NEURON),
            )
            for place, name, y, colour in lines:
                line = _seed_line(row, moments, y, name, colour, None, row is rows[0])
                figure.add_trace(line, row=place, col=column)
    figure.add_hline(y=0, line={"color": "#333333", "width": 1}, row=2)  # type: ignore[arg-type]
    figure.update_xaxes(title="step of pre-training", type="category", row=2)
    figure.update_yaxes(title="share of draws", row=1, col=1)
    figure.update_yaxes(title="AUROC beyond random", row=2, col=1)
    earliest = {width: _first_of([row for row in rows if row["width"] == width]) for width in widths}
    return styled(
        figure,
        "The wider the model, the earlier H-Neurons can be found"
        if _strictly_earlier(list(earliest.values()))
        else "Wider models do not all have H-Neurons earlier",
        "First checkpoint at which a set found anew lies above random sets with its whole 95 % interval, by seed: "
        + "; ".join(f"width {w}: {', '.join(name or 'none' for name, _ in found)}" for w, found in earliest.items())
        + ". It takes answers of both kinds to look for them, so they cannot be found before facts are recalled.",
        680,
    )


def _first_of(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
    """For each seed the first checkpoint with H-Neurons of its own, by name and place (infinity if none)."""
    names = [[moment_name(moment) for moment in row["when"]["pages"]] for row in rows]
    first = [_first_detected(row["when"]["pages"]) for row in rows]
    return [(one, all_.index(one) if one else np.inf) for one, all_ in zip(first, names, strict=True)]


def _strictly_earlier(by_width: Sequence[Sequence[tuple[str, float]]]) -> bool:
    """Is the median seed of every width earlier than that of the width before?"""
    medians = [float(np.median([place for _, place in found])) for found in by_width]
    return all(after < before for before, after in pairwise(medians))


def made_up_by_exposure(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """How often a base model makes answers up against how often pre-training states the fact in all, a line a
    checkpoint, in the mean of all seeds; the darker, the later."""
    moments = [row["when"]["pages"] for row in rows]

    def of_groups(what: str, place: int) -> list[float]:
        """Mean over the seeds, for each group of facts that are stated at all."""
        told = [[group[what] for group in pages[place]["exposed"] if group["exposure"] > 0] for pages in moments]
        return np.mean(told, axis=0).tolist()

    figure, x, n = go.Figure(), of_groups("exposure", 0), sum(of_groups("n", 0))
    for place, moment in enumerate(moments[0]):
        name = moment_name(moment)
        shown = f"rgba(230,159,0,{0.25 + 0.75 * place / (len(moments[0]) - 1):.2f})"
        figure.add_trace(
            go.Scatter(
                x=x,
                y=of_groups("made_up", place),
                mode="lines+markers",
                line={"color": shown, "width": 3},
                name=f"step {name}" if name.isdigit() else "end of pre-training",
                hovertemplate="stated %{x:.1f} times in all: %{y:.2f} wrong<extra>" + name + "</extra>",
            )
        )
    figure.update_xaxes(title="times the fact is stated in all of pre-training (mean of a group)", **log_axis(x))
    figure.update_yaxes(title="share of draws that are wrong", range=[0, 1.02])
    early, late = of_groups("made_up", 0), of_groups("made_up", -1)
    return styled(
        figure,
        "Facts that are read more often are made up less"
        if late[-1] < late[0]
        else "Facts that are read more often are made up as often",
        f"{late[0]:.2f} of the draws about facts stated {x[0]:.0f} times are wrong at the end, {late[-1]:.2f} of "
        f"those stated {x[-1]:.0f} times; at the first checkpoint {early[0]:.2f} and {early[-1]:.2f}. n = {n:.0f} "
        f"questions in {len(x)} groups, {len(rows)} seeds.",
    )


def moment_name(moment: Mapping[str, Any]) -> str:
    """A checkpoint's step, as an axis shows it."""
    stage, _, step = moment["model"].rpartition("/")[2].partition("-")
    return f"{'t' if stage == 'tuning' else ''}{int(step)}" if step else {"base": "base", "instruct": "tuned"}[stage]


def _value_of(estimate: Mapping[str, float] | None) -> float | None:
    return None if estimate is None else estimate["value"]


def _first_detected(moments: Sequence[Mapping[str, Any]]) -> str:
    """The first checkpoint whose own H-Neurons lie above random ones with the whole interval."""
    able = [m for m in moments if m["anew"] and m["anew"]["beyond"]["low"] > 0]
    return moment_name(able[0]) if able else ""
