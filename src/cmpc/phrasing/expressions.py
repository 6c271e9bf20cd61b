"""Finds expressions for the things of a photo, family by family: a pure function of scene and random generator."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import TypeVar

from cmpc.phrasing import kinds
from cmpc.phrasing.colours import COLOUR_NAMES
from cmpc.phrasing.grammar import Realiser, expression_of
from cmpc.phrasing.meaning import (
    ABSENT,
    OF_ONE,
    PLACES,
    SEVERAL,
    Description,
    GroundedExpression,
    IsNot,
    KindAndColour,
    Place,
    RankedChoice,
    RelatedTo,
    Wears,
)
from cmpc.phrasing.relations import NO, YES
from cmpc.phrasing.resolver import ReferenceResolver
from cmpc.phrasing.things import PhotoScene, Thing

T = TypeVar("T")

TRIES = 4
"""Draws for one expression before another family is tried."""
ENTITY_SHARE = 0.5
"""How often a mere name is among the first wordings of a thing of which more can be said."""
LEAST_ANCHOR = 0.002
"""Share of the photo from which a thing is large enough to be mentioned beside another one."""
LANDMARK = 0.2
"""Share of the target's area from which another thing is large enough to say where the target lies."""

_WEIGHTS = {
    "left": 2, "right": 2, "next to": 3, "front": 3, "behind": 3, "above": 1, "below": 1, "on": 6, "under": 3,
    "riding": 6, "ridden by": 4, "with": 5, "carried by": 5, "worn by": 6, "between": 2,
}  # fmt: skip
"""How often each relation is tried where it holds: touching tells more than lying somewhere."""
_SIZES = ("largest", "smallest")
_BESIDE = ("left", "right", "next to", "above", "below")
"""Relations without contact: the other thing should not be much smaller."""
_DENIED = ("on", "riding", "with", "next to", "behind", "front", "left", "right")
_PLURAL = ("left", "right", "next to", "front", "behind", "above", "below", "on", "under")
"""Relations by which several things, or none, are told."""
_MISSING_KIND = 0.5
"""How often an expression that fits nothing names a kind that is not there; the others name one that is there, but not
so."""
_CHOICES = ("left", "right", "front", "back", "top", "bottom", "middle")


def describe(
    scene: PhotoScene,
    rng: Random,
    *,
    wanted: int = 5,
    targets: Iterable[int] | None = None,
    loose_names: bool = False,
) -> list[GroundedExpression]:
    """Expressions that each fit exactly one thing of a scene, by a margin; the same draws give the same expressions.

    Args:
        scene: what is known of the photo.
        rng: draws what is said, and how.
        wanted: expressions for each target; fewer where not so many can be said.
        targets: numbers of the things to speak about; all by default.
        loose_names: call the only person of a photo man, woman, boy and so on too, the only dog puppy, and so on.
    """
    describer = _Describer(scene, rng, loose_names)
    numbers = range(len(scene.things)) if targets is None else targets
    return [expression for target in numbers for expression in describer.expressions(target, wanted)]


def describe_several(
    scene: PhotoScene, rng: Random, *, wanted: int, loose_names: bool = False
) -> list[GroundedExpression]:
    """Expressions that each fit several things of a scene and clearly no other: "both dogs", "the cups on the table".

    Args:
        scene: what is known of the photo.
        rng: draws what is said, and how.
        wanted: most expressions; fewer where not so many can be said.
        loose_names: as for ``describe``.
    """
    return _Describer(scene, rng, loose_names).of_several(wanted)


def describe_absent(
    scene: PhotoScene, rng: Random, *, wanted: int, loose_names: bool = False
) -> list[GroundedExpression]:
    """Expressions that clearly fit nothing of a scene: of a kind that is not there, or of one that is, but in no such
    colour or place. Only kinds of which all things are annotated are spoken of.

    Args:
        scene: what is known of the photo.
        rng: draws what is said, and how.
        wanted: most expressions; fewer where not so many can be said.
        loose_names: as for ``describe``.
    """
    return _Describer(scene, rng, loose_names).of_nothing(wanted)


