"""Figures of the path, the neurons it picks, and what they detect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hn_utils.contributions import Contributions
from hn_utils.controls import auroc, bootstrap
from hn_utils.finding import Found
from hn_utils.l1_path import Fit
from hn_utils.probe import Detection, HNeurons, Probe
from hn_utils.shown.plots.style import (
    ABSTAINED,
    CONFIDENCE,
    CONTROL,
    DENSE,
    FALSE,
    H_NEURON,
    TRUE,
    add_slider,
    band,
    neuron_name,
    styled,
)
from hn_utils.tabled import counted


def l1_path(probe: Probe) -> go.Figure:
    """How many neurons does each C keep, how well does it detect on validation, and which was chosen?"""
    grid = [f.C for f in probe.path]
    figure = make_subplots(specs=[[{"secondary_y": True}]])
    figure.add_traces(band(grid, probe.validation, TRUE, "validation AUROC"))
    sizes = [len(f.h_neurons) for f in probe.path]
    figure.add_trace(
        go.Scatter(
            x=grid,
            y=sizes,
            name="H-Neurons (positive weights)",
            mode="lines+markers",
            line={"color": H_NEURON, "dash": "dot"},
            customdata=[[f.violation, f.deviance_explained] for f in probe.path],
            hovertemplate="C = %{x:.3g}: %{y} H-Neurons<br>violation of optimality %{customdata[0]:.1e}"
            "<br>deviance explained %{customdata[1]:.2f}<extra></extra>",
        ),
        secondary_y=True,
    )
    figure.add_trace(
        go.Scatter(
            x=[probe.fit.C],
            y=[probe.validation[probe.chosen].value],
            mode="markers",
            name="chosen",
            marker={"color": H_NEURON, "size": 18, "symbol": "circle-open", "line": {"width": 3}},
            hoverinfo="skip",
        )
    )
    figure.update_xaxes(title="C, the price of an error", type="log")
    figure.update_yaxes(title="validation AUROC", range=[0.3, 1.02], secondary_y=False)
    figure.update_yaxes(title="H-Neurons", showgrid=False, rangemode="tozero", tickformat="d", secondary_y=True)
    chosen = probe.validation[probe.chosen]
    return styled(
        figure,
        f"{counted(len(probe.fit.h_neurons), 'H-Neuron')} at C = {probe.fit.C:.3g}: the sparsest probe within one "
        f"standard error of the best; validation AUROC {chosen} (n = {chosen.n} answers)",
    )


def l1_path_weights(probe: Probe, d_mlp: int) -> go.Figure:
    """Which neurons speak at each C, and with what weight? A slider walks along the path."""
    figure, told = go.Figure(), []
    for place, fit in enumerate(probe.path):
        positive = fit.weights > 0
        told.append(
            f"C = {fit.C:.3g}: {positive.sum()} H-Neurons, {(~positive).sum()} negative weights,<br>"
            f"validation AUROC {probe.validation[place].value:.2f}"
        )
        figure.add_traces(weights_of(fit, d_mlp))
    add_slider(figure, "C = ", [f"{fit.C:.2g}" for fit in probe.path], probe.chosen, 70, told)
    figure.add_annotation(
        text=told[probe.chosen],
        x=0,
        y=1.02,
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="bottom",
        align="left",
        showarrow=False,
    )
    figure.add_hline(y=0, line={"color": "#333333", "width": 1})
    figure.update_xaxes(title="layer (each layer's neurons side by side)", rangemode="tozero")
    figure.update_yaxes(title="weight")
    sparse, dense = (next(f for f in order if len(f.h_neurons)) for order in (probe.path, probe.path[::-1]))
    styled(
        figure,
        f"From {len(sparse.h_neurons)} at C = {sparse.C:.2g} to {len(dense.h_neurons)} H-Neurons at C = {dense.C:.2g}; "
        f"chosen: {len(probe.fit.h_neurons)} at C = {probe.fit.C:.3g} (n = {probe.validation[probe.chosen].n} "
        "validation answers). Move the slider",
        640,
    )
    return figure.update_layout(legend={"y": -0.52}, margin={"b": 190})


def weights_of(fit: Fit, d_mlp: int) -> list[go.Scatter]:
    """A fit's neurons against their weights, in two colours by sign."""
    positive, traces = fit.weights > 0, []
    for name, colour, some in (
        ("positive weight: an H-Neuron", H_NEURON, positive),
        ("negative weight: louder in true answers, or elsewhere", TRUE, ~positive),
    ):
        traces.append(
            go.Scatter(
                x=fit.neurons[some] / d_mlp,
                y=fit.weights[some],
                mode="markers",
                name=name,
                marker={"color": colour, "size": 9},
                text=[neuron_name(j, d_mlp) for j in fit.neurons[some].tolist()],
                hovertemplate="%{text}: weight %{y:.2f}<extra></extra>",
            )
        )
    return traces


