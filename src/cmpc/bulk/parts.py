"""What is asked: rows of the input, and parts of it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InputRow:
    """A row of the input: a photo and the expressions that are asked about it."""

    name: str
    """What the output calls the photo: the text of the input, or ``#17`` where row 17 (from 0) brings its bytes."""
    photo: str | bytes | None
    """Path or URL as the input has it, or the bytes of the file; None where there is nothing to read."""
    expressions: tuple[str | None, ...]
    """At least one; None in the place of one that is no text."""
    error: str | None = None
    """What is wrong with the row itself."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of the input that are answered together, and fill one file of the output."""

    number: int
    """Position among the parts, from 0."""
    first_row: int
    """Position of its first row in the whole input, from 0."""
    rows: int
    """How many rows it has."""
    file: int = 0
    """Which file of the input it is in."""
    start: int = 0
    """Where in the file it begins: a row of a Parquet file, a byte of JSON Lines."""
    length: int = 0
    """Bytes of it, of JSON Lines."""
    photos: tuple[str, ...] = ()
    """Names of its photos, of a folder."""

    @property
    def output(self) -> str:
        """Name of the file with its answers."""
        return f"part-{self.number:08d}.parquet"

    def to_json(self) -> str:
        """The part as text, which ``from_json`` reads."""
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str) -> Part:
        """The part that ``to_json`` wrote."""
        values = json.loads(text)
        return Part(**{**values, "photos": tuple(values["photos"])})
