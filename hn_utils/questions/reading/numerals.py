"""Numbers as values: whatever way one is written, digits, words or Roman, it becomes the same plain digits."""

from __future__ import annotations

from fractions import Fraction

import regex

LONGEST = 40  # digits: what has more is no quantity, and is left as it stands
_GROUPED = (
    r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]{1,3}(?:\.[0-9]{3}){2,}(?![0-9])|[0-9]{1,3}(?:\.[0-9]{3})+(?=,[0-9])|"
    r"[0-9]{1,3}(?:[ '_][0-9]{3})+(?![0-9])|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}(?![0-9])"
)
_POWER = r"(?:[ ]?[x×*·][ ]?10(?:\^|\*\*)[-+]?[0-9]+|[eE][-+]?[0-9]+|(?:\^|\*\*)[-+]?[0-9]+)"
_PLAIN = rf"(?:(?:{_GROUPED}|[0-9]+)(?:[.,][0-9]+(?![.,]?[0-9]))?|\.[0-9]+)"
NUMBER = rf"{_PLAIN}{_POWER}?"
_LITERAL = regex.compile(
    rf"(?P<sign>[-+]?)(?:(?P<whole>[0-9]+)? ?(?P<upper>[0-9]+)⁄(?P<lower>[0-9]+)|(?P<mantissa>{_PLAIN})"
    rf"(?P<power>{_POWER})?)"
)
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
)
_UNITS += "eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
SMALL = {word: n for n, word in enumerate(_UNITS.split())} | {w: 20 + 10 * i for i, w in enumerate(_TENS.split())}
SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12, "quadrillion": 15}
_IRREGULAR = {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12}
ORDINALS = {
    **{word + "th": n for word, n in SMALL.items() if n < 20},
    **{word[:-1] + "ieth": n for word, n in SMALL.items() if n >= 20},
    **_IRREGULAR,
}
_ENDINGS = {1: "st", 2: "nd", 3: "rd"}
_ROMAN = regex.compile(r"(?=[IVXLCDM])M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_ROMAN_DIGITS = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_LARGEST_ROMAN = 89  # of fewer than four letters or so: beyond lie CD, MC, DC and other abbreviations


def digits(value: Fraction | int) -> str:
    """A value in plain digits: 1000, -5, 2.5; as a fraction in lowest terms if its decimals never end."""
    value = Fraction(value)
    rest, places = value.denominator, 0
    for prime in (2, 5):
        power = 0
        while rest % prime == 0:
            rest //= prime
            power += 1
        places = max(places, power)
    if rest > 1:
        return f"{value.numerator}/{value.denominator}"
    if not places:
        return str(value.numerator)
    shifted = str(abs(value.numerator) * 10**places // value.denominator).zfill(places + 1)
    sign = "-" if value < 0 else ""
    return f"{sign}{shifted[:-places]}.{shifted[-places:]}"


def ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 11th."""
    ending = "th" if n % 100 in (11, 12, 13) else _ENDINGS.get(n % 10, "th")
    return f"{n}{ending}"


def value_of(literal: str) -> Fraction | None:
    """The value of a number in digits; None for one that is a name, such as 007, or too long to be a quantity.

    A comma or blank before each three digits groups them, as points do where there are several, or a comma follows.
    One point is a decimal point, as one comma is that three digits do not follow: 1.000 is 1, 1,000 a thousand.
    """
    found = _LITERAL.fullmatch(literal)
    if not found or len(literal) > LONGEST:
        return None
    sign = -1 if found["sign"] == "-" else 1
    if found["lower"]:
        if int(found["lower"]) == 0:
            return None
        return sign * (int(found["whole"] or 0) + Fraction(int(found["upper"]), int(found["lower"])))
    plain = _ungrouped(found["mantissa"])
    if regex.match(r"0[0-9]", plain):
        return None
    value, power = Fraction(plain), found["power"] or ""
    if not power:
        return sign * value
    exponent = int(regex.search(r"[-+]?[0-9]+$", power).group())  # type: ignore[union-attr]
    if abs(exponent) > LONGEST or (value == 0 and exponent < 0):
        return None
    if power[0] not in "^*" or power[:3] == "*10":
        return sign * value * Fraction(10) ** exponent
    return sign * value**exponent if len(digits(value)) * abs(exponent) <= LONGEST else None


def _ungrouped(mantissa: str) -> str:
    """The digits with a decimal point, if any, and no other sign."""
    plain = regex.sub(r"[ '_]", "", mantissa)
    points, commas = plain.count("."), plain.count(",")
    if points and commas:
        last = max(plain.rfind("."), plain.rfind(","))
        return regex.sub(r"[.,]", "", plain[:last]) + "." + plain[last + 1 :]
    if points > 1:
        return plain.replace(".", "")
    grouped = regex.fullmatch(r"[1-9][0-9]{0,2}(,[0-9]{3})+|[0-9]{1,2}(,[0-9]{2})+,[0-9]{3}", plain)
    return plain.replace(",", "" if grouped else ".")


def number_words(words: list[str]) -> tuple[int, bool, int]:
    """The number that some words begin with: its value, whether it is an ordinal, and how many words it takes.

    "nineteen eighty four" is 1984, "two hundred and five" 205, "twenty first" an ordinal.
    """
    total, current, used, scale = 0, -1, 0, 99  # current -1: nothing yet
    for place, word in enumerate(words):
        if word == "and":
            follows = words[place + 1] if place + 1 < len(words) else ""
            joins = used and words[place - 1] in ("hundred", *SCALES) and follows in {**SMALL, **ORDINALS}
            if not joins:
                break
            continue
        is_last = word in ORDINALS or word in ("hundredth", *(s + "th" for s in SCALES))
        plain = word[:-2] if word in ("hundredth", *(s + "th" for s in SCALES)) else word
        if plain in SMALL or plain in ORDINALS:
            small = SMALL.get(plain, ORDINALS.get(plain, 0))
            grown = _followed(current, small)
            if grown is None:
                break
            current = grown
        elif plain == "hundred" and current < 100:
            current = 100 * (current if current > 0 else 1)
        elif plain in SCALES and SCALES[plain] < scale and current != 0:
            scale = SCALES[plain]
            total += (current if current > 0 else 1) * 10**scale
            current = -2  # a smaller number may follow
        else:
            break
        used = place + 1
        if is_last:
            return total + max(current, 0), True, used
    return total + max(current, 0), False, used


def _followed(current: int, small: int) -> int | None:
    """A number below a hundred behind what was read before: twenty, one; hundred, five; nineteen, eighty. None if it
    begins another number."""
    if current < 0:
        return small
    if current and current % 100 == 0:
        return current + small
    if 20 <= current < 100 and current % 10 == 0 and 0 < small < 10:
        return current + small
    if 10 <= current <= 20 and small >= 10:
        return 100 * current + small  # a year
    if current >= 1000 and current % 100 >= 20 and current % 10 == 0 and 0 < small < 10:
        return current + small
    if 100 < current < 1000 and current % 100 >= 20 and current % 10 == 0 and 0 < small < 10:
        return current + small
    return None


def roman(numeral: str) -> int | None:
    """The value of a Roman numeral in capitals; None if it is none, or more likely an abbreviation (CD, MC)."""
    if not _ROMAN.fullmatch(numeral):
        return None
    values = [_ROMAN_DIGITS[letter] for letter in numeral]
    value = sum(-v if v < after else v for v, after in zip(values, [*values[1:], 0], strict=True))
    return value if value <= _LARGEST_ROMAN or len(numeral) > 4 else None