def neuron_atlas(
    contributions: Contributions, labels: np.ndarray, card: HNeurons, others: np.ndarray, region: str
) -> go.Figure:
    """Where are the H-Neurons, how much do they contribute, and how differently for hallucinated answers?"""
    X = contributions.at(region)
    false, true = X[labels == 1], X[labels == 0]
    gap = (false.mean() - true.mean()) / (X.std() + 1e-6)
    words, figure = descriptions(card, X.mean()), go.Figure()
    rest = np.setdiff1d(np.arange(X.shape[1]), np.concatenate([card.flat, others]))
    for name, chosen, colour, marker in (
        ("all other neurons", rest, "rgba(154,154,154,0.35)", 4),
        ("random neurons of the same layers", others, "#333333", 8),
        ("H-Neurons", card.flat, H_NEURON, 12),
    ):
        figure.add_trace(
            go.Scattergl(
                x=(chosen / card.d_mlp).astype(np.float32),
                y=gap[chosen],
                mode="markers",
                name=name,
                marker={"color": colour, "size": marker},
                text=[words[j] for j in chosen.tolist()],
                hovertemplate="%{text}<br>hallucinated minus true %{y:.2f} SD<extra></extra>",
            )
        )
    figure.add_hline(y=0, line={"color": "#333333", "width": 1})
    figure.update_xaxes(title="layer (each layer's neurons side by side)", tickvals=list(range(card.n_layers)))
    figure.update_yaxes(title="contribution, hallucinated minus true (SD over answers)")
    louder = np.mean(gap[card.flat] > 0)
    return styled(
        figure,
        f"{counted(len(card.rows), 'H-Neuron')} of {X.shape[1]:,} ({card.per_mille:.2f} per mille). {louder:.0%} of "
        f"them are louder in hallucinated answers, {np.mean(gap[others] > 0):.0%} of random neurons, "
        f"{np.mean(gap > 0):.0%} of all (n = {len(labels)} validation answers)",
    )


def descriptions(card: HNeurons, size: np.ndarray) -> list[str]:
    """What the pointer shows of every neuron; `size` is its mean contribution."""
    told = [f"{neuron_name(flat, card.d_mlp)}, mean contribution {100 * size[flat]:.2f} %" for flat in range(len(size))]
    for flat, row in zip(card.flat.tolist(), card.rows, strict=True):
        told[flat] += f"<br>probe weight {row['weight']:.2f}"
    return told


