"""What a reply does with a phrase: state it, deny it, or leave it open."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Literal, NamedTuple

from hn_utils.questions.reading.same_answer import contains

Stance = Literal["stated", "denied", "open", "absent"]

# In each pattern words are in lower case, apart by single blanks, and "n't" is written " not".
_ADVERBS = r"(?:(?:actually|certainly|definitely|really|surely|simply|in fact|himself|herself|itself|also|probably) )*"
_TOLD_TO_BE_FALSE = (
    r"(?:not (?:quite |entirely |really )?(?:true|right|correct|accurate|so|the case|valid)"
    r"|wrong|incorrect|false|untrue|inaccurate|mistaken|erroneous|a lie|fiction"
    r"|(?:an?|my|your) (?:\w+ )?(?:myth|misconception|mistake|error|legend|falsehood|misunderstanding|confusion))\b"
)
_BE = r"(?:is|are|was|were|be|been|being|s|seems|sounds|would be|has been|must be)"
# Before the phrase in its clause. Two of them undo each other: "there is no doubt that", "none other than".
_DENIES_WHAT_FOLLOWS = re.compile(
    r"\b(?:not|cannot|never|no|none|nobody|nothing|neither|nor|anything but|all but|without|hardly|unlike"
    r"|unlikely|impossible|rather than|instead of|other than|(?:as )?opposed to|contrary to|confused with|far from"
    r"|doubt|doubts|doubtful|deny|denies|denied|disagree|disagrees|reject|rejects|refute|refutes|disputes?"
    r"|wrong|wrongly|incorrect|incorrectly|false|falsely|untrue|inaccurate|mistakenly|mistaken|erroneously|erroneous"
    r"|myth|misconception|mistake|error|falsehood|apologi[sz]e for|sorry for|confusing \w+ with|mixing \w+ up with)\b"
)
_DENIES_NOTHING = re.compile(
    r"\bnot (?:only|just|merely|simply|surprising|surprisingly)\b|\bno (?:wonder|question|idea)\b"
    r"|\bdid not know\b"
)
_DENIED_BY_ITS_VERB = re.compile(
    rf"^{_ADVERBS}(?:(?:did|does|do|was|were|is|are|has|had|have|could|can|would|will|should|must|may|might) "
    rf"{_ADVERBS}(?:not|never)|cannot|never|had nothing to do|has nothing to do)\b"
)
_DENIED_AS_FALSE = re.compile(rf"\b{_BE} {_ADVERBS}{_TOLD_TO_BE_FALSE}")
_BUT_LATER = re.compile(r"\b(?:until|till|before)\b")  # "did not write it until 1843" says that it was written
_SAID_BY_OTHERS = re.compile(
    r"\b(?:claim(?:s|ed)?|belie(?:f|ve|ves|ved)|thought|think|thinks|assum(?:e|es|ed|ption)|said|says|say|stated|states"
    r"|attributed|credited|suppos(?:e|es|ed|edly)|called|rumou?red|reported|mentioned|note|premise)\b"
)
_TURNS = re.compile(r"^(?:but|however|yet|actually|in fact|in reality|in truth|though|although|this is|that is)\b")
_OPEN = re.compile(
    r"\b(?:if|whether)\b|\b(?:know|sure|certain|recall|remember|say|tell)\b.*\b(?:why|when|where|how|what|which|who)\b"
)
# What stands between two commas and says nothing of its own; without it a clause is whole.
_PARENTHESIS = re.compile(
    r", (?:in fact|as (?:you|they|he|she|it) \w+|as \w+ (?:claim|say|believe|state)s?|however|actually|of course|indeed"
    r"|though|i (?:believe|think|am sure)|to my knowledge|(?:who|which|whose) [^,]{1,60}|contrary to [^,]{1,60}),"
)
_SENTENCE = re.compile(r"(?<=[.!?])[\"'”’)*]*\s+|\s*\n\s*")
_WORD_OR_MARK = re.compile(r"[^\W_](?:[\w'’.\-]*[^\W_])?|[,;:?!()–—]|\S")
_MARKS = {",", ";", ":", "?", "!", "(", ")", "–", "—"}
_BREAKS = {"but", "however", "although", "though", "because", "while", "whereas", "yet", "so", "nor"}
_BREAKS_AFTER = _BREAKS | {"when", "who", "which", "where", "and", "since", "as"}
_CONCEDES = {"while", "although", "though", "despite"}
_GOES_ON_AFTER_AND = {"it", "he", "she", "they", "i", "we", "you", "this", "that", "the", "not", "there"}


class _Place(NamedTuple):
    """One place where the phrase stands: its clause before and after it, what its sentence says after that clause, and
    whether it concedes ("although you say") and the sentence is a question, with what comes next."""

    before: str
    after: str
    rest: str
    conceded: bool
    asked: bool
    following: str


def stance(text: str, phrase: str) -> Stance:
    """Does the text state the phrase, deny it wherever it stands, or leave it open (in a question, behind "if")?

    A rule for English clauses: negation before the phrase ("not by Dickens", "rather than", "it is a myth that"), its
    own negated verb ("Dickens did not write"), and what is told to be false ("Rome is wrong", "is often claimed, but").
    In other languages, and where it takes more than a clause to see the denial, a phrase that stands there counts as
    stated.
    """
    if not contains(text, phrase):
        return "absent"
    found = [_stance_at(place) for place in _places(text, phrase)]
    for one in ("stated", "denied", "open"):
        if one in found:
            return one
    return "stated"  # it lies across what was taken for two sentences


def _stance_at(place: _Place) -> Stance:
    if place.asked:
        return _answered(place.following)
    if _OPEN.search(place.before):
        return "open"
    if _DENIED_BY_ITS_VERB.search(place.after) and not _BUT_LATER.search(place.after):
        return "denied"
    if _DENIED_AS_FALSE.search(place.after):
        return "denied"
    turned = (place.conceded and place.rest) or _TURNS.search(place.rest or place.following)
    if turned and _SAID_BY_OTHERS.search(f"{place.before} {place.after}"):
        return "denied"
    negations = _DENIES_WHAT_FOLLOWS.findall(_DENIES_NOTHING.sub("", place.before))
    return "denied" if len(negations) % 2 and not _held_off(place) else "stated"


def _held_off(place: _Place) -> bool:
    """Does "not until" stand around the phrase: "it was not until Dickens", "he did not reach Rome until 1820"?"""
    return bool(re.search(r"\bnot\b.*\buntil\b", f"{place.before} {place.after}"))


def _answered(following: str) -> Stance:
    if re.match(r"(?:no|not|never|wrong|false|(?:he|she|it|that|they) (?:is|was|did|does|were|are) not)\b", following):
        return "denied"
    return "stated" if re.match(r"(?:yes|indeed|right|correct|true)\b", following) else "open"


def _places(text: str, phrase: str) -> Iterator[_Place]:
    sentences = [_plain(sentence) for sentence in _SENTENCE.split(text.strip())]
    for sentence, following in zip(sentences, [*sentences[1:], ""], strict=True):
        words = _WORD_OR_MARK.findall(sentence)
        for start, end in _windows(words, phrase):
            yield _place(words, start, end, following)


def _plain(sentence: str) -> str:
    """Without parentheses of no weight, negations written out."""
    sentence = re.sub(r"\bcan['’]?t\b|\bcannot\b", "can not", sentence.replace("’", "'"), flags=re.IGNORECASE)
    sentence = re.sub(r"\bwon't\b", "will not", sentence, flags=re.IGNORECASE)
    sentence = re.sub(r"n't\b", " not", sentence, flags=re.IGNORECASE)
    return re.sub(_PARENTHESIS.pattern, "", sentence, flags=re.IGNORECASE)


def _windows(words: list[str], phrase: str) -> Iterator[tuple[int, int]]:
    """The shortest stretches of words that hold the phrase, one after the other."""

    def holds(start: int, end: int) -> bool:
        return contains(" ".join(words[start:end]), phrase)

    begun = 0
    while holds(begun, len(words)):
        ends = range(begun, len(words))
        end = begun + bisect_left(ends, True, key=lambda last: holds(begun, last + 1)) + 1
        starts = range(begun, end)
        start = begun + bisect_left(starts, True, key=lambda first: not holds(first, end)) - 1
        yield max(start, begun), end
        begun = end


def _place(words: list[str], start: int, end: int, following: str) -> _Place:
    lower = [word.lower().strip(".") for word in words]
    first, last = start, end
    while first > 0 and not _breaks(lower, first - 1, _BREAKS):
        first -= 1
    while last < len(lower) and not _breaks(lower, last, _BREAKS_AFTER):
        last += 1
    if first > 0 and lower[first - 1] == "nor":
        first -= 1
    conceded = bool({*lower[max(0, first - 1) : start]} & _CONCEDES)
    mark = next((word for word in lower[last:] if word in {"?", "!"}), "")
    rest = " ".join(lower[last:]).strip(",;:–— ")
    before, after = " ".join(lower[first:start]), " ".join(lower[end:last])
    return _Place(before, after, rest, conceded, mark == "?", _after(rest, following))


def _breaks(lower: list[str], at: int, words: set[str]) -> bool:
    """Does a clause end at this word?"""
    if lower[at] == "but" and at and lower[at - 1] in {"anything", "all"}:
        return False
    if lower[at] == "and":
        return at + 1 < len(lower) and lower[at + 1] in _GOES_ON_AFTER_AND
    return lower[at] in _MARKS or lower[at] in words - {"and"}


def _after(rest: str, following: str) -> str:
    """What comes next in lower case: after the question mark, if there is one, else the next sentence."""
    return (rest.partition("?")[2].strip(" ,") or following.lower().strip()) if "?" in rest else following.lower()
