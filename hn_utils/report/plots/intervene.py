"""Figures of turning neurons up and down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from hn_utils.questions.items import behaviour_called
from hn_utils.report.plots.style import (
    H_NEURON,
    MATCHED,
    PLANTED,
    TEXT,
    add_slider,
    envelope,
    line,
    printable,
    put,
    read_at,
    styled,
)
from hn_utils.stats.bootstrap import Estimate, bootstrap
from hn_utils.stats.metrics import mean
from hn_utils.stats.tables import counted
from hn_utils.steering.curves import DoseResponse, place_of
from hn_utils.steering.slopes import CONTROL_ALPHAS
from hn_utils.steering.verdicts import Verdict, verdicts

if TYPE_CHECKING:
    from hn_utils.analyses import Breaking
    from hn_utils.probing.given_neurons import GivenNeurons
    from hn_utils.probing.probe import HNeurons
    from hn_utils.steering.dose_response import Intervened

TINTS = {"complied": "#F7DFAB", "resisted": "#BFDBEC", "neither": "#E4E4E4"}  # of made-up, of true answers, of neither


def dose_response(
    curves: Mapping[str, DoseResponse],
    card: HNeurons | GivenNeurons,
    planted: Mapping[str, DoseResponse] | None = None,
    control: str = MATCHED,
) -> go.Figure:
    """Does scaling the H-Neurons change over-compliance more than scaling their controls does? Where it is known which
    neurons cause it, their curves stand beside. Crosses: the share of the H-Neurons' replies that are broken."""
    whose = f"{card.noun}s"
    told = verdicts(curves)
    titles = [behaviour_called(b).title for b in curves]
    figure = make_subplots(rows=1, cols=len(curves), shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.03)
    both = [*([planted] if planted else []), curves]
    for column, (behaviour, curve) in enumerate(curves.items(), start=1):
        put(figure, envelope(CONTROL_ALPHAS, curve.control_rates()), column)
        if planted:  # a wide pale line below, since the curves may be the same
            wide = line(curve.alphas.tolist(), planted[behaviour].rate(), PLANTED, "planted neurons")
            put(figure, [wide.update(line_width=11, opacity=0.4, error_y_visible=False)], column)
        put(figure, [line(curve.alphas.tolist(), curve.rate(), H_NEURON, whose)], column)
        put(figure, [_broken_replies(curve)], column)
        slope = curve.slope_beyond_control()
        text = f"{slope.value:+.1f} [{slope.low:.1f}, {slope.high:.1f}]<br>{told[behaviour].word}"
        figure.add_annotation(
            text=text.replace(" control sets to say", " sets"),
            **{"x": 0.03, "y": 0.99, "xref": "x domain", "yref": "y domain", "xanchor": "left", "yanchor": "top"},
            **{"row": 1, "col": column, "align": "left", "showarrow": False, "font": {"color": H_NEURON}},
        )
    figure.update_xaxes(title="alpha", dtick=1)
    top = _zoomed([c for drawn in both for c in drawn.values()])
    ticks = [tick for tick in np.arange(0, 1.01, 0.05 if top < 0.35 else 0.2).round(2).tolist() if tick <= top]
    figure.update_yaxes(range=[0, top], tickvals=ticks)
    figure.update_yaxes(title="share of replies that comply", col=1)
    return styled(
        figure,
        risen(told, whose),
        f"{read_at(card)} scaled by alpha. In each panel: slope beyond the band, points per alpha [95 % interval], "
        f"verdict, corrected for {counted(len(curves), 'curve')}. {_how_many(curves)}; band: {_how_many_sets(curves)} "
        f"{control}, turned so that they disturb as much as the {whose} at alpha 0, 1, 3. Crosses: replies that are "
        "broken.",
    )


def _broken_replies(curve: DoseResponse) -> go.Scatter:
    """The share of replies that are broken at each alpha."""
    shares = [curve.broken(alpha) for alpha in curve.alphas]
    drawn = go.Scatter(x=curve.alphas.tolist(), y=shares, mode="markers", name="broken", legendgroup="broken")
    drawn.update(marker={"color": "#333333", "symbol": "x", "size": 8})
    return drawn.update(hovertemplate="alpha %{x}: %{y:.2f} broken<extra></extra>")


