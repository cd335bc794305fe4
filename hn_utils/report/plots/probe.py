"""Figures of the path, the neurons it picks, and what they detect."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hn_utils.report.plots.style import (
    CONFIDENCE,
    CONTROL,
    DENSE,
    H_NEURON,
    OTHER,
    REFERENCE,
    add_slider,
    around,
    envelope,
    line,
    log_axis,
    neuron_name,
    styled,
    wrap,
)
from hn_utils.stats.bootstrap import Estimate, bootstrap
from hn_utils.stats.metrics import auroc
from hn_utils.stats.tables import counted

if TYPE_CHECKING:
    from hn_utils.probing.find import Found
    from hn_utils.probing.l1_path import Fit
    from hn_utils.probing.probe import Detection, Probe


def l1_path(probe: Probe) -> go.Figure:
    """How well does each C detect on validation, how many neurons does it keep, and which was chosen?"""
    grid, sizes = [fit.C for fit in probe.path], [len(fit.h_neurons) for fit in probe.path]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    told = [f"C = {fit.C:.3g}<br>violation of optimality {fit.kkt_violation:.1e}" for fit in probe.path]
    best, chosen = probe.validation[probe.best], probe.validation[probe.chosen]
    for row, values in enumerate(([e.value for e in probe.validation], sizes), start=1):
        curve = go.Scatter(x=grid, y=values, mode="lines+markers", line={"color": H_NEURON, "width": 3}, text=told)
        if row == 1:
            curve.update(error_y={"type": "data", "array": [e.standard_error for e in probe.validation]})
        ring = {"color": H_NEURON, "size": 20, "symbol": "circle-open", "line": {"width": 3}}
        mark = go.Scatter(x=[probe.fit.C], y=[values[probe.chosen]], mode="markers", marker=ring, hoverinfo="skip")
        figure.add_traces([curve.update(hovertemplate="%{text}<br>%{y:.3g}<extra></extra>"), mark], rows=row, cols=1)
    figure.add_hline(y=best.value - best.standard_error, line=REFERENCE, row=1, col=1)  # type: ignore[arg-type]
    figure.update_xaxes(**log_axis(grid))
    figure.update_xaxes(title="C, the price of an error", row=2)
    figure.update_yaxes(title="validation AUROC", row=1)
    figure.update_yaxes(title="H-Neurons", rangemode="tozero", row=2)
    figure.update_layout(showlegend=False)
    return styled(
        figure,
        f"{counted(sizes[probe.chosen], 'H-Neuron')}: the sparsest probe within one standard error of the best",
        f"Ring: chosen, C = {probe.fit.C:.3g}, validation AUROC {chosen} (95 %; n = {chosen.n} answers). Bars: one "
        f"standard error. Dotted: the best, {best.value:.2f}, minus its own.",
        600,
    )


def l1_path_weights(probe: Probe, d_mlp: int) -> go.Figure:
    """Which neurons have a weight at each C, and what weight? A slider walks along the path."""
    figure, told = go.Figure(), []
    for place, fit in enumerate(probe.path):
        n = len(fit.h_neurons)
        told.append(
            f"{counted(n, 'H-Neuron')}, {len(fit.neurons) - n} of negative weight (rings)<br>"
            f"validation AUROC {probe.validation[place].value:.2f}"
        )
        figure.add_traces(_weights_of(fit, d_mlp))
    add_slider(figure, "C = ", [f"{fit.C:.2g}" for fit in probe.path], probe.chosen, 60, told)
    figure.add_annotation(
        **{"text": told[probe.chosen], "x": 0, "y": 1.02, "xref": "paper", "yref": "paper", "showarrow": False},
        **{"xanchor": "left", "yanchor": "bottom", "align": "left"},
    )
    figure.add_hline(y=0, line={"color": "#333333", "width": 1})
    figure.update_xaxes(title="layer (each layer's neurons side by side)", rangemode="tozero")
    figure.update_yaxes(title="weight")
    figure.update_layout(showlegend=False)
    sparse, dense = (next(f for f in order if len(f.h_neurons)) for order in (probe.path, probe.path[::-1]))
    return styled(
        figure,
        f"From {len(sparse.h_neurons)} to {len(dense.h_neurons)} H-Neurons along the path; chosen: "
        f"{len(probe.fit.h_neurons)}",
        f"C from {sparse.C:.2g} to {dense.C:.2g}; chosen: {probe.fit.C:.3g} (n = "
        f"{probe.validation[probe.chosen].n} validation answers). Move the slider.",
        620,
    )


def _weights_of(fit: Fit, d_mlp: int) -> list[go.Scatter]:
    """A fit's neurons against their weights: the H-Neurons, and those of negative weight."""
    positive, traces = fit.weights > 0, []
    for colour, symbol, some in ((H_NEURON, "circle", positive), (OTHER, "circle-open", ~positive)):
        traces.append(
            go.Scatter(
                x=fit.neurons[some] / d_mlp,
                y=fit.weights[some],
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 10},
                text=[neuron_name(j, d_mlp) for j in fit.neurons[some].tolist()],
                hovertemplate="%{text}: weight %{y:.2f}<extra></extra>",
            )
        )
    return traces


