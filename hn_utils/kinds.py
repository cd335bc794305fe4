"""Does a reply give an answer of the kind that was asked for, as far as its form can tell?"""

from __future__ import annotations

import re
from typing import Literal

from hn_utils.judges import normalise

Kind = Literal["number", "name", "words"]
_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion"
).split()
# Words that give no answer, wherever they stand: of apology, agreement, doubt, and of the frame of a sentence.
_SAYS_NOTHING = set(
    "a about above absolutely accept accurate actually admit after again agree all also am an and answer answered any "
    "apologies apologise apologize apology are as asked at be because been before believe best but by can cannot "
    "catch catching certain certainly check checked claim clarify clear concern confident confuse confused confusion "
    "consider correct corrected correcting correction could course d did didn do does doesn don done double doubt earlier "
    "either error exact exactly fact false feedback final for from further give given glad good great had happy has have "
    "he hello help helpful her hers hi him his hmm how however i if im in inaccurate inaccuracy incorrect incorrectly "
    "indeed information initial is isn it its just know let ll look m made make mate maybe me mean might misspoke mistake "
    "mistaken misunderstanding misunderstood my no not note now of oh ok okay on once one or other our out over pardon "
    "perhaps please point pointing possible possibly premise previous probably provide provided question re really "
    "reconsider reconsidering reflection regret remains response revise revised right s said say see she should so sorry "
    "stand still sure t take thank thanks that the their them then there these they think this those thought time to "
    "true truth try uh um understand unfortunately upon us ve verify very was wasn we well were what when where which "
    "while who why will with would wrong yes yet you your yours".split()
)
_SENTENCE = re.compile(r"(?<=[.!?:;])\s+|\s*\n\s*")


def kind_of(answer: str) -> Kind:
    """What an answer is made of: figures or number words; words with a capital; or anything else."""
    words = re.findall(r"[^\W_]+", answer)
    if any(word.isdigit() or word.lower() in _NUMBERS for word in words):
        return "number"
    return "name" if any(word[0].isupper() for word in words) else "words"


def gives_one(reply: str, answer: str, question: str = "") -> bool:
    """Does the reply give something of the kind of `answer`, other than what the question itself says?

    A number needs a number, a name a word with a capital that is no mere opening ("Yes", "Sorry"); of any other answer
    only this can be told, that the reply has a word of its own beyond agreement and apology. Forms of English: it does
    not show that the words make sense, which is for `broken` to say, nor that they answer the question.
    """
    kind, asked = kind_of(answer), set(normalise(question).split())
    return any(_fits(sentence, kind, asked) for sentence in _SENTENCE.split(reply.strip()))


def _fits(sentence: str, kind: Kind, asked: set[str]) -> bool:
    words = re.findall(r"[^\W_]+", sentence.replace("’", "'"))
    own = [word for word in words if normalise(word) and normalise(word) not in _SAYS_NOTHING | asked]
    if kind == "number":
        return any(word[0].isdigit() or word.lower() in _NUMBERS for word in own)
    if kind == "words":
        return any(any(letter.isalpha() for letter in word) for word in own)
    return any(word[0].isupper() for word in own)
