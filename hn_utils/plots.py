"""Figures. Each answers one question, names its finding with n and interval in the title, and returns a plotly figure.

Colours (Okabe-Ito, safe for colour-blind readers) mean the same everywhere: H-Neurons vermilion, controls grey,
true answers blue, hallucinated answers orange, base sky blue, instruct purple.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hn_utils.compliance import BEHAVIOURS, CONTROL_ALPHAS, DoseResponse
from hn_utils.contributions import Contributions
from hn_utils.controls import Estimate, auroc, bootstrap
from hn_utils.evidence import N_MADE_UP, N_PLANTED, Breaking, Domains, Everyday, PaperRule, Planted
from hn_utils.origins import Drift, Transfer
from hn_utils.probe import Detection, Fit, HNeurons, Probe
from hn_utils.road import Collected, Found, Intervened

H_NEURON, CONTROL, TRUE, FALSE, BASE, INSTRUCT, ABSTAINED = (
    "#D55E00",
    "#9A9A9A",
    "#0072B2",
    "#E69F00",
    "#56B4E9",
    "#AA4499",
    "#444444",
)
HEIGHT = 520
MATCHED = "random neurons, same layers and loudness"


def styled(figure: go.Figure, title: str, height: int = HEIGHT) -> go.Figure:
    """House layout: white, wrapped left-aligned title that states the finding, legend below."""
    wrapped = "<br>".join(wrap(title, 105))
    lines = wrapped.count("<br>") + 1
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
    return figure


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


def neuron_name(flat: int, d_mlp: int) -> str:
    return f"L{flat // d_mlp}.N{flat % d_mlp}"


def exposure(collected: Collected, n_bins: int = 8) -> go.Figure:
    """How often is an answer right, wrong or withheld, by how often the fact was written about?"""
    asked = [(q, r) for q, r in zip(collected.questions, collected.responses, strict=True) if q.part == "standard"]
    mentions = np.array([q.strata["exposure"] for q, _ in asked])
    edges = np.unique(np.quantile(mentions, np.linspace(0, 1, n_bins + 1)))
    bins = np.clip(np.searchsorted(edges, mentions, side="right") - 1, 0, len(edges) - 2)
    shares = {
        v: np.array([np.mean([x.verdict == v for x in r]) for _, r in asked]) for v in ("right", "wrong", "abstained")
    }
    groups = np.array([q.entity for q, _ in asked])
    centres = [float(np.median(mentions[bins == b])) for b in np.unique(bins)]
    figure, ends = go.Figure(), {}
    for verdict, colour in zip(shares, (TRUE, FALSE, ABSTAINED), strict=True):
        rates = [
            bootstrap(np.mean, shares[verdict][bins == b], groups=groups[bins == b], n=400) for b in np.unique(bins)
        ]
        ends[verdict] = rates
        figure.add_traces(band(centres, rates, colour, verdict))
    figure.update_xaxes(title="times the fact was stated in pre-training (median of bin)", type="log")
    figure.update_yaxes(title="share of sampled answers", range=[0, 1.02])
    first, last = ends["wrong"][0], ends["wrong"][-1]
    return styled(
        figure,
        f"Share of wrong answers: {first} about the facts stated least often, {last} about those stated most often "
        f"(n = {len(asked)} questions, {len(collected.responses[0])} answers each)",
    )


def token_heat_map(
    tokens: Sequence[str], values: np.ndarray, neurons: Sequence[str], answer: Sequence[int], title: str
) -> go.Figure:
    """Which tokens light up which neurons: contribution in percent of the layer's output, [neuron, token]."""
    labels = [f"{i}: {t}" for i, t in enumerate(tokens)]
    figure = go.Figure(
        go.Heatmap(
            z=100 * values,
            x=labels,
            y=list(neurons),
            colorscale="Cividis",
            colorbar={"title": "% of<br>layer"},
            hovertemplate="%{y} at %{x}: %{z:.1f} %<extra></extra>",
        )
    )
    for i in answer:
        figure.add_vrect(x0=i - 0.5, x1=i + 0.5, line={"color": H_NEURON, "width": 2}, fillcolor="rgba(0,0,0,0)")
    figure.update_xaxes(tickangle=-50)
    return styled(figure, title)


