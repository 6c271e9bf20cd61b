"""What the words of place and comparison mean in a photo, with margins so that no statement is borderline.

Every statement is true (``YES``), false (``NO``) or too close to call (``UNCLEAR``). Directions are the viewer's, in
the plane of the photo; of things that stand on the ground the lower one is nearer.
"""

from __future__ import annotations

from collections.abc import Callable

from cmpc.phrasing import kinds
from cmpc.phrasing.things import Contact, PhotoScene, Thing

NO, UNCLEAR, YES = 0, 1, 2
"""In this order "and" is the minimum and "not" the difference from ``YES`` (Kleene's logic)."""

STEP_ACROSS, STEP_DOWN, STEP_NEARER = 0.04, 0.05, 0.05
"""Least differences between two things, over the photo's width or height, to say left or right, above, nearer."""
OWN_STEP = 0.3
"""Besides, the middles of two things differ by this much of the wider (taller) one."""
TALLER = 1.15
"""Of two things of a kind, the nearer one is taller by this factor."""
LARGER, NOT_LARGER = 1.6, 1.1
"""Ratio of areas from which a thing is larger, and up to which it is not."""
BESIDE, FAR = 0.4, 1.2
"""Gap up to which things are next to each other, over the narrower, and from which they are not, over the wider."""
NEARER, NOT_NEARER = 1.5, 1.25
"""Ratio of distances by which the nearest (farthest) thing leads."""
MEET = 0.04
"""Least share of a perimeter on which things touch: less may be chance."""
EDGE = 2
"""Pixels from the edge of the photo up to which a thing may be cut by it."""
APART = 0.025
"""Gap between boxes, over the photo's longer side, from which things surely do not touch."""


