"""A bundled set of questions about the real world: facts of many kinds, stated and checked, with what is wrong and
plausible."""

from hn_utils.questions.real_world.asking import PARTS, questions
from hn_utils.questions.real_world.pressing import items, texts

__all__ = ["PARTS", "items", "questions", "texts"]
