"""What an expression says, as data.

``Description`` is read in this order: the things that fit ``about``, of these the ones for which all ``conditions``
hold, of these the one that ``choice`` picks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

OF_ONE = ("entity", "attribute", "location", "relation", "comparison", "clothing", "negation")
"""What tells one target: its name, colour, place, another thing, size or likeness, clothes, or what it is not."""
SEVERAL, ABSENT = "several", "absent"
"""Expressions that fit more than one thing, and that fit none."""
FAMILIES = (*OF_ONE, SEVERAL, ABSENT)
"""What expressions are told apart by."""
PLACES = ("left", "right", "top", "bottom", "centre", "top left", "top right", "bottom left", "bottom right")
RELATIONS = (
    "left", "right", "front", "behind", "next to", "above", "below", "on", "under", "riding", "ridden by", "with",
    "carried by", "worn by", "larger", "smaller", "same colour",
)  # fmt: skip
"""Relations to one thing; "between" has two."""


@dataclass(frozen=True, slots=True)
class KindAndColour:
    """What a thing is."""

    concept: str | None = None
    """A kind, a class of kinds or "woman"; None: "one", where all things are of one kind."""
    colour: str | None = None
    """As ``colours.Colour.certain``."""


@dataclass(frozen=True, slots=True)
class RelatedTo:
    """The thing stands in a relation to one anchor, or to two for "between"."""

    name: str
    """One of ``RELATIONS`` or "between"."""
    anchors: tuple[Description, ...]
    """A single anchor of "between" fits two things: "between the two chairs"."""
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """The thing lies in this part of the photo."""

    name: str
    """One of ``PLACES``."""


@dataclass(frozen=True, slots=True)
class Wears:
    """The person wears these clothes, or carries these things."""

    items: tuple[KindAndColour, ...]


@dataclass(frozen=True, slots=True)
class IsNot:
    """The thing is not so: of another kind, or another colour."""

    about: KindAndColour
    """Only one of its fields is said."""


@dataclass(frozen=True, slots=True)
class RankedChoice:
    """Picks one of at least two things."""

    name: str
    """``left``, ``right``, ``top``, ``bottom``, ``front``, ``back`` (the one farthest that way), ``middle`` (of three
    or five from left to right), ``largest``, ``smallest``, ``nearest`` or ``farthest`` (from the anchor)."""
    rank: int = 1
    """1 for the first; 2 for "the second from the left"."""
    anchor: Description | None = None
    negated: bool = False
    """Of two things, the other one: "not on the left"."""


Condition = RelatedTo | Place | Wears | IsNot


@dataclass(frozen=True, slots=True)
class Description:
    """The meaning of a phrase that denotes things, most often one."""

    about: KindAndColour = field(default_factory=KindAndColour)
    conditions: tuple[Condition, ...] = ()
    choice: RankedChoice | None = None


@dataclass(frozen=True, slots=True)
class GroundedExpression:
    """A referring expression with all that is known about it."""

    text: str
    targets: tuple[int, ...]
    """Numbers of the things that it refers to, in increasing order: one, unless the family is ``SEVERAL`` or
    ``ABSENT``."""
    family: str
    """One of ``FAMILIES``."""
    words: tuple[str, ...]
    """Its tokens, as ``cmpc.data.vocabulary.tokenize`` gives them."""
    word_types: tuple[str, ...]
    """Type of each token: entity, attribute, relation or unnecessary."""
    grounding: tuple[tuple[int, ...], ...]
    """Numbers of the things that each token speaks about, in increasing order."""
    meaning: Description

    @property
    def target(self) -> int:
        """The one thing that it refers to.

        Raises:
            ValueError: there are several, or none.
        """
        (target,) = self.targets
        return target