class _Describer:
    """Draws expressions for one scene."""

    def __init__(self, scene: PhotoScene, rng: Random, loose_names: bool) -> None:
        self.scene = scene
        self.rng = rng
        self.resolver = ReferenceResolver(scene)
        self.realiser = Realiser(rng, self.resolver, loose_names=loose_names)
        self._relations_of: dict[int, dict[str, list[tuple[int, ...]]]] = {}
        self._pointers: dict[int, list[Description]] = {}
        self._families: dict[str, Callable[[int], Description | None]] = {
            "entity": self._entity,
            "attribute": self._attribute,
            "location": self._location,
            "relation": self._relation,
            "comparison": self._comparison,
            "clothing": self._clothing,
            "negation": self._negation,
        }

    def expressions(self, target: int, wanted: int) -> list[GroundedExpression]:
        """Up to so many expressions about a thing, none said twice: of as many families as there are, and of mere names
        at most two, or half of what is wanted."""
        if not self.scene.things[target].is_clear:
            return []
        found: dict[str, GroundedExpression] = {}
        names, most_names = 0, max(wanted // 2, 2)
        order = self._shuffled(OF_ONE[1:])
        order.insert(self.rng.randint(0, 2) if self.rng.random() < ENTITY_SHARE else len(order), "entity")
        while order and len(found) < wanted:
            for family in list(order):
                if len(found) == wanted:
                    break
                full = family == "entity" and names == most_names
                expression = None if full else self._expression(target, family, found)
                if expression is None:
                    order = [other for other in order if other != family]
                else:
                    found[expression.text] = expression
                    names += family == "entity"
            # A place can nearly always be said, and a name: from now on the other families come twice as often.
            others = [family for family in dict.fromkeys(order) if family not in ("location", "entity")]
            plain = [family for family in order if family in ("location", "entity")]
            order = [*self._shuffled(others), *self._shuffled([*others, *plain])]
        return list(found.values())

    def of_several(self, wanted: int) -> list[GroundedExpression]:
        """Up to so many expressions that fit several things, none said twice."""
        found: dict[str, GroundedExpression] = {}
        kinds_there = {thing.kind for thing in self.scene.things if not thing.is_part}
        concepts = sorted({*kinds_there, *(name for kind in kinds_there for name in kinds.classes_of(kind))})
        for _ in range(TRIES * wanted if concepts else 0):
            meaning = self._loosely(self.rng.choice(concepts))
            things = None if meaning is None else self.resolver.refer_to(meaning)
            if meaning is None or things is None or len(things) < 2 or len(found) == wanted:
                continue
            words = self.realiser.say_several(meaning, len(things))
            if words is not None:
                expression = expression_of(words, things, SEVERAL, meaning)
                found.setdefault(expression.text, expression)
        return list(found.values())

    def of_nothing(self, wanted: int) -> list[GroundedExpression]:
        """Up to so many expressions that fit nothing, none said twice."""
        found: dict[str, GroundedExpression] = {}
        there = {thing.kind for thing in self.scene.things}
        missing = sorted(self.scene.annotated.kinds & kinds.KNOWN_KINDS - there)
        kept = sorted(self.scene.annotated.kinds & there)
        for _ in range(TRIES * wanted):
            options = missing if not kept or (missing and self.rng.random() < _MISSING_KIND) else kept
            if not options or len(found) == wanted:
                break
            meaning = self._loosely(self.rng.choice(options), may_choose=options is missing)
            if meaning is None or self.resolver.refer_to(meaning) != ():
                continue
            words = self.realiser.say(meaning)
            if words is not None:
                expression = expression_of(words, (), ABSENT, meaning)
                found.setdefault(expression.text, expression)
        return list(found.values())

    def _loosely(self, concept: str, *, may_choose: bool = False) -> Description | None:
        """A meaning of any kind of thing, whatever it fits: the name alone, with a colour, a place, another thing, or,
        where that is wanted, the first of its kind in some direction."""
        way = self.rng.choice(("name", "name", "colour", "place", "relation", *(("choice",) if may_choose else ())))
        about = KindAndColour(concept)
        if way == "colour":
            usual = kinds.colours_of(concept)
            options = sorted(COLOUR_NAMES if usual is None else usual)
            return Description(KindAndColour(concept, self.rng.choice(options))) if options else None
        if way == "place":
            return Description(about, (Place(self.rng.choice(PLACES)),))
        if way == "choice":
            return Description(about, choice=RankedChoice(self.rng.choice(("left", "right", "front", "back"))))
        if way == "relation":
            anchors = [i for i in range(len(self.scene.things)) if self._may_be_anchor(i) and not self._is(i, concept)]
            if not anchors:
                return None
            name, anchor = self.rng.choice(_PLURAL), self.rng.choice(anchors)
            phrase = self._pointer(anchor, name, beside=anchor)
            return None if phrase is None else Description(about, (RelatedTo(name, (phrase,)),))
        return Description(about)

    def _is(self, i: int, concept: str) -> bool:
        """Whether a thing is, or may be, what a name says."""
        return self.resolver.described(KindAndColour(concept))[i] != NO

    def _expression(self, target: int, family: str, known: dict[str, GroundedExpression]) -> GroundedExpression | None:
        for _ in range(TRIES):
            meaning = self._families[family](target)
            if meaning is None or self.resolver.refers_to(meaning) != target:
                continue
            for _ in range(2):  # another wording may be new
                words = self.realiser.say(meaning)
                if words is not None:
                    expression = expression_of(words, (target,), family, meaning)
                    if expression.text not in known:
                        return expression
        return None

    def _entity(self, target: int) -> Description | None:
        return Description(KindAndColour(self._concept(target)))

    def _attribute(self, target: int) -> Description | None:
        colour = self._colour(target)
        return None if colour is None else Description(KindAndColour(self._concept(target), colour))

    def _location(self, target: int) -> Description | None:
        about = self._about(target, may_be_one=True)
        if self.rng.random() < 0.25 or self._count(about) < 2:
            places = [place for place in PLACES if self.resolver.relations.lies_in(place, target) == YES]
            return Description(about, (Place(self.rng.choice(places)),)) if places else None
        options = [RankedChoice(name) for name in _CHOICES]
        options += [
            RankedChoice(side, rank) for side in ("left", "right") for rank in (2, 3, 4) if rank < self._count(about)
        ]
        fitting = [one for one in options if self.resolver.refers_to(Description(about, choice=one)) == target]
        return Description(about, choice=self.rng.choice(fitting)) if fitting else None

    def _relation(self, target: int) -> Description | None:
        options = self._related_to(target)
        if not options:
            return None
        name = self.rng.choices(list(options), [_WEIGHTS[name] for name in options])[0]
        anchors = self.rng.choice(options[name])
        if name == "between" and (pair := self._pair(anchors)) is not None:
            phrases = [pair]
        else:
            found = [self._pointer(anchor, name, beside=target) for anchor in anchors]
            phrases = [phrase for phrase in found if phrase is not None]
            if len(phrases) < len(anchors):
                return None
        return Description(self._about(target), (RelatedTo(name, tuple(phrases)),))

    def _comparison(self, target: int) -> Description | None:
        about = self._about(target)
        if self._count(about) < 2:
            return None
        ways = self._shuffled(("size", "size", "than", "colour", "distance"))
        drawn = (self._compared(target, about, way) for way in ways)
        return next((one for one in drawn if one is not None and self.resolver.refers_to(one) == target), None)

    def _compared(self, target: int, about: KindAndColour, way: str) -> Description | None:
        """By size, by likeness or by distance to another thing."""
        if way == "size":
            return Description(about, choice=RankedChoice(self.rng.choice(_SIZES)))
        others = [i for i in range(len(self.scene.things)) if i != target and self._may_be_anchor(i)]
        if way == "than":
            others = [i for i in others if self.scene.things[i].kind == self.scene.things[target].kind]
        if way == "colour":
            others = [i for i in others if self.resolver.relations.holds("same colour", target, i) == YES]
        if not others:
            return None
        other = self.rng.choice(others)
        if way == "distance":
            name = self.rng.choice(("nearest", "nearest", "farthest"))
        else:
            name = self.rng.choice(("larger", "smaller")) if way == "than" else "same colour"
        anchor = self._pointer(other, name, beside=target)
        if anchor is None:
            return None
        if way == "distance":
            return Description(about, choice=RankedChoice(name, anchor=anchor))
        return Description(about, (RelatedTo(name, (anchor,)),))

    def _clothing(self, target: int) -> Description | None:
        thing = self.scene.things[target]
        if thing.kind != kinds.PERSON or thing.is_part:
            return None
        worn = self.resolver.worn_by(target)
        if not worn:
            return None
        number = 2 if len(worn) > 1 and self.rng.random() < 0.35 else 1
        drawn = self.rng.sample(worn, number)
        drawn.sort(key=lambda i: (self.scene.things[i].kind in kinds.WORN, self.scene.things[i].box[1]))
        items = tuple(
            KindAndColour(self.scene.things[i].kind, self._colour(i) if self.rng.random() < 0.85 else None)
            for i in drawn
        )
        if any(item.colour is None and item.concept not in kinds.TELLING for item in items):
            return None
        return Description(KindAndColour(self._concept(target)), (Wears(items),))

    def _negation(self, target: int) -> Description | None:
        ways = self._shuffled(("colour", "relation", "relation", "choice", "kind"))
        drawn = (self._denied(target, way) for way in ways)
        return next((one for one in drawn if one is not None and self.resolver.refers_to(one) == target), None)

    def _denied(self, target: int, way: str) -> Description | None:
        """By the colour, the relation, the place or the kind of all the others."""
        if way == "kind":
            return self._other_kind(target)
        about = self._about(target, may_be_one=way != "colour", colour_chance=0.0)
        members = [i for i in self._members(about) if i != target]
        if not members:
            return None
        if way == "choice":
            options = [RankedChoice(name, negated=True) for name in ("left", "right", "front", "back")]
            fitting = [one for one in options if self.resolver.refers_to(Description(about, choice=one)) == target]
            return Description(about, choice=self.rng.choice(fitting)) if fitting else None
        if way == "colour":
            colours = {self._colour(i) for i in members}
            colour = colours.pop() if len(colours) == 1 else None
            return None if colour is None else Description(about, (IsNot(KindAndColour(colour=colour)),))
        return self._unrelated(target, about, members)

    def _unrelated(self, target: int, about: KindAndColour, members: Sequence[int]) -> Description | None:
        """Not standing to another thing as all others of the kind do."""
        anchor = self.rng.choice([i for i in range(len(self.scene.things)) if i != target])
        others = [i for i in members if i != anchor]
        if not others or not self._may_be_anchor(anchor):
            return None
        holds = self.resolver.relations.holds
        names = [
            name
            for name in _DENIED
            if holds(name, target, anchor) == NO and all(holds(name, i, anchor) == YES for i in others)
        ]
        if not names:
            return None
        name = self.rng.choice(names)
        phrase = self._pointer(anchor, name, beside=target)
        return None if phrase is None else Description(about, (RelatedTo(name, (phrase,), negated=True),))

    def _other_kind(self, target: int) -> Description | None:
        """The animal that is not a dog."""
        for concept in self._shuffled(kinds.classes_of(self.scene.things[target].kind)):
            others = {self.scene.things[i].kind for i in self._members(KindAndColour(concept)) if i != target}
            if len(others) == 1 and self.scene.things[target].kind not in others:
                return Description(KindAndColour(concept), (IsNot(KindAndColour(others.pop())),))
        return None

    def _related_to(self, target: int) -> dict[str, list[tuple[int, ...]]]:
        """Relation -> the anchors to which a thing stands so."""
        if target not in self._relations_of:
            anchors = [i for i in range(len(self.scene.things)) if i != target and self._may_be_anchor(i)]
            holds = self.resolver.relations.holds
            large = [i for i in anchors if self.scene.things[i].area >= LANDMARK * self.scene.things[target].area]
            found: dict[str, list[tuple[int, ...]]] = {
                name: [(i,) for i in (large if name in _BESIDE else anchors) if holds(name, target, i) == YES]
                for name in _WEIGHTS
                if name != "between"
            }
            ends = [i for i in large if self.scene.things[i].kind not in kinds.WORN]
            if not self.scene.things[target].is_part and len(ends) <= 8:
                pairs = itertools.combinations(ends, 2)
                found["between"] = [pair for pair in pairs if self.resolver.relations.between(target, *pair) == YES]
            self._relations_of[target] = {name: options for name, options in found.items() if options}
        return self._relations_of[target]

    def _may_be_anchor(self, i: int) -> bool:
        thing = self.scene.things[i]
        large = thing.area >= LEAST_ANCHOR * self.scene.height * self.scene.width
        return thing.is_clear and not thing.is_part and large

    def _pointer(self, thing: int, relation: str, *, beside: int) -> Description | None:
        """A short phrase that denotes a thing: its name, its colour, or its place or size among its like.

        What the relation says is not said again: "the dog left of the right dog" is the left dog.
        """
        if thing not in self._pointers:
            kind = self.scene.things[thing].kind
            concepts = [kind, *([kinds.WOMAN] if self._concept(thing) == kinds.WOMAN else [])]
            named = [Description(KindAndColour(concept)) for concept in concepts]
            named += [
                Description(KindAndColour(kind, colour)) for colour in (self._colour(thing),) if colour is not None
            ]
            chosen = [Description(KindAndColour(kind), choice=RankedChoice(name)) for name in (*_CHOICES, *_SIZES)]
            self._pointers[thing] = [one for one in (*named, *chosen) if self.resolver.refers_to(one) == thing]
        options = self._pointers[thing]
        short = [one for one in options if one.choice is None]
        if relation == "between" or (short and self.rng.random() < 0.8):
            options = short
        elif relation in ("larger", "smaller"):
            options = [one for one in options if one.choice is None or one.choice.name not in _SIZES]
        elif relation in ("front", "behind"):
            options = [one for one in options if one.choice is None or one.choice.name not in ("front", "back")]
        elif relation in ("left", "right") or self.scene.things[beside].kind == self.scene.things[thing].kind:
            options = [one for one in options if one.choice is None or one.choice.name in _SIZES]
        return self.rng.choice(options) if options else None

    def _pair(self, anchors: Sequence[int]) -> Description | None:
        """ "The two chairs", where these are all of them."""
        first, second = (self.scene.things[i].kind for i in anchors)
        about = KindAndColour(first)
        both = first == second and self._members(about) == sorted(anchors)
        return Description(about) if both and self.resolver.counts(first) else None

    def _concept(self, target: int) -> str:
        """The name of a thing's kind, more seldom of a class."""
        thing = self.scene.things[target]
        if thing.kind == kinds.PERSON and self.resolver.described(KindAndColour(kinds.WOMAN))[target] == YES:
            return kinds.WOMAN if self.rng.random() < 0.7 else kinds.PERSON
        classes = kinds.classes_of(thing.kind)
        return self.rng.choice(classes) if classes and self.rng.random() < 0.15 else thing.kind

    def _about(self, target: int, *, may_be_one: bool = False, colour_chance: float = 0.25) -> KindAndColour:
        """What a phrase with more to say names its target."""
        if may_be_one and self.resolver.counts(None) and self.rng.random() < 0.15:
            return KindAndColour(None)
        colour = self._colour(target) if self.rng.random() < colour_chance else None
        return KindAndColour(self._concept(target), colour)

    def _colour(self, target: int) -> str | None:
        """The colour of a thing, where it is clear and tells things of its kind apart."""
        thing: Thing = self.scene.things[target]
        usual, colour = kinds.colours_of(thing.kind), thing.colour.certain
        if colour is None or (usual is not None and not set(colour.split(" and ")) <= usual):
            return None
        return colour

    def _members(self, about: KindAndColour) -> list[int]:
        return [i for i, one in enumerate(self.resolver.described(about)) if one == YES]

    def _count(self, about: KindAndColour) -> int:
        return len(self._members(about))

    def _shuffled(self, values: Iterable[T]) -> list[T]:
        shuffled = list(values)
        self.rng.shuffle(shuffled)
        return shuffled
