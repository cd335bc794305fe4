"""Where the answer stands, by position: from the ids the model wrote, never by searching re-tokenised text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import regex

from hn_utils.answers.thoughts import without_thought
from hn_utils.questions.reading.same_answer import find, normalise

if TYPE_CHECKING:
    from hn_utils.models.prompt_encoder import PromptEncoder

A_FEW = 7  # tokens: no more have 95 % of the published answer-only responses, of each of four models; half have 2 or 3
# A sentence ends with a line, at a full stop of any script, or at one that a blank and no small letter follow.
_BREAK = regex.compile(
    r"(?<=[.!?…])[\p{Pe}\p{Pf}\p{Pi}\"'*_]*[\s\p{Cf}]+(?![\p{Z}\p{Ll}])|(?<=[。！？｡।॥؟۔])[\p{Pe}\p{Pf}\"'*_]*\s*|\s*\n\s*"
)
_BEFORE_NAMES = regex.compile(  # abbreviations that a name follows, so that no sentence ends there
    r"\b(?:Dr|Mr|Mrs|Ms|Mx|Messrs|St|Ste|Mt|Ft|Gen|Sgt|Lt|Col|Capt|Cpl|Maj|Adm|Cmdr|Comdr|Pvt|Rev|Hon|Prof|Pres|Gov|Sen|"
    r"Rep|Supt|Insp|Fr|Sr|Sra|Mme|Mlle|Hr|vs|cf|Fig|Vol|ca|approx)\.$"
)
_BEFORE_NUMBERS = regex.compile(r"\b(?:No|Nr|Op|pp?)\.$")
_LISTED = regex.compile(r"\A1[.)]\s+(?=.*\n\s*2[.)])", regex.DOTALL)
_SHORT_FORM = regex.compile(  # those that may end a sentence as well
    r"\b(?:\p{Lu}|(?:\p{L}\.)+\p{L}|Jr|Sr|Inc|Ltd|Co|Corp|Bros|Ave|Blvd|Rd|Dept|Est|Ph|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|"
    r"Nov|Dec|Mon|Tues?|Wed|Thurs?|Fri|Sat|Sun|al|etc)\.$"
)
_GOES_ON = regex.compile(  # how a new sentence begins behind one of these
    r"(?:It|He|She|They|We|I|You|This|That|These|Those|There|The|His|Her|Its|Their|In|On|At|As|But|And|However|Also|A|An)\b"
)
_QUESTION_WORD = r"(?:who|whom|whose|what|when|where|which|why|how)"
_OPENING = regex.compile(
    r"(?:sure|certainly|of course|absolutely|definitely|great|good|okay|ok|alright|all right|no problem|hello|hi|hey|"
    r"hmm+|well)(?:,? (?:thing|question|choice|there|here (?:you go|it is)|i(?:'d| would| can| will|'ll| am|'m)\b.*|"
    r"let me\b.*|let's\b.*|happy to help\b.*))?[\s!.,…]*"
    r"|(?:that(?:'s| is)|what) an? (?:\w+ )?question[\s!.]*|(?:thanks|thank you)\b[^.!]*[.!]*"
    r"|(?:i'd|i would) be (?:happy|glad)\b.*"
    rf"|(?:let me|let's) (?:think|see)\b.*|.*[:：]|{_QUESTION_WORD}\s*[?？]|"
    rf"(?-i:\W*(?i:{_QUESTION_WORD}|is|was|did|does|do|are|were) "
    r"\p{Ll}.*[?？])|[^\p{L}\p{N}]*",
    regex.IGNORECASE | regex.DOTALL,
)
_LABEL = regex.compile(
    r"[\W_]*(?:(?:the|my) )?(?:(?:final|short|correct|best) )?(?:answer|a|antwort|réponse|respuesta|risposta|resposta|"
    r"antwoord|ответ|答案|答え|回答|정답|답|उत्तर|الإجابة)(?: is)?\s*[*_]*[:：][*_]*\s*",
    regex.IGNORECASE,
)
_BOXED = regex.compile(r"\\(?:boxed|text|mathrm)\{((?:[^{}]|\{[^{}]*\})*)\}")
MARK = r"[\s\p{Z}\p{C}\p{P}`´^¨]"  # no part of an answer at its edges, but for the signs that follow
_BEGINS = regex.compile(rf"(?:(?![-.−]?\.?\d|&|#\d|%){MARK})*")
_ENDS = regex.compile(rf"(?:(?!(?<=[\p{{L}}\d])#|(?<=\d ?)%|&){MARK})*$")
_ONLY_MARKS = regex.compile(r"(?=.*[*_`\p{Cf}])[*_`\p{Cf}\s]+", regex.DOTALL)


def token_offsets(encoder: PromptEncoder, ids: Sequence[int]) -> list[tuple[int, int]]:
    """Character range of each generated token in the decoded text, by decoding ever longer prefixes.

    A token that adds no characters yet (half of a multi-byte letter, a special token) has an empty range.
    """
    ends = [len(encoder.decode(ids[: i + 1])) for i in range(len(ids))]
    return [(min(start, end), end) for start, end in zip([0, *ends], ends, strict=False)]


def find_phrase(text: str, phrases: Iterable[str]) -> tuple[int, int] | None:
    """Character range of the first phrase (longest first) that stands in the text, however either is spelt."""
    for phrase in sorted(phrases, key=len, reverse=True):
        found = find(text, phrase)
        wordless = found is None and phrase.strip() and not normalise(phrase)  # a sign, such as ♯
        if found is None and not wordless:
            continue
        for exact in regex.finditer(regex.escape(phrase), text, regex.IGNORECASE):
            if found is None or (exact.start() <= found[0] and exact.end() >= found[1]):
                return exact.span()  # with signs that are no word, such as an emoji
        if found:
            return found
    return None


def bare(text: str) -> tuple[int, int]:
    """The range of a text without the marks around it: blanks, quotes, full stops, asterisks, signs without width, a
    box, and a label such as "Answer:"."""
    label = _LABEL.match(text)
    start = label.end() if label and label.end() < len(text) else 0
    boxed = _BOXED.search(text, start)
    if boxed:
        inner = bare(boxed[1])
        return boxed.start(1) + inner[0], boxed.start(1) + inner[1]
    start = _BEGINS.match(text, start).end()  # type: ignore[union-attr]
    end = _ENDS.search(text, start).start()  # type: ignore[union-attr]
    if start < end:
        return start, end
    blanks = len(text) - len(text.lstrip())
    return blanks, max(blanks, len(text.rstrip()))  # nothing but signs, as of a question about one


def _goes_on(sentence: str, after: str) -> bool:
    """Is the full stop that a sentence seems to end with that of an abbreviation?"""
    if _BEFORE_NUMBERS.search(sentence):
        return after[:1].isdigit()
    return bool(_BEFORE_NAMES.search(sentence) or _SHORT_FORM.search(sentence) and not _GOES_ON.match(after))


def sentences(text: str) -> list[str]:
    """A text's sentences, each with its closing marks."""
    made, start = [], 0
    for found in _BREAK.finditer(text):
        if "\n" not in found.group() and _goes_on(text[start : found.start()], text[found.end() :]):
            continue
        made.append(text[start : found.end()].strip())
        start = found.end()
    return [*made, text[start:].strip()]


