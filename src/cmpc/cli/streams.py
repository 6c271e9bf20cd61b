"""What is said on the terminal, also where it cannot be said: closed pipes, full disks, letters that it has not."""

from __future__ import annotations

import errno
import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cmpc.deprecation import DeprecatedWarning

_FULL = (errno.ENOSPC, errno.EDQUOT)


OUTPUT = "the standard output"
"""What errors of writing there name as their file."""


class _Output(io.FileIO):
    """The standard output, whose errors can be told from those of other files."""

    def write(self, text: Any, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            error.filename = OUTPUT
            raise


def make_output_tolerant() -> None:
    """Letters that the terminal cannot show become escapes instead of errors, and errors of writing say where."""
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):  # not one that a caller has put there
        sys.stdout.flush()
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_Output(sys.stdout.fileno(), "w", closefd=False)),
            encoding=sys.stdout.encoding,
            line_buffering=sys.stdout.line_buffering,
        )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def complain(sentence: str) -> None:
    """Says what is wrong, where there is anybody to hear it, in one line: line breaks in names of files, and what would
    steer the terminal, become escapes."""
    escaped = (letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in sentence)
    with suppress(OSError, ValueError):
        print("".join(escaped), file=sys.stderr, flush=True)


@contextmanager
def plain_deprecations(command: str) -> Iterator[None]:
    """Warnings of what is deprecated are sentences of the command, without the line of the program."""
    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, DeprecatedWarning):
            complain(f"cmpc {command}: {message}")
        else:
            shown(message, category, *place, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = shown


def give_up_output() -> None:
    """Sends what is still to be written nowhere, so that Python does not try, and complain, when it ends."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def what_failed(error: OSError, out: object) -> str:
    """An error of the system as a sentence without its full stop.

    Args:
        error: what happened.
        out: where the command writes; named where the error does not say where it arose.
    """
    place = error.filename if error.filename is not None else out if isinstance(out, Path) else None
    reason = error.strerror or str(error)
    hint = ", so free some space there or write elsewhere" if error.errno in _FULL else ""
    return f"{'' if place is None else f'{place}: '}{reason}{hint}"
