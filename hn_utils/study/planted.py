"""What is planted in a model, if anything is. A folder that holds a planted model says so in `planted.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

if TYPE_CHECKING:
    from hn_utils.study.settings import Study

FILE = "planted.json"


def planted_in(study: Study) -> Int[np.ndarray, "p"] | None:
    """Read which neurons were planted in the study's instruct model.

    Args:
        study: its model's folder lies beside the file `planted.json`, if something was planted.

    Returns:
        Flat indices, layer * d_mlp + neuron, or None if nothing was planted.

    Raises:
        ValueError: the file that names them is damaged.
    """
    file = Path(study.instruct).parent / FILE
    if not file.exists():
        return None
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        return np.array([row["layer"] * said["d_mlp"] + row["neuron"] for row in said["neurons"]], dtype=int)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} does not say which neurons are planted ({error!r}): plant anew") from error