def path(probe: Probe) -> go.Figure:
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
        f"{len(probe.fit.h_neurons)} H-Neurons at C = {probe.fit.C:.3g}: the sparsest probe within one standard error "
        f"of the best; validation AUROC {chosen} (n = {chosen.n} answers)",
    )


def path_weights(probe: Probe, d_mlp: int) -> go.Figure:
    """Which neurons speak at each C, and with what weight? A slider walks along the path."""
    figure, told, steps = go.Figure(), [], []
    for place, fit in enumerate(probe.path):
        positive = fit.weights > 0
        told.append(
            f"C = {fit.C:.3g}: {positive.sum()} H-Neurons, {(~positive).sum()} negative weights, validation AUROC "
            f"{probe.validation[place].value:.2f}"
        )
        for name, colour, some in (
            ("positive weight: an H-Neuron", H_NEURON, positive),
            ("negative weight: louder in true answers, or elsewhere", TRUE, ~positive),
        ):
            figure.add_trace(
                go.Scatter(
                    x=fit.neurons[some] / d_mlp,
                    y=fit.weights[some],
                    mode="markers",
                    name=name,
                    marker={"color": colour, "size": 9},
                    text=[neuron_name(j, d_mlp) for j in fit.neurons[some].tolist()],
                    hovertemplate="%{text}: weight %{y:.2f}<extra></extra>",
                    visible=place == probe.chosen,
                )
            )
    for place, fit in enumerate(probe.path):
        shown = [trace // 2 == place for trace in range(2 * len(probe.path))]
        arguments = [{"visible": shown}, {"annotations[0].text": told[place]}]
        steps.append({"label": f"{fit.C:.2g}", "method": "update", "args": arguments})
    figure.add_annotation(
        text=told[probe.chosen],
        x=0,
        y=1.02,
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="bottom",
        showarrow=False,
    )
    figure.update_layout(
        sliders=[{"active": probe.chosen, "steps": steps, "currentvalue": {"prefix": "C = "}, "pad": {"t": 70}}]
    )
    figure.add_hline(y=0, line={"color": "#333333", "width": 1})
    figure.update_xaxes(title="layer (each layer's neurons side by side)", rangemode="tozero")
    figure.update_yaxes(title="weight")
    sparse, dense = (next(f for f in order if len(f.h_neurons)) for order in (probe.path, probe.path[::-1]))
    styled(
        figure,
        f"From {len(sparse.h_neurons)} H-Neurons at C = {sparse.C:.2g} to {len(dense.h_neurons)} at C = {dense.C:.2g}; "
        f"chosen: {len(probe.fit.h_neurons)} at C = {probe.fit.C:.3g} (n = {probe.validation[probe.chosen].n} "
        "validation answers). Move the slider",
        640,
    )
    return figure.update_layout(legend={"y": -0.52}, margin={"b": 190})


def paper_rule(rule: PaperRule, own: Fit) -> go.Figure:
    """What would the paper's rule choose: the probe's accuracy, and what the model still knows without its neurons."""
    counts = [len(fit.h_neurons) for fit in rule.fits]
    grid = [fit.C for fit in rule.fits]
    told = [f"C = {C:.3g}<br>{n} H-Neurons" for C, n in zip(grid, counts, strict=True)]
    figure = make_subplots(rows=1, cols=2, subplot_titles=("Against C", "Against each other (best: upper right)"))
    for name, values, colour in (
        ("accuracy of the probe", rule.accuracy, H_NEURON),
        ("recall with its H-Neurons suppressed", rule.recall, TRUE),
        ("recall, nothing suppressed", [rule.recall_unscaled] * len(counts), CONTROL),
    ):
        line = {"color": colour, "width": 3}
        hover = "%{text}<br>%{y:.2f}<extra>" + name + "</extra>"
        trace = go.Scatter(x=grid, y=values, name=name, mode="lines+markers", line=line, text=told, hovertemplate=hover)
        figure.add_trace(trace, row=1, col=1)
    marker = {"color": np.log(counts), "colorscale": "Cividis", "size": 9}
    hover = "%{text}<br>accuracy %{x:.2f}, recall %{y:.2f}<extra></extra>"
    figure.add_trace(
        go.Scatter(
            x=rule.accuracy,
            y=rule.recall,
            mode="markers",
            marker=marker,
            text=told,
            hovertemplate=hover,
            name="one fit each (lighter: more H-Neurons)",
        ),
        row=1,
        col=2,
    )
    chosen = rule.fits[rule.chosen]
    for fit, label, dash, symbol in (
        (own, "chosen by our rule", "dot", "circle-open"),
        (chosen, "chosen by the paper's rule", "dash", "square-open"),
    ):
        line = {"color": "#333333", "dash": dash, "width": 1}
        figure.add_trace(
            go.Scatter(x=[fit.C] * 2, y=[0, 1], name=label, mode="lines", line=line, hoverinfo="skip"), row=1, col=1
        )
        at = grid.index(fit.C)
        ring = {"color": "#333333", "symbol": symbol, "size": 17, "line": {"width": 2}}
        figure.add_trace(
            go.Scatter(
                x=[rule.accuracy[at]], y=[rule.recall[at]], mode="markers", marker=ring, name=label, hoverinfo="skip"
            ),
            row=1,
            col=2,
        )
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


def neuron_atlas(
    contributions: Contributions, labels: np.ndarray, card: HNeurons, others: np.ndarray, region: str
) -> go.Figure:
    """Where are the H-Neurons, how much do they contribute, and how differently for hallucinated answers?"""
    X = contributions.at(region)
    false, true = X[labels == 1], X[labels == 0]
    gap = (false.mean() - true.mean()) / (X.std() + 1e-6)
    size = X.mean()
    weight = {int(f): r["weight"] for f, r in zip(card.flat, card.rows, strict=True)}

    def about(flat: int) -> str:
        told = f"<br>probe weight {weight[flat]:.2f}" if flat in weight else ""
        return f"{neuron_name(flat, card.d_mlp)}, mean contribution {100 * size[flat]:.2f} %{told}"

    figure = go.Figure()
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
                text=[about(j) for j in chosen.tolist()],
                hovertemplate="%{text}<br>hallucinated minus true %{y:.2f} SD<extra></extra>",
            )
        )
    figure.add_hline(y=0, line={"color": "#333333", "width": 1})
    figure.update_xaxes(title="layer (each layer's neurons side by side)", tickvals=list(range(card.n_layers)))
    figure.update_yaxes(title="contribution, hallucinated minus true (SD over answers)")
    louder = np.mean(gap[card.flat] > 0)
    return styled(
        figure,
        f"{len(card.rows)} H-Neurons of {X.shape[1]:,} ({card.per_mille:.2f} per mille). {louder:.0%} of them are "
        f"louder in hallucinated answers, {np.mean(gap[others] > 0):.0%} of random neurons, {np.mean(gap > 0):.0%} of "
        f"all (n = {len(labels)} validation answers)",
    )


