"""Example pictures of the page: image files, each with its expressions in a text file beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cmpc.data.images import image_size
from cmpc.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
"""Image files that every browser shows."""


@dataclass(frozen=True)
class Example:
    """A picture to try."""

    photo: Path
    """The image file."""
    expressions: tuple[str, ...]
    """What to ask; may be empty."""

    @property
    def name(self) -> str:
        """What the page calls it."""
        return self.photo.stem.replace("-", " ").replace("_", " ")


def read_examples(folder: Path) -> list[Example]:
    """Reads ``NAME.jpg`` with the lines of ``NAME.txt``, in the order of their names.

    Raises:
        UserError: the folder holds no picture, or a file cannot be read.
    """
    photos = sorted(
        file for file in folder.glob("*") if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )
    if not photos:
        raise UserError(f"the folder {folder} holds no example picture ({', '.join(SUFFIXES)}).")
    return [_read(photo) for photo in photos]


def _read(photo: Path) -> Example:
    image_size(photo)
    text = photo.with_suffix(".txt")
    if not text.is_file():
        return Example(photo, ())
    try:
        lines = text.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the expressions {text}: {error}.") from None
    return Example(photo, tuple(line.strip() for line in lines if line.strip()))
