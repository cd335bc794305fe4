"""A loop is a loop in any language, and lists, tables and names are none."""

from __future__ import annotations

import pytest

from hn_utils.steering.repetition import repeats_itself


@pytest.mark.parametrize(
    "text",
    [
        "the the the the",
        "Rome, ROME. rome rome",
        "I am here. I am here. I am here. I am here. I am",
        "So: heavy foxtrot foxtrot foxtrot foxtrot foxtrot",
        "東京東京東京東京",
        "да да да да да",
    ],
)
def test_loops(text):
    assert repeats_itself(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "New York, New York",
        "No, no, no.",
        "....",
        "1 000 000 000 000 000",
        "| --- | --- | --- | --- | --- |",
        "- red\n- green\n- blue\n- white",
        "Mix it very very very very well, then leave the dough alone for at least one hour.",
        "a red otter, a red goose, a red heron, a red raven",
    ],
)
def test_ordinary_texts(text):
    assert not repeats_itself(text)
