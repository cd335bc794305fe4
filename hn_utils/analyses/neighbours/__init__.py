"""Methods of the papers named beside the H-Neurons paper, a module a paper, each on the same answers.

What each finds is set beside the H-Neurons in one way, by `set_beside`. Where public text does not hold the method, its
module says so in its first lines.
"""

from hn_utils.analyses.neighbours.achilles import Achilles, find_heel
from hn_utils.analyses.neighbours.beside import Beside, Shared, set_beside, shared_with
from hn_utils.analyses.neighbours.closing import Closing, closing_table
from hn_utils.analyses.neighbours.compositional import Compositional, explain
from hn_utils.analyses.neighbours.confidence_regulation import ConfidenceRegulation, find_entropy_neurons
from hn_utils.analyses.neighbours.contrastive import Contrastive, push_names
from hn_utils.analyses.neighbours.good_and_bad import GoodAndBad, find_antagonists
from hn_utils.analyses.neighbours.known_entities import KnownEntities, find_known_entities
from hn_utils.analyses.neighbours.masking import text_halves
from hn_utils.analyses.neighbours.too_big_to_fail import TooBigToFail, mask_by_importance

__all__ = [
    "Achilles",
    "Beside",
    "Closing",
    "Compositional",
    "ConfidenceRegulation",
    "Contrastive",
    "GoodAndBad",
    "KnownEntities",
    "Shared",
    "TooBigToFail",
    "closing_table",
    "explain",
    "find_antagonists",
    "find_entropy_neurons",
    "find_heel",
    "find_known_entities",
    "mask_by_importance",
    "push_names",
    "set_beside",
    "shared_with",
    "text_halves",
]
