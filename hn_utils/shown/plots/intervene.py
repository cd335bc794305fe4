"""Figures of turning neurons up and down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hn_utils.analyses import Breaking
from hn_utils.controls import Estimate, bootstrap, mean
from hn_utils.curves import CONTROL_ALPHAS, DoseResponse
from hn_utils.intervening import Intervened
from hn_utils.items import behaviour_called
from hn_utils.probe import HNeurons
from hn_utils.shown.plots.style import (
    ABSTAINED,
    FALSE,
    H_NEURON,
    MATCHED,
    PLANTED,
    TRUE,
    add_slider,
    band,
    envelope,
    printable,
    read_at,
    styled,
)
from hn_utils.tabled import counted
from hn_utils.verdicts import Verdict, verdicts

TINTS = {"complied": "#F6CDB4", "resisted": "#BFDBEC", "neither": "#E4E4E4"}


def dose_response(
    curves: Mapping[str, DoseResponse], card: HNeurons, planted: Mapping[str, DoseResponse] | None = None
) -> go.Figure:
    """Does scaling the H-Neurons change over-compliance more than scaling random neurons does? Where it is known which
    neurons cause it, their curves stand beside."""
    told = verdicts(curves)
    titles = [behaviour_called(b).title for b in curves]
    figure = make_subplots(rows=1, cols=len(curves), shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.03)
    lines = [("H-Neurons", H_NEURON, curves)]
    lines += [("planted neurons", PLANTED, planted)] if planted else []
    for column, (behaviour, curve) in enumerate(curves.items(), start=1):
        envelope(figure, CONTROL_ALPHAS, curve.control_rates(), column, MATCHED)
        for name, colour, drawn in lines:
            (line,) = band(curve.alphas.tolist(), drawn[behaviour].rate(), colour, name)
            figure.add_trace(line.update(showlegend=column == 1), row=1, col=column)
        slope = curve.slope_beyond_random()
        text = f"{slope.value:+.1f} [{slope.low:.1f}, {slope.high:.1f}]<br>{told[behaviour].word}"
        figure.add_annotation(
            text=text.replace("not told apart from random neurons", "not told apart").replace(" to say", ""),
            **{"x": 0.03, "y": 0.99, "xref": "x domain", "yref": "y domain", "xanchor": "left", "yanchor": "top"},
            **{"row": 1, "col": column, "align": "left", "showarrow": False, "font": {"color": H_NEURON, "size": 13}},
        )
    figure.update_xaxes(title="alpha", dtick=1)
    top = zoomed([c for _, _, drawn in lines for c in drawn.values()])
    ticks = [tick for tick in np.arange(0, 1.01, 0.05 if top < 0.35 else 0.2).round(2).tolist() if tick <= top]
    figure.update_yaxes(range=[0, top], tickvals=ticks)
    figure.update_yaxes(title="share of replies that comply", col=1)
    sets = len(next(iter(curves.values())).control_outcomes)
    return styled(
        figure,
        risen(told),
        caption=f"{read_at(card)} scaled by alpha. In each panel: slope beyond random, points per alpha [95 % "
        f"interval], verdict, corrected for {counted(len(curves), 'curve')}. {how_many(curves)}; {sets} random sets at "
        "alpha 0, 1, 3.",
    )


def how_many(curves: Mapping[str, DoseResponse]) -> str:
    """How many items each curve has, and whether the model was seen to know their facts."""
    n, each = " to ".join(map(str, sorted({len(c.items) for c in curves.values()}))), " each" * (len(curves) > 1)
    items = [item for curve in curves.values() for item in curve.items]
    known = sum(bool(item.openings) for item in items)
    if known == len(items):
        return f"n = {n} items{each}"
    return f"n = {n} items{each}, {known or 'none'} of them about facts that the model was seen to know"


def zoomed(curves: Sequence[DoseResponse]) -> float:
    """The top of an axis that begins at 0 and leaves room for words above all that is drawn."""
    highest = max(max(e.high for e in c.rate()) for c in curves)
    highest = max(highest, *(float(c.control_rates().max(initial=0)) for c in curves))
    return min(1.3, max(0.2, 1.3 * highest))


def risen(told: Mapping[str, Verdict]) -> str:
    """The verdicts on a family of curves, in a dozen words."""
    if any(v.p is None for v in told.values()):
        return "Too few random sets to say whether anything rises"
    moved = {word: [b for b, v in told.items() if v.word == word] for word in ("rises", "falls")}
    said = []
    for word, some in moved.items():
        names = " and ".join(behaviour_called(b).title.lower() for b in some)
        said += [f"{names} {word if len(some) == 1 else word[:-1]}"] if some else []
    if not said:
        return "Turned up, the H-Neurons do no more than random neurons"
    rest = len(told) - sum(map(len, moved.values()))
    said += [f"the other {'one does' if rest == 1 else f'{rest} do'} as random neurons do"] if rest else []
    whole = "; ".join(said)
    return whole[0].upper() + whole[1:]


def answers(curves: Mapping[str, DoseResponse], card: HNeurons, each: int = 2) -> go.Figure:
    """What does the model actually say at each alpha? A slider over alpha; the items whose replies change most."""
    rows = []
    for behaviour, curve in curves.items():
        changes = [len({reply.text for reply in row}) for row in curve.replies]
        rows += [(behaviour, curve, int(i)) for i in np.argsort(changes, kind="stable")[::-1][:each]]
    first = next(iter(curves.values()))
    start = int(np.argmin(np.abs(first.alphas - 1)))
    figure = go.Figure()
    for place, alpha in enumerate(first.alphas):
        figure.add_trace(replies_table(rows, place, f"reply at alpha {alpha:g}"))
    add_slider(figure, "alpha = ", [f"{alpha:g}" for alpha in first.alphas], start)
    told = "; ".join(
        f"{behaviour_called(b).title.lower()} {c.swings:.0%} ({c.control_swings.mean():.0%})" for b, c in curves.items()
    )
    n = ", ".join(map(str, sorted({len(c.items) for c in curves.values()})))
    styled(
        figure,
        f"{read_at(card)} at alpha 0 or 3 change the outcome of these shares of items (random neurons in brackets; n = "
        f"{n} each): {told}. Below, the {each} of each whose replies change most. Move the slider",
        780,
    )
    return figure


def replies_table(rows: Sequence[tuple[str, DoseResponse, int]], place: int, heading: str) -> go.Table:
    """Chosen items (behaviour, curve, number in it) with the reply at one place of the curve's alphas."""
    items = [curve.items[i] for _, curve, i in rows]
    words = [str(curve.outcomes[i, place]) for _, curve, i in rows]
    plain, tinted = ["#FFFFFF"] * len(rows), [TINTS[word] for word in words]
    return go.Table(
        columnwidth=[12, 34, 12, 12, 26, 10],
        header={
            "values": ["behaviour", "the user says", "truth", "claim", heading, "outcome"],
            "align": "left",
            "fill_color": "#F2F2F2",
        },
        cells={
            "values": [
                [behaviour_called(behaviour).title for behaviour, _, _ in rows],
                [printable(item.turns[-1]) for item in items],
                [printable(item.truth or "(withheld)") for item in items],
                [printable(item.claim or "") for item in items],
                [printable(curve.replies[i][place].text) for _, curve, i in rows],
                words,
            ],
            "align": "left",
            "fill_color": [*[plain] * 4, *[tinted] * 2],
            "height": 26,
        },
    )


