"""JSON that people write by hand: read, or told where it is broken and what to do about it."""

from __future__ import annotations

import json
import re
from typing import Any

_HINTS = {  # by what stands where the reader stumbles
    r",\s*[}\]]": "take away the comma before the closing bracket",
    r"'": "write names and texts in double quotes",
    r"#|/[/*]": "take away the comment, which JSON has none of",
    r"True|False|None": "write true, false or null",
}


def parsed(text: str, line: int = 1) -> Any:
    """Read JSON that was written by hand.

    Args:
        text: the JSON.
        line: the number of its first line in the file that it comes from.

    Returns:
        What the text says.

    Raises:
        ValueError: it is empty, broken or nested too deeply; names the line and the remedy.
    """
    if not text.strip():
        raise ValueError("it is empty")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = _stumble(text, error.pos)
        told = _remedy(text[at:], error)
        raise ValueError(f"line {line + text.count(chr(10), 0, at)} is not JSON: {told}") from error
    except RecursionError as error:
        raise ValueError("it nests too deeply to be read: write fewer brackets within brackets") from error


def _stumble(text: str, at: int) -> int:
    """Where it is broken. A comma too many is noticed only at the bracket after it, and before Python 3.13 told
    there."""
    before = text[:at].rstrip()
    return len(before) - 1 if before.endswith(",") and text[at : at + 1] in ("}", "]") else at


def _remedy(rest: str, error: json.JSONDecodeError) -> str:
    """What to do about what stands there; if that cannot be said, what the reader missed."""
    if error.msg.startswith("Invalid \\"):
        return "write each backslash twice, or in a path a slash instead"
    if error.msg == "Extra data":
        return "it has ended before; rows, one a line, belong into a .jsonl file"
    known = [hint for pattern, hint in _HINTS.items() if re.match(pattern, rest)]
    return known[0] if known else f"mend it at column {error.colno} or just before ({error.msg})"
