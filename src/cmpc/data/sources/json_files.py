"""JSON and JSON Lines, as people and programs write them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmpc.errors import UserError
from cmpc.reading import open_text, read_file, read_text


class RepeatedNameError(ValueError):
    """A JSON object has two values under one name; most readers take the last."""


@dataclass(frozen=True)
class Unread:
    """A line of JSON Lines that is still to be read."""

    text: str


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: the file is missing or damaged, or an object in it has two values under one name.
    """
    try:
        return json.loads(read_file(path), object_pairs_hook=unique_names)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from None
    except RepeatedNameError as error:
        raise UserError(f"{path}: {error}.") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path} is damaged: it is not a JSON file.") from None


def read_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """The entries of a JSON list or of JSON Lines, each with its place: ``entry 3``, or ``line 3``, which
    ``row_object`` reads. Of JSON Lines one is in memory at a time.

    Raises:
        UserError: the file is missing or is no UTF-8 text.
    """
    try:
        with open_text(path) as text:
            is_first = True
            for number, line in enumerate(text, start=1):
                if is_first and line.lstrip().startswith("["):
                    yield from _read_list(path)
                    return
                if line.strip():
                    is_first = False
                    yield f"line {number}", Unread(line.removesuffix("\n"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is neither a JSON list nor JSON Lines: it is not UTF-8 text.") from None


def _read_list(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        entries = json.loads(read_text(path), object_pairs_hook=unique_names)
    except RepeatedNameError as error:
        raise UserError(f"{path}: {error}.") from None
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError):
        raise UserError(f"{path} is neither a JSON list nor JSON Lines.") from None
    return ((f"entry {number}", entry) for number, entry in enumerate(entries, start=1))


def row_object(row: Any, example: str) -> dict[str, Any]:
    """The JSON object of an entry or line; null and NaN mean that a name is not given, as in tables of
    pandas.

    Raises:
        ValueError: it is no JSON object such as the example.
    """
    if isinstance(row, Unread):
        try:
            row = json.loads(row.text, object_pairs_hook=unique_names)
        except RepeatedNameError:
            raise
        except (ValueError, RecursionError):
            raise ValueError("it is not JSON; each line must be one JSON object") from None
    if not isinstance(row, dict):
        raise ValueError(f"it is not a JSON object such as {example}")
    return {name: value for name, value in row.items() if value is not None and value == value}


def unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For ``json.loads``: the object of these names and values.

    Raises:
        RepeatedNameError: a name stands there twice.
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise RepeatedNameError(f"the name {name!r} stands twice in one object")
    return values