def _how_many_sets(curves: Mapping[str, DoseResponse]) -> str:
    """How many control sets were drawn, over all curves."""
    sizes = sorted({len(curve.control_outcomes) for curve in curves.values()})
    return f"{' to '.join(map(str, dict.fromkeys((sizes[0], sizes[-1]))))} sets of"


def _how_many(curves: Mapping[str, DoseResponse]) -> str:
    """How many items each curve has, and whether the model was seen to know their facts."""
    n, each = " to ".join(map(str, sorted({len(c.items) for c in curves.values()}))), " each" * (len(curves) > 1)
    items = [item for curve in curves.values() for item in curve.items]
    known = sum(bool(item.openings) for item in items)
    if known == len(items):
        return f"n = {n} items{each}"
    return f"n = {n} items{each}, {known or 'none'} of them about facts that the model was seen to know"


def _zoomed(curves: Sequence[DoseResponse]) -> float:
    """The top of an axis that begins at 0 and leaves room for words above all that is drawn."""
    highest = max(max(e.high for e in c.rate()) for c in curves)
    highest = max(highest, *(float(c.control_rates().max(initial=0)) for c in curves))
    return min(1.3, max(0.2, 1.3 * highest))


def risen(told: Mapping[str, Verdict], whose: str = "H-Neurons") -> str:
    """The verdicts on a family of curves, in a dozen words."""
    if any(v.p is None for v in told.values()):
        return "Too few control sets to say whether anything rises"
    said = []
    for word in dict.fromkeys(v.word for v in told.values()):
        some = [behaviour_called(b).title.lower() for b, v in told.items() if v.word == word]
        if word != "not told apart":
            several = {"rises": "rise", "falls": "fall"}.get(word, word.replace("lies", "lie"))
            said.append(f"{' and '.join(some)} {word if len(some) == 1 else several}")
    if not said:
        return f"Turned up, the {whose} are not told apart from their controls"
    rest = sum(v.word == "not told apart" for v in told.values())
    said += [f"the other {'one is' if rest == 1 else f'{rest} are'} not told apart"] if rest else []
    whole = "; ".join(said)
    if len(whole.split()) > 12:
        words = [v.word for v in told.values()]
        rise, fall = words.count("rises"), words.count("falls")
        whole = f"{rise} of {len(told)} behaviours rise and {fall} fall beyond their controls"
    return whole[0].upper() + whole[1:]


def answers(curves: Mapping[str, DoseResponse], card: HNeurons) -> go.Figure:
    """What does the model write at each alpha? A slider over alpha; of each behaviour the item whose replies change
    most."""
    rows, swings = [], {}
    for behaviour, curve in curves.items():
        changes = [len({reply.text for reply in row}) for row in curve.replies]
        rows.append((behaviour, curve, int(np.argmax(changes))))
        swings[behaviour_called(behaviour).title.lower()] = curve.swings, curve.control_swings.mean()
    first = next(iter(curves.values()))
    start = int(np.argmax(first.alphas))
    figure = go.Figure([_replies_table(rows, i, f"reply at alpha {a:g}") for i, a in enumerate(first.alphas)])
    add_slider(figure, "alpha = ", [f"{alpha:g}" for alpha in first.alphas], start)
    told = "; ".join(f"{name} {own:.0%} ({random:.0%})" for name, (own, random) in swings.items())
    n = ", ".join(map(str, sorted({len(c.items) for c in curves.values()})))
    shares = sorted(own for own, _ in swings.values())
    ends = " to ".join(dict.fromkeys(f"{share:.0%}" for share in (shares[0], shares[-1])))
    return styled(
        figure,
        f"Scaled H-Neurons change the outcome of {ends} of items",
        f"{read_at(card)} at alpha 0 or 3, by behaviour, control sets in brackets: {told}. n = {n} each. Below, the "
        "item of each whose replies change most: the exception, not the rule. Move the slider.",
        640,
    )


def _replies_table(rows: Sequence[tuple[str, DoseResponse, int]], place: int, heading: str) -> go.Table:
    """Chosen items (behaviour, curve, number in it) with the reply at one place of the curve's alphas."""
    items = [curve.items[i] for _, curve, i in rows]
    words = [str(curve.outcomes[i, place]) for _, curve, i in rows]
    plain, tinted = ["#FFFFFF"] * len(rows), [TINTS[word] for word in words]
    return go.Table(
        columnwidth=[15, 30, 13, 13, 21, 13],
        header={
            "values": ["behaviour", "the user says", "truth", "claim", heading, "outcome"],
            **{"align": "left", "fill_color": "#F2F2F2", "font_size": TEXT, "height": 30},
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
            "fill_color": [*[plain] * 4, *[tinted] * 2],
            **{"align": "left", "font_size": TEXT, "height": 30},
        },
    )


