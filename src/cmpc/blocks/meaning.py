"""What an expression says, as data: a choice of blocks, mostly of one, by their attributes, by relations and by rank.

``Meaning`` is read in this order: the blocks that fit ``about``, of these the ones for which all ``conditions`` hold,
of these the ones that ``choice`` picks.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from cmpc.blocks.scene import ATTRIBUTES, Block

OF_ONE = ("entity", "attribute", "location", "relation", "chain", "comparison", "negation")
"""Expressions that refer to one block, by what tells it from the others."""
SEVERAL = "several"
"""Expressions that refer to two blocks or more."""
ABSENT = ("absent noun", "absent looks", "absent relation")
"""Expressions that fit nothing in their scene: no block has the noun; some have, but not the looks; what each noun
phrase says is there, but the relation does not hold."""
FAMILIES = (*OF_ONE, SEVERAL, *ABSENT)


@dataclass(frozen=True, slots=True)
class About:
    """Attributes that a block has; None: not said."""

    shape: str | None = None
    colour: str | None = None
    material: str | None = None
    size: str | None = None

    def fits(self, block: Block) -> bool:
        """Whether a block has all of them."""
        return all(getattr(self, name) in (None, getattr(block, name)) for name in ATTRIBUTES)

    def said(self) -> dict[str, str]:
        """The attributes that are said."""
        return {name: value for name in ATTRIBUTES if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Relation:
    """The block stands in a relation to one anchor, or to two for "between"."""

    name: str
    """One of ``relations.RELATIONS``, "between", or "same colour" ("same shape", ...)."""
    anchors: tuple[Meaning, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Lacks:
    """The block has none of these values of an attribute."""

    attribute: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Picks one of several blocks, or a few that stand first."""

    name: str
    """``left``, ``right``, ``front``, ``behind`` (the one farthest that way), ``middle`` (of three or five from left to
    right), ``largest``, ``smallest``, ``nearest`` or ``farthest`` (from the anchor)."""
    rank: int = 1
    """1 for the first; 2 for "the second from the left"."""
    anchor: Meaning | None = None
    count: int = 1
    """2 for "the two leftmost"; only with rank 1 of ``left``, ``right``, ``front`` or ``behind``."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of a phrase that denotes blocks, most often one."""

    about: About = field(default_factory=About)
    conditions: tuple[Relation | Lacks, ...] = ()
    choice: Choice | None = None

    def to_dict(self) -> dict[str, Any]:
        """The meaning as plain JSON values; what is not said is left out."""
        values: dict[str, Any] = {"about": self.about.said()}
        if self.conditions:
            values["conditions"] = [_condition_to_dict(condition) for condition in self.conditions]
        if self.choice is not None:
            anchor = {"anchor": self.choice.anchor.to_dict()} if self.choice.anchor is not None else {}
            count = {"count": self.choice.count} if self.choice.count > 1 else {}
            values["choice"] = {"name": self.choice.name, "rank": self.choice.rank, **anchor, **count}
        return values

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Meaning:
        """The inverse of ``to_dict``."""
        choice = values.get("choice")
        if choice is not None:
            anchor = choice.get("anchor")
            anchor = Meaning.from_dict(anchor) if anchor else None
            choice = Choice(choice["name"], choice["rank"], anchor, choice.get("count", 1))
        conditions = tuple(_condition_from_dict(condition) for condition in values.get("conditions", ()))
        return Meaning(About(**values["about"]), conditions, choice)


@dataclass(frozen=True, slots=True)
class Expression:
    """A referring expression with all that is known about it."""

    text: str
    targets: tuple[int, ...]
    """Indices of the blocks that it refers to, in increasing order: one, unless the family is ``SEVERAL`` or of
    ``ABSENT``."""
    family: str
    """One of ``FAMILIES``."""
    word_types: tuple[str, ...]
    """Type of each token of ``cmpc.data.vocabulary.tokenize(text)``, one of ``WORD_TYPES``."""
    meaning: Meaning

    @property
    def target(self) -> int:
        """The one block that it refers to.

        Raises:
            ValueError: there are several, or none.
        """
        (target,) = self.targets
        return target


def _condition_to_dict(condition: Relation | Lacks) -> dict[str, Any]:
    if isinstance(condition, Lacks):
        return dataclasses.asdict(condition)
    anchors = [anchor.to_dict() for anchor in condition.anchors]
    return {"name": condition.name, "anchors": anchors, "negated": condition.negated}


def _condition_from_dict(values: dict[str, Any]) -> Relation | Lacks:
    if "attribute" in values:
        return Lacks(values["attribute"], tuple(values["values"]))
    return Relation(values["name"], tuple(map(Meaning.from_dict, values["anchors"])), values["negated"])
