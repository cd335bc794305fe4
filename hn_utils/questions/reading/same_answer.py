"""Which answer a text gives, whatever way it is written: the one reader of answers, names, duplicates and claims.

A text is read as tokens, each with one spelling: plain letters (`letters`), numbers by their values (`numerals`), dates
in one order. Blanks, hyphens and dots between words do not count (Spider-Man, Spider Man, Spiderman), the edges of
words do; scripts that are written without blanks have none. Two texts may differ by an article that one begins with.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import regex

from hn_utils.questions.reading.letters import fold
from hn_utils.questions.reading.numerals import (
    NUMBER,
    ORDINALS,
    SCALES,
    SMALL,
    digits,
    number_words,
    ordinal,
    roman,
    value_of,
)

_ARTICLES = ("a", "an", "the")
# Behind these an A is no article: A minor, A level, blood group A positive.
_LETTER_A = "minor major flat sharp natural level levels positive negative team side list class star plus and or"
LETTER_A = set(_LETTER_A.split())
_SAME_WORD = {
    "&": "and",
    "saint": "st",
    "mount": "mt",
    "doctor": "dr",
    "mister": "mr",
    "versus": "vs",
    "junior": "jr",
    "senior": "sr",
    "percent": "%",
    "dollars": "$",
    "euros": "€",
    "pounds": "£",
    "degrees": "°",
}
# What British and American English spell differently, in answers that are often asked for.
_BRITISH = (
    "centre:center theatre:theater fibre:fiber sabre:saber colour:color harbour:harbor "
    "labour:labor honour:honor armour:armor neighbour:neighbor rumour:rumor vapour:vapor grey:gray defence:defense "
    "licence:license aluminium:aluminum sulphur:sulfur plough:plow moustache:mustache jewellery:jewelry "
    "catalogue:catalog programme:program pyjamas:pajamas axe:ax yoghurt:yogurt doughnut:donut whisky:whiskey"
)
_MEASURES = [f"{part}{unit}" for unit in ("metre", "litre") for part in ("kilo", "centi", "milli", "")]
_SAME_WORD |= {british: american for british, _, american in (pair.partition(":") for pair in _BRITISH.split())}
_SAME_WORD |= {f"{measure}{end}": f"{measure[:-2]}er{end}" for measure in _MEASURES for end in ("", "s")}
_UNIT_SIGNS = "%$€£¥°"
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_MONTH = {name: name for name in _MONTHS} | {name[:3]: name for name in _MONTHS} | {"sept": "september"}
_SPLIT_UNITS = (
    r"km|cm|mm|m|kg|mg|g|lbs?|oz|ft|in|yd|mi|mph|kph|[kmg]?hz|[kmgt]b|[kmg]?w|v|bce?|ad|ce|am|pm|h|min|sec|st|l|ml|cc|"
    r"ha"
)
# Words that stand before or behind a number without naming anything, so that no Henry the Eighth is meant.
_FUNCTION_WORDS = (
    "in on at by for from of to is was it its and or the a an after before during this that he she who i they "
    "we you are am be were had has have not no with as but if so then his her their my your won finished came "
    "answer option letter choice which what when where think say said became ruled died married"
)
FUNCTION_WORDS = set(_FUNCTION_WORDS.split())
_NO_ONE = {"no", "any", "some", "every", "each", "this", "that", "the", "which", "another", "only"}
_NOT_ONE = {"of", "who", "that", "another", "is", "day"}

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}ー々〆\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_LETTER = rf"[[\p{{L}}\p{{M}}]--[{_UNSPACED}\p{{Hangul}}]]"
_CASED = r"[\p{Lu}\p{Ll}]"
_TOKEN = regex.compile(
    rf"""
      (?P<unspaced>[{_UNSPACED}]\p{{M}}*)
    | (?P<hangul>[\p{{Hangul}}\p{{M}}]+)
    | (?P<initials>{_CASED}\.(?:{_CASED}\.)+(?:{_CASED}(?!{_LETTER}))?
        | \p{{Lu}}\.(?:\ ?\p{{Lu}}\.)+(?=\ \p{{Lu}}[\p{{Ll}}']|\W*$)
        | (?<![\p{{L}}\p{{N}}]\ ?){_CASED}(?:\ [{_CASED}--[Ii]])+(?=\ {_CASED}{{2}})
        | (?<![\p{{L}}\p{{N}}])[\p{{Lu}}--I](?:\ [\p{{Lu}}--I])+(?=\ \p{{Lu}}[\p{{Ll}}']|\W*$))
    | (?P<date>[0-9]{{4}}-[0-9][0-9]-[0-9][0-9](?![0-9])|[0-9]{{1,2}}[./][0-9]{{1,2}}[./][0-9]{{4}}(?![0-9]))
    | (?P<name>[0-9]+(?::[0-9]+)+|(?![0-9]{{1,3}}(?:\.[0-9]{{3}})+(?![0-9]))[0-9]+(?:\.[0-9]+){{2,}}(?![[0-9].])
        | [0-9]+(?:/[0-9]+)+)
    | (?P<number>(?:(?<![^\s(:=~"“$£€])[-+](?=[[0-9].])(?<![0-9]\ [-+]))?(?:(?:[0-9]+\ ?)?[0-9]+⁄[0-9]+|{NUMBER}))
        (?P<suffix>(?i:st|nd|rd|th|º|{_SPLIT_UNITS})(?![\p{{L}}[0-9]])|{_LETTER}[\p{{L}}[0-9]]*)?
    | (?P<unit>(?:US|us)?\$|[%€£¥]|°\ ?[CFcf](?!\p{{L}})|°)
    | (?P<graded>\p{{L}}[\p{{L}}[0-9]]*(?:\+\+|\#|(?<=\p{{L}}{{2}})\+(?![\p{{L}}[0-9]])))
    | (?P<sign>(?<=(?<![\p{{L}}[0-9]'])\p{{L}})(?:\+(?![\p{{L}}[0-9]+])|-(?=\s*(?:$|[.,;)]))))
    | (?P<code>(?<![\p{{L}}[0-9]'])[A-Za-z]{{1,2}}-?[0-9]+[A-Za-z]?(?![\p{{L}}[0-9]]))
    | (?P<and>&|(?<![\p{{L}}[0-9]])'[nN]'?(?!\p{{L}})|(?<=\ )[nN]'(?=\ ))
    | (?P<ordinal_sign>\#(?=[0-9])|[Nn]o\.?\ ?(?=[0-9]))
    | (?P<starred>\p{{L}}(?:\*\p{{L}})+)
    | (?P<word>{_LETTER}(?:{_LETTER}|[0-9])*(?:'{_LETTER}+)*'?)
    """,
    regex.VERBOSE | regex.VERSION1,
)
_PARTICLE = regex.compile(  # what Korean joins to a name
    r"(?:은|는|이|가|을|를|의|에|에서|에게|으로|로|와|과|도|만|까지|부터|이나|나|라고|이라고|(?:이|였|이었)?(?:입니다|다|예요|에요|이에요|야|죠|지요|습니다|었습니다|였습니다|란|라는))"
)
_UMLAUTS = regex.compile(r"[äöüøåÄÖÜØÅ]|[aouAOU]\u0308")
_SPELT_OUT = {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"}


class Token(NamedTuple):
    """One word, number or letter: its one spelling, the range of the text that it stands in, the text before it that is
    none, and what may happen at its edges.

    A hard token keeps a blank on both sides, others join; an answer may begin where a token `opens`, and end where one
    `closes`: O'Neill is one word, and so is Moneypenny's, but Moneypenny may be found in it.
    """

    key: str
    start: int
    end: int
    raw: str
    gap: str
    hard: bool = False
    opens: bool = True
    closes: bool = True


class Reading(NamedTuple):
    """A text's one spelling, and the places of it where an answer may begin and end, with those in the text."""

    key: str
    starts: dict[int, int]
    ends: dict[int, int]
    tokens: tuple[Token, ...]


# --- tokens ----------------------------------------------------------------------------------------------------------


def _scanned(text: str) -> list[Token]:
    """The tokens of a text in plain letters, their places those of that text."""
    tokens: list[Token] = []
    before = 0
    for found in _TOKEN.finditer(text):
        kind, raw, start = str(found.lastgroup), found.group(), found.start()
        if found["number"]:
            kind = "number"
        gap, before = text[before:start], found.end()
        tokens += _tokens_of(kind, found, Token(raw.lower(), start, found.end(), raw, gap))
    return tokens


def _tokens_of(kind: str, found: regex.Match[str], whole: Token) -> list[Token]:
    """What one match stands for, by its kind."""
    key = whole.key
    if kind == "number":
        return _number(found, whole)
    if kind == "date":
        return _numeric_date(whole)
    if kind == "name":
        return [whole._replace(key=_proper_fraction(key), hard=True)]
    if kind == "unit":
        return [whole._replace(key=key.replace(" ", "").removeprefix("us"), hard=True)]
    if kind in ("graded", "code"):
        return [whole._replace(key=key if kind == "graded" else key.replace("-", ""), hard=True)]
    if kind == "sign":
        return [whole._replace(hard=True, opens=False)]
    if kind == "and":
        return [whole._replace(key="and")]
    if kind == "ordinal_sign":
        return [whole._replace(key="number")]
    if kind in ("initials", "starred"):
        return [whole._replace(key=regex.sub(r"\W", "", key))]
    if kind == "word":
        return _word(whole)
    if kind == "hangul":
        return _hangul(whole)
    return [whole]


def _number(found: regex.Match[str], whole: Token) -> list[Token]:
    """A number in digits, and what follows without a blank: an ordinal's ending, a unit, or a part of its name."""
    literal, suffix = found["number"], (found["suffix"] or "").lower()
    value = value_of(literal)
    middle = whole.start + len(literal)
    if suffix in ("st", "nd", "rd", "th", "º") and literal.isdecimal():
        return [whole._replace(key=ordinal(int(literal[:18])), hard=True)]
    if suffix and not regex.fullmatch(_SPLIT_UNITS, suffix):
        return [whole._replace(hard=True)]
    key = literal.replace(" ", "") if value is None else digits(value)
    number = whole._replace(key=key, end=middle, raw=literal, hard=True)
    if not suffix:
        return [number]
    unit = Token(suffix, middle, whole.end, found["suffix"], "", hard=len(suffix) == 1)
    return [number, unit]


def _proper_fraction(name: str) -> str:
    """1/2 is a half; 9/11, 24/7 and 12:30 are names."""
    above, slash, below = name.partition("/")
    if not slash or not below.isdecimal() or not 0 < int(above[:9]) < int(below[:9]) <= 10:
        return name
    value = value_of(name.replace("/", "⁄"))
    return name if value is None else digits(value)


def _numeric_date(whole: Token) -> list[Token]:
    """1776-07-04, 25/12/2020 and 12/25/2020 as day, month and year; what may be read either way as it stands."""
    parts = [int(part) for part in regex.split(r"[-./]", whole.raw)]
    day, month, year = parts[::-1] if parts[0] > 31 else parts
    if month > 12:
        day, month = month, day
    ambiguous = parts[0] <= 12 and day != month
    if not 0 < month <= 12 or not 0 < day <= 31 or ambiguous and parts[1] <= 12:
        return [whole._replace(hard=True)]
    first = whole._replace(key=str(day), hard=True, raw=str(day))
    return [
        first,
        first._replace(key=_MONTHS[month - 1], raw=_MONTHS[month - 1], hard=False, gap=" "),
        first._replace(key=str(year), raw=str(year), gap=" "),
    ]


def _hangul(whole: Token) -> list[Token]:
    """A Korean word by its letters: a name begins where it does, and ends there or before a particle."""
    made = []
    for i, letter in enumerate(whole.key):
        rest = whole.key[i + 1 :]
        closes = not rest or bool(_PARTICLE.fullmatch(rest))
        place, gap = whole.start + i, "" if i else whole.gap
        made.append(Token(letter, place, place + 1, letter, gap, opens=i == 0, closes=closes))
    return made


def _word(whole: Token) -> list[Token]:
    """A word, in parts where an answer may end or begin within it."""
    named = regex.fullmatch(r"([^\W\d]{3,})(\d{1,15})", whole.key)
    if named:
        middle = whole.start + len(named[1])
        first = whole._replace(key=named[1], raw=whole.raw[: len(named[1])], end=middle)
        value = value_of(named[2])
        key = named[2] if value is None else digits(value)
        return [first, Token(key, middle, whole.end, named[2], "", hard=True)]
    pieces = [piece for piece in whole.key.split("'") if piece]
    if len(pieces) < 2:
        letters = whole.key.replace("'", "")
        return [whole._replace(key=letters, end=whole.start + len(whole.raw.rstrip("'")), hard=len(letters) == 1)]
    made, place = [], whole.start
    for i, piece in enumerate(pieces):
        last = i == len(pieces) - 1
        made.append(
            whole._replace(
                key=piece,
                raw=whole.raw[place - whole.start :][: len(piece)],
                start=place,
                end=place + len(piece),
                gap="'" if i else whole.gap,
                opens=i == 0 or len(piece) > 2,
                closes=last or len(piece) > 1,
            )
        )
        place += len(piece) + 1
    return made


# --- what several tokens say together --------------------------------------------------------------------------------


def _spelt_numbers(tokens: Sequence[Token]) -> list[Token]:
    """Numbers in words as digits; a number in digits takes a following million."""
    made: list[Token] = []
    i = 0
    while i < len(tokens):
        token = tokens[i]
        before = made[-1].key if made else ""
        after = tokens[i + 1].key if i + 1 < len(tokens) else ""
        scaled = token.hard and after in SCALES and tokens[i + 1].gap in (" ", "-")
        if scaled and (value := value_of(token.key)) is not None:
            key = digits(value * 10 ** SCALES[after])
            made.append(token._replace(key=key, end=tokens[i + 1].end, raw=key))
            i += 2
            continue
        is_one = token.key == "one" and (before in _NO_ONE or after in _NOT_ONE)
        named = token.key in SMALL or token.key in ORDINALS or token.key in ("hundred", "hundredth", *SCALES)
        if is_one or not named:
            made.append(token)
            i += 1
            continue
        run = [token.key]
        for one in tokens[i + 1 : i + 16]:
            if one.gap not in (" ", "-", ""):
                break
            run.append(one.key)
        value, is_ordinal, used = number_words(run)
        if not used:
            made.append(token)
            i += 1
            continue
        key = ordinal(value) if is_ordinal else digits(value)
        last = tokens[i + used - 1]
        article = made and before == "a" and token.key in ("hundred", *SCALES)
        first = made.pop() if article else token
        made.append(token._replace(key=key, start=first.start, gap=first.gap, end=last.end, hard=True))
        i += used
    return made


def _is_number(token: Token) -> bool:
    return token.hard and token.key.lstrip("-")[:1].isdecimal() and token.key.lstrip("-").replace(".", "").isdecimal()


def _name_before(made: Sequence[Token], lower: bool) -> bool:
    """Does a name stand directly before, as Henry before VIII?"""
    if not made:
        return False
    named = made[-1].raw[:1].isupper() or lower
    return named and made[-1].key not in FUNCTION_WORDS and not made[-1].hard


def _roman_numbers(tokens: Sequence[Token]) -> list[Token]:
    """Roman numerals behind a word as digits, and the ordinals of rulers: Henry VIII, Henry the Eighth."""
    lower = not any(token.raw[:1].isupper() for token in tokens)
    made: list[Token] = []
    for i, token in enumerate(tokens):
        after = tokens[i + 1] if i + 1 < len(tokens) else None
        stops = after is None or after.gap.strip(" '") != "" or after.key in FUNCTION_WORDS - {"i"}
        numeral = (
            token.raw.upper()
            if token.raw.isupper() or lower or regex.fullmatch(r"[ivx]*ii+|iv|vii*|ix|xi*v", token.raw)
            else ""
        )
        value = roman(numeral) if numeral and not token.gap.strip(" .-") else None
        if value and len(numeral) == 1:
            good = numeral in "IVX" and (numeral != "I" or stops) and _name_before(made, lower) and token.gap == " "
            value = value if good and token.gap == " " else None
        elif value and len(numeral) < 5 and not (made and made[-1].key not in FUNCTION_WORDS):
            value = None
        if value:
            made.append(token._replace(key=str(value), hard=True))
            continue
        regnal = regex.fullmatch(r"(\d{1,2})(?:st|nd|rd|th)", token.key) if stops else None
        if regnal and len(made) > 1 and made[-1].key == "the" and _name_before(made[:-1], lower):
            article = made.pop()
            made.append(token._replace(key=regnal[1], start=article.start, gap=article.gap))
            continue
        made.append(token)
    return made


def _day(token: Token | None) -> str:
    """The day of the month that a token may stand for, or nothing."""
    found = regex.fullmatch(r"([1-9]|[12]\d|3[01])(?:st|nd|rd|th)?", token.key) if token and token.hard else None
    return found[1] if found else ""


def _dates(tokens: Sequence[Token]) -> list[Token]:
    """Dates in one order, day, month, year: 4 July 1776, July 4, 1776, the 4th of July 1776."""
    made: list[Token] = []
    i = 0
    while i < len(tokens):
        token = tokens[i]
        month = _MONTH.get(token.key)
        if not month or token.hard:
            made.append(token)
            i += 1
            continue
        of = made and made[-1].key == "of"
        day_before = made[-2] if of and len(made) > 1 else made[-1] if made else None
        following = tokens[i + 1 : i + 3]
        skipped = int(bool(following) and following[0].key == "the")
        day_after = (
            following[skipped] if len(following) > skipped and following[skipped].gap.strip() in ("", ".") else None
        )
        if _day(day_before):
            del made[len(made) - 1 - bool(of) :]
            made.append(day_before._replace(key=_day(day_before)))  # type: ignore[union-attr]
            made.append(token._replace(key=month))
        elif _day(day_after):
            made.append(day_after._replace(key=_day(day_after), gap=token.gap))  # type: ignore[union-attr]
            made.append(token._replace(key=month, gap=" "))
            i += 1 + skipped
        else:
            made.append(token._replace(key=month) if month == token.key else token)
        i += 1
    return made


def _together(tokens: Sequence[Token]) -> list[Token]:
    """Signs and words that number and word share: minus five, $5, 1914-1918, The A Team, rock n roll."""
    made: list[Token] = []
    for i, token in enumerate(tokens):
        before = made[-1] if made else None
        after = tokens[i + 1] if i + 1 < len(tokens) else None
        if before and _is_number(token) and before.key in ("minus", "negative"):
            made[-1] = token._replace(key="-" + token.key.lstrip("-"), start=before.start, gap=before.gap)
        elif before and _is_number(token) and before.key in ("$", "€", "£", "¥") and token.gap in ("", " "):
            made[-1:] = [token._replace(gap=before.gap), before._replace(gap=" ")]
        elif before and token.gap.strip() == "-" and token.raw[:1].isdigit() and before.raw[-1:].isdigit():
            made += [Token("to", token.start, token.start, "to", " ", hard=True), token]
        elif (
            token.key in ("to", "until", "till", "through")
            and before
            and _is_number(before)
            and after
            and _is_number(after)
        ):
            made.append(token._replace(key="to", hard=True))
        elif before and before.key == "°" and token.key in ("celsius", "centigrade", "fahrenheit"):
            made[-1] = before._replace(key="°f" if token.key[0] == "f" else "°c", end=token.end)
        elif before and token.key == "cent" and before.key == "per":
            made[-1] = before._replace(key="%", hard=True, end=token.end)
        elif token.key == "n" and before and after and len(before.key) > 1 and len(after.key) > 1:
            made.append(token._replace(key="and", hard=False))
        elif token.key == "a" and (
            before and before.key in _ARTICLES or after and (after.gap == "-" or after.key == "team")
        ):
            made.append(token._replace(hard=False))
        elif len(token.key) == 1 and after and after.gap == "-" and not after.hard and token.key.isalpha():
            made.append(token._replace(hard=False, closes=False))
        elif token.key in _SAME_WORD:
            key = _SAME_WORD[token.key]
            made.append(token._replace(key=key, hard=key in _UNIT_SIGNS))
        elif token.key in _ARTICLES and not (after and after.gap == "'"):
            made.append(token._replace(hard=True))
        else:
            made.append(token)
    return made


def _joined(tokens: Sequence[Token]) -> Reading:
    """Tokens as one spelling: a blank at the edges of hard ones, nothing between others."""
    parts: list[str] = []
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    place = 0
    for i, token in enumerate(tokens):
        if i and (token.hard or tokens[i - 1].hard):
            parts.append(" ")
            place += 1
        if token.opens:
            starts[place] = i
        parts.append(token.key)
        place += len(token.key)
        if token.closes:
            ends[place] = i
    return Reading("".join(parts), starts, ends, tuple(tokens))


def _tokens(text: str, spelt_out: bool) -> list[Token]:
    """The tokens of a text, their places those of the text itself."""
    plain, places = fold(text, _SPELT_OUT if spelt_out else None)
    tokens = _scanned(plain)
    for step in (_spelt_numbers, _dates, _roman_numbers, _together):
        tokens = step(tokens)
    after = [*places, len(text)]
    return [token._replace(start=after[token.start], end=_end(after, token.end)) for token in tokens]


def _end(places: Sequence[int], end: int) -> int:
    """Where the text goes on behind a token: behind the whole letter that its last one came from."""
    while end < len(places) - 1 and places[end] == places[end - 1]:
        end += 1
    return places[end]


@lru_cache(maxsize=200_000)  # ten answers to a question are often the same
def read(text: str, spelt_out: bool = False) -> Reading:
    """A text as tokens; `spelt_out` writes ä as ae, as German does where there is no ä."""
    return _joined(_tokens(text, spelt_out))


@lru_cache(maxsize=200_000)
def _sought(text: str, spelt_out: bool = False) -> Reading:
    """A text as what is looked for: without the articles that it begins with, if anything is left without them."""
    tokens = _tokens(text, spelt_out)
    while len(tokens) > 1 and tokens[0].key in _ARTICLES and tokens[0].hard:
        after = [token.key for token in tokens[1:]]
        if (
            set(after) <= set(_ARTICLES)
            or tokens[0].key == "a"
            and (after[0] in LETTER_A or not tokens[1].opens or _is_number(tokens[1]))
        ):
            break
        tokens = tokens[1:]
    return _joined(tokens)


def normalise(text: str) -> str:
    """The one spelling of an answer, a name or a question: what has the same one is the same. Empty if nothing is left.

    It is a key to compare by, not to be shown: words are joined.
    """
    key = _sought(text).key
    for _ in range(8):  # what was joined may read as something else, such as a number in words
        again = _sought(key).key
        if again == key:
            return key
        key = again
    return key


def words(text: str) -> list[str]:
    """The words of a text, each in its one spelling."""
    return [token.key for token in read(text).tokens]


def find(text: str, phrase: str) -> tuple[int, int] | None:
    """Where the phrase first stands in the text, as a range of characters, however either is spelt; None if nowhere.

    A unit may be missing from the text ($5 million, 5 million), which the question names, but must not be another.
    """
    found = _found(read(text), _sought(phrase))
    if found is None and (_UMLAUTS.search(text) or _UMLAUTS.search(phrase)):
        found = _found(read(text, True), _sought(phrase, True))
    return found


def contains(text: str, phrase: str) -> bool:
    """Does the phrase stand in the text as an answer, bounded by the edges of words? An empty phrase never does.

    It is found whether it is meant or denied: "not Paris but Rome" contains both.
    """
    return find(text, phrase) is not None


def _found(said: Reading, wanted: Reading) -> tuple[int, int] | None:
    key = wanted.key
    found = _at(said, key)
    measured = len(wanted.tokens) == 2 and _is_number(wanted.tokens[0]) and wanted.tokens[1].key[0] in _UNIT_SIGNS
    if found is None and measured:
        found = _at(said, wanted.tokens[0].key, measured=False)
    return found


def _at(said: Reading, key: str, measured: bool = True) -> tuple[int, int] | None:
    """The range of the text where a spelling stands from an edge to an edge; not `measured`: where no unit follows."""
    place = said.key.find(key) if key else -1
    while place >= 0:
        first, last = said.starts.get(place), said.ends.get(place + len(key))
        unit = said.key[place + len(key) :][:2].strip()
        if first is not None and last is not None and (measured or not unit or unit not in _UNIT_SIGNS):
            some = said.tokens[first : last + 1]
            return min(token.start for token in some), max(token.end for token in some)
        place = said.key.find(key, place + 1)
    return None