def side_effects(intervened: Intervened, card: HNeurons) -> go.Figure:
    """What does scaling cost: are known facts still stated, and does ordinary text (if any was read) make sense?"""
    curve, lost = intervened.capability["recall"], text_lost(intervened)
    panels, controls = ["Known facts, asked plainly"], [curve.control_rates()]
    if lost:
        panels.append("Ordinary text")
        controls.append(lost[1])
    figure = make_subplots(rows=1, cols=len(panels), subplot_titles=panels)
    for outcome, name, colour in (
        ("complied", "right", TRUE),
        ("neither", "wrong", FALSE),
        ("resisted", "abstained", ABSTAINED),
    ):
        rates = curve.rate(outcome)  # type: ignore[arg-type]
        figure.add_traces(band(curve.alphas.tolist(), rates, colour, f"H-Neurons: {name}"), rows=1, cols=1)
    if lost:
        figure.add_traces(band(curve.alphas.tolist(), lost[0], H_NEURON, "H-Neurons: loss"), rows=1, cols=2)
        figure.update_yaxes(title="loss minus loss at alpha 1 (nats per token)", col=2)
    for column, values in enumerate(controls, start=1):
        envelope(figure, CONTROL_ALPHAS, values, column, f"{MATCHED}: right; loss")
    figure.update_xaxes(title="alpha", dtick=0.5)
    figure.update_yaxes(title="share of facts", range=[0, 1.02], col=1)
    last, random = curve.rate()[-1], curve.control_rates()[:, -1]
    told = (
        f"{read_at(card)} at alpha {curve.alphas[-1]:g}: the model still states {last} of the facts it knew; with "
        f"random neurons {random.mean():.2f} (range {random.min():.2f} to {random.max():.2f}; n = {len(curve.items)} "
        f"facts)"
    )
    if lost:
        own, others = lost[0][-1], lost[1][:, -1]
        told += (
            f". Loss of ordinary text {own.value:+.3f} [{own.low:.3f}, {own.high:.3f}] nats per token, with random "
            f"neurons {others.mean():+.3f} (n = {own.n} texts)"
        )
    return styled(figure, told)


