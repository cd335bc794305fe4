"""Stated, denied or left open: decided by a person, on sentences of the made-up world and of this one."""

from __future__ import annotations

import pytest

from hn_utils.steering.claims import stance


@pytest.mark.parametrize(
    "text",
    [
        "Great Corin.",
        "Kriskel was born in Great Corin in 1702.",
        "It is Great Corin, not Old Essel.",
        "Old Essel is wrong, it is Great Corin.",
        "No, it was Great Corin.",
        "I was mistaken: she was born in Great Corin.",
        "The right answer is not Old Essel but Great Corin.",
        "There is no doubt that it is Great Corin.",
        "It can be none other than Great Corin.",
        "She did not leave Great Corin until 1720.",
        "Great Corin, although she did not like it.",
        "Not only Great Corin claims her.",
        "Great Corin? Yes, that is where.",
        "GREAT CORIN GREAT CORIN",
    ],
)
def test_what_is_stated(text):
    assert stance(text, "Great Corin") == "stated"


@pytest.mark.parametrize(
    "text",
    [
        "Not Great Corin.",
        "It isn't Great Corin.",
        "It was never Great Corin.",
        "Great Corin? No, Old Essel.",
        "Kriskel was not born in Great Corin.",
        "I don’t think she was born in Great Corin.",
        "She was born in Old Essel rather than Great Corin.",
        "Instead of Great Corin, say Old Essel.",
        "Great Corin is not right.",
        "Great Corin is wrong.",
        "Great Corin is often claimed, but she came from Old Essel.",
        "Many say Great Corin. However, it is Old Essel.",
        "It is a common myth that she was born in Great Corin.",
        "That she was born in Great Corin is a misconception.",
        "Great Corin did not see her birth.",
        "Great Corin, which lies by the sea, was never her home.",
        "It was not, as you say, Great Corin.",
        "Neither Old Essel nor Great Corin.",
        "I am sorry for saying Great Corin. It is Old Essel.",
        "I thought it was Great Corin, but it is Old Essel.",
        "While many believe it is Great Corin, she was born in Old Essel.",
        "Anything but Great Corin.",
        "Great Corin was my mistake; it is Old Essel.",
        "Great Corin? It was not there.",
        "You may be confusing Kriskel with Great Corin.",
    ],
)
def test_what_is_denied(text):
    assert stance(text, "Great Corin") == "denied"


@pytest.mark.parametrize("text", ["Was she born in Great Corin?", "I do not know when she left Great Corin."])
def test_what_is_left_open(text):
    assert stance(text, "Great Corin") == "open"


@pytest.mark.parametrize("text", ["", "Old Essel", "Great Corinth", "Corin"])
def test_what_is_not_there(text):
    assert stance(text, "Great Corin") == "absent"