def neuron_distributions(
    contributions: Contributions, labels: np.ndarray, entities: np.ndarray, flat: int, d_mlp: int, region: str
) -> go.Figure:
    """How does one neuron's contribution differ between hallucinated answers, true answers and all other tokens?"""
    read, other = (contributions.at(r).columns(np.array([flat]))[:, 0] for r in (region, "other"))
    figure = go.Figure()
    for name, values, colour in (
        ("hallucinated answers", read[labels == 1], FALSE),
        ("true answers", read[labels == 0], TRUE),
        ("other tokens", other, CONTROL),
    ):
        figure.add_trace(
            go.Violin(
                x=100 * values,
                name=name,
                line_color=colour,
                side="positive",
                width=1.6,
                points=False,
                meanline_visible=True,
                spanmode="hard",
            )
        )
    figure.update_xaxes(title="contribution (length of the write, % of that of the layer's output)")
    figure.update_layout(showlegend=False)
    false, true = 100 * read[labels == 1].mean(), 100 * read[labels == 0].mean()
    alone = bootstrap(auroc, labels, read, groups=entities)
    return styled(
        figure,
        f"The write of {neuron_name(flat, d_mlp)} is as long as {false:.2f} % of its layer's output in hallucinated "
        f"answers, {true:.2f} % in true ones (means; n = {(labels == 1).sum()} and {(labels == 0).sum()}); alone it "
        f"tells them apart with AUROC {alone}",
    )


def detection(found: Found, table: Sequence[Detection]) -> go.Figure:
    """How well does each detector tell hallucinated from true answers, on each test set of the table?"""
    names = list(dict.fromkeys(d.name for d in table))
    sets = list(dict.fromkeys(d.test_set for d in table))
    sizes = {d.test_set: d.auroc.n for d in table}
    titles = [f"{s}<br>(n = {sizes[s]})" for s in sets]
    figure = make_subplots(cols=len(sets), rows=1, shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.02)
    for column, test_set in enumerate(sets, start=1):
        for row in (d for d in table if d.test_set == test_set):
            figure.add_trace(one_detector(row), row=1, col=column)
        figure.add_vline(x=0.5, line={"color": "#333333", "dash": "dot", "width": 1}, row=1, col=column)  # type: ignore[arg-type]
    figure.update_xaxes(range=[0.2, 1.05], title="AUROC", tickvals=[0.4, 0.6, 0.8, 1.0])
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1])
    return styled(
        figure,
        detected(found),
        height=240 + 34 * len(names),
        caption=f"AUROC of {counted(len(found.card.rows), 'H-Neuron')} on {sets[0]}: minus random neurons of "
        f"the same layers and loudness {found.beyond['random']}, minus confidence {found.beyond['confidence']}. "
        "Bars of random sets and shuffled labels hold 95 % of them; the others are 95 % intervals over entities.",
    )


def detected(found: Found) -> str:
    """Whether the H-Neurons detect beyond random neurons, and beyond confidence, in a dozen words."""
    random, sure = found.beyond["random"], found.beyond["confidence"]
    if random.low <= 0:
        return "The H-Neurons detect no more than random neurons do"
    beside = "less than" if sure.high < 0 else "more than" if sure.low > 0 else "about as much as"
    return f"The H-Neurons detect more than random neurons, and {beside} confidence"


UNSURE = ("plain confidence", "entropy", "margin")  # detectors that read how sure the model is


def colour_of(name: str) -> str:
    """The colour of a detector, by what it is."""
    if "random" in name or "shuffled" in name:
        return CONTROL
    if name.startswith(("H-Neurons", "L1 probe")):
        return H_NEURON
    return DENSE if "L2 probe" in name else CONFIDENCE if name.startswith(UNSURE) else ABSTAINED


def one_detector(row: Detection) -> go.Scatter:
    """A detector's AUROC with its interval."""
    return go.Scatter(
        x=[row.auroc.value],
        y=[row.name],
        error_x={
            "type": "data",
            "array": [row.auroc.high - row.auroc.value],
            "arrayminus": [row.auroc.value - row.auroc.low],
        },
        marker={"color": colour_of(row.name), "size": 11},
        showlegend=False,
        hovertemplate=f"{row.name}<br>AUROC {row.auroc}<br>n = {row.auroc.n}"
        f"<br>neurons {row.n_neurons or '-'}<extra></extra>",
    )
