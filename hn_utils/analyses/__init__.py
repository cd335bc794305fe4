"""What a claim is put to besides its controls, one question a module. Each takes what the steps before left behind;
each has its place in a notebook."""

from hn_utils.analyses import neighbours
from hn_utils.analyses.base_probe import OnBase, retrained_on_base
from hn_utils.analyses.baselines.table import Baselines, beside_baselines
from hn_utils.analyses.breaking_point import Breaking, until_it_breaks
from hn_utils.analyses.by_size import BySize, by_size
from hn_utils.analyses.crossing import Crossed, cross_permission
from hn_utils.analyses.detectors import Compared, added_to_confidence, compare, told_by_exposure
from hn_utils.analyses.domains import Domains, across_domains
from hn_utils.analyses.emergence import Moment, emergence
from hn_utils.analyses.everyday_answers import Everyday, everyday
from hn_utils.analyses.halves import find_again, found_groups
from hn_utils.analyses.other_judges import judged_again
from hn_utils.analyses.other_rows import read_elsewhere
from hn_utils.analyses.paper_rule import PaperRule, by_paper_rule
from hn_utils.analyses.permission import Permission, as_mean, each_neuron, falsehood_or_permission
from hn_utils.analyses.permission_probes import Probes, Turned, turned, two_probes
from hn_utils.analyses.planted import Planted, planted_truth
from hn_utils.analyses.positions import AtPosition, at_every_position, at_every_position_of_base
from hn_utils.analyses.recovery import Carried, Recovery, carried, recover
from hn_utils.analyses.scaled_together import joint_scaling
from hn_utils.analyses.twins import Swapped, swapped
from hn_utils.analyses.where_it_acts import WhereItActs, where_it_acts

__all__ = [
    "AtPosition",
    "Baselines",
    "Breaking",
    "BySize",
    "Carried",
    "Compared",
    "Crossed",
    "Domains",
    "Everyday",
    "Moment",
    "OnBase",
    "PaperRule",
    "Permission",
    "Planted",
    "Probes",
    "Recovery",
    "Swapped",
    "Turned",
    "WhereItActs",
    "across_domains",
    "added_to_confidence",
    "as_mean",
    "at_every_position",
    "at_every_position_of_base",
    "beside_baselines",
    "by_paper_rule",
    "by_size",
    "carried",
    "compare",
    "cross_permission",
    "each_neuron",
    "emergence",
    "everyday",
    "falsehood_or_permission",
    "find_again",
    "found_groups",
    "joint_scaling",
    "judged_again",
    "neighbours",
    "planted_truth",
    "read_elsewhere",
    "recover",
    "retrained_on_base",
    "swapped",
    "told_by_exposure",
    "turned",
    "two_probes",
    "until_it_breaks",
    "where_it_acts",
]