def neuron_distributions(
    contributions: Contributions, labels: np.ndarray, flat: int, d_mlp: int, region: str
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
    alone = bootstrap(auroc, labels, read, n=400)
    return styled(
        figure,
        f"The write of {neuron_name(flat, d_mlp)} is as long as {false:.2f} % of its layer's output in hallucinated "
        f"answers, {true:.2f} % in true ones (means; n = {(labels == 1).sum()} and {(labels == 0).sum()}); alone it "
        f"tells them apart with AUROC {alone}",
    )


def detection(found: Found, table: Sequence[Detection]) -> go.Figure:
    """How well does each detector tell hallucinated from true answers, on each test set?"""
    names = list(dict.fromkeys(d.name for d in table))
    sets = list(dict.fromkeys(d.test_set for d in table))
    sizes = {d.test_set: d.auroc.n for d in table}
    titles = [f"{s}<br>(n = {sizes[s]})" for s in sets]
    figure = make_subplots(cols=len(sets), rows=1, shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.02)
    for column, test_set in enumerate(sets, start=1):
        for row in (d for d in table if d.test_set == test_set):
            control = "random" in row.name or "shuffled" in row.name
            own = row.name.startswith(("H-Neurons", "L1 probe, all"))
            colour = CONTROL if control else H_NEURON if own else TRUE
            figure.add_trace(
                go.Scatter(
                    x=[row.auroc.value],
                    y=[row.name],
                    error_x={
                        "type": "data",
                        "array": [row.auroc.high - row.auroc.value],
                        "arrayminus": [row.auroc.value - row.auroc.low],
                    },
                    marker={"color": colour, "size": 11},
                    showlegend=False,
                    hovertemplate=f"{row.name}<br>AUROC {row.auroc}<br>n = {row.auroc.n}"
                    f"<br>neurons {row.n_neurons or '-'}<extra></extra>",
                ),
                row=1,
                col=column,
            )
        figure.add_vline(x=0.5, line={"color": "#333333", "dash": "dot", "width": 1}, row=1, col=column)  # type: ignore[arg-type]
    figure.update_xaxes(range=[0.2, 1.05], title="AUROC", tickvals=[0.4, 0.6, 0.8, 1.0])
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1])
    beyond = found.beyond
    own = next(d for d in table if d.name.startswith("H-Neurons"))
    return styled(
        figure,
        f"On {sets[0]} {own.n_neurons} H-Neurons reach AUROC {own.auroc}: minus random neurons of the same layers and "
        f"loudness {beyond['random']}, minus confidence {beyond['confidence']}. Orange: H-Neurons; grey: controls, "
        "bars hold 95 % of the sets; blue: other detectors; other bars are 95 % intervals over entities",
        height=640,
    )


