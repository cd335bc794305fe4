"""Methods of the papers named beside the H-Neurons paper, a module a paper, each on the same answers.

What each finds is set beside the H-Neurons in one way: `beside`. Where public text does not hold the method, its module
says so in its first lines.
"""

from hn_utils.analyses.neighbours.achilles import Achilles, achilles
from hn_utils.analyses.neighbours.beside import Beside, Shared, beside, shared_with
from hn_utils.analyses.neighbours.closing import Closing, closing_table
from hn_utils.analyses.neighbours.compositional import Compositional, compositional
from hn_utils.analyses.neighbours.confidence_regulation import ConfidenceRegulation, confidence_regulation
from hn_utils.analyses.neighbours.contrastive import Contrastive, contrastive
from hn_utils.analyses.neighbours.good_and_bad import GoodAndBad, good_and_bad
from hn_utils.analyses.neighbours.known_entities import KnownEntities, known_entities
from hn_utils.analyses.neighbours.masking import text_halves
from hn_utils.analyses.neighbours.too_big_to_fail import TooBigToFail, too_big_to_fail

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
    "achilles",
    "beside",
    "closing_table",
    "compositional",
    "confidence_regulation",
    "contrastive",
    "good_and_bad",
    "known_entities",
    "shared_with",
    "text_halves",
    "too_big_to_fail",
]
