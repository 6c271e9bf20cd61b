"""Finds expressions about one block, family by family, such that nothing but the whole expression tells the target."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from random import Random
from typing import TypeVar

import numpy as np

from cmpc.blocks.grammar import Speaker
from cmpc.blocks.meaning import OF_ONE, About, Choice, Expression, Lacks, Meaning, Relation
from cmpc.blocks.relations import DIRECTIONS, NO, YES
from cmpc.blocks.scene import ATTRIBUTES, VALUES, Scene
from cmpc.blocks.solver import Solver

T = TypeVar("T")

FEWEST, MOST = 6, 8
"""Expressions about one block that an image is given."""
TRIES = 4
"""Draws for one target and family before another target is tried."""
EASY_SHARE = 0.15
"""Share kept of the expressions such as "the cube left of the ball" whose target is the leftmost of all cubes, so that
the direction alone would find it."""

_SPATIAL = ("left", "right", "front", "behind", "next to", "on", "under", "between")
_SPATIAL_WEIGHTS = {"left": 3, "right": 3, "front": 3, "behind": 3, "next to": 1, "on": 4, "under": 4, "between": 2}
"""How often each is tried where it holds; directions more often, because fewer of them are fair."""
_DENIED = ("left", "right", "front", "behind", "next to")
COMPARING = ("same colour", "same material", "same size", "same shape", "larger", "smaller", "nearest", "farthest")


class Describer:
    """Draws expressions for one scene."""

    def __init__(self, scene: Scene, rng: Random) -> None:
        self.scene = scene
        self.rng = rng
        self.solver = Solver(scene)
        self.speaker = Speaker(rng)
        self._blocks = range(len(scene.blocks))
        self._abouts = [_abouts_of(scene, block) for block in self._blocks]
        self._counts = Counter(about for abouts in self._abouts for about in abouts)
        self._related_to = {name: truth.tolist() for name, truth in self.solver.facts.related.items()}
        self._found_relations: dict[tuple[int, bool], dict[str, list[tuple[int, ...]]]] = {}
        self._drawn_from: dict[tuple[int, bool, str | None], tuple[list[Meaning], list[float]]] = {}
        self._families: dict[str, Callable[[int], Meaning | None]] = {
            "entity": self._entity,
            "attribute": self._attribute,
            "location": self._location,
            "relation": self._relation,
            "chain": self._chain,
            "comparison": self._comparison,
            "negation": self._negation,
        }

    def expressions(self, targets: Collection[int]) -> list[Expression]:
        """Six to eight expressions spread over families and targets; fewer where a scene gives no more."""
        wanted = self.rng.randint(FEWEST, MOST)
        queue = self.shuffled(OF_ONE) + self.shuffled(("chain", "relation", "comparison", "location"))
        used: Counter[int] = Counter()
        found: list[Expression] = []
        for family in queue:
            if len(found) == wanted:
                break
            order = sorted(targets, key=lambda target: (used[target], self.rng.random()))
            for target in order:
                expression = self.expression(target, family)
                if expression is not None and all(expression.text != other.text for other in found):
                    found.append(expression)
                    used[target] += 1
                    break
        return found

    def expression(self, target: int, family: str) -> Expression | None:
        """An expression of a family about a block, or None where none is found in a few draws."""
        for _ in range(TRIES):
            meaning = self.meaning(target, family)
            if meaning is None or self.solver.refers_to(meaning) != target:
                continue
            said = self.speaker.say(meaning)
            if said is not None:
                return Expression(said[0], (target,), family, said[1], meaning)
        return None

    def meaning(self, target: int, family: str) -> Meaning | None:
        """One draw of what a family can say about a block, which may fit others too; None where that is nothing."""
        return self._families[family](target)

    def _entity(self, target: int) -> Meaning | None:
        about = About(shape=self.scene.blocks[target].shape)
        return Meaning(about) if self._counts[about] == 1 else None

    def _attribute(self, target: int) -> Meaning | None:
        """Looks that tell it from others of its name."""
        options = [
            about
            for about in self._abouts[target]
            if self._counts[about] == 1 and (about.shape is None or self._counts[About(shape=about.shape)] > 1)
        ]
        return Meaning(self.rng.choice(options)) if options else None

    def _location(self, target: int) -> Meaning | None:
        drawn = [about for _ in range(2) if (about := self.shared(target)) is not None]
        if not drawn:
            return None
        about = max(drawn, key=lambda one: self._counts[one])
        options = [Choice(name) for name in DIRECTIONS]
        if self._counts[about] > 2 and self.rng.random() < 0.6:
            options = [Choice(name, rank) for name in DIRECTIONS for rank in range(2, min(self._counts[about], 5))]
            options += [Choice("middle")] * 2
        for choice in self.shuffled(options):
            meaning = Meaning(about, choice=choice)
            if self.solver.refers_to(meaning) == target:
                return meaning
        return None

    def _relation(self, target: int) -> Meaning | None:
        about = self.shared(target)
        condition = self.related(target)
        if about is None or condition is None:
            return None
        meaning = Meaning(about, (condition,))
        return meaning if self._fair(meaning, target) else None

    def _comparison(self, target: int) -> Meaning | None:
        if self.rng.random() < 0.10:
            about = self.shared(target, unsaid="size")
            return None if about is None else Meaning(about, choice=Choice(self.rng.choice(("largest", "smallest"))))
        name = self.rng.choice(COMPARING)
        unsaid = compared_attribute(name)
        about = self.shared(target, unsaid=unsaid)
        if about is None:
            return None
        for anchor in self.shuffled(self._blocks):
            phrase = self.unique(anchor, unsaid=unsaid)
            if anchor == target or phrase is None:
                continue
            if name in ("nearest", "farthest"):
                meaning = Meaning(about, choice=Choice(name, anchor=phrase))
            else:
                meaning = Meaning(about, (Relation(name, (phrase,)),))
            if self.solver.refers_to(meaning) == target and self._fair(meaning, target):
                return meaning
        return None

    def _chain(self, target: int) -> Meaning | None:
        about = self.shared(target)
        if about is None:
            return None
        if self.rng.random() < 0.4:
            return self._two_conditions(target, about)
        for anchor in self.shuffled(self._blocks):
            name = "nearest" if self.rng.random() < 0.2 else self._holding(target, anchor)
            if anchor == target or name is None:
                continue
            inner_about, inner = self.shared(anchor), self.related(anchor)
            if inner_about is None or inner is None or self.solver.refers_to(inner.anchors[0]) == target:
                continue
            phrase = Meaning(inner_about, (inner,))
            if self.solver.refers_to(phrase) != anchor or not self.has_double(phrase):
                continue
            if name == "nearest":
                return self._needing(Meaning(about, choice=Choice(name, anchor=phrase)), target, phrase)
            return self._needing(Meaning(about, (Relation(name, (phrase,)),)), target, phrase)
        return None

    def _two_conditions(self, target: int, about: About) -> Meaning | None:
        """Two relations of which neither is enough."""
        drawn = [condition for _ in range(5) if (condition := self.related(target)) is not None]
        weak = [one for one in drawn if (self.solver.fits(Meaning(about, (one,))) == YES).sum() >= 2]
        for first, second in itertools.combinations(weak, 2):
            meaning = Meaning(about, (first, second))
            if first.anchors != second.anchors and self.solver.refers_to(meaning) == target:
                return meaning if self._fair(meaning, target) else None
        return None

    def _needing(self, meaning: Meaning, target: int, phrase: Meaning) -> Meaning | None:
        """The meaning, if each other block that fits the anchor's own words would lead elsewhere in its place."""
        if self.solver.refers_to(meaning) != target or not self._fair(meaning, target):
            return None
        anchor = self.solver.refers_to(phrase)
        for other in np.flatnonzero(self.solver.described(phrase.about)):
            if other in (anchor, target):
                continue
            exact = self._pointer(int(other))
            if exact is None or self.solver.refers_to(_with_anchor(meaning, exact)) == target:
                return None
        return meaning

    def _negation(self, target: int) -> Meaning | None:
        if self.rng.random() < 0.55:
            about, condition = self.shared(target), self.related(target, negated=True)
            if about is None or condition is None:
                return None
            meaning = Meaning(about, (condition,))
            return meaning if self._fair(meaning, target) else None
        attribute = self.rng.choice(ATTRIBUTES)
        about = self.shared(target, unsaid=attribute)
        if about is None:
            return None
        fitting = np.flatnonzero(self.solver.described(about))
        others = sorted({getattr(self.scene.blocks[i], attribute) for i in fitting if i != target})
        if not 1 <= len(others) <= 2 or getattr(self.scene.blocks[target], attribute) in others:
            return None
        if len(others) == len(VALUES[attribute]):
            return None
        return Meaning(about, (Lacks(attribute, tuple(others)),))

    def related(self, target: int, *, negated: bool = False) -> Relation | None:
        """A relation that holds (or clearly does not) between a block and others that their looks tell."""
        options = self._relations_of(target, negated=negated)
        if not options:
            return None
        name = self.rng.choices(list(options), [_SPATIAL_WEIGHTS[name] for name in options])[0]
        phrases = [self.unique(anchor) for anchor in self.rng.choice(options[name])]
        return Relation(name, tuple(phrase for phrase in phrases if phrase is not None), negated)

    def _relations_of(self, target: int, *, negated: bool) -> dict[str, list[tuple[int, ...]]]:
        """Relation -> the anchors to which the block stands so, of those that their looks tell."""
        key = (target, negated)
        if key not in self._found_relations:
            named = [block for block in self._blocks if block != target and self._counts[self._abouts[block][-1]] == 1]
            wanted = NO if negated else YES
            found: dict[str, list[tuple[int, ...]]] = {
                name: [(anchor,) for anchor in named if self._related_to[name][target][anchor] == wanted]
                for name in (_DENIED if negated else _SPATIAL)
                if name != "between"
            }
            if not negated:
                between = self.solver.facts.between[target].tolist()
                found["between"] = [(j, k) for j, k in itertools.combinations(named, 2) if between[j][k] == YES]
            self._found_relations[key] = {name: anchors for name, anchors in found.items() if anchors}
        return self._found_relations[key]

    def _holding(self, target: int, anchor: int) -> str | None:
        """A relation of place that holds between two blocks."""
        names = [name for name in _SPATIAL if name != "between" and self._related_to[name][target][anchor] == YES]
        return self.rng.choice(names) if names else None

    def has_double(self, meaning: Meaning) -> bool:
        """Whether two blocks that are no anchors agree with all words about the target itself."""
        fitting = self.solver.described(meaning.about).copy()
        anchors = [anchor for c in meaning.conditions if isinstance(c, Relation) for anchor in c.anchors]
        if meaning.choice is not None and meaning.choice.anchor is not None:
            anchors.append(meaning.choice.anchor)
        for anchor in anchors:
            fitting[self.solver.refers_to(anchor)] = False
        return int(fitting.sum()) >= 2

    def _fair(self, meaning: Meaning, target: int) -> bool:
        """Whether the target has a double, and the direction alone does not find it too often."""
        if not self.has_double(meaning):
            return False
        fitting = np.flatnonzero(self.solver.described(meaning.about))
        for condition in meaning.conditions:
            if isinstance(condition, Relation) and condition.name in DIRECTIONS and not condition.negated:
                first = fitting[self.solver.facts.order[condition.name][fitting].argmax()]
                if first == target and self.rng.random() > EASY_SHARE:
                    return False
        return True

    def shared(self, block: int, unsaid: str | None = None) -> About | None:
        """Looks that a block shares with another one."""
        meaning = self._draw(block, unique=False, unsaid=unsaid)
        return None if meaning is None else meaning.about

    def unique(self, block: int, unsaid: str | None = None) -> Meaning | None:
        """Looks that no other block has."""
        return self._draw(block, unique=True, unsaid=unsaid)

    def _pointer(self, block: int) -> Meaning | None:
        """Any phrase that denotes a block: by its looks, or by its place among its like."""
        phrase = self.unique(block)
        if phrase is not None:
            return phrase
        about = self._abouts[block][-1]
        for name, rank in itertools.product(("left", "front"), range(1, self._counts[about] + 1)):
            meaning = Meaning(about, choice=Choice(name, rank))
            if self.solver.refers_to(meaning) == block:
                return meaning
        return None

    def _draw(self, block: int, *, unique: bool, unsaid: str | None) -> Meaning | None:
        """Some of a block's looks; few, and with the name of its shape, more often."""
        key = (block, unique, unsaid)
        if key not in self._drawn_from:
            options = [
                about
                for about in self._abouts[block]
                if (self._counts[about] == 1) == unique and (unsaid is None or getattr(about, unsaid) is None)
            ]
            shares = itertools.accumulate(
                (3.0 if about.shape else 1.0) * 0.45 ** len(about.said()) for about in options
            )
            self._drawn_from[key] = [Meaning(about) for about in options], list(shares)
        meanings, weights = self._drawn_from[key]
        if not meanings:
            return None
        return meanings[bisect.bisect(weights, self.rng.random() * weights[-1], hi=len(weights) - 1)]

    def shuffled(self, values: Iterable[T]) -> list[T]:
        shuffled = list(values)
        self.rng.shuffle(shuffled)
        return shuffled


def compared_attribute(relation: str) -> str | None:
    """What a relation compares, which is not said of the blocks as well."""
    if relation.startswith("same "):
        return relation.removeprefix("same ")
    return "size" if relation in ("larger", "smaller") else None


def _abouts_of(scene: Scene, block: int) -> list[About]:
    """All ways to state some of a block's looks, from nothing to everything."""
    values = {name: getattr(scene.blocks[block], name) for name in ATTRIBUTES}
    return [
        About(**{name: values[name] for name in said})
        for count in range(len(ATTRIBUTES) + 1)
        for said in itertools.combinations(ATTRIBUTES, count)
    ]


def _with_anchor(meaning: Meaning, anchor: Meaning) -> Meaning:
    if meaning.choice is not None:
        return dataclasses.replace(meaning, choice=dataclasses.replace(meaning.choice, anchor=anchor))
    (condition,) = meaning.conditions
    assert isinstance(condition, Relation), "only relations have anchors"
    return dataclasses.replace(meaning, conditions=(dataclasses.replace(condition, anchors=(anchor,)),))