def single_neurons(found: Found) -> go.Figure:
    """Does each H-Neuron write more in made-up answers than in true ones? Sorted, beside sets picked on shuffled
    labels, sorted alike."""
    collected = found.collected
    X, labels, people = collected.labelled(collected.rows("validation"), found.probe.region)
    own = [bootstrap(auroc, labels, column, groups=people) for column in X.columns(found.neurons).T]
    order = sorted(range(len(own)), key=lambda i: -own[i].value)
    names = [neuron_name(j, found.card.d_mlp) for j in found.neurons[order].tolist()]
    sets = [X.columns(fit.neurons).T for fit in found.control if len(fit.neurons) == len(own)]
    random = np.array([sorted((auroc(labels, column) for column in columns), reverse=True) for columns in sets])
    figure = go.Figure(envelope(names, random))
    figure.add_trace(line(names, [own[i] for i in order], H_NEURON, "H-Neurons").update(mode="markers", marker_size=10))
    figure.add_hline(y=0.5, line=REFERENCE)
    figure.update_xaxes(type="category", tickangle=-60)
    figure.update_yaxes(title="AUROC of the neuron alone")
    bar = np.maximum(np.percentile(random, 97.5, axis=0), 0.5)
    beyond = sum(own[i].low > bar[place] for place, i in enumerate(order))
    louder, others = sum(e.value > 0.5 for e in own), np.percentile((random > 0.5).sum(1), [2.5, 50, 97.5])
    return styled(
        figure,
        f"{beyond} of {counted(len(own), 'H-Neuron')} write more in made-up answers than their control",
        f"Each set is sorted. Counted: 95 % intervals (bars, over entities) above 0.5 and above the band at their "
        f"place. Above 0.5 a neuron contributes more to made-up answers: {louder} H-Neurons do, of as many picked on "
        f"shuffled labels {others[1]:.0f} (median; 95 % of {len(random)} sets: {others[0]:.0f} to "
        f"{others[2]:.0f}). n = {len(labels)} validation answers.",
    )


def detection(found: Found, table: Sequence[Detection]) -> go.Figure:
    """How well does each detector tell hallucinated from true answers, on each test set of the table?"""
    names = list(dict.fromkeys(d.name for d in table))
    sets = list(dict.fromkeys(d.test_set for d in table))
    sizes = {d.test_set: d.auroc.n for d in table}
    titles = [f"{_in_narrow_lines(s)}<br>(n = {sizes[s]})" for s in sets]
    figure = make_subplots(cols=len(sets), rows=1, shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.02)
    for column, test_set in enumerate(sets, start=1):
        for row in (d for d in table if d.test_set == test_set):
            figure.add_trace(_one_detector(row), row=1, col=column)
        figure.add_vline(x=0.5, line=REFERENCE, row=1, col=column)  # type: ignore[arg-type]
    figure.update_xaxes(range=[0.25, 1.05], title="AUROC")
    figure.update_yaxes(categoryorder="array", categoryarray=[_in_two_lines(name) for name in names[::-1]])
    return styled(
        figure,
        detected(found.beyond),
        f"AUROC of {counted(len(found.card.rows), 'H-Neuron')} on {sets[0]}: minus what shuffled labels pick "
        f"{found.beyond['any']} (rank p = {found.p['any']:.3f}), minus random neurons as loud {found.beyond['loud']}, "
        f"minus confidence {found.beyond['confidence']}. Bars of control sets hold 95 % of them; the others are 95 % "
        "intervals over entities.",
        260 + 44 * len(names),
    )


def _in_narrow_lines(title: str) -> str:
    """A test set's title, broken behind its first word and then so that it stays within its panel."""
    first, *rest = title.split(" ", 1)
    return "<br>".join([first, *wrap(" ".join(rest), 14)])


def _in_two_lines(name: str) -> str:
    """A detector's name, broken at its first comma or bracket, so that a phone has room for the rest."""
    return re.sub(r"(?<=,) | (?=\()", "<br>", name, count=1)


def detected(beyond: Mapping[str, Estimate]) -> str:
    """Whether the H-Neurons detect beyond their hardest control, and beyond confidence, in a dozen words."""
    if beyond["any"].direction() <= 0:
        return "H-Neurons are not told apart from picks on shuffled labels"
    told = {1: "more than", -1: "less than", 0: "not told apart from"}[beyond["confidence"].direction()]
    return f"H-Neurons detect more than picks on shuffled labels, {told} confidence"


_UNSURE = ("plain confidence", "entropy", "margin")  # detectors that read how sure the model is


def colour_of(name: str) -> str:
    """The colour of a detector, by what it is."""
    if "random" in name or "shuffled" in name:
        return CONTROL
    if name.startswith(("H-Neurons", "L1 probe")):
        return H_NEURON
    return DENSE if "L2 probe" in name else CONFIDENCE if name.startswith(_UNSURE) else OTHER


def _one_detector(row: Detection) -> go.Scatter:
    """A detector's AUROC with its interval."""
    return go.Scatter(
        x=[row.auroc.value],
        y=[_in_two_lines(row.name)],
        error_x=around([row.auroc]),
        marker={"color": colour_of(row.name), "size": 11},
        showlegend=False,
        hovertemplate=f"{row.name}<br>AUROC {row.auroc}<br>n = {row.auroc.n}"
        f"<br>neurons {row.n_neurons or '-'}<extra></extra>",
    )
