"""The C library's memory allocator, set where whole studies are run, and nowhere else."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD = -1  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
_MMAP_THRESHOLD = -3
_LARGEST_KEPT = 2**30  # bytes


def keep_freed_memory() -> None:
    """Have glibc keep freed blocks of up to 1 GB for the next batch, for as long as this process lives.

    It would give each back to the kernel, which hands out cleared pages again. What that costs hangs on the machine:
    from nothing to twice the time of generating on a CPU was seen, and `bench/bench.py allocation` measures it. The
    process then keeps the memory that it once needed. It changes no result, and nothing on other C libraries.
    `python -m hn_utils run` calls it, with all that runs whole studies, and so do the notebooks' kernels that
    `python -m hn_utils notebooks` starts; loading a model does not.
    """
    if platform.libc_ver()[0] == "glibc":
        for threshold in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            ctypes.CDLL(None).mallopt(threshold, _LARGEST_KEPT)
