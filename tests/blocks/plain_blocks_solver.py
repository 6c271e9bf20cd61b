"""A second, independent reading of meanings: plain two-valued logic and loops, without margins.

Where the package calls a statement clear, this reading has to agree; its thresholds lie inside the package's margins.
"""

from __future__ import annotations

import math

from cmpc.blocks.meaning import Lacks, Meaning, Relation
from cmpc.blocks.scene import RADIUS, Scene
from cmpc.blocks.shapes import SHAPES

NAMES = ("shape", "colour", "material", "size")


class PlainSolver:
    def __init__(self, scene: Scene) -> None:
        self.blocks = scene.blocks
        away_x, away_y = (t - p for t, p in zip(scene.camera.target[:2], scene.camera.position[:2], strict=True))
        length = math.hypot(away_x, away_y)
        away_x, away_y = away_x / length, away_y / length
        self.ground = [
            (b.position[0] * away_y - b.position[1] * away_x, b.position[0] * away_x + b.position[1] * away_y)
            for b in self.blocks
        ]
        middles = []
        for block in self.blocks:
            form = SHAPES[block.shape]
            rise = 0.0 if block.lying else block.radius * (form.low[2] + form.high[2]) / 2
            middles.append((block.position[0], block.position[1], block.position[2] + rise))
        self.image = [tuple(map(float, seen[:2])) for seen in scene.camera.project(middles)]

    def answers(self, meaning: Meaning) -> list[int]:
        """All blocks that the meaning fits."""
        found = [i for i, block in enumerate(self.blocks) if self._is(block, meaning.about.said())]
        for condition in meaning.conditions:
            found = [i for i in found if self._holds(i, condition)]
        choice = meaning.choice
        if choice is None or not found:
            return found
        if choice.anchor is not None:
            anchor = self._only(choice.anchor)
            if anchor is None:
                return []
            found = [i for i in found if i != anchor]
            sign = 1 if choice.name == "nearest" else -1
            return [min(found, key=lambda i: sign * math.dist(self.ground[i], self.ground[anchor]))]
        if choice.name in ("largest", "smallest"):
            sign = 1 if choice.name == "largest" else -1
            best = max(sign * RADIUS[self.blocks[i].size] for i in found)
            return [i for i in found if sign * RADIUS[self.blocks[i].size] == best]
        keys = {
            "left": lambda i: self.image[i][0],
            "right": lambda i: -self.image[i][0],
            "front": lambda i: self.ground[i][1],
            "behind": lambda i: -self.ground[i][1],
            "middle": lambda i: self.image[i][0],
        }
        ordered = sorted(found, key=keys[choice.name])
        if choice.name == "middle":
            return [ordered[len(ordered) // 2]]
        return sorted(ordered[choice.rank - 1 : choice.rank - 1 + choice.count])

    def _is(self, block, said: dict[str, str]) -> bool:
        return all(getattr(block, name) == value for name, value in said.items())

    def _holds(self, i: int, condition: Relation | Lacks) -> bool:
        if isinstance(condition, Lacks):
            return getattr(self.blocks[i], condition.attribute) not in condition.values
        anchors = [self._only(anchor) for anchor in condition.anchors]
        if i in anchors or None in anchors:
            return False  # nothing stands, or fails to stand, in a relation to what is not there
        return self._stands(i, condition.name, anchors) != condition.negated

    def _only(self, meaning: Meaning) -> int | None:
        """The block that an anchor means; None where there is none."""
        found = self.answers(meaning)
        assert len(found) < 2, meaning
        return found[0] if found else None

    def _stands(self, i: int, name: str, anchors: list[int]) -> bool:
        j = anchors[0]
        right, deep = self.ground[i][0] - self.ground[j][0], self.ground[i][1] - self.ground[j][1]
        one, other = self.blocks[i], self.blocks[j]
        if name == "between":
            return all(self._lies_between(points, i, *anchors) for points in (self.ground, self.image))
        if name == "next to":
            return math.hypot(right, deep) - self._foot(one) - self._foot(other) < 0.6
        if name.startswith("same "):
            attribute = name.removeprefix("same ")
            return getattr(one, attribute) == getattr(other, attribute)
        return {
            "left": right < 0 and abs(deep) < 1.2 * abs(right),
            "right": right > 0 and abs(deep) < 1.2 * abs(right),
            "front": deep < 0 and abs(right) < 1.2 * abs(deep),
            "behind": deep > 0 and abs(right) < 1.2 * abs(deep),
            "on": one.support == j,
            "under": other.support == i,
            "larger": one.radius > other.radius,
            "smaller": one.radius < other.radius,
        }[name]

    def _foot(self, block) -> float:
        form = SHAPES[block.shape]
        return block.radius * (form.lying_footprint if block.lying else form.footprint)

    def _lies_between(self, points, i: int, j: int, k: int) -> bool:
        (x, y), (ax, ay), (bx, by) = points[i], points[j], points[k]
        length = math.dist((ax, ay), (bx, by))
        along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length**2
        off = abs((x - ax) * (by - ay) - (y - ay) * (bx - ax)) / length**2
        return 0.18 < along < 0.82 and off < 0.31