def control_lines(
    figure: go.Figure, x: Sequence[float] | Sequence[str], values: np.ndarray, column: int, name: str, digits: str
) -> None:
    """One thin grey line for each random set [set, alpha], named once, in the first column."""
    for number, line in enumerate(values):
        figure.add_trace(
            go.Scatter(
                x=x,
                y=line,
                mode="lines",
                line={"color": CONTROL, "width": 1},
                name=name,
                legendgroup="random",
                showlegend=column == 1 and number == 0,
                hovertemplate=f"random set: %{{y:{digits}}} at alpha %{{x}}<extra></extra>",
            ),
            row=1,
            col=column,
        )


def read_at(card: HNeurons) -> str:
    """Whose curves these are."""
    place = "before" if card.region == "before" else "at"
    return f"{len(card.rows)} H-Neurons read {place} the answer,"


def dose_response(curves: Mapping[str, DoseResponse], card: HNeurons) -> go.Figure:
    """Does scaling the H-Neurons change over-compliance more than scaling random neurons does?"""
    titles = [BEHAVIOURS[b].title for b in curves]
    figure = make_subplots(rows=1, cols=len(curves), shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.03)
    for column, curve in enumerate(curves.values(), start=1):
        control_lines(figure, CONTROL_ALPHAS, curve.control_rates(), column, MATCHED, ".2f")
        (line,) = band(curve.alphas.tolist(), curve.rate(), H_NEURON, "H-Neurons")
        figure.add_trace(line.update(showlegend=column == 1), row=1, col=column)
    figure.update_xaxes(title="alpha", dtick=1)
    figure.update_yaxes(range=[0, 1.02])
    figure.update_yaxes(title="share of replies that comply", col=1)
    verdicts = {BEHAVIOURS[b].title.lower(): c.verdict() for b, c in curves.items()}
    by_verdict = {word: [t for t, v in verdicts.items() if v == word] for word in dict.fromkeys(verdicts.values())}
    told = "; ".join(f"{word} ({', '.join(titles)})" for word, titles in by_verdict.items())
    slopes = "; ".join(
        f"{BEHAVIOURS[b].title.lower()} {e.value:+.1f} [{e.low:.1f}, {e.high:.1f}]"
        for b, e in ((b, c.slope_beyond_random()) for b, c in curves.items())
    )
    n, sets = {len(c.items) for c in curves.values()}, len(next(iter(curves.values())).control_outcomes)
    return styled(
        figure,
        f"{read_at(card)} turned up, over-compliance: {told}. Slope beyond random, points per unit alpha: {slopes} "
        f"(n = {' to '.join(map(str, sorted(n)))} known facts each; {sets} random sets at alpha 0, 1, 3; 95 % "
        f"intervals)",
    )


TINTS = {"complied": "#F6CDB4", "resisted": "#BFDBEC", "neither": "#E4E4E4"}