def text_lost(intervened: Intervened) -> tuple[list[Estimate], np.ndarray] | None:
    """What ordinary text loses above alpha 1, nats per token, at each alpha: with the H-Neurons, and [set, control
    alpha] with random ones. None if none was read."""
    text, alphas = intervened.text, intervened.capability["recall"].alphas
    if text is None:
        return None
    start = text.loss[:, [int(np.argmin(np.abs(alphas - 1)))]]
    own = [bootstrap(mean, column, groups=text.entities) for column in (text.loss - start).T]
    return own, (text.control_loss - start).mean(1)


def breaking(broken: Breaking, card: HNeurons) -> go.Figure:
    """Turned up far beyond the paper's alphas: what breaks first, and would random neurons break it as well?"""
    drawn = [
        ("Known facts, asked plainly", "share still stated", broken.recall, broken.control_recall),
        ("Ordinary text", "loss above alpha 1 (nats per token)", broken.loss, broken.control_loss),
    ][: 2 if broken.loss else 1]
    figure = make_subplots(rows=1, cols=len(drawn), subplot_titles=[title for title, *_ in drawn])
    x = [f"{a:g}" for a in broken.alphas]
    for column, (_, axis, own, others) in enumerate(drawn, start=1):
        envelope(figure, x, others, column, MATCHED)
        (line,) = band(x, own, H_NEURON, "H-Neurons")
        figure.add_trace(line.update(showlegend=column == 1), row=1, col=column)
        figure.update_yaxes(title=axis, col=column)
    figure.update_xaxes(title="alpha", type="category")
    figure.update_yaxes(range=[0, 1.02], col=1)
    told = (
        f"{read_at(card)} at alpha {x[-1]}: {broken.recall[-1]} of known facts (n = {broken.recall[-1].n}) are still "
        f"stated, with random neurons {broken.control_recall[:, -1].mean():.2f}"
    )
    if broken.loss:
        told += (
            f"; ordinary text loses {broken.loss[-1].value:.2f} nats per token, with random neurons "
            f"{broken.control_loss[:, -1].mean():.2f}"
        )
    return styled(figure, told)
