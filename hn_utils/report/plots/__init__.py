"""Figures, a module a notebook. Each answers one question, names its finding in the title, says n and intervals in
the caption, and returns a plotly figure; none shows itself.
"""

from hn_utils.report.plots.analyses import domains, everyday, over_positions, paper_rule, planted_truth
from hn_utils.report.plots.baselines import baselines
from hn_utils.report.plots.bench import growth, log_slope
from hn_utils.report.plots.collect import AtTokens, exposure, token_heat_maps
from hn_utils.report.plots.intervene import answers, breaking, dose_response, side_effects
from hn_utils.report.plots.neighbours import confidence_regulation, masking
from hn_utils.report.plots.neuron import one_neuron, where_it_acts
from hn_utils.report.plots.origins import base_and_instruct, drift_ranks, timeline
from hn_utils.report.plots.permission import four_cells, probes_crossed
from hn_utils.report.plots.planted import recovery, strengths
from hn_utils.report.plots.probe import detection, l1_path, l1_path_weights, single_neurons
from hn_utils.report.plots.session import each_alone, in_sample
from hn_utils.report.plots.style import neuron_name, styled
from hn_utils.report.plots.texts import made_up_by_exposure, since_when, what_text, with_width

__all__ = [
    "AtTokens",
    "answers",
    "base_and_instruct",
    "baselines",
    "confidence_regulation",
    "breaking",
    "detection",
    "domains",
    "dose_response",
    "drift_ranks",
    "each_alone",
    "everyday",
    "exposure",
    "made_up_by_exposure",
    "four_cells",
    "growth",
    "in_sample",
    "log_slope",
    "neuron_name",
    "one_neuron",
    "over_positions",
    "paper_rule",
    "l1_path",
    "l1_path_weights",
    "masking",
    "planted_truth",
    "probes_crossed",
    "recovery",
    "side_effects",
    "since_when",
    "single_neurons",
    "strengths",
    "styled",
    "timeline",
    "token_heat_maps",
    "what_text",
    "where_it_acts",
    "with_width",
]