def first_sentence(text: str) -> str:
    """What stands for the answer in a response of several sentences, without the marks around it.

    A line ends a sentence, too. Openings that say nothing ("Sure!", "Here is the answer:"), labels, Markdown and a
    question that is asked again are passed over; a title that begins like one ("Great Expectations.") is not. This is
    only a rule: of the published answer-only responses of more than A_FEW tokens, 98 % have their marked answer in it.
    """
    all_of_it = sentences(_LISTED.sub("", without_thought(text).strip()))
    said = next((s for s in all_of_it if not _OPENING.fullmatch(s.strip("*_#>- "))), all_of_it[0])
    start, end = bare(said)
    return said[start:end]


def positions_in(offsets: Sequence[tuple[int, int]], start: int, end: int) -> list[int]:
    """Indices of the tokens that share at least one character with [start, end).

    A token without characters of its own that stands inside the range, such as the last byte of a letter, belongs too.
    """
    return [i for i, (a, b) in enumerate(offsets) if (a < end and b > start) or (a == b and start < a <= end)]


def answer_positions(encoder: PromptEncoder, ids: Sequence[int], phrases: Iterable[str] | None = None) -> list[int]:
    """Indices, within a response, of the tokens that state the answer.

    With `phrases` (the possible answers) their first match; without, the whole response but the marks around it, which
    is right for prompts that ask for the answer only. Empty if there is no such token. Tokens that write no character,
    or asterisks alone, are none.
    """
    text, offsets = encoder.decode(ids), token_offsets(encoder, ids)
    found = bare(text) if phrases is None else find_phrase(text, phrases) or (0, 0)
    special = {*encoder.tokenizer.all_special_ids, *encoder.stop_ids}

    def states(place: int) -> bool:
        start, end = offsets[place]
        if start == end:  # the last byte of a letter, or a special token, which is empty alone as well
            return ids[place] not in special and encoder.decode([ids[place]]) != ""
        return ids[place] not in special and not _ONLY_MARKS.fullmatch(text[start:end])

    return [place for place in positions_in(offsets, *found) if states(place)]
