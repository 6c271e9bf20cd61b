"""Memory that is not in use any more."""

from __future__ import annotations

import ctypes
import sys


def give_back_unused_memory() -> None:
    """Gives freed memory back to the system, which glibc does not do by itself where something behind it is in use."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if trim is not None:
            trim(0)
