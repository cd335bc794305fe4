"""Figures of the neighbours: what silencing costs, and who writes where the unembedding hardly reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from hn_utils.analyses.neighbours.masking import TENFOLD
from hn_utils.report.plots.style import CONTROL, FALSE, OTHER, REFERENCE, log_axis, styled

if TYPE_CHECKING:
    from hn_utils.analyses.neighbours import ConfidenceRegulation
    from hn_utils.analyses.neighbours.masking import Masked
    from hn_utils.models.hook_points import Units

_COLOURS = (FALSE, OTHER)


def masking(orders: Mapping[str, Masked], random: Sequence[Masked], units: Units) -> go.Figure:
    """Decades of perplexity against the number of silenced units, along orders and along random ones."""
    figure = go.Figure()
    for place, masked in enumerate(random):
        figure.add_trace(_curve(masked, "random", CONTROL).update(showlegend=not place, line_width=2))
    for (name, masked), colour in zip(orders.items(), _COLOURS, strict=False):
        figure.add_trace(_curve(masked, name, colour))
    figure.add_hline(y=TENFOLD, line=REFERENCE, annotation_text="tenfold")
    counts = np.concatenate([masked.counts for masked in (*orders.values(), *random)])
    figure.update_xaxes(title=f"silenced {units.name}s, of {units.n:,}", **log_axis(counts.tolist()))
    figure.update_yaxes(title="decades of perplexity")
    first, masked = next(iter(orders.items()))
    others = ", ".join(f"{one.smallest:,}" if one.smallest else "never" for one in random)
    broken = f"{masked.smallest:,} {units.name}s" if masked.smallest else f"no number of {units.name}s"
    return styled(
        figure,
        f"Perplexity rises tenfold without {broken}: {first}",
        f"Held-out text; {len(random)} random orders reach tenfold at {others}. Where a curve ends, it has reached it.",
    )


def _curve(masked: Masked, name: str, colour: str) -> go.Scatter:
    """Costs along one order."""
    line = {"color": colour, "width": 3}
    hover = "%{x:,} silenced: %{y:.2f} decades<extra>" + name + "</extra>"
    curve = go.Scatter(x=masked.counts, y=masked.decades, name=name, mode="lines+markers", line=line)
    return curve.update(hovertemplate=hover, legendgroup=name)


def confidence_regulation(found: ConfidenceRegulation) -> go.Figure:
    """Each neuron's length against its share in the bottom directions, and the largest share of random vectors."""
    weights = found.weights
    own = found.neurons % found.d_mlp
    figure = go.Figure()
    for name, some, colour in (
        ("neurons of the last layer", np.setdiff1d(np.arange(found.d_mlp), own), CONTROL),
        ("largest share", own, FALSE),
    ):
        told = [f"neuron {j}<br>LogitVar {weights.logit_variance[j]:.2g}" for j in some.tolist()]
        dots = go.Scatter(x=weights.norm[some], y=weights.rho[some], name=name, mode="markers", text=told)
        figure.add_trace(dots.update(marker_color=colour, hovertemplate="%{text}<br>%{y:.2f}<extra></extra>"))
    largest = found.largest
    band = {"fillcolor": CONTROL, "opacity": 0.2, "line_width": 0}
    figure.add_hrect(y0=largest.low, y1=largest.high, **band)
    figure.add_annotation(
        text="largest of as many random vectors", x=1, xref="paper", xanchor="right", y=largest.high, showarrow=False
    )
    figure.update_xaxes(title="length of the write")
    figure.update_yaxes(title=f"share in the {found.k} bottom direction{'s' * (found.k > 1)}", range=[0, 1])
    beyond = "lies beyond" if weights.rho.max() > largest.high else "lies within"
    shares = [ablation.mediated for ablation in found.ablations]
    others = [ablation.mediated for ablation in found.others]
    return styled(
        figure,
        f"The largest share {beyond} the band of random vectors",
        f"{len(weights.rho):,} neurons; band: 95 % of the largest shares of as many random vectors. Through the final "
        f"scale passes {np.nanmedian(shares):.0%} (at most {np.nanmax(shares):.0%}) of the effect of those with the "
        f"largest share, {np.nanmedian(others):.0%} (at most {np.nanmax(others):.0%}) of that of random ones. Smallest "
        f"singular value {found.drop:.2f} of the median one.",
    )
