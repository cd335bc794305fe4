"""Figures of base against instruct."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from hn_utils.origins.transfer import DID_NOT_MOVE, Drift, Transfer
from hn_utils.report.plots.style import (
    CONFIDENCE,
    CONTROL,
    H_NEURON,
    MATCHED,
    REFERENCE,
    envelope,
    line,
    log_axis,
    neuron_name,
    printable,
    styled,
)
from hn_utils.stats.rank_test import LEVEL

if TYPE_CHECKING:
    from hn_utils.contributions.cett import Contributions
    from hn_utils.probing.probe import HNeurons


def timeline(transfers: Sequence[Transfer], control: str = MATCHED, whose: str = "H-Neurons") -> go.Figure:
    """From which checkpoint on does the instruct model's probe work, beside its control and confidence?"""
    able = [t for t in transfers if t.h_neurons is not None]
    if not able:
        return styled(go.Figure(), "No checkpoint gives enough right and wrong answers", "n = 0 checkpoints compared.")
    ticks = [f"{printable(t.model)}<br>{t.n_right} + {t.n_wrong}" for t in able]
    random = np.stack([t.random for t in able], axis=1)
    figure = go.Figure(envelope(ticks, random))
    for name, colour, estimates in (
        ("confidence", CONFIDENCE, [t.confidence for t in able]),
        (whose, H_NEURON, [t.h_neurons for t in able]),
    ):
        figure.add_trace(line(ticks, estimates, colour, name))  # type: ignore[arg-type]
    figure.add_hline(y=0.5, line=REFERENCE)
    figure.update_xaxes(title="checkpoint (right + wrong answers)", type="category")
    figure.update_yaxes(title="AUROC on its own answers", range=[0.25, 1.03])
    dropped = f" Checkpoints with too few right answers, left out: {n}." if (n := len(transfers) - len(able)) else ""
    first, last = able[0], able[-1]
    return styled(
        figure,
        _detects_since(able, control, whose),
        f"AUROC of the instruct model's {whose}, weights unchanged: {first.h_neurons} at {first.model}, "
        f"{last.h_neurons} at {last.model} (bars: 95 % over entities); there confidence {last.confidence}, "
        f"{random.shape[0]} sets of {control} {np.median(last.random):.2f} (median).{dropped}",
    )


def _detects_since(able: Sequence[Transfer], control: str, whose: str) -> str:
    """From which checkpoint on the neurons' interval lies above 95 % of the control sets, in a dozen words."""
    above = [t.h_neurons.low > np.percentile(t.random, 97.5) for t in able]  # type: ignore[union-attr]
    since = len(above) - next((i for i, better in enumerate(reversed(above)) if not better), len(above))
    others = "picks on shuffled labels" if control == MATCHED else control
    if since == len(above):
        return f"At {able[-1].model} the {whose} are not told apart from {others}"
    when = f"From {able[since].model} on" if since else "At every checkpoint"
    return f"{when} the {whose} detect more than {others}"


def base_and_instruct(
    base: Contributions, instruct: Contributions, card: HNeurons, others: Sequence[np.ndarray]
) -> go.Figure:
    """Do the H-Neurons write as much in the base model? Mean contribution at each model's own answers, sorted, beside
    control sets sorted alike."""
    # Rounded, since the last digits hang on the order in which rows lie in the cache.
    before, after = ((100 * read.at(card.region).mean()).round(5) for read in (base, instruct))
    ratio = after / np.maximum(before, 1e-9)
    order = card.neurons[np.argsort(-ratio[card.neurons], kind="stable")]
    names = [neuron_name(j, card.d_mlp) for j in order.tolist()]
    random = np.array([np.sort(ratio[some])[::-1] for some in others])
    figure = go.Figure(envelope(names, random))
    told = [f"base {before[j]:.2f} %, instruct {after[j]:.2f} %" for j in order]
    points = go.Scatter(x=names, y=ratio[order], mode="markers", name="H-Neurons", text=told)
    points.update(marker={"color": H_NEURON, "size": 10}, hovertemplate="%{x}: %{y:.2f}<br>%{text}<extra></extra>")
    figure.add_trace(points)
    figure.add_hline(y=1, line=REFERENCE)
    figure.update_xaxes(type="category", tickangle=-60)
    figure.update_yaxes(title="contribution, instruct / base", **log_axis([*ratio[order], *random.ravel()], (1, 2, 5)))
    own, (low, middle, high) = np.median(ratio[card.neurons]), np.percentile(np.median(random, 1), [2.5, 50, 97.5])
    inside, moved = low <= own <= high, "louder" if own > high else "quieter"
    return styled(
        figure,
        "How tuning changed H-Neurons' contributions is not told apart from their control"
        if inside
        else f"Tuning made the H-Neurons {moved}, compared with picks on shuffled labels",
        f"The median H-Neuron contributes {own:.2f} times as much at the instruct model's answers (n = "
        f"{len(instruct)}) as at the base model's (n = {len(base)}); of {MATCHED} {middle:.2f} (median; 95 % of "
        f"{len(others)} sets: {low:.2f} to {high:.2f}). Each set is sorted.",
    )


