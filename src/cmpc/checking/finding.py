"""What was found wrong with a dataset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SHOWN = 3
"""Examples that are named."""


@dataclass(frozen=True)
class Finding:
    """Something to mend."""

    what: str
    """What is wrong, with its number: "4 masks are smaller than 16 pixels"."""
    mend: str
    """How to mend it."""
    examples: tuple[str, ...]
    """Some of the places."""

    @property
    def sentence(self) -> str:
        """What is wrong, where, and how to mend it."""
        return f"{self.what} ({', '.join(self.examples)}): {self.mend}."


def finding(places: Iterable[str], one: str, several: str, mend: str) -> list[Finding]:
    """A finding about some places; nothing where there is none.

    Args:
        places: where it was found.
        one: what is wrong with a single place.
        several: what is wrong with several; ``{}`` stands for their number.
        mend: how to mend it.
    """
    found = list(dict.fromkeys(places))
    if not found:
        return []
    more = ("...",) if len(found) > SHOWN else ()
    what = one if len(found) == 1 else several.format(f"{len(found):,}")
    return [Finding(what, mend, (*found[:SHOWN], *more))]
