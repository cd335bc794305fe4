"""What a model is called for short."""

from __future__ import annotations

import re
from pathlib import Path

FETCHED = "fetched:"  # begins the name of a model that `python -m hn_utils fetch` brings
_ANY_MODEL = re.compile(r"base|pt|instruct|chat|it|sft|dpo|model|hf|final|best|latest|merged|checkpoint(-\d+)?", re.I)


def called(model: str) -> str:
    """Shorten a model's name.

    Args:
        model: a hub name or a path.

    Returns:
        The name without its path and without what says how it is stored, but with the folder above it where the last
        part may be any model's.
    """
    model = re.sub(r"\.gguf$", "", model.removeprefix(FETCHED), flags=re.IGNORECASE)
    path = Path(model).absolute() if Path(model).exists() else Path(model)
    return f"{path.parent.name}/{path.name}" if _ANY_MODEL.fullmatch(path.name) and path.parent.name else path.name
