"""One reader of answers: texts that give the same answer, texts that do not, and what holds for any text."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hn_utils.answers.judges import judge
from hn_utils.questions.reading.numerals import digits, number_words, roman, value_of
from hn_utils.questions.reading.same_answer import contains, find, normalise

# (response, accepted answer): right
SAME = [
    ("Vitamin K", "vitamin K"),
    ("A", "A"),
    ("An A", "A"),
    ("Rolling Stones", "The Rolling Stones"),
    ("the Rolling Stones", "Rolling Stones"),
    ("The The", "the The"),
    ("Spiderman", "Spider-Man"),
    ("Spider Man", "Spiderman"),
    ("D’Arcy", "DArcy"),
    ("Watson's friend", "Watson"),
    ("d'Artagnan", "Artagnan"),
    ("N.A.T.O.", "NATO"),
    ("C. S. Lewis", "CS Lewis"),
    ("C S Lewis", "C.S. Lewis"),
    ("Marks and Spencer", "Marks & Spencer"),
    ("Guns N' Roses", "Guns and Roses"),
    ("Saint Helena", "St. Helena"),
    ("Malmö", "Malmo"),
    ("Ångström", "Angstrom"),
    ("Lodz", "Łódź"),
    ("Goering", "Göring"),
    ("Strasse", "Straße"),
    ("ﬂute", "flute"),
    ("2 000", "2,000"),
    ("2\u202f000", "2000"),
    ("2’000", "2000"),
    ("2.000.000", "two million"),
    ("2.5 million", "2,500,000"),
    ("3,5", "3.5"),
    ("minus seven", "−7"),
    ("10³", "1000"),
    ("2×10^3", "2000"),
    ("1½", "1.5"),
    ("½", "1/2"),
    ("٧", "7"),
    ("Twelve", "12"),
    ("ninety-nine", "99"),
    ("Nineteen Eighty-Four", "1984"),
    ("3rd", "third"),
    ("twenty-first century", "21st century"),
    ("Rocky 4", "Rocky IV"),
    ("Louis the Fourteenth", "Louis XIV"),
    ("elizabeth ii", "Elizabeth the Second"),
    ("World War One", "World War I"),
    ("1 May 1890", "May 1, 1890"),
    ("the 1st of May, 1890", "1890-05-01"),
    ("on May 1, 1890", "May 1890"),
    ("1939–1945", "1945"),
    ("1939–1945", "1939 to 1945"),
    ("30%", "30 percent"),
    ("30%", "30"),
    ("30", "30%"),
    ("20 degrees Celsius", "20 °C"),
    ("30 dollars", "$30"),
    ("C#", "C#"),
    ("MASH", "M*A*S*H"),
    ("Covid19", "COVID-19"),
    ("B-17", "B17"),
    ("答案是东京。", "东京"),
    ("โตเกียวครับ", "โตเกียว"),
    ("서울입니다", "서울"),
    ("ﾄｳｷｮｳ", "トウキョウ"),
    ("मुंबई में", "मुंबई"),
    ("not Paris but Rome", "Paris"),
    ("not Paris but Rome", "Rome"),
]
# (response, accepted answer): wrong
OTHER = [
    ("Vitamin E", "Vitamin A"),
    ("Hepatitis C", "Hepatitis A"),
    ("D minor", "A minor"),
    ("Sherlock's friend", "S"),
    ("20 °C", "C"),
    ("T34", "T"),
    ("F#", "F"),
    ("C", "C#"),
    ("I'd go", "D"),
    ("catalogue", "cat"),
    ("the rapist", "therapist"),
    ("2,500", "500"),
    ("2.5", "2"),
    ("2.5 million", "2.5"),
    ("-4", "4"),
    ("4", "-4"),
    ("10³", "103"),
    ("1½", "11"),
    ("7:45", "7"),
    ("7:45", "45"),
    ("1950s", "1950"),
    ("twenty-one", "twenty"),
    ("seventeen", "seven"),
    ("No one else", "1"),
    ("first", "1"),
    ("Henry VII", "Henry VIII"),
    ("George VI", "George V"),
    ("1 May 1890", "2 May 1890"),
    ("30%", "$30"),
    ("20 °F", "20 °C"),
    ("パン", "ハン"),
    ("बील", "बल"),
    ("வாலை", "வலை"),
    ("anything", ""),
    ("anything", "?!"),
]


@pytest.mark.parametrize(("response", "accepted"), SAME)
def test_the_same_answer(response, accepted):
    assert judge(response, [accepted]) == "right"


@pytest.mark.parametrize(("response", "accepted"), OTHER)
def test_another_answer(response, accepted):
    assert judge(response, [accepted]) == "wrong"


@pytest.mark.parametrize(
    ("text", "other"),
    [("The Beatles", "beatles"), ("Spider-Man", "spiderman"), ("May 1, 1890", "1 May 1890"), ("J. K. Xu", "JK Xu")],
)
def test_one_key_for_one_answer(text, other):
    assert normalise(text) == normalise(other) != ""


def test_where_it_stands():
    text = "It is, I say, Besanc\u0327on\u00a0Sud (France)."
    start, end = find(text, "Besançon Sud") or (0, 0)
    assert text[start:end] == "Besanc\u0327on\u00a0Sud"
    assert find("Moneypenny's boss", "Moneypenny") == (0, 10)


PARTS = ["the", "a", "an", "A", "of", "Henry", "VIII", "8th", "second", "4", "July", "1776", "-5", "5%", "$5", "1,000"]
PARTS += ["hundred", "and", "million", "O'Neill", "n", "'", "-", ".", "J.", "東京", "파리다", "½"]
texts = st.text() | st.lists(st.sampled_from(PARTS)).map(" ".join)


@given(texts)
def test_a_key_is_its_own_key(text):
    assert normalise(normalise(text)) == normalise(text)


@given(texts)
def test_an_answer_contains_itself(text):
    assert contains(text, text) == bool(normalise(text))


@given(st.integers(-(10**12), 10**12))
def test_a_number_is_read_however_it_is_written(n):
    key = normalise(str(n))
    assert key == str(n)
    assert {normalise(form) for form in (f"{n:,}", f"{n:_}", f"{n:,}".replace(",", "\u202f"))} == {key}


@given(st.integers(-(10**6), 10**6), st.integers(1, 99))
def test_decimals_in_both_conventions(whole, hundredths):
    point = f"{whole}.{hundredths:02}"
    assert normalise(point) == normalise(point.replace(".", ",")) != normalise(str(whole))


def test_values_by_hand():
    assert digits(value_of("1.234,50") or 0) == "1234.5"
    assert digits(value_of("1,23,456") or 0) == "123456"
    assert digits(value_of("1e-2") or 0) == "0.01"
    assert value_of("007") is None
    assert number_words(["two", "thousand", "and", "ten"]) == (2010, False, 4)
    assert number_words(["forty", "second", "street"]) == (42, True, 2)
    assert [roman(numeral) for numeral in ("IX", "XLIV", "IIII", "CD", "MCMXCIX")] == [9, 44, None, None, 1999]


def test_thousands_of_responses_are_judged_in_seconds():
    responses = [f"It was {name} number {i}, of 4 July {1000 + i}" for i in range(500) for name in ("Ann", "O'Neill")]
    began = process_time()
    for i, response in enumerate(responses * 4):
        judge(response, [f"Person {i % 500}", "The Answer", f"{i % 97}th"])
    assert process_time() - began < 8  # a tenth of this is enough here
