"""The C library's memory."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
_KEPT_BYTES = 64 << 20
_LARGEST_KEPT_BLOCK = 32 << 20  # the most that glibc takes


def keep_freed_memory() -> None:
    """Have this process keep up to 64 MiB that each thread has freed; larger blocks go back at once.

    By default glibc gives memory back after almost every large array, and the system hands out each page
    anew, filled with zeros. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT_BLOCK)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
