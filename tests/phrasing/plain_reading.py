"""A second, independent reading of expressions: from the text, by plain two-valued logic without margins.

It has tables of its own, knows nothing of the package's meanings, and works on the masks of drawn scenes. Where the
package calls a statement clear, this reading has to agree: its thresholds lie inside the package's margins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

PEOPLE = {"person"}
BEASTS = {"cat", "dog", "horse"}
NOUNS: dict[str, set[str]] = {
    "person": PEOPLE, "woman": PEOPLE, "lady": PEOPLE, "cat": {"cat"}, "kitty": {"cat"}, "dog": {"dog"},
    "horse": {"horse"}, "animal": BEASTS, "car": {"car"}, "automobile": {"car"}, "vehicle": {"car"},
    "couch": {"couch"}, "sofa": {"couch"}, "seat": {"couch"}, "umbrella": {"umbrella"}, "bottle": {"bottle"},
    "table": {"dining table"}, "dining table": {"dining table"}, "coat": {"coat"}, "dress": {"dress"}, "hat": {"hat"},
}  # fmt: skip
PLURALS = {"people": "person", "women": "woman", "ladies": "lady", "kitties": "kitty", "couches": "couch"}
COLOURS = ("black and white", "white", "grey", "gray", "black", "red", "blue", "green", "yellow", "brown",
           "orange", "pink", "purple", "beige", "tan", "turquoise")  # fmt: skip
ORDINALS = {"second": 1, "third": 2, "fourth": 3}
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5}
RANKS = {
    "leftmost": "left", "left": "left", "rightmost": "right", "right": "right", "top": "top", "upper": "top",
    "bottom": "bottom", "lower": "bottom", "front": "front", "nearest": "front", "back": "back", "farthest": "back",
    "middle": "middle", "biggest": "largest", "largest": "largest", "bigger": "largest", "larger": "largest",
    "smallest": "smallest", "smaller": "smallest",
}  # fmt: skip
RANK_CLAUSES = {
    "on the left": "left", "to the left": "left", "on the far left": "left", "on the left side": "left",
    "on the right": "right", "to the right": "right", "on the far right": "right", "on the right side": "right",
    "at the top": "top", "at the bottom": "bottom", "in front": "front", "in the foreground": "front",
    "closest to the camera": "front", "nearest to us": "front", "at the back": "back", "in the back": "back",
    "in the background": "back", "farthest from the camera": "back", "in the middle": "middle",
    "in the center": "middle", "in the centre": "middle",
}  # fmt: skip
PLACE = re.compile(
    r"(?:on|in|at) the (left|right|top|bottom|upper|lower|middle|center|centre)(?: (left|right))?"
    r"(?: (?:side|half|part|corner))?(?: of the (?:photo|picture|image))?"
)
RELATIONS = {
    "to the left of": "left", "on the left of": "left", "left of": "left",
    "to the right of": "right", "on the right of": "right", "right of": "right",
    "in front of": "front", "behind": "behind", "next to": "beside", "beside": "beside", "by": "beside",
    "near": "beside", "above": "above", "over": "above", "below": "below", "beneath": "below",
    "on top of": "on", "on": "on", "underneath": "under", "under": "under", "riding": "riding",
    "ridden by": "ridden", "worn by": "worn", "of the same colour as": "alike", "of the same color as": "alike",
    "larger than": "larger", "bigger than": "larger", "smaller than": "smaller",
    "carried by": "held", "held by": "held", "of": "held",
    "nearest to": "nearest", "closest to": "nearest", "farthest from": "farthest", "farthest away from": "farthest",
    "holding": "with", "without": "without",
}  # fmt: skip
SEVERAL = re.compile(r"^(?:both|all the|all|the(?: (two|three|four|five))?) ")
SAME_COLOUR = {"gray": "grey", "tan": "beige"}
OPENINGS = r"(?:find|show me|segment|please find|select|look for|can you find|i want) (?=the )"
CLOSINGS = r" (?:in the picture|in the photo|please)$"
CLOTHES = ("coat", "dress", "hat")


@dataclass
class Drawn:
    """A rectangle of a drawn scene, as far as others leave it visible."""

    kind: str
    mask: np.ndarray
    colour: str | None
    wearer: int | None = None

    def __post_init__(self) -> None:
        ys, xs = np.nonzero(self.mask)
        self.left, self.right, self.top, self.bottom = xs.min(), xs.max() + 1, ys.min(), ys.max() + 1
        self.x, self.y = (self.left + self.right) / 2, (self.top + self.bottom) / 2
        self.width, self.height = self.right - self.left, self.bottom - self.top
        self.area = int(self.mask.sum())


class PlainReader:
    """Reads expressions about one drawn scene."""

    def __init__(self, things: list[Drawn], height: int, width: int) -> None:
        self.things = things
        self.height, self.width = height, width

    def answers(self, text: str) -> list[int]:
        """All things that an expression fits."""
        found, rest = self._phrase(re.sub(CLOSINGS, "", re.sub(f"^{OPENINGS}", "", text)))
        assert not rest, f"cannot read {rest!r} in {text!r}"
        return found

    def answers_of_several(self, text: str) -> list[int]:
        """All things that a phrase about several fits."""
        begin = SEVERAL.match(text)
        assert begin, text
        members, rest = self._named(text[begin.end() :], plural=True)
        found, rest = self._clause(members, rest) if rest else (members, rest)
        assert not rest, f"cannot read {rest!r} in {text!r}"
        assert begin[1] is None or len(found) == NUMBERS[begin[1]], text
        return found

    def _phrase(self, text: str, *, stop: bool = False) -> tuple[list[int], str]:
        """What a noun phrase at the beginning of a text fits, and the rest of the text."""
        text = re.sub(r"^(?:the|an?) ", "", text)
        of_several = re.match(r"(\w+)(?: one)? of the (two|three|four|five) ", text)
        if of_several:
            members, rest = self._named(text[of_several.end() :], plural=True)
            assert len(members) == NUMBERS[of_several[2]], text
            return self._ranked(members, RANKS[of_several[1]]), rest
        first, _, after = text.partition(" ")
        if first in ORDINALS:
            members, rest = self._named(after)
            side = re.match(r" from the (left|right)", rest)
            assert side, text
            return self._ranked(members, side[1], ORDINALS[first]), rest[side.end() :]
        if first in RANKS and after:
            members, rest = self._named(after)
            assert len(members) != 1, text
            members = self._ranked(members, RANKS[first])
        else:
            members, rest = self._named(text)
        return (members, rest) if stop or not rest else self._clause(members, rest)

    def _named(self, text: str, *, plural: bool = False) -> tuple[list[int], str]:
        """Colour and noun."""
        colour = next((colour for colour in COLOURS if text.startswith(f"{colour} ")), None)
        if colour:
            text = text[len(colour) + 1 :]
        names = {name: name for name in (*NOUNS, "one")}
        if plural:
            names = {f"{name}s": name for name in names} | PLURALS
        said = max((name for name in names if re.match(rf"{name}\b", text)), key=len, default=None)
        if said is None:
            raise ValueError(f"no noun in {text!r}")
        fitting = [i for i in range(len(self.things)) if self._is(i, names[said], colour)]
        return fitting, text[len(said) :]

    def _is(self, i: int, name: str, colour: str | None) -> bool:
        thing = self.things[i]
        if colour is not None and thing.colour != SAME_COLOUR.get(colour, colour):
            return False
        if name in ("woman", "lady"):
            return any(other.wearer == i and other.kind == "dress" for other in self.things)
        return thing.wearer is None if name == "one" else thing.kind in NOUNS[name]

    def _clause(self, members: list[int], rest: str) -> tuple[list[int], str]:
        text = re.sub(r"^(?:that|which|who) (?:is|are) ", "", rest.strip())
        denied = text.startswith("not ")
        text = text.removeprefix("not ")
        if denied and text in COLOURS:
            return [i for i in members if self.things[i].colour != {"gray": "grey"}.get(text, text)], ""
        if denied and (other := re.fullmatch(r"an? (.+)", text)):
            return [i for i in members if not self._is(i, other[1], None)], ""
        if text in RANK_CLAUSES and not (len(members) == 1 and PLACE.fullmatch(text)):
            chosen = self._ranked(members, RANK_CLAUSES[text])
            return ([i for i in members if i not in chosen] if denied else chosen), ""
        place = PLACE.fullmatch(text)
        if place:
            return [i for i in members if all(self._lies(i, side) for side in place.groups() if side)], ""
        between = re.match(r"(?:in )?between (.*)", text)
        if between:
            return self._between(members, between[1]), ""
        worn = re.match(r"(?:in|wearing|dressed in|with) (?=(?:an? |the )?(?:[a-z]+ )?(?:coat|dress|hat))", text)
        if worn:
            return self._wearing(members, text[worn.end() :]), ""
        phrase = max((phrase for phrase in (*RELATIONS, "with") if text.startswith(f"{phrase} ")), key=len, default="")
        if not phrase:
            raise ValueError(f"no clause in {text!r}")
        anchors, rest = self._phrase(text[len(phrase) + 1 :])
        assert len(anchors) == 1, f"{text!r} leads to {anchors}"
        name = RELATIONS.get(phrase, "with")
        if name == "held" and self.things[members[0]].wearer is not None:
            name = "worn"
        if name in ("nearest", "farthest"):
            others = [i for i in members if i != anchors[0]]
            sign = 1 if name == "nearest" else -1
            return [min(others, key=lambda i: sign * self._distance(i, anchors[0]))], rest
        denied = denied or name == "without"
        name = "with" if name == "without" else name
        return [i for i in members if i != anchors[0] and self._holds(name, i, anchors[0]) != denied], rest

    def _ranked(self, members: list[int], rank: str, number: int = 0) -> list[int]:
        keys: dict[str, Any] = {
            "left": lambda i: self.things[i].x,
            "right": lambda i: -self.things[i].x,
            "top": lambda i: self.things[i].y,
            "bottom": lambda i: -self.things[i].y,
            "front": lambda i: -self.things[i].bottom,
            "back": lambda i: self.things[i].bottom,
            "middle": lambda i: self.things[i].x,
            "largest": lambda i: -self.things[i].area,
            "smallest": lambda i: self.things[i].area,
        }
        if not members:
            return []
        assert len(members) > number, "a rank needs several"
        ordered = sorted(members, key=keys[rank])
        return [ordered[len(ordered) // 2 if rank == "middle" else number]]

    def _lies(self, i: int, side: str) -> bool:
        x, y = self.things[i].x / self.width, self.things[i].y / self.height
        if side in ("middle", "center", "centre"):
            return max(abs(x - 0.5), abs(y - 0.5)) < 0.18
        return {"left": x < 0.43, "right": x > 0.57, "top": y < 0.43, "upper": y < 0.43, "bottom": y > 0.57,
                "lower": y > 0.57}[side]  # fmt: skip

    def _between(self, members: list[int], text: str) -> list[int]:
        two = re.match(r"the two ", text)
        if two:
            ends, _ = self._named(text[two.end() :], plural=True)
        else:
            first, rest = self._phrase(text, stop=True)
            second, _ = self._phrase(rest.removeprefix(" and "))
            ends = [*first, *second]
        assert len(ends) == 2, text
        low, high = sorted(self.things[i].x for i in ends)
        return [i for i in members if i not in ends and low < self.things[i].x < high]

    def _wearing(self, members: list[int], text: str) -> list[int]:
        items = re.split(r" and (?=an? |the |\w+ (?:coat|dress|hat))(?!white)", text)
        for item in items:
            found, rest = self._named(re.sub(r"^(?:the|an?) ", "", item))
            assert not rest, text
            members = [i for i in members if any(self.things[j].wearer == i for j in found)]
        return members

    def _holds(self, name: str, i: int, j: int) -> bool:
        one, other = self.things[i], self.things[j]
        across = min(one.right, other.right) - max(one.left, other.left)
        simple = {
            "left": one.x < other.x and abs(one.y - other.y) < 1.5 * (other.x - one.x),
            "right": one.x > other.x and abs(one.y - other.y) < 1.5 * (one.x - other.x),
            "front": one.bottom > other.bottom and across > 0,
            "behind": one.bottom < other.bottom and across > 0,
            "above": one.y < other.y and across > 0,
            "below": one.y > other.y and across > 0,
            "beside": -across < 0.8 * max(one.width, other.width) and self._level(one, other),
            "larger": one.area > 1.3 * other.area,
            "smaller": 1.3 * one.area < other.area,
            "alike": one.colour == other.colour,
            "worn": one.wearer == j,
        }
        if name in simple:
            return bool(simple[name])
        if name in ("under", "ridden", "held"):
            return self._holds({"under": "on", "ridden": "riding", "held": "with"}[name], j, i)
        if name == "on" and (one.kind, other.kind) == ("person", "horse"):
            name = "riding"
        if not self._touch(one, other):
            return False
        if name == "with":
            return one.kind == "person"
        higher = other.top < one.bottom < other.bottom
        return bool(higher and across > 0.5 * one.width)

    def _level(self, one: Drawn, other: Drawn) -> bool:
        return bool(abs(one.bottom - other.bottom) < 0.5 * max(one.height, other.height))

    def _touch(self, one: Drawn, other: Drawn) -> bool:
        """Whether some pixel of one lies within 6 pixels of one of the other, down and across."""
        spread = np.zeros_like(one.mask)
        ys, xs = np.nonzero(one.mask)
        for down in range(-6, 7):
            for across in range(-6, 7):
                spread[np.clip(ys + down, 0, self.height - 1), np.clip(xs + across, 0, self.width - 1)] = True
        return bool((spread & other.mask).any())

    def _distance(self, i: int, j: int) -> float:
        one, other = self.things[i], self.things[j]
        return float(np.hypot(one.x - other.x, one.y - other.y))
