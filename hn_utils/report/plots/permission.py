"""Figures of accuracy crossed with permission."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hn_utils.analyses.crossing import CELLS
from hn_utils.analyses.permission import MAIN
from hn_utils.report.plots.style import H_NEURON, MATCHED, auroc_map, envelope, line, put, styled
from hn_utils.stats.tables import counted

if TYPE_CHECKING:
    from hn_utils.analyses import Permission, Probes

_FINDINGS = {
    "falsehood": "{name} follow falsehood and not permission",
    "permission": "{name} follow permission and not falsehood",
    "both": "{name} follow both falsehood and permission",
    "neither": "{name} are told apart on neither falsehood nor permission",
    "cannot tell": "one cannot tell what {name} follow",
}


def four_cells(told: Permission) -> go.Figure:
    """What moves these neurons: that an answer is false, or that it is restricted?"""
    sides = {"All test answers": told.everything, "Answers of equal confidence": told.equal_confidence}
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, subplot_titles=list(sides), horizontal_spacing=0.04)
    names = [cell.replace(", ", ",<br>") for cell in CELLS]
    for column, side in enumerate(sides.values(), start=1):
        x = [f"{name}<br>n = {n}" for name, n in zip(names, side.n, strict=True)]
        put(figure, [*envelope(x, side.random_means), line(x, side.means, H_NEURON, told.name)], column)
    hover = "control sets, %{x}: median %{y:.2f}, 95 % from %{customdata[0]:.2f} to %{customdata[1]:.2f}<extra></extra>"
    figure.update_traces(hovertemplate=hover, selector={"legendgroup": "median"})
    figure.update_xaxes(tickangle=0)
    figure.update_yaxes(title="score, in spreads within cells", col=1)
    shown = styled(
        figure,
        f"By the rule {_FINDINGS[told.verdict].format(name=told.name)}",
        caption=f"Mean score in each cell, less that of all four; bars and band 95 %. Right: {_effects_told(told)}",
    )
    return shown.update_layout(margin_b=150, legend_y=-0.32)


def _effects_told(told: Permission) -> str:
    """The main effects at equal confidence, each with its p and, if it is a null, what would have been seen."""
    said = [f"{name} {told.equal_confidence.effects[name].told}" for name in MAIN]
    return ", ".join(said) + "."


def probes_crossed(probes: Probes) -> go.Figure:
    """Does a probe for falsehood read restriction, and one for restriction falsehood?"""
    contrasts = list(next(iter(probes.told.values())))
    values = np.array([[row[c].own.value for c in contrasts] for row in probes.told.values()])
    text = [
        [f"{row[c].own}<br>shuffled {row[c].control.value:.2f}<br>beyond {row[c].beyond}" for c in contrasts]
        for row in probes.told.values()
    ]
    rows = [f"{name}<br>({counted(len(fits.own.neurons), 'neuron')})" for name, fits in probes.fits.items()]
    ns = [next(iter(probes.told.values()))[c].own.n for c in contrasts]
    figure = auroc_map(
        [f"{c}<br>n = {n}" for c, n in zip(contrasts, ns, strict=True)], rows, values, text, (0, 1), "%{y}, %{x}"
    )
    figure.update_yaxes(autorange="reversed")
    shared = probes.overlaps["falsehood probe", "restriction probe"]
    falsehood, restriction = (probes.told[f"{name} probe"] for name in MAIN)
    return styled(
        figure,
        f"The falsehood probe reads restriction at {falsehood[contrasts[2]].own.value:.2f}; "
        f"the other, falsehood at {restriction[contrasts[0]].own.value:.2f}",
        caption="AUROC on test entities, with 95 % intervals; the falsehood probe was trained on the first contrast, "
        f"the restriction probe on the third. Shuffled: {MATCHED}, fitted alike. Neurons of the two probes: {shared}.",
    )
