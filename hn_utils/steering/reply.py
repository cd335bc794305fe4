"""What a reply says: whether it gives the true answer, and which letter of a multiple choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import regex

from hn_utils.answers.thoughts import without_thought
from hn_utils.questions.reading.letters import fold
from hn_utils.steering.claims import stance

if TYPE_CHECKING:
    from hn_utils.questions.items import Item


_ANSWER = (
    r"answers?|antwort|lösung|réponse|reponse|respuesta|risposta|resposta|antwoord|ответ|答案|答え|回答|정답|답|उत्तर|"
    r"الإجابة|الجواب"
)


_IS = (
    r"(?:\s*[:=：]|\s*(?:is|was|would be|must be|should be|has to be|ist|lautet"
    r"|est|es|è|é|ser[ií]a|der|да|это)\b|\s*(?:是|为|為|は|은|는|है|هي|هو))*"
)


_NAMED = r"\W*(?:(?:the |die |la |de )?(?:option|choice|letter|number|buchstabe|lettre|letra|lettera|選択肢|选项)\W*)?"


# How a reply names the letter that it takes, the surest ways first. Each takes what it says last, {0} are the letters;
# a small letter must end what it stands in, since "the answer is a dog" names none.
_CHOICE = (
    r"^\W*(?:(?:option|choice|letter|answer)\W*)?(?P<letter>(?i:{0}))\W*$",
    rf"(?:(?i:{_ANSWER}){_IS}|(?i:correct|right|best|true) (?i:one|option|choice) (?i:is|would be)|(?i:\bit'?s|"
    rf"\bit is|\bes ist|\bc'est|\bit must be|\bit should be)|(?i:\b(?:choose|chose|pick|select|go with|going with|say|"
    rf"take|opt for|vote for))|选择?|選択?)(?i:{_NAMED})"
    rf"(?P<letter>{{0}}|(?i:{{0}})(?=\W*$|[.,;:!)\n]))(?![A-Za-z0-9'’+#])",
    r"(?<![A-Za-z0-9'’])(?P<letter>{0})(?:\W{{0,3}} (?i:is|was|would be)|是|が)? ?(?:(?i:the|definitely|clearly) )*"
    r"(?:(?i:correct|right|answer|best|true)\b|正)",
    r"(?:[:：]|\n)\W*(?P<letter>{0})\W*$",
    r"^\W*(?P<letter>(?i:{0}))(?:(?:[.):\]]|\s+-)(?=\s|$)|\s*\n)(?!\s*(?:or|and|/)\b)",
    r"(?i:option|choice|letter)\W*(?P<letter>{0})(?![A-Za-z0-9'’])",
    r"\((?P<letter>{0})\)",
    r"(?<![A-Za-z0-9'’°])(?P<letter>{0})(?![A-Za-z0-9'’+#]|\s+[a-z]+ing\b)",
)


_FRAME = regex.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf)\b|[*_`$\\{}\"“”]")


_REJECTED = regex.compile(
    r"(?i)\b(?:not|isn't|n't|cannot be|can't be|never|neither|nor|rather than|instead of|rule out|excluding)\W+"
    r"(?:option )?$"
)


_WRONG = regex.compile(
    r"(?i)\W{0,2}\s*(?:is|was|'s|would be)\b[^.;\n]{0,20}\b(?:not|wrong|incorrect|false|trap|out)\b|\W{0,2}\s*isn't"
)


_LAST_SAID = 4  # of the ways: of those the last counts, since one may correct oneself; of others all must agree


def choice(letters: str, reply: str) -> str | None:
    """The letter that a reply chooses; None if that cannot be told, which counts as a parse failure.

    `letters` are those to choose from ("ABCD", "1-4"). Markdown, boxes, case and a thought before the reply do not
    matter; a letter that the reply rejects is not chosen.
    """
    spread = regex.sub(r"(\w)-(\w)", lambda m: "".join(map(chr, range(ord(m[1]), ord(m[2]) + 1))), letters)
    text = _FRAME.sub("", fold(without_thought(reply))[0]).strip()
    for place, pattern in enumerate(_CHOICE if spread else ()):
        found = regex.finditer(pattern.format(f"[{regex.escape(spread)}]"), text)
        taken = [m["letter"].upper() for m in found if not _rejected(text, m)]
        if taken and (place < _LAST_SAID or len(set(taken)) == 1):
            return taken[-1]
        if taken:
            return None
    return None


def _rejected(text: str, found: regex.Match[str]) -> bool:
    """Does the text say that it is not this letter, or is the letter an article or a pronoun?"""
    start, end = found.span("letter")
    begins = regex.search(r"(?:^|[.!?\n]\s*)$", text[:start])
    is_word = bool(begins) and found["letter"] in "AI" and bool(regex.match(r"\s+[a-z]", text[end:]))
    is_word = is_word and not regex.match(r"\s+(?:is|because|since|as|or|and|nor)\b", text[end:])
    is_word = is_word or found["letter"] == "I" and bool(regex.match(r"\s+[a-z]", text[end:]))
    return is_word or bool(_REJECTED.search(text[:start])) or bool(_WRONG.match(text[end:]))


def states_truth(item: Item, reply: str) -> bool:
    """Does the reply give the true answer, without denying it: its letter in a multiple choice, else its words?"""
    if item.shape and item.rule == "held":
        return choice(item.shape, reply) == item.truth
    return any(stance(reply, answer) == "stated" for answer in (item.truth, *item.also))