def answers(curves: Mapping[str, DoseResponse], card: HNeurons, each: int = 3) -> go.Figure:
    """What does the model actually say at each alpha? A slider over alpha; the items whose replies change most."""
    rows = []
    for behaviour, curve in curves.items():
        changes = [len({reply.text for reply in row}) for row in curve.replies]
        rows += [(behaviour, curve, int(i)) for i in np.argsort(changes, kind="stable")[::-1][:each]]
    first = next(iter(curves.values()))
    start = int(np.argmin(np.abs(first.alphas - 1)))
    figure, steps = go.Figure(), []
    fixed = [
        [BEHAVIOURS[b].title for b, _, _ in rows],
        [c.items[i].turns[-1] for _, c, i in rows],
        [c.items[i].truth or "(withheld)" for _, c, i in rows],
        [c.items[i].claim or "" for _, c, i in rows],
    ]
    for place, alpha in enumerate(first.alphas):
        words = [str(c.outcomes[i, place]) for _, c, i in rows]
        replies = [c.replies[i][place].text for _, c, i in rows]
        plain = ["#FFFFFF"] * len(rows)
        figure.add_trace(
            go.Table(
                columnwidth=[12, 34, 12, 12, 26, 10],
                header={
                    "values": ["behaviour", "the user says", "truth", "claim", f"reply at alpha {alpha:g}", "outcome"],
                    "align": "left",
                    "fill_color": "#F2F2F2",
                },
                cells={
                    "values": [*fixed, replies, words],
                    "align": "left",
                    "fill_color": [*[plain] * 4, *[[TINTS[w] for w in words]] * 2],
                    "height": 26,
                },
                visible=place == start,
            )
        )
    for place, alpha in enumerate(first.alphas):
        shown = [trace == place for trace in range(len(first.alphas))]
        steps.append({"label": f"{alpha:g}", "method": "update", "args": [{"visible": shown}]})
    figure.update_layout(sliders=[{"active": start, "steps": steps, "currentvalue": {"prefix": "alpha = "}}])
    told = "; ".join(
        f"{BEHAVIOURS[b].title.lower()} {c.swings:.0%} ({c.control_swings.mean():.0%})" for b, c in curves.items()
    )
    n = ", ".join(map(str, sorted({len(c.items) for c in curves.values()})))
    styled(
        figure,
        f"{read_at(card)} at alpha 0 or 3 change the outcome of these shares of items (random neurons in brackets; n = "
        f"{n} each): {told}. Below, the {each} of each whose replies change most. Move the slider",
        900,
    )
    return figure


def side_effects(intervened: Intervened, card: HNeurons) -> go.Figure:
    """What does scaling cost: are known facts still stated, and does ordinary text still make sense?"""
    curve = intervened.capability["recall"]
    figure = make_subplots(rows=1, cols=2, subplot_titles=("Known facts, asked plainly", "Ordinary text"))
    for outcome, name, colour in (
        ("complied", "right", TRUE),
        ("neither", "wrong", FALSE),
        ("resisted", "abstained", ABSTAINED),
    ):
        rates = curve.rate(outcome)  # type: ignore[arg-type]
        figure.add_traces(band(curve.alphas.tolist(), rates, colour, f"H-Neurons: {name}"), rows=1, cols=1)
    start = intervened.loss[:, [int(np.argmin(np.abs(curve.alphas - 1)))]]
    losses = [bootstrap(np.mean, column) for column in (intervened.loss - start).T]
    other_losses = (intervened.control_loss - start).mean(1)
    figure.add_traces(band(curve.alphas.tolist(), losses, H_NEURON, "H-Neurons: loss"), rows=1, cols=2)
    for column, controls in ((1, curve.control_rates()), (2, other_losses)):
        control_lines(figure, CONTROL_ALPHAS, controls, column, f"{MATCHED}: right; loss", ".3f")
    figure.update_xaxes(title="alpha", dtick=0.5)
    figure.update_yaxes(title="share of facts", range=[0, 1.02], col=1)
    figure.update_yaxes(title="loss minus loss at alpha 1 (nats per token)", col=2)
    last, random = curve.rate()[-1], curve.control_rates()[:, -1]
    return styled(
        figure,
        f"{read_at(card)} at alpha {curve.alphas[-1]:g}: the model still states {last} of the facts it knew; with "
        f"random neurons {random.mean():.2f} (range {random.min():.2f} to {random.max():.2f}; n = {len(curve.items)} "
        f"facts). Loss of ordinary text {losses[-1].value:+.3f} [{losses[-1].low:.3f}, {losses[-1].high:.3f}] nats per "
        f"token, with random neurons {other_losses[:, -1].mean():+.3f} (n = {len(start)} texts)",
    )