class _Cost(NamedTuple):
    """One thing that scaling costs: with the H-Neurons at each alpha, and with control sets [set, alpha] at some, the
    last of which is the `place`-th of theirs."""

    axis: str
    place: int
    own: list[Estimate]
    random: Float[np.ndarray, "set alpha"]

    def __str__(self) -> str:
        own, (low, middle, high) = self.own[self.place], np.percentile(self.random[:, -1], [2.5, 50, 97.5])
        digits = 2 if max(abs(own.value), abs(middle)) >= 0.1 else 3
        return (
            f"{self.axis} {own.value:.{digits}f} [{own.low:.{digits}f}, {own.high:.{digits}f}] (n = {own.n}), with "
            f"control sets {middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
        )


_FACTS, _TEXT_LOSS = "share of known facts still stated", "loss of ordinary text above alpha 1, nats per token"


def _costs(
    drawn: Sequence[_Cost],
    alphas: Sequence[float],
    random_alphas: Sequence[float],
    card: HNeurons,
    control: str = MATCHED,
) -> go.Figure:
    """What scaling costs, a panel a measure, beside what scaling the control sets as hard costs."""
    titles = [cost.axis.replace(", ", ",<br>") for cost in drawn]
    figure = make_subplots(rows=1, cols=len(drawn), subplot_titles=titles, horizontal_spacing=0.12)
    for column, cost in enumerate(drawn, start=1):
        traces = [*envelope(random_alphas, cost.random), line(alphas, cost.own, H_NEURON, "H-Neurons")]
        put(figure, traces, column)
    figure.update_xaxes(title="alpha")
    figure.update_yaxes(range=[0, 1.02], col=1)
    last, facts = random_alphas[-1], drawn[0]
    left, others = facts.own[facts.place].value, np.median(facts.random[:, -1])
    return styled(
        figure,
        f"At alpha {last:g} {left:.0%} of known facts are stated, with controls {others:.0%}",
        f"{read_at(card)} at alpha {last:g}: {'; '.join(map(str, drawn))}. Brackets: 95 %, over entities, or of "
        f"{len(drawn[0].random)} sets of {control}.",
    )


def side_effects(intervened: Intervened, card: HNeurons) -> go.Figure:
    """What does scaling cost: are known facts still stated, and does ordinary text (if any was read) make sense?"""
    curve, lost = intervened.capability["recall"], _text_lost(intervened)
    place = place_of(CONTROL_ALPHAS[-1], curve.alphas)
    drawn = [_Cost(_FACTS, place, curve.rate(), curve.control_rates())]
    drawn += [_Cost(_TEXT_LOSS, place, *lost)] if lost else []
    return _costs(drawn, curve.alphas.tolist(), CONTROL_ALPHAS, card)


def _text_lost(intervened: Intervened) -> tuple[list[Estimate], np.ndarray] | None:
    """What ordinary text loses above alpha 1, nats per token, at each alpha: with the H-Neurons, and [set, control
    alpha] with control sets. None if none was read."""
    text, alphas = intervened.text, intervened.capability["recall"].alphas
    if text is None:
        return None
    start = text.loss[:, [int(np.argmin(np.abs(alphas - 1)))]]
    own = [bootstrap(mean, column, groups=text.entities) for column in (text.loss - start).T]
    return own, (text.control_loss - start).mean(1)


def breaking(broken: Breaking, card: HNeurons) -> go.Figure:
    """Turned up far beyond the paper's alphas: what breaks first, and would random neurons as loud break it, too?"""
    drawn = [_Cost(_FACTS, -1, broken.recall, broken.control_recall)]
    drawn += [_Cost(_TEXT_LOSS, -1, broken.loss, broken.control_loss)] if broken.loss else []
    figure = _costs(drawn, broken.alphas, broken.alphas, card, "random neurons of the same layers, as loud")
    return figure.update_xaxes(type="log", tickvals=broken.alphas)
