"""Published sets of questions (TriviaQA, NQ-Open, BioASQ, PopQA, NonExist) and of pressure (FalseQA, FaithEval, …)."""

from hn_utils.questions.published.asking import questions
from hn_utils.questions.published.pressing import items, texts

PARTS = {
    "standard": "held-out entities",
    "nq_open": "NQ-Open",
    "bioasq": "BioASQ",
    "popqa": "PopQA",
    "triviaqa": "TriviaQA",
    "nonexist": "invented things",
}

__all__ = ["PARTS", "items", "questions", "texts"]
