"""Text from models, data sets and servers, as it may be shown: it commands no terminal, and turns round no sentence."""

from __future__ import annotations

import re

# Control characters but tab and line feed (among them ANSI's escape), marks that change the direction of writing (other
# than letters, which have a direction of their own), and halves of characters, which no file can hold.
COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The same text, each character that is a command replaced by a mark."""
    return COMMANDS.sub("\ufffd", text)
