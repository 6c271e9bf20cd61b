"""Arguments that no command can mean: empty ones, such as unset variables of a shell, bytes that are no text, numbers
beyond all bounds."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path

from cmpc.errors import UsageError

_MAY_BE_EMPTY = ("--licence",)
_HAS_EXPRESSIONS = ("segment", "explain")
"""Commands that say themselves what an empty expression is."""
_MAY_BE_REMOTE = ("data", "images", "calibration")
"""Paths that may be URLs of remote file systems."""
_LARGEST = 2**63 - 1
_PROCESSES = ("workers", "crf_workers")
_MOST_PROCESSES = 1_000


def check_arguments(command: str, arguments: Sequence[str]) -> None:
    """Refuses arguments that are empty or no text.

    Raises:
        UsageError: says which.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        flag, equals, value = argument.partition("=")
        if argument.startswith("--") and equals and not value.strip() and flag not in _MAY_BE_EMPTY:
            raise _empty(flag)
        if not argument.strip():
            if before.startswith("--") and "=" not in before and before not in _MAY_BE_EMPTY:
                raise _empty(before)
            if not before.startswith("--") and command not in _HAS_EXPRESSIONS:
                raise _empty("an argument")
        if _is_no_text(argument):
            raise UsageError(f"the argument {os.fsencode(argument)[:60]!r} is not UTF-8 text: write it anew.")


def check_numbers(options: object, name: str = "") -> None:
    """Refuses numbers that no computer counts to, infinity and what is no number, and more processes than any has.

    Args:
        options: a dataclass, whose fields are looked through, or a value.
        name: that of the value.

    Raises:
        UsageError: says which.
    """
    if dataclasses.is_dataclass(options):
        for field in dataclasses.fields(options):
            check_numbers(getattr(options, field.name), field.name)
    elif isinstance(options, tuple):
        for value in options:
            check_numbers(value, name)
    elif isinstance(options, int | float):
        flag = f"--{name.replace('_', '-')}"
        if isinstance(options, float) and not math.isfinite(options):
            raise UsageError(f"{flag} must be a finite number, got {options}.")
        if abs(options) > _LARGEST:
            raise UsageError(f"{flag} is a number too large to compute with.")
        if name in _PROCESSES and options > _MOST_PROCESSES:
            raise UsageError(f"{flag} must be at most {_MOST_PROCESSES:,}, got {options:,}.")


def check_places(options: object) -> None:
    """Refuses URLs of remote file systems where a file of this machine is needed, and those with credentials.

    Args:
        options: a dataclass, whose paths are looked at.

    Raises:
        UsageError: says which option.
    """
    from cmpc.file_systems import RemotePath, place

    if not dataclasses.is_dataclass(options):
        return
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if isinstance(value, Path) and isinstance(place(value), RemotePath) and field.name not in _MAY_BE_REMOTE:
            raise UsageError(
                f"--{field.name.replace('_', '-')} must be on this machine, got the URL {place(value)}: copy it before "
                "or after, for example with 'aws s3 cp --recursive'."
            )
        check_places(value)


def _empty(what: str) -> UsageError:
    return UsageError(f"{what} is empty, perhaps an unset variable of the shell: give a value, or leave it out.")


def _is_no_text(argument: str) -> bool:
    """Whether it holds bytes that are no text, unless a file has this name."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return not os.path.exists(argument)
    return False
