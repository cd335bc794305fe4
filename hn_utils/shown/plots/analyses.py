"""Figures of what the probe is put to: other rules, planted truth, other kinds of fact, everyday answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hn_utils.analyses import AtPosition, Domains, Everyday, PaperRule, Planted
from hn_utils.analyses.planted import N_MADE_UP, N_PLANTED
from hn_utils.probe import Fit, row_of
from hn_utils.shown.plots.style import (
    ABSTAINED,
    BASE,
    CONFIDENCE,
    CONTROL,
    DENSE,
    H_NEURON,
    HEIGHT,
    MATCHED,
    TRUE,
    band,
    printable,
    styled,
)


def paper_rule(rule: PaperRule, own: Fit) -> go.Figure:
    """What would the paper's rule choose: the probe's accuracy, and what the model still knows without its neurons."""
    figure = make_subplots(rows=1, cols=2, subplot_titles=("Against C", "Against each other (best: upper right)"))
    add_rule_curves(figure, rule)
    chosen = rule.fits[rule.chosen]
    add_choice(figure, rule, own, "chosen by our rule", "dot", "circle-open")
    add_choice(figure, rule, chosen, "chosen by the paper's rule", "dash", "square-open")
    figure.update_xaxes(title="C", type="log", row=1, col=1)
    figure.update_yaxes(title="share of answers; of questions", range=[0, 1.02], row=1, col=1)
    figure.update_xaxes(title="accuracy of the probe", row=1, col=2)
    figure.update_yaxes(title="recall with its H-Neurons suppressed", row=1, col=2)
    return styled(
        figure,
        f"The paper's rule (the probe's accuracy, n = {rule.n_answers} answers, + the model's recall without its "
        f"H-Neurons, n = {rule.n_questions} questions) takes C = {chosen.C:.3g}, {len(chosen.h_neurons)} H-Neurons; "
        f"ours C = {own.C:.3g}, {len(own.h_neurons)}. With a fit's H-Neurons silenced the model still answers "
        f"{min(rule.recall):.0%} to {max(rule.recall):.0%} of validation questions ({rule.recall_unscaled:.0%} "
        f"untouched)",
        560,
    )


def add_rule_curves(figure: go.Figure, rule: PaperRule) -> None:
    """Accuracy and recall of every fit, against C and against each other."""
    counts, grid = [len(fit.h_neurons) for fit in rule.fits], [fit.C for fit in rule.fits]
    told = [f"C = {C:.3g}<br>{n} H-Neurons" for C, n in zip(grid, counts, strict=True)]
    for name, values, colour in (
        ("accuracy of the probe", rule.accuracy, H_NEURON),
        ("recall with its H-Neurons suppressed", rule.recall, TRUE),
        ("recall, nothing suppressed", [rule.recall_unscaled] * len(counts), CONTROL),
    ):
        line = {"color": colour, "width": 3}
        hover = "%{text}<br>%{y:.2f}<extra>" + name + "</extra>"
        trace = go.Scatter(x=grid, y=values, name=name, mode="lines+markers", line=line, text=told, hovertemplate=hover)
        figure.add_trace(trace, row=1, col=1)
    figure.add_trace(
        go.Scatter(
            x=rule.accuracy,
            y=rule.recall,
            mode="markers",
            marker={"color": np.log(counts), "colorscale": "Cividis", "size": 9},
            text=told,
            hovertemplate="%{text}<br>accuracy %{x:.2f}, recall %{y:.2f}<extra></extra>",
            name="one fit each (lighter: more H-Neurons)",
        ),
        row=1,
        col=2,
    )


def add_choice(figure: go.Figure, rule: PaperRule, fit: Fit, label: str, dash: str, symbol: str) -> None:
    """Mark one fit: a line at its C, a ring where its accuracy and recall meet."""
    line = {"color": "#333333", "dash": dash, "width": 1}
    figure.add_trace(
        go.Scatter(x=[fit.C] * 2, y=[0, 1], name=label, mode="lines", line=line, hoverinfo="skip"), row=1, col=1
    )
    at = [other.C for other in rule.fits].index(fit.C)
    ring = {"color": "#333333", "symbol": symbol, "size": 17, "line": {"width": 2}}
    figure.add_trace(
        go.Scatter(
            x=[rule.accuracy[at]], y=[rule.recall[at]], mode="markers", marker=ring, name=label, hoverinfo="skip"
        ),
        row=1,
        col=2,
    )


def planted_truth(results: Sequence[Planted]) -> go.Figure:
    """How much of what is there does stability selection find, and how much that is not?"""
    correlations = sorted({r.correlated for r in results})
    titles = [f"correlation {c:g} within blocks" for c in correlations]
    figure = make_subplots(rows=1, cols=len(correlations), shared_yaxes=True, subplot_titles=titles)
    hues = (BASE, TRUE)
    strengths = sorted({r.strength for r in results if r.strength})
    for column, correlated in enumerate(correlations, start=1):
        for strength, colour in zip(strengths, hues, strict=True):
            mine = [r for r in results if (r.correlated, r.strength) == (correlated, strength)]
            figure.add_trace(
                go.Scatter(
                    x=[r.n for r in mine],
                    y=[r.recall for r in mine],
                    mode="lines+markers",
                    text=[f"{r.false:.1f}" for r in mine],
                    name=f"signal of {strength:g} SD",
                    line={"color": colour, "width": 3},
                    showlegend=column == 1,
                    hovertemplate="n = %{x}: %{y:.0%} of the planted found, %{text} others<extra></extra>",
                ),
                row=1,
                col=column,
            )
    sizes = sorted({r.n for r in results})
    figure.update_xaxes(title="answers", type="log", tickvals=sizes, ticktext=[str(n) for n in sizes])
    figure.update_yaxes(title="share of the planted neurons found", range=[-0.05, 1.15], col=1)
    nothing = [r.false for r in results if not r.strength]
    wrong, recall = np.mean([r.false for r in results if r.strength]), [r.recall for r in results if r.strength]
    return styled(
        figure,
        f"Of {N_PLANTED} neurons that know among {N_MADE_UP:,} simulated ones, stability selection finds "
        f"{min(recall):.0%} (weak signal, few answers) to {max(recall):.0%}; beside them {wrong:.2f} others on average."
        f" Where none knows it finds {np.mean(nothing):.2f} "
        f"(n = {len(results)} settings)",
    )


def domains(crossed: Domains) -> go.Figure:
    """Does what was learnt on one kind of fact hold on another? AUROC, trained on (row) and tested on (column)."""
    values = np.array([[e.value for e in row] for row in crossed.auroc])
    told = [
        [f"{e}<br>random neurons {r:.2f}" for e, r in zip(row, others, strict=True)]
        for row, others in zip(crossed.auroc, crossed.random, strict=True)
    ]
    named = [f"{name} ({len(crossed.sets[name])})" for name in crossed.names]
    figure = go.Figure(
        go.Heatmap(
            x=crossed.names,
            y=named,
            z=values,
            text=told,
            texttemplate="%{text}",
            colorscale="RdBu_r",
            zmid=0.5,
            zmin=0.2,
            zmax=0.8,
            colorbar={"title": "AUROC"},
            hovertemplate="trained on %{y}, tested on %{x}<br>%{text}<extra></extra>",
        )
    )
    figure.update_xaxes(title="tested on", side="bottom")
    figure.update_yaxes(title="trained on (H-Neurons)", autorange="reversed")
    (within, by_chance), (across, across_chance) = crossed.mean(True), crossed.mean(False)
    n, sizes = sum(e.n for e in crossed.auroc[0]), ", ".join(str(len(neurons)) for neurons in crossed.sets.values())
    return styled(
        figure,
        f"Within a kind of fact sets of {sizes} H-Neurons reach a mean AUROC of {within:.2f} (random neurons of the "
        f"same layers and loudness {by_chance:.2f}), across kinds {across:.2f} (random {across_chance:.2f}; n = {n} "
        "test answers). "
        f"The union of all sets reaches {crossed.union[0]} (random {crossed.union[1]:.2f}). "
        "Brackets: 95 % over entities",
        560,
    )


def everyday(day: Everyday) -> go.Figure:
    """On unfiltered answers: are the probabilities right, and what does it buy to stay silent where a score is high?"""
    figure = make_subplots(rows=1, cols=2, subplot_titles=("Predicted and observed", "Answering only the safest"))
    add_calibration(figure, day)
    for (name, risk), colour in zip(day.risk.items(), (H_NEURON, CONTROL, TRUE, ABSTAINED), strict=False):
        least = len(risk) // 20  # the share of errors among a handful says nothing
        covered = np.arange(1, len(risk) + 1)[least:] / len(risk)
        figure.add_trace(
            go.Scatter(x=covered, y=risk[least:], mode="lines", name=name, line={"color": colour, "width": 3}),
            row=1,
            col=2,
        )
    figure.update_xaxes(title="predicted probability", range=[0, 1], row=1, col=1)
    figure.update_yaxes(title="share made up", range=[0, 1], row=1, col=1)
    figure.update_xaxes(title="share of questions answered", range=[0, 1.02], row=1, col=2)
    figure.update_yaxes(title="share made up among them", range=[0, 1], row=1, col=2)
    errors = ", ".join(f"{fit.ece:.2f} {name}" for name, fit in day.calibrated.items())
    own, random, sure = (row_of(day.detections, start) for start in ("H-Neurons", "random", "plain confidence"))
    return styled(
        figure,
        f"On everyday answers (n = {own.auroc.n}, {day.risk[sure.name][-1]:.0%} made up) "
        f"H-Neurons reach AUROC {own.auroc}, random neurons {random.auroc.value:.2f}, confidence {sure.auroc}. "
        f"Calibration error {errors}",
        560,
    )


def over_positions(curves: Mapping[str, Sequence[AtPosition]]) -> go.Figure:
    """Where in prompt and answer can one read whether it will be true? A panel a model, the instruct model first."""
    curves = {name: curve for name, curve in curves.items() if curve}
    figure = make_subplots(
        rows=1, cols=len(curves), shared_yaxes=True, subplot_titles=[f"{name} model" for name in curves]
    )
    for column, curve in enumerate(curves.values(), start=1):
        for trace in position_traces(curve, showlegend=column == 1):
            figure.add_trace(trace, row=1, col=column)
    figure.add_hline(y=0.5, line={"color": "#333333", "width": 1, "dash": "dot"})
    figure.update_yaxes(title="AUROC, held-out people", range=[0.4, 1.02], col=1)
    name, first = next(iter(curves.items()))
    best = max((p for p in first if p.h_neurons), key=lambda p: p.h_neurons.value)  # type: ignore[union-attr]
    finding = f"H-Neurons of the {name} model tell most at “{best.name}”: AUROC {best.h_neurons} (n = {best.n} answers)"
    told = (
        f"Found anew at every position. There {best.n_neurons} H-Neurons reach {best.beyond} beyond {MATCHED} "
        "(bars and band: 95 %)."
    )
    return styled(figure, finding, HEIGHT, told).update_layout(margin_b=150, legend_y=-0.4)


def position_traces(curve: Sequence[AtPosition], showlegend: bool) -> list[go.Scatter]:
    """H-Neurons with their intervals, the envelope of random sets, a dense probe, how sure the model is."""
    found = [p for p in curve if p.h_neurons]
    names, everywhere = ([printable(p.name) for p in points] for points in (found, curve))
    own = band(names, [p.h_neurons for p in found], H_NEURON, "H-Neurons, found here")  # type: ignore[misc]
    edges = [p.random.high for p in found] + [p.random.low for p in reversed(found)]  # type: ignore[union-attr]
    envelope = go.Scatter(
        x=names + names[::-1],
        y=edges,
        mode="lines",
        fill="toself",
        fillcolor="rgba(154,154,154,.3)",
        line={"width": 0},
        name=MATCHED,
        hoverinfo="skip",
    )
    others = [
        go.Scatter(x=names, y=[p.random.value for p in found], line={"color": CONTROL}, name="their mean"),  # type: ignore[union-attr]
        go.Scatter(
            x=everywhere,
            y=[p.dense.value for p in curve],
            line={"color": DENSE, "dash": "dot"},
            name="dense probe, all neurons",
        ),
        go.Scatter(
            x=everywhere,
            y=[p.sure.value for p in curve],
            line={"color": CONFIDENCE, "dash": "dash"},
            name="how sure of the next token",
        ),
    ]
    traces = [envelope, *others, *own]
    for trace in traces:
        trace.update(showlegend=showlegend, legendgroup=trace.name)
    return traces


def add_calibration(figure: go.Figure, day: Everyday) -> None:
    """Observed against predicted, as trained and after the fit, and what would be perfect."""
    for (name, fit), colour in zip(day.calibrated.items(), (CONTROL, H_NEURON), strict=True):
        figure.add_trace(
            go.Scatter(
                x=fit.predicted,
                y=fit.observed,
                mode="lines+markers",
                name=f"H-Neurons, {name} (calibration error {fit.ece:.2f})",
                line={"color": colour, "width": 3},
            ),
            row=1,
            col=1,
        )
    figure.add_trace(
        go.Scatter(
            x=[0, 1], y=[0, 1], mode="lines", name="perfect", line={"color": "#333333", "dash": "dot", "width": 1}
        ),
        row=1,
        col=1,
    )