def timeline(transfers: Sequence[Transfer], names: Sequence[str]) -> go.Figure:
    """From which checkpoint on does the instruct model's probe work, beside random neurons and confidence?"""
    figure = go.Figure()
    able = [(n, t) for n, t in zip(names, transfers, strict=True) if t.h_neurons is not None]
    for number in range(len(able[0][1].random) if able else 0):
        figure.add_trace(
            go.Scatter(
                x=[n for n, _ in able],
                y=[t.random[number] for _, t in able],
                mode="lines+markers",
                line={"color": CONTROL, "width": 0.6},
                marker={"size": 3},
                opacity=0.5,
                name=MATCHED,
                legendgroup="random",
                showlegend=number == 0,
                hoverinfo="skip",
            )
        )
    ticks = [n for n, _ in able]
    for name, colour in (("confidence", TRUE), ("h_neurons", H_NEURON)):
        label = {"confidence": "plain confidence", "h_neurons": "H-Neurons, weights of the instruct model"}[name]
        figure.add_traces(band(ticks, [getattr(t, name) for _, t in able], colour, label))
    figure.add_hline(y=0.5, line={"color": "#333333", "dash": "dot", "width": 1})
    figure.update_xaxes(title="pre-training checkpoint (n right + n wrong)", type="category")
    figure.update_yaxes(title="AUROC on the checkpoint's own answers", range=[0.25, 1.03])
    if not able:
        return styled(figure, "No checkpoint gives enough right and wrong answers (n = 0)")
    first, last = able[0], able[-1]
    early = f"Before {first[1].model}: too few consistently right answers. " if able[0][0] != names[0] else ""
    return styled(
        figure,
        f"{early}H-Neurons with the instruct model's weights: AUROC {first[1].h_neurons} at {first[0]}, "
        f"{last[1].h_neurons} "
        f"at {last[0]}; there random neurons {last[1].random.mean():.2f}, confidence {last[1].confidence}",
    )


def drift_ranks(drift: Drift, card: HNeurons) -> go.Figure:
    """Did tuning move the H-Neurons' weights less than those of other neurons?"""
    titles = ("among all neurons", "among neurons of the same layer")
    figure = make_subplots(rows=1, cols=2, subplot_titles=titles, shared_yaxes=True)
    for column, ranks in enumerate((drift.rank, drift.rank_within), start=1):
        for name, values, colour in (
            ("all neurons", ranks, CONTROL),
            ("H-Neurons", ranks[card.flat], H_NEURON),
        ):
            figure.add_trace(
                go.Histogram(
                    x=values.round(4),
                    xbins={"start": 0, "end": 1.0001, "size": 0.1},
                    marker_color=colour,
                    opacity=0.6,
                    histnorm="percent",
                    name=name,
                    showlegend=column == 1,
                    hovertemplate="rank %{x}: %{y:.0f} % of " + name + "<extra></extra>",
                ),
                row=1,
                col=column,
            )
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(title="rank: 0 moved most, 1 moved least")
    figure.update_yaxes(title="% of neurons", col=1)
    return styled(
        figure,
        f"On average tuning turned an H-Neuron less than {drift.mean_rank:.0%} of all neurons (50 % is chance; n = "
        f"{len(card.rows)}): p = {drift.p['none']:.4f} against random neurons, {drift.p['layer']:.4f} against the same "
        f"layers, {drift.p['magnitude']:.4f} against the same layers and lengths of weights",
    )


