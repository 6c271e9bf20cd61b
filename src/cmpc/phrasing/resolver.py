"""Finds what a meaning refers to by trying every thing: the truth that expressions are checked against."""

from __future__ import annotations

from collections.abc import Callable

from cmpc.phrasing import kinds
from cmpc.phrasing.meaning import Condition, Description, IsNot, KindAndColour, Place, RankedChoice, RelatedTo, Wears
from cmpc.phrasing.relations import NEARER, NO, NOT_NEARER, UNCLEAR, YES, Relations, has_colour
from cmpc.phrasing.things import PhotoScene


class ReferenceResolver:
    """Answers for one scene which things a meaning fits: ``YES``, ``NO`` or ``UNCLEAR`` for each."""

    def __init__(self, scene: PhotoScene) -> None:
        self.scene = scene
        self.relations = Relations(scene)
        self.count = len(scene.things)
        self._described: dict[KindAndColour, list[int]] = {}
        self._referents: dict[Description, int | None] = {}

    def refers_to(self, description: Description) -> int | None:
        """The one thing that a meaning fits while it clearly fits no other; None where there is no such thing.

        Nor is there one where others that are not annotated may fit: what tells a thing from others of its kind,
        besides colour and clothes, takes a kind of which all are annotated.
        """
        if description not in self._referents:
            truth = self.fits(description)
            alone = truth.count(YES) == 1 and UNCLEAR not in truth and self._is_complete(description)
            self._referents[description] = truth.index(YES) if alone else None
        return self._referents[description]

    def refer_to(self, description: Description) -> tuple[int, ...] | None:
        """All things that a meaning fits while it clearly fits no other, maybe none at all; None where that cannot be
        said, or where others that are not annotated may fit."""
        truth = self.fits(description)
        if UNCLEAR in truth or description.about.concept is None or not self.counts(description.about.concept):
            return None
        return tuple(i for i, one in enumerate(truth) if one == YES)

    def fits(self, description: Description) -> list[int]:
        """Whether a meaning fits each thing."""
        truth = list(self.described(description.about))
        for condition in description.conditions:
            if YES not in truth and UNCLEAR not in truth:
                break
            anchors = self._anchors(condition) if isinstance(condition, RelatedTo) else ()
            truth = [one if one == NO else min(one, self._holds(i, condition, anchors)) for i, one in enumerate(truth)]
        return truth if description.choice is None else self._choose(truth, description.choice)

    def described(self, about: KindAndColour) -> list[int]:
        """Whether each thing is of the concept and the colour said."""
        if about not in self._described:
            self._described[about] = [
                min(self._is_a(i, about.concept), self._has(i, about.colour)) for i in range(self.count)
            ]
        return self._described[about]

    def counts(self, concept: str | None) -> bool:
        """Whether all things that can be called so are annotated."""
        if concept is None:
            return self.scene.annotated.is_broad and self.scene.only_kind in self.scene.annotated.kinds
        return self.scene.annotated.counts(concept)

    def worn_by(self, i: int) -> list[int]:
        """The clothes that a person wears, and what the person surely carries."""
        return [
            j
            for j, thing in enumerate(self.scene.things)
            if (thing.is_part and thing.owner == i)
            or (thing.kind in kinds.WORN and self.relations.holds("with", i, j) == YES)
        ]

    def wears(self, i: int, item: KindAndColour) -> tuple[int, int | None]:
        """Whether a person wears something, and which of the things it is."""
        worn = self.worn_by(i)
        fitting = {j: min(self._is_a(j, item.concept), self._has(j, item.colour)) for j in worn}
        for j, answer in fitting.items():
            if answer == YES:
                return YES, j
        if not any(self.scene.things[j].is_part for j in worn) or UNCLEAR in fitting.values():
            return UNCLEAR, None
        alike = {kind for group in kinds.ALIKE if item.concept in group for kind in group} | {item.concept}
        taken = any(self.scene.things[j].kind in alike and self._has(j, item.colour) != NO for j in worn)
        carried = item.concept in kinds.WORN or item.concept not in kinds.KNOWN_KINDS
        return (UNCLEAR if taken or carried else NO), None

    def _is_a(self, i: int, concept: str | None) -> int:
        thing = self.scene.things[i]
        if concept is None:
            return NO if thing.is_part or self.scene.only_kind is None else YES
        if concept == kinds.WOMAN:
            if thing.kind != kinds.PERSON:
                return NO
            return YES if any(self.scene.things[j].kind in kinds.WOMENS for j in self.worn_by(i)) else UNCLEAR
        if concept in kinds.CLASSES:
            members = kinds.CLASSES[concept]
            return YES if thing.kind in members.kinds else UNCLEAR if thing.kind in members.doubtful else NO
        return YES if thing.kind == concept else NO

    def _has(self, i: int, colour: str | None) -> int:
        if colour is None:
            return YES
        thing = self.scene.things[i]
        return has_colour(thing.colour.certain, thing.colour.possible, colour) if thing.is_clear else UNCLEAR

    def _is_complete(self, description: Description) -> bool:
        if self.counts(description.about.concept):
            return True
        named = all(
            isinstance(condition, Wears) or (isinstance(condition, RelatedTo) and condition.name == "worn by")
            for condition in description.conditions
        )
        return description.about.concept is not None and description.choice is None and named

    def _anchors(self, relation: RelatedTo) -> tuple[int, ...]:
        """The things that a relation leads to; none where they are not clear."""
        if relation.name == "between" and len(relation.anchors) == 1:
            truth = self.fits(relation.anchors[0])
            two = truth.count(YES) == 2 and UNCLEAR not in truth and self.counts(relation.anchors[0].about.concept)
            return tuple(i for i, one in enumerate(truth) if one == YES) if two else ()
        found = [self.refers_to(anchor) for anchor in relation.anchors]
        if relation.name != "worn by" and not all(self.counts(anchor.about.concept) for anchor in relation.anchors):
            return ()
        return tuple(i for i in found if i is not None) if None not in found else ()

    def _holds(self, i: int, condition: Condition, anchors: tuple[int, ...]) -> int:
        if isinstance(condition, Place):
            return self.relations.lies_in(condition.name, i)
        if isinstance(condition, Wears):
            return min(self.wears(i, item)[0] for item in condition.items)
        if isinstance(condition, IsNot):
            return YES - min(self._is_a(i, condition.about.concept), self._has(i, condition.about.colour))
        if not anchors:
            return UNCLEAR
        if i in anchors:  # nothing is compared with itself
            return NO
        if condition.name == "between":
            answer = self.relations.between(i, *anchors)
        else:
            answer = self.relations.holds(condition.name, i, anchors[0])
        return YES - answer if condition.negated else answer

    def _choose(self, truth: list[int], choice: RankedChoice) -> list[int]:
        """Of the things that fit so far, the one that the choice picks."""
        members = [i for i, one in enumerate(truth) if one != NO]
        unclear = [UNCLEAR if one != NO else NO for one in truth]
        if len(members) < 2 or UNCLEAR in truth:
            return unclear
        picked = self._picked(members, choice)
        if picked is None or (choice.negated and len(members) != 2):
            return unclear
        return [YES if i in members and (i == picked) != choice.negated else NO for i in range(self.count)]

    def _picked(self, members: list[int], choice: RankedChoice) -> int | None:
        if choice.name in ("nearest", "farthest"):
            return self._by_distance(members, choice)
        if choice.name in ("largest", "smallest"):
            name = "larger" if choice.name == "largest" else "smaller"
            return self._first(members, lambda i, j: self.relations.holds(name, i, j))
        if choice.name == "middle":
            before = (len(members) - 1) // 2 if len(members) in (3, 5) and self._is_row(members) else None
            direction = "left"
        else:
            before, direction = choice.rank - 1, choice.name
        if before is None:
            return None
        for i in members:
            answers = [self.relations.comes_before(direction, i, j) for j in members if j != i]
            if answers.count(NO) == before and UNCLEAR not in answers:
                return i
        return None

    def _is_row(self, members: list[int]) -> bool:
        """Whether things lie rather side by side than one above the other."""
        across, down = zip(*(self.scene.things[i].middle for i in members), strict=True)
        return max(across) - min(across) >= 2 * (max(down) - min(down))

    def _first(self, members: list[int], leads: Callable[[int, int], int]) -> int | None:
        return next((i for i in members if all(leads(i, j) == YES for j in members if j != i)), None)

    def _by_distance(self, members: list[int], choice: RankedChoice) -> int | None:
        anchor = None if choice.anchor is None else self.refers_to(choice.anchor)
        if anchor is None or choice.anchor is None or not self.counts(choice.anchor.about.concept):
            return None
        members = [i for i in members if i != anchor]
        if len(members) < 2 or not all(self.scene.things[i].is_clear for i in members):
            return None
        far = {i: self.relations.distance(i, anchor) for i in members}
        ordered = sorted(members, key=lambda i: far[i], reverse=choice.name == "farthest")
        first = ordered[0]
        for i in ordered[1:]:
            shorter, longer = (far[first], far[i]) if choice.name == "nearest" else (far[i], far[first])
            if longer[0] < NEARER * shorter[0] or longer[1] < NOT_NEARER * shorter[1]:
                return None
        return first
