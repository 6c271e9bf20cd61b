"""Finds what an expression refers to by trying every block: the truth that expressions are checked against."""

from __future__ import annotations

import dataclasses

import numpy as np

from cmpc.blocks.meaning import About, Choice, Lacks, Meaning, Relation
from cmpc.blocks.relations import NO, RANK_GAP, UNCLEAR, YES, Facts, Truth, clear_extreme, facts_of, ranks
from cmpc.blocks.scene import ATTRIBUTES, RADIUS, VALUES, Scene


class Solver:
    """Answers for one scene which blocks a meaning fits. Answers are ``YES``, ``NO`` or ``UNCLEAR`` per block, (N,)."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.facts: Facts = facts_of(scene)
        self.count = len(scene.blocks)
        self._has = {
            name: {value: np.array([getattr(b, name) == value for b in scene.blocks], bool) for value in VALUES[name]}
            for name in ATTRIBUTES
        }
        self._described: dict[About, np.ndarray] = {}
        self._referents: dict[Meaning, int | None] = {}
        self._radius = np.array([RADIUS[block.size] for block in scene.blocks])

    def fits(self, meaning: Meaning) -> Truth:
        """Which blocks a meaning fits, (N,)."""
        truth: Truth = self.described(meaning.about) * np.int8(YES)
        for condition in meaning.conditions:
            truth = np.minimum(truth, self._condition(condition))
        if meaning.choice is not None:
            truth = self._choose(truth, meaning.choice)
        return truth

    def refers_to(self, meaning: Meaning) -> int | None:
        """The one block that a meaning fits while it clearly fits no other; None where there is no such block."""
        if meaning not in self._referents:
            truth: list[int] = self.fits(meaning).tolist()
            alone = truth.count(YES) == 1 and UNCLEAR not in truth
            self._referents[meaning] = truth.index(YES) if alone else None
        return self._referents[meaning]

    def denotes(self, meaning: Meaning) -> tuple[int, ...] | None:
        """All blocks that a meaning fits, in increasing order; None where it is too close to call for some block."""
        truth: list[int] = self.fits(meaning).tolist()
        return None if UNCLEAR in truth else tuple(block for block, one in enumerate(truth) if one == YES)

    def described(self, about: About) -> np.ndarray:
        """Which blocks have the attributes said, bool (N,)."""
        if about not in self._described:
            fitting = np.ones(self.count, bool)
            for name, value in about.said().items():
                fitting &= self._has[name][value]
            self._described[about] = fitting
        return self._described[about]

    def _condition(self, condition: Relation | Lacks) -> Truth:
        if isinstance(condition, Lacks):
            without = np.ones(self.count, bool)
            for value in condition.values:
                without &= ~self._has[condition.attribute][value]
            return without * np.int8(YES)
        anchors = [self.refers_to(anchor) for anchor in condition.anchors]
        if None in anchors:
            missing = any(self._is_missing(anchor) for anchor in condition.anchors)
            return np.full(self.count, NO if missing else UNCLEAR, np.int8)
        found = [anchor for anchor in anchors if anchor is not None]
        if condition.name == "between":
            truth = self.facts.between[:, found[0], found[1]]
        elif condition.name.startswith("same "):
            attribute = condition.name.removeprefix("same ")
            value = getattr(self.scene.blocks[found[0]], attribute)
            truth = self._has[attribute][value] * np.int8(YES)
        else:
            truth = self.facts.related[condition.name][:, found[0]]
        if condition.negated:
            truth = YES - truth
        truth = truth.copy()
        truth[found] = NO  # nothing is compared with itself
        return truth

    def _is_missing(self, anchor: Meaning) -> bool:
        """Whether an anchor clearly fits nothing, so that nothing can stand in any relation to it."""
        return self.denotes(anchor) == ()

    def _choose(self, truth: Truth, choice: Choice) -> Truth:
        """Of the blocks that fit so far, those that the choice picks."""
        members = np.flatnonzero(truth != NO)
        unclear = np.where(truth != NO, UNCLEAR, NO).astype(np.int8)
        if not len(members) or (truth[members] == UNCLEAR).any():
            return unclear
        if choice.anchor is not None:
            anchor = self.refers_to(choice.anchor)
            if anchor is None:
                return np.full(self.count, NO, np.int8) if self._is_missing(choice.anchor) else unclear
            members = members[members != anchor]
            distance = self.facts.distance[:, anchor, :][:, members]
            extreme = clear_extreme(distance, nearest=choice.name == "nearest") if len(members) else None
            picked = None if extreme is None else [extreme]
        elif choice.name in ("largest", "smallest"):
            sizes = self._radius[members]
            best = np.flatnonzero(sizes == (sizes.max() if choice.name == "largest" else sizes.min()))
            picked = [int(best[0])] if len(best) == 1 else None
        else:
            picked = self._in_order(members, choice)
        if picked is None:
            return unclear
        chosen = np.full(self.count, NO, np.int8)
        chosen[members[picked]] = YES
        return chosen

    def _in_order(self, members: np.ndarray, choice: Choice) -> list[int] | None:
        direction = "left" if choice.name == "middle" else choice.name
        values = self.facts.order[direction][members]
        if choice.name != "middle" and choice.rank == 1:
            order = np.argsort(-values, kind="stable")
            last, after = choice.count - 1, choice.count
            clear = len(order) == after or (
                len(order) > after and values[order[last]] - values[order[after]] >= RANK_GAP[direction]
            )
            return order[:after].tolist() if clear else None
        ranked = ranks(values, RANK_GAP[direction])
        if ranked is None or (choice.name == "middle" and len(ranked) not in (3, 5)) or len(ranked) < choice.rank:
            return None
        return [int(ranked[len(ranked) // 2 if choice.name == "middle" else choice.rank - 1])]


def without_relations(meaning: Meaning) -> Meaning:
    """What remains when every relation, comparison and rank is dropped: the words about the block itself."""
    conditions = tuple(condition for condition in meaning.conditions if isinstance(condition, Lacks))
    return dataclasses.replace(meaning, conditions=conditions, choice=None)


def anchors_of(meaning: Meaning) -> list[Meaning]:
    """The phrases that a meaning relates its block to, those within them included."""
    direct = [anchor for c in meaning.conditions if isinstance(c, Relation) for anchor in c.anchors]
    if meaning.choice is not None and meaning.choice.anchor is not None:
        direct.append(meaning.choice.anchor)
    return [anchor for one in direct for anchor in (one, *anchors_of(one))]
