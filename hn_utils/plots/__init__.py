"""Figures, a module a notebook. Each answers one question, names its finding with n and interval in the title, and
returns a plotly figure; none shows itself.
"""

from hn_utils.plots.bench import growth, log_slope
from hn_utils.plots.collect import exposure, token_heat_map
from hn_utils.plots.evidence import domains, everyday, paper_rule, planted_truth
from hn_utils.plots.intervene import answers, breaking, dose_response, side_effects
from hn_utils.plots.origins import base_and_instruct, drift_ranks, timeline
from hn_utils.plots.probe import detection, neuron_atlas, neuron_distributions, path, path_weights
from hn_utils.plots.style import neuron_name, styled

__all__ = [
    "answers",
    "base_and_instruct",
    "breaking",
    "detection",
    "domains",
    "dose_response",
    "drift_ranks",
    "everyday",
    "exposure",
    "growth",
    "log_slope",
    "neuron_atlas",
    "neuron_distributions",
    "neuron_name",
    "paper_rule",
    "path",
    "path_weights",
    "planted_truth",
    "side_effects",
    "styled",
    "timeline",
    "token_heat_map",
]
