"""Photos that are stored turned, with an EXIF orientation that says how: did their annotations see them upright?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cmpc.data.image_formats import ImageHeader
from cmpc.errors import UserError

Exif = Literal["auto", "turn", "keep", "refuse"]
"""What to do about such photos: as the size of the annotation says, turn them upright, keep them as they are stored, or
refuse them."""


@dataclass
class TurnedPhotos:
    """Decides for each photo, and keeps account."""

    choice: Exif = "auto"
    """What was asked for."""
    if_both_fit: Literal["keep", "refuse"] = "refuse"
    """What ``auto`` does where the annotation fits the photo as stored and upright."""
    turned: list[str] = field(default_factory=list)
    """Photos that are turned upright."""
    kept: list[str] = field(default_factory=list)
    """Photos that are used as they are stored, although their orientation says that they are not upright."""
    undecided: list[str] = field(default_factory=list)
    """Photos of which only the user knows."""

    def size(self, image: str, header: ImageHeader, expected: tuple[int, int] | None) -> tuple[int, int]:
        """Height and width of a photo as it is going to be read; ``check`` afterwards says whether that is known.

        Args:
            image: its name.
            header: its file's.
            expected: height and width that its annotation was made for; None where nothing says it.
        """
        stored, upright = (header.height, header.width), header.upright
        if header.orientation == 1:
            return stored
        choice = self.choice
        if choice == "auto":
            if expected is not None and stored != upright and expected in (stored, upright):
                choice = "keep" if expected == stored else "turn"
            elif expected is not None and expected not in (stored, upright):
                return stored  # which its caller refuses, as the annotation fits neither
            else:
                choice = self.if_both_fit
        places = {"turn": self.turned, "keep": self.kept, "refuse": self.undecided}
        places[choice].append(image)
        return upright if choice == "turn" else stored

    def check(self) -> None:
        """Refuses what is not decided.

        Raises:
            UserError: there are such photos; it names the first ones.
        """
        if not self.undecided:
            return
        stored = f"{counted(self.undecided, 'photo')} stored turned, with an EXIF orientation"
        names = listed(self.undecided)
        if self.choice == "refuse":
            raise UserError(f"{stored} ({names}): save them upright, or choose --exif turn or keep.")
        raise UserError(
            f"{stored}, and annotations fit both ways ({names}): say --exif turn where the annotations were drawn on "
            "upright photos, or --exif keep where they were drawn on the pixels as stored."
        )

    def lines(self) -> list[str]:
        """What was decided, as sentences."""
        told = []
        if self.turned:
            photos = counted(self.turned, "photo")
            told.append(f"{photos} turned upright as the EXIF orientation says ({listed(self.turned)}).")
        if self.kept:
            photos = counted(self.kept, "photo")
            told.append(f"{photos} used as stored, although turned by an EXIF orientation ({listed(self.kept)}).")
        return told


def counted(things: Sequence[object], name: str) -> str:
    """How many: "1 photo is", "2 photos are"."""
    return f"1 {name} is" if len(things) == 1 else f"{len(things):,} {name}s are"


def listed(names: list[str], most: int = 3) -> str:
    """The first names: "a.jpg, b.jpg, c.jpg and 4 more"."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")
