"""What a check says of an answer that is not right yet, and how it finds out which mistake was made."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

Mistakes = Sequence[tuple[str, Callable[..., Any]]]
YOUR_TURN = "not written yet: your turn"


class Mistake(AssertionError):
    """An answer is not right; the message says why, if the mistake is a known one."""


def raised_in(error: Exception) -> str:
    """An error in what a student wrote, in one sentence: what it says, and the last line of theirs that it passed."""
    passed = traceback.extract_tb(error.__traceback__)
    lines = [frame.line for frame in passed if frame.line and not Path(frame.filename).is_file()]  # a cell is no file
    where = f" at `{lines[-1]}`" if lines else ""
    return f"your code raised {type(error).__name__}{where}: {error}"


def returning(answer: Any) -> Any:
    """A function that complains if it returns nothing; anything else as it is."""
    if not callable(answer):
        return answer

    def called(*arguments: Any) -> Any:
        value = answer(*arguments)
        if value is None:
            raise Mistake("your function returns nothing: is there a `return`?")
        return value

    return called


def same(one: Any, other: Any) -> bool:
    """Equal numbers in equal shapes; anything that is no number differs."""
    try:
        one, other = np.asarray(one, float), np.asarray(other, float)
    except (TypeError, ValueError):
        return False
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-4, atol=1e-8))


def compare(
    answer: Callable[..., Any],
    cases: Sequence[tuple[Any, ...]],
    right: Callable[..., Any],
    mistakes: Mistakes,
) -> None:
    """Raise Mistake unless `answer` does what `right` does on every case; named, if it does what a mistake would do."""
    given = [answer(*case) for case in cases]
    expected = [right(*case) for case in cases]
    if all(map(same, given, expected)):
        return
    for message, wrong in mistakes:
        if all(same(g, wrong(*case)) for g, case in zip(given, cases, strict=True)):
            raise Mistake(message)
    first = next(i for i in range(len(cases)) if not same(given[i], expected[i]))
    asked = ", ".join(shown(part) for part in cases[first])
    raise Mistake(f"for {asked} it gives {shown(given[first])} where {shown(expected[first])} is right")


def shown(value: Any) -> str:
    """A value in few words."""
    if isinstance(value, Tensor | np.ndarray):
        value = np.asarray(value).round(4)
        return f"an array of shape {value.shape}" if value.size > 12 else f"{value.tolist()}"
    return f"{value!r}"
