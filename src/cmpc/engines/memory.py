"""Memory that is not in use any more, which the C library would keep."""

from __future__ import annotations

import ctypes
import sys

_ARENA_MAX = -8
"""``M_ARENA_MAX`` of glibc's malloc.h."""


def give_back_unused_memory() -> None:
    """Gives freed memory back to the system, which glibc does not do by itself where something behind it is in use."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if trim is not None:
            trim(0)


def few_arenas(count: int = 2) -> None:
    """Makes threads that are yet to start share some heaps of the C library. glibc gives up to eight for each core, and
    each keeps what its threads needed most: a program with many threads grows to several times of what it uses."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt is not None:
            mallopt(_ARENA_MAX, count)
