"""What one visitor of the page may ask for, so that the others get their answers too."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

from cmpc.errors import UsageError, UserError


@dataclass(frozen=True)
class RequestLimits:
    """Limits of one request; each has a message that whoever asked gets to read."""

    file_megabytes: int = 20
    """Largest photo file, in units of 1,000,000 bytes."""
    megapixels: int = 25
    """Most pixels of a photo, in units of 1,000,000."""
    expressions: int = 8
    """Most expressions asked at once."""
    characters: int = 200
    """Longest expression, in characters."""
    waiting: int = 8
    """Most requests that wait for the network while it answers another one."""
    seconds: int = 60
    """Longest time for one request, with its waiting; it is looked at between the steps of the work."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise UsageError(f"the limit {field.name.replace('_', '-')} must be at least 1.")

    def check_file(self, size: int) -> None:
        """Refuses a file of too many bytes.

        Raises:
            UserError: it is larger than ``file_megabytes``.
        """
        if size > self.file_megabytes * 1_000_000:
            raise UserError(
                f"this file has {size / 1e6:,.1f} MB but at most {self.file_megabytes} MB are taken: "
                "give a smaller photo."
            )

    def check_pixels(self, height: int, width: int) -> None:
        """Refuses a photo of too many pixels.

        Raises:
            UserError: it has more than ``megapixels``.
        """
        if height * width > self.megapixels * 1_000_000:
            raise UserError(
                f"this photo has {width:,} x {height:,} pixels but at most {self.megapixels} megapixels are taken: "
                "give a smaller one."
            )

    def split(self, text: str) -> list[str]:
        """The expressions of a text, one a line; blank lines and repetitions are left out.

        Raises:
            UserError: there is none, there are too many, or one is too long.
        """
        return self.check_expressions(text.splitlines())

    def check_expressions(self, given: Sequence[str]) -> list[str]:
        """The expressions without blank ones and repetitions.

        Raises:
            UserError: there is none, there are too many, or one is too long.
        """
        expressions = list(dict.fromkeys(line for line in map(str.strip, given) if line))
        if not expressions:
            raise UserError("say what to look for: write an expression, such as 'the left man'.")
        if len(expressions) > self.expressions:
            raise UserError(
                f"these are {len(expressions)} expressions but at most {self.expressions} are answered at once: "
                "ask the others afterwards."
            )
        for number, expression in enumerate(expressions, start=1):
            if len(expression) > self.characters:
                raise UserError(
                    f"expression {number} has {len(expression):,} characters but at most {self.characters} are read: "
                    "say it shorter."
                )
        return expressions


@dataclass(frozen=True)
class Limits(RequestLimits):
    """Limits of the page."""

    memory_megabytes: int = 300
    """What is kept of photos and answers in memory, so that the next expression and the slider answer at once."""
    folder_megabytes: int = 2000
    """What is kept of visitors' files on disk: uploads, and the files of answers. The oldest go first."""


class Deadline:
    """The moment until which one request may take."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left, never negative."""
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Ends a request that takes too long.

        Raises:
            UserError: no time is left.
        """
        if not self.left():
            raise UserError(
                f"this took longer than {self.seconds:g} seconds and was stopped: ask fewer expressions, or try again "
                "when fewer people use the page."
            )


class WaitingLine:
    """One request at a time uses the network; a few wait, more are sent away."""

    def __init__(self, places: int) -> None:
        self.places = places
        self._inside = 0
        self._is_closed = False
        self._counting = threading.Lock()
        self._turn = threading.Lock()

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        with self._counting:
            return max(0, self._inside - 1)

    def close(self) -> None:
        """Sends everybody away who waits or comes; who holds the network keeps it."""
        self._is_closed = True

    @contextmanager
    def turn(self, deadline: Deadline) -> Iterator[None]:
        """Waits until the network is free and holds it.

        Raises:
            UserError: all places are taken, the deadline passes while waiting, or the line is closed.
        """
        self._check_open()
        with self._counting:
            if self._inside > self.places:
                raise UserError(
                    f"the page is busy: others wait already ({self.places} in line); try again in a moment."
                )
            self._inside += 1
        try:
            if not self._turn.acquire(timeout=deadline.left()):
                raise UserError(
                    f"the page is busy: no turn came within {deadline.seconds:g} seconds; try again in a moment."
                )
            try:
                self._check_open()
                yield
            finally:
                self._turn.release()
        finally:
            with self._counting:
                self._inside -= 1

    def _check_open(self) -> None:
        if self._is_closed:
            raise UserError("the page is being closed: it answers nothing any more.")
