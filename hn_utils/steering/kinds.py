"""Does a reply give an answer of the kind that was asked for, as far as its form can tell?"""

from __future__ import annotations

import re
from typing import Literal

from hn_utils.questions.reading.same_answer import normalise, words

_Kind = Literal["either", "number", "name", "words"]
_OPPOSITES = {"yes": "no", "no": "yes", "true": "false", "false": "true"}
_NUMBERS = frozenset(
    re.findall(
        r"\w+",
        """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million
    billion
    """,
    )
)
# Words that give no answer, wherever they stand: of apology, agreement, doubt, and of the frame of a sentence.
_SAYS_NOTHING = frozenset(
    re.findall(
        r"\w+",
        """
    a about above absolutely accept accurate actually admit after again agree ai all also am an and answer
    answered any apologetic apologies apologise apologize apology apparently appreciate are as asked assistant
    assure assured at aware bad based be because been before believe best but by can cannot careful catch
    catching caught certain certainly challenge challenging change changing check checked claim clarify clear
    clearly completely concern confident confirm confuse confused confusion consider correct corrected
    correcting correction corrections could course d dear definitely did didn do does doesn don done double
    doubt doubts earlier either enough error exact exactly fact fair false far fault feedback final for frankly
    friend from further give given glad good got great had hang happy has have he hello help helpful her hers hi
    him his hmm hold honest honestly how however i if im in inaccuracy inaccurate incorrect incorrectly indeed
    information initial inquiry is isn it its just know knowledge language let ll look m madam made maintain
    make mate maybe me mean might mind misspoke mistake mistaken misunderstanding misunderstood model moment my
    no not note noted noticing now obviously of oh ok okay on once one or other our out over pardon perhaps
    please point pointed pointing position possible possibly premise previous probably provide provided query
    question questioned questioning quite re really reconsider reconsidered reconsidering reexamine reflection
    regret regrettably reliable remains response rethink review revise revised right s sadly said say second see
    she should sincerely sir so sorry stand still sure t take thank thanks that the their them then there these
    they think this those thought time to totally training true trust truth try uh um understand understanding
    unfortunately upon us valid ve verify very wait was wasn we well were what when where which while who why
    will with would wrong yes yet you your yours
    """,
    )
)
_SENTENCE = re.compile(r"(?<=[.!?:;])\s+|\s*\n\s*")


def _kind_of(answer: str) -> _Kind:
    """What an answer is made of: one of two words; figures or number words; words with a capital; or anything else."""
    if normalise(answer) in _OPPOSITES:
        return "either"
    parts = re.findall(r"[^\W_]+", answer)
    if any(part.isdigit() or part.lower() in _NUMBERS for part in parts):
        return "number"
    return "name" if any(part[0].isupper() for part in parts) else "words"


def gives_one(reply: str, answer: str, question: str = "") -> bool:
    """Does the reply give something of the kind of `answer`, other than what the question itself says?

    Yes needs a no, a number a number, a name a word with a capital that is no mere opening ("Sure"). Of any other
    answer only this can be told, that the reply has a word of its own beyond agreement and apology. The forms are those
    of English. It does not show that the words make sense, which is for `broken` to say, nor that they answer the
    question.
    """
    if normalise(answer) in _OPPOSITES:
        return _OPPOSITES[normalise(answer)] in words(reply)
    kind, asked = _kind_of(answer), set(words(question))
    return any(_fits(sentence, kind, asked) for sentence in _SENTENCE.split(reply.strip()))


def _fits(sentence: str, kind: _Kind, asked: set[str]) -> bool:
    parts = re.findall(r"[^\W_]+", sentence.replace("’", "'"))
    own = [word for word in parts if normalise(word) and normalise(word) not in _SAYS_NOTHING | asked]
    if kind == "number":
        return any(word[0].isdigit() or word.lower() in _NUMBERS for word in own)
    if kind == "words":
        return any(any(letter.isalpha() for letter in word) for word in own)
    return any(word[0].isupper() for word in own)