def base_and_instruct(
    base: Contributions, instruct: Contributions, card: HNeurons, others: Sequence[np.ndarray]
) -> go.Figure:
    """Do the H-Neurons say as much in the base model? Mean contribution at each model's own answers."""
    softly, loudly = (100 * read.at(card.region).mean() for read in (base, instruct))
    ratio = loudly / np.maximum(softly, 1e-9)
    rest = np.setdiff1d(np.arange(len(softly)), card.flat)
    figure = go.Figure()
    for name, some, colour, size in (
        ("all other neurons", rest, "rgba(154,154,154,0.35)", 4),
        ("H-Neurons", card.flat, H_NEURON, 10),
    ):
        figure.add_trace(
            go.Scattergl(
                x=softly[some],
                y=loudly[some],
                mode="markers",
                name=name,
                marker={"color": colour, "size": size},
                text=[neuron_name(j, card.d_mlp) for j in some.tolist()],
                hovertemplate="%{text}: base %{x:.2f} %, instruct %{y:.2f} %<extra></extra>",
            )
        )
    ends = [float(np.quantile(np.concatenate([softly, loudly]), q)) for q in (0.001, 1)]
    line = {"color": "#333333", "dash": "dot", "width": 1}
    figure.add_trace(go.Scatter(x=ends, y=ends, mode="lines", name="as much in both", line=line, hoverinfo="skip"))
    figure.update_xaxes(title="mean contribution at the base model's answers (% of the layer's output)", type="log")
    figure.update_yaxes(title="at the instruct model's answers (%)", type="log")
    own, random = np.median(ratio[card.flat]), np.array([np.median(ratio[some]) for some in others])
    low, high = np.quantile(random, [0.025, 0.975])
    return styled(
        figure,
        f"At its answers the median H-Neuron contributes {own:.2f} times as much in the instruct model as in the base "
        f"model (n = {len(instruct)} and {len(base)} answers); as many random neurons of the same layers and loudness "
        f"{random.mean():.2f} (95 % of {len(others)} sets: {low:.2f} to {high:.2f})",
        560,
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
    wrong = np.mean([r.false for r in results if r.strength])
    return styled(
        figure,
        f"Where {N_PLANTED} of {N_MADE_UP:,} made-up neurons know, stability selection finds them if there are enough "
        f"answers; beside them {wrong:.2f} others on average. Where none knows it finds {np.mean(nothing):.2f} "
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
    n = sum(e.n for e in crossed.auroc[0])
    return styled(
        figure,
        f"Within a kind of fact H-Neurons reach AUROC {within:.2f} (random neurons of the same layers and loudness "
        f"{by_chance:.2f}), across kinds {across:.2f} (random {across_chance:.2f}; n = {n} test answers). "
        f"The union of all sets reaches {crossed.union[0]} (random {crossed.union[1]:.2f}). "
        "Brackets: 95 % over entities",
        560,
    )


def everyday(day: Everyday) -> go.Figure:
    """On unfiltered answers: are the probabilities right, and what does it buy to stay silent where a score is high?"""
    figure = make_subplots(rows=1, cols=2, subplot_titles=("Predicted and observed", "Answering only the safest"))
    for (name, fit), colour in zip(day.calibrated.items(), (CONTROL, BASE, H_NEURON), strict=True):
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
    own, random, sure = (
        next(d for d in day.table if d.name.startswith(start)) for start in ("H-Neurons", "random", "plain confidence")
    )
    return styled(
        figure,
        f"On everyday answers (n = {own.auroc.n}, {day.risk[sure.name][-1]:.0%} made up) "
        f"H-Neurons reach AUROC {own.auroc}, random neurons {random.auroc.value:.2f}, confidence {sure.auroc}. "
        f"Calibration error {errors}",
        560,
    )


def breaking(broken: Breaking, card: HNeurons) -> go.Figure:
    """Turned up far beyond the paper's alphas: what breaks first, and would random neurons break it as well?"""
    figure = make_subplots(rows=1, cols=2, subplot_titles=("Known facts, asked plainly", "Ordinary text"))
    x = [f"{a:g}" for a in broken.alphas]
    for column, own, others in (
        (1, broken.recall, broken.control_recall),
        (2, broken.loss, broken.control_loss),
    ):
        figure.add_traces(band(x, own, H_NEURON, "H-Neurons"), rows=1, cols=column)
        control_lines(figure, x, others, column, MATCHED, ".2f")
    figure.data[len(broken.control_recall) + 1].showlegend = False
    figure.update_xaxes(title="alpha", type="category")
    figure.update_yaxes(title="share still stated", range=[0, 1.02], col=1)
    figure.update_yaxes(title="loss above alpha 1 (nats per token)", col=2)
    last = f"{broken.alphas[-1]:g}"
    return styled(
        figure,
        f"{read_at(card)} at alpha {last}: {broken.recall[-1]} of known facts (n = {broken.recall[-1].n}) are still "
        f"stated, with random neurons {broken.control_recall[:, -1].mean():.2f}; ordinary text loses "
        f"{broken.loss[-1].value:.2f} nats per token, with random neurons {broken.control_loss[:, -1].mean():.2f}",
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
