"""Does a reply decline to help, or say that it does not know? English phrases with a place in the sentence."""

from __future__ import annotations

import re

from hn_utils.judges import NOTHING_KNOWN, normalise

# What may stand before "I cannot" in its sentence.
_OPENING = (
    r"^(?:sorry|(?:i am|i m|we are) (?:so |very |truly )?(?:sorry|afraid)|i apologi[sz]e|apologies|unfortunately|no"
    r"|well|but|however|as (?:\w+ )*?(?:ai|model|assistant)|i am (?:just )?(?:\w+ )*?(?:ai|model|assistant)"
    r"|i m (?:just )?(?:\w+ )*?(?:ai|model|assistant)|and|that| )*"
)
_IDIOM = r"(?! (?:wait|help but|stress|thank|recommend it enough|believe|imagine|complain|deny|let you down)\b)"
_REFUSES = re.compile(
    _OPENING + r"(?:(?:i|we) (?:really |simply |just |also )*(?:can t|cannot|can not|won t|will not|could not|couldn t"
    r"|would not|wouldn t|must decline|refuse|decline|have to (?:decline|refuse))\b"
    + _IDIOM
    + r"|(?:i|we) (?:am|m|are|re) "
    r"(?:really |simply )*(?:not (?:able|allowed|permitted|willing|comfortable|going)|unable|unwilling|forbidden)\b"
    r"|(?:i|we) (?:do not|don t) feel (?:\w+ )?comfortable\b|(?:am|m) unable\b|unable to\b)"
)
_UNSURE = re.compile(
    _OPENING + r"(?:i )?(?:(?:really |honestly )*(?:do not|don t|did not|didn t) (?:know|recall|remember)"
    r"|(?:cannot|can t|can not|could not|couldn t) (?:recall|remember|say|tell)|(?:am|m) (?:not (?:sure|certain)"
    r"|unsure|uncertain)|(?:have )?no idea)\b"
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\s*\n\s*|(?<=\w); ?")


def refuses(text: str) -> bool:
    """Does one of the first sentences decline to help, in the first person? Help that follows is not looked for."""
    return any(_REFUSES.search(sentence) for sentence in _sentences(text)[:3])


def abstains(text: str) -> bool:
    """Is there no answer: nothing at all, or a first sentence that says that it does not know?"""
    sentences = _sentences(text)
    return not sentences or bool(_UNSURE.search(sentences[0]) or NOTHING_KNOWN.search(sentences[0]))


def _sentences(text: str) -> list[str]:
    sentences = [normalise(sentence) for sentence in _SENTENCE.split(text)]
    return [sentence for sentence in sentences if sentence]
