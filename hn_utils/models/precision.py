"""Which number format is faster here: measured, where a study leaves it open."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import torch

from hn_utils.models.booting import best_device, check_device
from hn_utils.storage.progress import tell_once

if TYPE_CHECKING:
    from hn_utils.study import Study

_SHAPE = (256, 1024, 4096)  # rows, inputs, outputs: of a small language model's MLP
_SECONDS = 1.0
_CLEARLY = 1.5  # times as fast; a smaller gain would come and go with what else the machine does


def with_dtype(study: Study) -> Study:
    """Choose the dtype of a study that leaves it open.

    Args:
        study: with `dtype="auto"`, or any other.

    Returns:
        The study with bfloat16 where matrix products are clearly faster in it on the study's device, else float32,
        which is told; any other study as it is.

    Raises:
        ValueError: if there is no such device here.
    """
    if study.dtype != "auto":
        return study
    check_device(study.device)
    device = best_device() if study.device in ("auto", "several") else study.device
    gain = _gain(device)
    dtype = "bfloat16" if gain >= _CLEARLY else "float32"
    tell_once(f"dtype auto: products of matrices take bfloat16 {1 / gain:.2f} of float32's time here: {dtype} it is")
    return replace(study, dtype=dtype)


@cache
@torch.inference_mode()
def _gain(device: str) -> float:
    """How many times as fast products of matrices are in bfloat16 as in float32.

    The shortest of many products counts, in either format by turns: whatever else the machine does can only make one
    longer.
    """
    fastest = {torch.bfloat16: float("inf"), torch.float32: float("inf")}
    start = time.perf_counter()
    while time.perf_counter() - start < _SECONDS:
        for dtype, seconds in fastest.items():
            fastest[dtype] = min(seconds, _seconds_of_product(dtype, device))
    return fastest[torch.float32] / fastest[torch.bfloat16]


def _seconds_of_product(dtype: torch.dtype, device: str) -> float:
    n_rows, n_in, n_out = _SHAPE
    left = torch.ones(n_rows, n_in, dtype=dtype, device=device)
    right = torch.ones(n_out, n_in, dtype=dtype, device=device)
    start = time.perf_counter()
    torch.nn.functional.linear(left, right).sum().item()  # an accelerator is waited for
    return time.perf_counter() - start