_RANDOM = {"none": "random neurons", "layer": "random,<br>same layers", "magnitude": "random, same<br>layers, lengths"}


def drift_ranks(drift: Drift, card: HNeurons) -> go.Figure:
    """Did tuning turn the H-Neurons' weights less than those of other neurons, and of neurons picked without truth?"""
    figure = go.Figure()
    if not drift.anything_moved:
        return styled(figure, "Tuning left the MLP weights as they were", f"{DID_NOT_MOVE}.", 240)
    for match, name in _RANDOM.items():
        low, middle, high = np.percentile(drift.random[match], [2.5, 50, 97.5])
        bar = {"type": "data", "array": [high - middle], "arrayminus": [middle - low], "thickness": 3}
        figure.add_trace(go.Scatter(x=[middle], y=[name], error_x=bar, marker={"color": CONTROL, "size": 11}))
    rows = [("picked on<br>shuffled labels", CONTROL, drift.shuffled, "mean of a set")] if len(drift.shuffled) else []
    rows += [
        ("H-Neurons,<br>their mean", H_NEURON, np.array([drift.mean_rank]), "mean"),
        ("H-Neurons,<br>each", H_NEURON, drift.rank[card.neurons], "one"),
    ]
    for name, colour, values, what in rows:
        marker = {"color": colour, "symbol": "line-ns-open", "size": 22, "line": {"width": 3}}
        strip = go.Scatter(x=values, y=[name] * len(values), mode="markers", marker=marker)
        figure.add_trace(strip.update(hovertemplate=f"{what}: rank " + "%{x:.2f}<extra></extra>"))
    figure.add_vline(x=0.5, line=REFERENCE)
    figure.update_xaxes(title="rank: 0 moved most, 1 moved least", range=[-0.02, 1.02])
    figure.update_layout(showlegend=False)
    noise = ""
    if len(drift.shuffled):
        noise = f" What the same probe picks on shuffled labels: {np.median(drift.shuffled):.2f} (median of "
        noise += f"{len(drift.shuffled)} sets; p = {drift.p['shuffled']:.2f})."
    return styled(
        figure,
        _stayed(drift),
        f"Mean rank of the {len(card.rows)} H-Neurons {drift.mean_rank:.2f} (0.5 is chance): p = {drift.p['none']:.4f} "
        f"against random neurons, {drift.p['layer']:.4f} against the same layers, {drift.p['magnitude']:.4f} against "
        f"the same layers and lengths of weights (bars: 95 % of {len(drift.random['none']):,} sets).{noise}",
        480,
    )


def _stayed(drift: Drift) -> str:
    """Whether the H-Neurons moved less, or more, than each kind of random set, and than shuffled labels' picks, in 12
    words."""
    if any(drift.p[match] > LEVEL for match in _RANDOM):
        return "How far tuning moved the H-Neurons is not told apart from random"
    less = [drift.mean_rank > drift.random[match].mean() for match in _RANDOM]
    if not all(less):
        return f"H-Neurons moved {'less than some, more than other' if any(less) else 'more than'} random neurons"
    p = drift.p.get("shuffled")
    beside = "; not told apart from" if p is not None and p > LEVEL else " and"
    return f"H-Neurons moved less than random{' neurons' if p is None else f'{beside} shuffled-label picks'}"
