"""One hostile input of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """An input to ``cmpc`` and what it must answer."""

    area: str
    """What it tries, such as ``masks`` or ``models``."""
    input: str
    """The input, in words."""
    make: Callable[[Path], list[str]]
    """Prepares files in an empty folder, which is the current one then, and gives the arguments of ``cmpc``."""
    exit_code: int
    """0 where the input is read rightly, 1 for failed work, 2 for wrong use."""
    sentence: str
    """A part of what standard error must say, or of standard output and standard error when ``exit_code`` is 0."""
