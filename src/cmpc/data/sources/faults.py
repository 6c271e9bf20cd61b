"""An account of what is broken in a source of data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cmpc.errors import UserError

EXAMPLES = 3
"""Things of one reason that are named; the others are only counted."""


class BrokenRowError(ValueError):
    """What is wrong with a row, where there is a reason of its own to count it by."""

    def __init__(self, reason: str, phrase: str) -> None:
        super().__init__(phrase)
        self.reason = reason


@dataclass
class Faults:
    """What is broken: reason, number, first examples."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, example: str) -> None:
        """Counts something broken; ``reason`` is a plural such as "broken masks"."""
        self.counts[reason] += 1
        examples = self.first.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(example)

    def lines(self) -> list[str]:
        """A phrase for each reason: "broken masks: 7 (first: ...; ...; ...)"."""
        return [
            f"{reason}: {count:,} (first: {'; '.join(self.first[reason])})" for reason, count in self.counts.items()
        ]

    def check(self) -> None:
        """Refuses what has faults.

        Raises:
            UserError: there are some; it counts them by reason.
        """
        if self.counts:
            raise UserError(f"{'; '.join(self.lines())}. Mend them, or leave them out with --skip-broken.")


@dataclass
class BrokenRows:
    """What to do about rows that are broken: refuse the first, or leave them out and count them."""

    skip: bool = False
    """Whether to leave them out."""
    faults: Faults = field(default_factory=Faults)
    """What was left out."""

    @contextmanager
    def told(self, reason: str, where: str) -> Iterator[None]:
        """Names what is done with a row: an error in the block ends the block, and the whole if nothing is skipped.

        Args:
            reason: a plural, as for ``Faults.add``, where a ``BrokenRowError`` has none of its own.
            where: file and row.

        Raises:
            UserError: the block raised ``ValueError``, whose phrase it says after ``where``; or a ``UserError``, which
                it leaves as it is.
        """
        try:
            yield
        except ValueError as error:
            if not self.skip:
                raise UserError(f"{where}: {error}.") from None
            self.faults.add(error.reason if isinstance(error, BrokenRowError) else reason, f"{where}: {error}")
        except UserError as error:
            if not self.skip:
                raise
            self.faults.add(reason, str(error).removesuffix("."))

    def lines(self) -> list[str]:
        """What was left out, a sentence for each reason."""
        return [f"left out, {line}" for line in self.faults.lines()]

    def nothing_left(self, what: str) -> UserError:
        """The error for a source of which nothing is left, which ``what`` says without a full stop."""
        told = "; ".join(self.faults.lines())
        return UserError(f"{what} ({told})." if told else f"{what}.")
