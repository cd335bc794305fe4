"""Figures of what the probe is put to: other rules, planted truth, other kinds of fact, everyday answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hn_utils.analyses.planted import N_PLANTED, N_SIMULATED
from hn_utils.probing.probe import Detector, Fit
from hn_utils.report.plots.probe import colour_of, detected
from hn_utils.report.plots.style import (
    CONFIDENCE,
    DENSE,
    H_NEURON,
    MATCHED,
    PLANTED,
    REFERENCE,
    TRUE,
    auroc_map,
    envelope,
    line,
    log_axis,
    printable,
    put,
    styled,
)
from hn_utils.stats.tables import counted

if TYPE_CHECKING:
    from hn_utils.analyses import AtPosition, Domains, Everyday, PaperRule, Planted


def paper_rule(rule: PaperRule, own: Fit) -> go.Figure:
    """What would the paper's rule choose: the probe's accuracy, and what the model still knows without its neurons."""
    counts, grid = [len(fit.h_neurons) for fit in rule.fits], [fit.C for fit in rule.fits]
    told = [f"C = {C:.3g}<br>{n} H-Neurons" for C, n in zip(grid, counts, strict=True)]
    figure = go.Figure()
    for name, values, colour in (
        ("accuracy of the probe", rule.accuracy, H_NEURON),
        ("right answers, H-Neurons suppressed", rule.recall, TRUE),
    ):
        curve = go.Scatter(x=grid, y=values, name=name, mode="lines+markers", line={"color": colour, "width": 3})
        figure.add_trace(curve.update(text=told, hovertemplate="%{text}<br>%{y:.2f}<extra></extra>"))
    untouched = go.Scatter(x=[grid[0], grid[-1]], y=[rule.recall_unscaled] * 2, name="right answers, untouched")
    figure.add_trace(untouched.update(mode="lines", line={"color": TRUE, "dash": "dot", "width": 2}))
    theirs = rule.fits[rule.chosen]
    choices = {theirs.C: "the paper's rule"}
    choices[own.C] = "both rules" if own.C == theirs.C else "our rule"
    for C, name in choices.items():
        figure.add_vline(x=C, line=REFERENCE)
        at = {"x": np.log10(C), "y": 0.02, "yref": "y domain", "xanchor": "left", "yanchor": "bottom"}
        figure.add_annotation(text=name, showarrow=False, **at)
    figure.update_xaxes(title="C, the price of an error", **log_axis(grid))
    figure.update_yaxes(title="share of answers; of questions", range=[0, 1.02])
    n_theirs, n_ours = len(theirs.h_neurons), len(own.h_neurons)
    return styled(
        figure,
        f"The paper's rule and ours choose the same {counted(n_ours, 'H-Neuron')}"
        if own.C == theirs.C
        else f"The paper's rule chooses {counted(n_theirs, 'H-Neuron')}, ours {n_ours}",
        f"The paper's rule takes the best sum of accuracy (n = {rule.n_answers} answers) and of the share answered "
        f"rightly with the H-Neurons suppressed (n = {rule.n_questions} questions): C = {theirs.C:.3g}; ours "
        f"C = {own.C:.3g}. Suppressed, the model answers {min(rule.recall):.0%} to {max(rule.recall):.0%} rightly, "
        f"untouched {rule.recall_unscaled:.0%}.",
    )


def planted_truth(results: Sequence[Planted]) -> go.Figure:
    """How much of what is there does stability selection find, and how much that is not?"""
    correlations = sorted({r.correlated for r in results})
    titles = [f"correlation {c:g} within blocks" for c in correlations]
    figure = make_subplots(rows=1, cols=len(correlations), shared_yaxes=True, subplot_titles=titles)
    strengths, sizes = sorted({r.strength for r in results if r.strength}), sorted({r.n for r in results})
    for column, correlated in enumerate(correlations, start=1):
        for strength, dash in zip(strengths, ("dot", "solid"), strict=True):
            mine = [r for r in results if (r.correlated, r.strength) == (correlated, strength)]
            look = {"color": PLANTED, "width": 3, "dash": dash}
            curve = go.Scatter(x=[r.n for r in mine], y=[r.recall for r in mine], mode="lines+markers", line=look)
            curve.update(name=f"signal of {strength:g} SD", text=[f"{r.false:.1f}" for r in mine])
            curve.update(hovertemplate="n = %{x}: %{y:.0%} of the planted found, %{text} others<extra></extra>")
            put(figure, [curve], column)
    figure.update_xaxes(title="answers", type="log", tickvals=sizes, ticktext=[str(n) for n in sizes])
    figure.update_yaxes(title="share of the planted found", range=[-0.05, 1.05], col=1)
    nothing = [r.false for r in results if not r.strength]
    wrong, recall = np.mean([r.false for r in results if r.strength]), [r.recall for r in results if r.strength]
    surely = min(r.recall for r in results if r.strength and r.n == sizes[-1])
    return styled(
        figure,
        f"From {sizes[-1]} answers stability selection finds at least {surely:.0%} of planted neurons",
        f"Of {N_PLANTED} planted among {N_SIMULATED:,} simulated neurons it finds {min(recall):.0%} to "
        f"{max(recall):.0%}, by setting; beside them {wrong:.2f} others on average, and {np.mean(nothing):.2f} where "
        f"none is planted (n = {len(results)} settings).",
    )


def domains(crossed: Domains) -> go.Figure:
    """Does what was learnt on one kind of fact hold on another? AUROC, trained on (row) and tested on (column)."""
    values = np.array([[e.value for e in row] for row in crossed.auroc])
    told = [
        [f"{e.value:.2f}<br>[{e.low:.2f}, {e.high:.2f}]<br>shuffled {r:.2f}" for e, r in zip(row, others, strict=True)]
        for row, others in zip(crossed.auroc, crossed.control, strict=True)
    ]
    named = [f"{name}<br>({len(crossed.sets[name])})" for name in crossed.names]
    figure = auroc_map(crossed.names, named, values, told, (0.2, 0.8), "trained on %{y}, tested on %{x}")
    figure.update_xaxes(title="tested on", side="bottom")
    figure.update_yaxes(title="trained on (H-Neurons)", autorange="reversed")
    (within, by_chance), (across, across_chance) = crossed.mean(True), crossed.mean(False)
    above = np.array([[e.low for e in row] for row in crossed.auroc]) > np.maximum(crossed.control, 0.5)
    k, home = len(crossed.names), int(np.trace(above))
    return styled(
        figure,
        f"Detection holds within {home} of {k} kinds, across {above.sum() - home} of {k * (k - 1)}",
        f"It holds where the interval (95 % over entities) lies above 0.5 and above picks on shuffled labels. Mean "
        f"AUROC within a kind of fact {within:.2f} (shuffled {by_chance:.2f}), across {across:.2f} (shuffled "
        f"{across_chance:.2f}). All sets together reach {crossed.union[0]} (shuffled {crossed.union[1]:.2f}). "
        f"n = {sum(e.n for e in crossed.auroc[0])} test answers.",
        600,
    )


def everyday(day: Everyday) -> go.Figure:
    """On unfiltered answers: what does it buy to stay silent where a score is high, and are the probabilities right?"""
    titles = ("Answering only the safest", "H-Neurons: predicted and observed")
    figure = make_subplots(rows=1, cols=2, subplot_titles=titles, horizontal_spacing=0.14)
    n = day.control_risk.shape[1]
    some = np.unique(np.linspace(n // 20, n - 1, 60).astype(int))  # the share of errors among a handful says nothing
    covered = ((some + 1) / n).tolist()
    put(figure, envelope(covered, day.control_risk[:, some]), 1)
    for name, risk in day.risk.items():
        curve = go.Scatter(x=covered, y=risk[some], mode="lines", name=name.split(" (")[0].removeprefix("plain "))
        put(figure, [curve.update(line={"color": colour_of(name), "width": 3})], 1)
    for (name, fit), dash in zip(day.calibrated.items(), ("dot", "solid"), strict=True):
        look = {"color": H_NEURON, "width": 3, "dash": dash}
        curve = go.Scatter(x=fit.predicted, y=fit.observed, mode="lines+markers", name=name, line=look)
        put(figure, [curve], 2)
    figure.add_shape(**{"type": "line", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "line": REFERENCE, "row": 1, "col": 2})
    figure.update_xaxes(title="share of questions answered", range=[0, 1.02], row=1, col=1)
    figure.update_xaxes(title="predicted probability", range=[0, 1], row=1, col=2)
    figure.update_yaxes(range=[0, 1])
    figure.update_yaxes(title="share made up among them", row=1, col=1)
    figure.update_yaxes(title="share made up", row=1, col=2)
    own, confidence = (day.detection(detector) for detector in (Detector.H_NEURONS, Detector.CONFIDENCE))
    picked = day.detection(Detector.SELECTED)
    errors = ", ".join(f"{fit.ece:.2f} {name}" for name, fit in day.calibrated.items())
    return styled(
        figure,
        f"Everyday: {detected(day.beyond)}",
        f"AUROC of H-Neurons {own.auroc}, confidence {confidence.auroc}, {len(day.control_risk)} sets of {MATCHED} "
        f"{picked.auroc.value:.2f} (mean); minus these {day.beyond['any']}, minus confidence "
        f"{day.beyond['confidence']}. Right: calibration error {errors}. n = {own.auroc.n} answers, "
        f"{day.risk[confidence.name][-1]:.0%} made up.",
        560,
    )


def over_positions(curves: Mapping[str, Sequence[AtPosition]]) -> go.Figure:
    """Where in prompt and answer can one read whether it will be true? A panel a model, the instruct model first."""
    curves = {name: curve for name, curve in curves.items() if curve}
    titles = [f"{name} model" for name in curves]
    figure = make_subplots(rows=1, cols=len(curves), shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.04)
    for column, curve in enumerate(curves.values(), start=1):
        put(figure, _position_traces(curve), column)
    figure.add_hline(y=0.5, line=REFERENCE)
    figure.update_xaxes(tickangle=-60)
    figure.update_yaxes(title="AUROC, held-out entities", range=[0.35, 1.02], col=1)
    name, first = next(iter(curves.items()))
    best = max((p for p in first if p.h_neurons), key=lambda p: p.h_neurons.value)  # type: ignore[union-attr]
    return styled(
        figure,
        f"Of all positions, H-Neurons detect most at “{best.name}”",
        f"Found anew at every position; there, in the {name} model, {best.n_neurons} H-Neurons reach AUROC "
        f"{best.h_neurons}, {best.beyond} beyond {MATCHED} (n = {best.n} answers). Bars: 95 % over entities. "
        "Confidence: how sure the model is of the next token.",
        600,
    )


def _position_traces(curve: Sequence[AtPosition]) -> list[go.Scatter]:
    """The envelope of random sets, a dense probe, how sure the model is, and H-Neurons with their intervals."""
    found = [p for p in curve if p.h_neurons]
    names, everywhere = ([printable(p.name) for p in points] for points in (found, curve))
    others = [
        go.Scatter(x=everywhere, y=[e.value for e in estimates], line={"color": colour, "dash": dash}, name=name)
        for name, colour, dash, estimates in (
            ("dense probe", DENSE, "dot", [p.dense for p in curve]),
            ("confidence", CONFIDENCE, "dash", [p.confidence for p in curve]),
        )
    ]
    own = line(names, [p.h_neurons for p in found], H_NEURON, "H-Neurons")  # type: ignore[misc]
    return [*envelope(names, np.stack([p.random for p in found], axis=1)), *others, own]  # type: ignore[misc]