class Relations:
    """Answers for one scene what holds between its things; each answer is worked out once."""

    def __init__(self, scene: PhotoScene) -> None:
        self.scene = scene
        self._known: dict[tuple[str, int, int], int] = {}
        self._raised: dict[int, bool] = {}
        self._rules: dict[str, Callable[[int, int], int]] = {
            "left": lambda i, j: self._beside(i, j, -1),
            "right": lambda i, j: self._beside(i, j, 1),
            "above": self._above,
            "below": lambda i, j: self._above(j, i),
            "front": self._in_front,
            "behind": lambda i, j: self._in_front(j, i),
            "next to": self._next_to,
            "on": self._on,
            "under": lambda i, j: self._on(j, i),
            "riding": self._riding,
            "ridden by": lambda i, j: self._riding(j, i),
            "with": self._with,
            "carried by": lambda i, j: self._with(j, i),
            "worn by": self._worn_by,
            "larger": self._larger,
            "smaller": lambda i, j: self._larger(j, i),
            "same colour": self._same_colour,
        }

    def holds(self, name: str, i: int, j: int) -> int:
        """Whether thing ``i`` stands in a relation of ``meaning.RELATIONS`` to thing ``j``."""
        if i == j:
            return NO
        key = (name, i, j)
        if key not in self._known:
            one, other = self.scene.things[i], self.scene.things[j]
            known = one.is_clear and other.is_clear
            self._known[key] = self._rules[name](i, j) if known else UNCLEAR
        return self._known[key]

    def between(self, i: int, j: int, k: int) -> int:
        """Whether thing ``i`` lies between things ``j`` and ``k``, seen from left to right."""
        one, *ends = (self.scene.things[number] for number in (i, j, k))
        if not (one.is_clear and all(end.is_clear for end in ends)) or len({i, j, k}) < 3:
            return NO if len({i, j, k}) < 3 else UNCLEAR
        first, second = (j, k) if ends[0].middle[0] < ends[1].middle[0] else (k, j)
        level = all(_shared_height(one, end) >= 0.4 * min(one.height, end.height) for end in ends)
        level &= all(abs(one.bottom - end.bottom) <= 0.3 * max(one.height, end.height) for end in ends)
        level &= not any(
            self.scene.contact(i, end) is not None and self.scene.things[end].kind in kinds.SUPPORTS for end in (j, k)
        )
        if level and self.comes_before("left", first, i) == self.comes_before("left", i, second) == YES:
            return YES
        left, right = (self.scene.things[end].middle[0] for end in (first, second))
        return UNCLEAR if left <= one.middle[0] <= right else NO

    def comes_before(self, direction: str, i: int, j: int) -> int:
        """Whether thing ``i`` lies farther than ``j`` in a direction: left, right, top, bottom, front or back."""
        key = (f"before {direction}", i, j)
        if key not in self._known:
            self._known[key] = self._before(direction, i, j)
        return self._known[key]

    def lies_in(self, place: str, i: int) -> int:
        """Whether a thing lies in a part of the photo, one of ``meaning.PLACES``."""
        thing = self.scene.things[i]
        if not thing.is_clear:
            return UNCLEAR
        x, y = thing.middle[0] / self.scene.width, thing.middle[1] / self.scene.height
        if place == "centre":
            off = max(abs(x - 0.5), abs(y - 0.5))
            fills = max(thing.width / self.scene.width, thing.height / self.scene.height) > 0.6
            return YES if off <= 0.1 and not fills else NO if off >= 0.25 else UNCLEAR
        left, right = thing.left / self.scene.width, thing.right / self.scene.width
        top, bottom = thing.top / self.scene.height, thing.bottom / self.scene.height
        reach = {
            "left": (x, right),
            "right": (1 - x, 1 - left),
            "top": (y, bottom),
            "bottom": (1 - y, 1 - top),
        }
        answers = []
        for side in place.split():
            middle, end = reach[side]
            answers.append(YES if middle <= 0.35 and end <= 0.55 else NO if middle >= 0.5 else UNCLEAR)
        return min(answers)

    def distance(self, i: int, j: int) -> tuple[float, float]:
        """How far two things are apart: from middle to middle, and the gap between their boxes, in pixels."""
        one, other = self.scene.things[i], self.scene.things[j]
        (x, y), (other_x, other_y) = one.middle, other.middle
        across, down = _gaps(one, other)
        return ((x - other_x) ** 2 + (y - other_y) ** 2) ** 0.5, (max(across, 0) ** 2 + max(down, 0) ** 2) ** 0.5

    def _before(self, direction: str, i: int, j: int) -> int:
        one, other = self.scene.things[i], self.scene.things[j]
        if not (one.is_clear and other.is_clear):
            return UNCLEAR
        if direction in ("front", "back"):
            return self._nearer(i, j) if direction == "front" else self._nearer(j, i)
        axis = 0 if direction in ("left", "right") else 1
        sign = 1 if direction in ("left", "top") else -1
        ahead = sign * (other.middle[axis] - one.middle[axis])
        if axis == 0:
            least = max(STEP_ACROSS * self.scene.width, OWN_STEP * max(one.width, other.width))
        else:
            least = max(STEP_DOWN * self.scene.height, OWN_STEP * max(one.height, other.height))
        return YES if ahead >= least else NO if ahead <= -least else UNCLEAR

    def _nearer(self, i: int, j: int) -> int:
        """Of two things of one kind or class on the ground, by their lower edges and their heights."""
        one, other = self.scene.things[i], self.scene.things[j]
        if self._is_raised(i) or self._is_raised(j) or not {one.kind, other.kind} <= kinds.ON_GROUND:
            return UNCLEAR
        lower = one.bottom - other.bottom
        if lower >= STEP_NEARER * self.scene.height and one.height >= TALLER * other.height:
            return YES
        return NO if lower <= -STEP_NEARER * self.scene.height and other.height >= TALLER * one.height else UNCLEAR

    def _is_raised(self, i: int) -> bool:
        """Whether a thing may stand on another one, so that its lower edge says little."""
        if i not in self._raised:
            supports = [j for j, thing in enumerate(self.scene.things) if thing.kind in kinds.SUPPORTS]
            self._raised[i] = any(self.holds(name, i, j) != NO for j in supports for name in ("on", "riding"))
        return self._raised[i]

    def _beside(self, i: int, j: int, sign: int) -> int:
        one, other = self.scene.things[i], self.scene.things[j]
        ahead = sign * (one.middle[0] - other.middle[0])
        if ahead <= 0:
            return NO
        clear = self.comes_before("left" if sign < 0 else "right", i, j) == YES
        clear &= _shared_width(one, other) <= 0.25 * min(one.width, other.width)
        level = abs(one.middle[1] - other.middle[1]) <= 0.9 * ahead
        return YES if clear and level else UNCLEAR

    def _above(self, i: int, j: int) -> int:
        one, other = self.scene.things[i], self.scene.things[j]
        if one.middle[1] >= other.middle[1]:
            return NO
        usual = one.kind not in kinds.AT_REST and (one.kind in kinds.ALOFT or other.kind not in kinds.AT_REST)
        if not usual or self.scene.contact(i, j) is not None:
            return UNCLEAR
        gap = other.top - one.bottom
        close = -0.1 * min(one.height, other.height) <= gap <= max(one.height, other.height)
        aligned = _shared_width(one, other) >= 0.6 * min(one.width, other.width)
        return YES if close and aligned and self.comes_before("top", i, j) == YES else UNCLEAR

    def _in_front(self, i: int, j: int) -> int:
        one, other = self.scene.things[i], self.scene.things[j]
        lower = one.bottom - other.bottom
        across, _ = _gaps(one, other)
        if lower <= -STEP_NEARER * self.scene.height or across >= 0.5 * max(one.width, other.width):
            return NO
        if not {one.kind, other.kind} <= kinds.ON_GROUND or self._is_raised(i) or self._is_raised(j):
            return UNCLEAR
        overlap = _shared_width(one, other) >= 0.5 * min(one.width, other.width)
        overlap &= _shared_height(one, other) >= 0.1 * min(one.height, other.height)
        carried = _share_inside(other, one) >= 0.8
        carried |= self.scene.contact(i, j) is not None and other.bottom <= one.middle[1]  # on it, or in it
        return YES if lower >= STEP_NEARER * self.scene.height and overlap and not carried else UNCLEAR

    def _next_to(self, i: int, j: int) -> int:
        one, other = self.scene.things[i], self.scene.things[j]
        across, down = _gaps(one, other)
        if across >= FAR * max(one.width, other.width) or down >= FAR * max(one.height, other.height):
            return NO
        narrower, taller = min(one.width, other.width), max(one.height, other.height)
        beside = -0.3 * narrower <= across <= BESIDE * narrower
        level = abs(one.bottom - other.bottom) <= 0.25 * taller and taller <= 2.5 * min(one.height, other.height)
        pairs = ((i, j), (j, i))
        stacked = any(
            self.holds(name, *pair) != NO and self._fits(name, *pair)
            for name in ("on", "riding", "with")
            for pair in pairs
        )
        first, last = sorted((one.middle[0], other.middle[0]))
        parted = any(
            first < third.middle[0] < last and third.is_clear and not third.is_part
            for number, third in enumerate(self.scene.things)
            if number not in (i, j)
        )
        return YES if beside and level and not stacked and not parted else UNCLEAR

    def _fits(self, name: str, i: int, j: int) -> bool:
        """Whether kinds are such that a relation of touching is usual between them."""
        one, other = self.scene.things[i].kind, self.scene.things[j].kind
        if name == "on":
            on_seat = one in kinds.SITTING and other in kinds.SEATS
            return (
                on_seat
                or (one in kinds.LYING and other in ("dining table", "bed"))
                or (one, other) == ("person", "boat")
            )
        if name == "riding":
            return one == kinds.PERSON and other in kinds.RIDDEN | kinds.BOARDS
        return one == kinds.PERSON and other in kinds.HELD | kinds.WORN

    def _touching(self, i: int, j: int) -> Contact | int:
        """Where two things touch, ``NO`` where they surely do not, ``UNCLEAR`` where that cannot be told."""
        one, other = self.scene.things[i], self.scene.things[j]
        if max(_gaps(one, other)) >= APART * max(self.scene.height, self.scene.width):
            return NO
        if not (one.has_trusted_mask and other.has_trusted_mask):
            return UNCLEAR
        contact = self.scene.contact(i, j)
        return NO if contact is None else contact if contact.share >= MEET else UNCLEAR

    def _on(self, i: int, j: int) -> int:
        touching = self._touching(i, j)
        if not isinstance(touching, Contact):
            return touching
        one, other = self.scene.things[i], self.scene.things[j]
        inside = _shared_width(one, other) >= 0.75 * one.width
        rests = other.top + 0.1 * other.height <= one.bottom <= other.bottom - 0.04 * other.height
        below = touching.y >= one.middle[1] and one.middle[1] <= other.middle[1] + 0.1 * other.height
        carried = any(
            self.scene.things[k].kind == kinds.PERSON and self.scene.contact(i, k) is not None
            for k in range(len(self.scene.things))
            if k not in (i, j)
        )
        return YES if self._fits("on", i, j) and inside and rests and below and not carried else UNCLEAR

    def _riding(self, i: int, j: int) -> int:
        touching = self._touching(i, j)
        if not isinstance(touching, Contact):
            return touching
        one, other = self.scene.things[i], self.scene.things[j]
        if not self._fits("riding", i, j):
            return UNCLEAR
        x, y = one.middle
        if other.kind in kinds.BOARDS:
            under = other.middle[1] >= one.top + 0.85 * one.height and other.bottom >= one.bottom - 0.02 * one.height
            flat = other.width >= other.height and one.height >= 1.5 * other.height
            return YES if under and flat and other.left <= x <= other.right else UNCLEAR
        astride = other.left + 0.1 * other.width <= x <= other.right - 0.1 * other.width
        reaches = other.top + 0.35 * other.height <= one.bottom <= other.bottom - 0.05 * other.height
        higher = y < other.middle[1] - 0.1 * other.height and one.top < other.top
        return YES if astride and reaches and higher and touching.share >= 2 * MEET else UNCLEAR

    def _with(self, i: int, j: int) -> int:
        """Whether a person holds, carries or wears a thing."""
        touching = self._touching(i, j)
        if not isinstance(touching, Contact):
            return touching
        person, item = self.scene.things[i], self.scene.things[j]
        if not self._fits("with", i, j):
            return UNCLEAR
        shared = any(
            self.scene.things[k].kind == kinds.PERSON and self._touching(k, j) != NO
            for k in range(len(self.scene.things))
            if k not in (i, j)
        )
        at_hand = person.top - 0.1 * person.height <= touching.y <= person.top + 0.9 * person.height
        if item.kind in kinds.BOARDS:
            at_hand = True
        fits = item.area <= (3 if item.kind == "umbrella" else 1) * person.area
        return YES if not shared and at_hand and fits and touching.share >= 2 * MEET else UNCLEAR

    def _worn_by(self, i: int, j: int) -> int:
        item = self.scene.things[i]
        return NO if not item.is_part else UNCLEAR if item.owner is None else YES if item.owner == j else NO

    def _larger(self, i: int, j: int) -> int:
        one, other = self.scene.things[i], self.scene.things[j]
        boxes = one.width * one.height, other.width * other.height
        if one.area >= LARGER * other.area and boxes[0] >= LARGER * boxes[1]:
            return UNCLEAR if self._is_cut(other) else YES
        return NO if one.area <= NOT_LARGER * other.area and boxes[0] <= NOT_LARGER * boxes[1] else UNCLEAR

    def _is_cut(self, thing: Thing) -> bool:
        """Whether a thing reaches the edge of the photo, so that more of it may be outside."""
        first = min(thing.left, thing.top)
        return first < EDGE or thing.right > self.scene.width - EDGE or thing.bottom > self.scene.height - EDGE

    def _same_colour(self, i: int, j: int) -> int:
        one, other = self.scene.things[i].colour, self.scene.things[j].colour
        if other.certain is None:
            return UNCLEAR
        return has_colour(one.certain, one.possible, other.certain)


def has_colour(certain: str | None, possible: frozenset[str], colour: str) -> int:
    """Whether a thing of which so much is known has a colour."""
    if certain is not None:
        return YES if certain == colour else NO if not set(colour.split(" and ")) <= possible else UNCLEAR
    return UNCLEAR if set(colour.split(" and ")) <= possible else NO


def _shared_width(one: Thing, other: Thing) -> float:
    return max(min(one.right, other.right) - max(one.left, other.left), 0.0)


def _shared_height(one: Thing, other: Thing) -> float:
    return max(min(one.bottom, other.bottom) - max(one.top, other.top), 0.0)


def _gaps(one: Thing, other: Thing) -> tuple[float, float]:
    """Between two boxes, across and down, in pixels; below 0 where they overlap."""
    across = max(one.left, other.left) - min(one.right, other.right)
    return across, max(one.top, other.top) - min(one.bottom, other.bottom)


def _share_inside(one: Thing, other: Thing) -> float:
    """Share of the box of ``one`` that lies in that of ``other``."""
    return _shared_width(one, other) * _shared_height(one, other) / max(one.width * one.height, 1e-9)
