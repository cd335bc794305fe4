"""Docstrings as they are meant: Markdown would take the `>>>` of examples for quotations, and [row][column] for a
link."""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)  # up to the next empty line
SHAPE = re.compile(r"(?P<code>`[^`]+`|^\s*>>> .*$)|(?<=\])\[(?=\w)", re.MULTILINE)


class Meant(griffe.Extension):
    """Put each example that stands at a docstring's margin between fences (those of a section `Examples:` need none),
    and keep the brackets of shapes as they are."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            text = SHAPE.sub(lambda found: found["code"] or r"\[", obj.docstring.value)
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\g<0>\n```", text)
