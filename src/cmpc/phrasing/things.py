"""What is known of a photo: its things, how they touch, and of which kinds it holds no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from cmpc.phrasing.colours import UNKNOWN, Colour
from cmpc.phrasing.kinds import CLASSES, COCO_KINDS, PERSON, VOC_KINDS, WOMAN

QUALITIES = ("exact", "teacher", "split", "rough")
"""Of a mask, best first: exact; by a network; a mask of several things cut by their boxes; a coarse polygon."""
_TRUSTED = ("exact", "teacher")


@dataclass(frozen=True, slots=True)
class Thing:
    """An annotated thing."""

    kind: str
    box: tuple[float, float, float, float]
    """x and y of the upper left corner, width, height, in pixels."""
    area: float
    """Of its mask, in pixels."""
    colour: Colour = UNKNOWN
    quality: str = "exact"
    """One of ``QUALITIES``."""
    is_clear: bool = True
    """False: only the kind is known, not what belongs to it (a crowd, a broken mask)."""
    has_mask: bool = True
    """False: only a box is known."""
    is_part: bool = False
    """Whether it is something that a person wears."""
    owner: int | None = None
    """Number of the thing that wears it."""

    @property
    def left(self) -> float:
        return self.box[0]

    @property
    def top(self) -> float:
        return self.box[1]

    @property
    def width(self) -> float:
        return self.box[2]

    @property
    def height(self) -> float:
        return self.box[3]

    @property
    def right(self) -> float:
        return self.box[0] + self.box[2]

    @property
    def bottom(self) -> float:
        return self.box[1] + self.box[3]

    @property
    def middle(self) -> tuple[float, float]:
        """x and y of the middle of the box."""
        return self.box[0] + self.box[2] / 2, self.box[1] + self.box[3] / 2

    @property
    def has_trusted_mask(self) -> bool:
        """Whether its mask is good enough to tell what it touches."""
        return self.is_clear and self.has_mask and self.quality in _TRUSTED


@dataclass(frozen=True, slots=True)
class Contact:
    """Where the masks of two things meet."""

    share: float
    """Length of the line on which they meet, over the perimeter of the smaller one's box; 0: they nearly meet."""
    x: float
    y: float
    """The middle of that line, in pixels."""


@dataclass(frozen=True, slots=True)
class Annotated:
    """The kinds of which every thing in the photo is annotated."""

    kinds: frozenset[str] = frozenset()

    @property
    def is_broad(self) -> bool:
        """Whether these are the kinds of a benchmark, so that few things of others catch the eye."""
        return len(self.kinds) >= len(VOC_KINDS)

    def counts(self, concept: str) -> bool:
        """Whether every thing in the photo that can be called so is annotated."""
        if concept == WOMAN:
            return PERSON in self.kinds
        core = CLASSES[concept].core if concept in CLASSES else {concept}
        return core <= self.kinds

    def text(self) -> str:
        """The inverse of ``parse``."""
        if not self.kinds:
            return "one object"
        named = {COCO_KINDS: "coco80", VOC_KINDS: "voc20"}
        return named.get(self.kinds) or f"kinds: {' '.join(sorted(self.kinds))}"

    @staticmethod
    def parse(text: str, kinds: Sequence[str] = ()) -> Annotated:
        """Reads ``coco80``, ``voc20``, ``one object`` or ``kinds: person dining table``; unknown kinds say nothing.

        Args:
            text: what an image's entry says.
            kinds: names of kinds besides COCO's.

        Raises:
            ValueError: it is none of these.
        """
        known = {"coco80": COCO_KINDS, "voc20": VOC_KINDS, "one object": frozenset[str]()}
        if text in known:
            return Annotated(known[text])
        start, _, listed = text.partition(":")
        if start != "kinds" or not listed.strip():
            raise ValueError(f"annotated {text!r} is none of coco80, voc20, one object and kinds: a b")
        rest, found = f" {' '.join(listed.lower().split())} ", set()
        for kind in sorted({*COCO_KINDS, *kinds}, key=len, reverse=True):  # "teddy bear" before "bear"
            if f" {kind} " in rest:
                found.add(kind)
                rest = rest.replace(f" {kind} ", "  ")
        return Annotated(frozenset(found))


@dataclass(frozen=True)
class PhotoScene:
    """All that expressions about a photo are made from."""

    things: tuple[Thing, ...]
    annotated: Annotated
    height: int
    """Of the photo, in pixels."""
    width: int
    """Of the photo, in pixels."""
    contacts: Mapping[tuple[int, int], Contact] = field(default_factory=dict)
    """Pairs of things whose masks meet, by their numbers, the lower one first."""

    def contact(self, one: int, other: int) -> Contact | None:
        """Where two things meet, or None."""
        return self.contacts.get((min(one, other), max(one, other)))

    @cached_property
    def only_kind(self) -> str | None:
        """The kind of all things that no person wears, where they are of one kind."""
        kinds = {thing.kind for thing in self.things if not thing.is_part}
        return kinds.pop() if len(kinds) == 1 else None

    def mirrored(self) -> PhotoScene:
        """The scene with left and right exchanged, as its photo flipped."""
        things = tuple(
            replace(thing, box=(self.width - thing.right, thing.top, thing.width, thing.height))
            for thing in self.things
        )
        contacts = {pair: replace(contact, x=self.width - contact.x) for pair, contact in self.contacts.items()}
        return replace(self, things=things, contacts=contacts)
