"""From a meaning to English: synonyms, word order and polite filling, with the type of every word.

Articles and filling are ``unnecessary``; nouns are ``entity``; a block's own looks and its place in the picture
("leftmost", "second from the left", "at the back") are ``attribute``; words that tie it to another block ``relation``.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from cmpc.blocks.meaning import About, Choice, Lacks, Meaning, Relation
from cmpc.conventions import WORD_TYPES

Words = list[tuple[str, str]]
"""Words with their types."""

ENTITY, ATTRIBUTE, RELATION, UNNECESSARY = WORD_TYPES
MINIMUM_WORDS, MAXIMUM_WORDS = 2, 20

NOUNS: dict[str | None, tuple[str, ...]] = {
    "sphere": ("sphere", "ball"),
    "cube": ("cube", "box"),
    "cylinder": ("cylinder", "drum"),
    "cone": ("cone",),
    "torus": ("torus", "ring", "donut"),
    "capsule": ("capsule", "pill"),
    "pyramid": ("pyramid",),
    "star": ("star",),
    "cross": ("cross", "plus"),
    "arch": ("arch", "bridge"),
    None: ("thing", "object", "block", "item", "shape"),
}
ADJECTIVES: dict[str, tuple[str, ...]] = {
    "red": ("red",),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "cyan": ("cyan", "turquoise"),
    "blue": ("blue",),
    "purple": ("purple", "violet"),
    "white": ("white",),
    "rubber": ("rubber", "matte"),
    "metal": ("metal", "metallic", "shiny"),
    "small": ("small", "little", "tiny"),
    "medium": ("medium", "middle sized", "medium sized"),
    "large": ("large", "big"),
}
RELATION_PHRASES: dict[str, tuple[str, ...]] = {
    "left": ("left of", "to the left of", "on the left side of", "on the left of"),
    "right": ("right of", "to the right of", "on the right side of", "on the right of"),
    "front": ("in front of", "before", "further forward than"),
    "behind": ("behind", "beyond", "further back than"),
    "next to": ("next to", "beside", "close by", "adjacent to"),
    "on": ("on", "on top of", "standing on", "resting on"),
    "under": ("under", "below", "beneath", "underneath"),
    "between": ("between", "in between"),
    "larger": ("larger than", "bigger than"),
    "smaller": ("smaller than", "tinier than"),
    "same colour": ("of the same colour as", "the same colour as", "matching the color of", "sharing its color with"),
    "same material": ("of the same material as", "made of the same material as", "the same material as"),
    "same size": ("of the same size as", "the same size as", "just as big as"),
    "same shape": ("of the same shape as", "the same shape as", "shaped like"),
    "nearest": ("nearest to", "closest to"),
    "farthest": ("farthest from", "furthest from", "most distant from", "farthest away from"),
}
BEFORE_NOUN: dict[str, tuple[str, ...]] = {
    "left": ("leftmost", "left"),
    "right": ("rightmost", "right"),
    "front": ("front", "frontmost", "foremost"),
    "behind": ("rear", "back", "rearmost"),
    "middle": ("middle", "central"),
    "largest": ("largest", "biggest"),
    "smallest": ("smallest", "tiniest"),
}
AFTER_NOUN: dict[str, tuple[str, ...]] = {
    "left": ("on the left", "at the far left", "farthest to the left"),
    "right": ("on the right", "at the far right", "farthest to the right"),
    "front": ("in front", "closest to the camera", "at the very front"),
    "behind": ("at the back", "farthest from the camera", "in the background"),
    "middle": ("in the middle", "in the center", "in the centre"),
}
SIDES = {"left": "left", "right": "right", "front": "front", "behind": "back"}
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}
ORDINALS = {2: "second", 3: "third", 4: "fourth"}
THAT_IS, THAT_ARE = ("that is", "which is"), ("that are", "which are")
ONE_IS, SEVERAL_ARE = "it is", "they are"
OPENINGS = (
    "find", "please find", "show me", "please show me", "can you find", "segment", "please segment", "look for",
    "select", "i want", "i am looking for", "could you point at", "mark", ONE_IS, "now take",
)  # fmt: skip
CLOSINGS = ("please", "in the picture", "in this image", "thanks", "here", "over there")


def plural(noun: str) -> str:
    """The plural of a word of ``NOUNS``."""
    return f"{noun}es" if noun.endswith(("s", "x", "ch")) else f"{noun}s"


class Speaker:
    """Says meanings in varied words, drawn from a random generator."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def say(self, meaning: Meaning) -> tuple[str, tuple[str, ...]] | None:
        """A wording and the type of each of its words, or None where it would be too long."""
        phrase = self._phrase(meaning, article=self.rng.random() < 0.75)
        if len(phrase) < MINIMUM_WORDS:
            phrase = [("the", UNNECESSARY), *phrase]
        opening, closing = self._filling()
        if opening and phrase[0][0] != "the":
            opening.append(("the", UNNECESSARY))
        return _wording(phrase, opening, closing)

    def say_several(self, meaning: Meaning, count: int | None) -> tuple[str, tuple[str, ...]] | None:
        """A wording with plural nouns, and the type of each of its words, or None where it would be too long.

        Args:
            meaning: what to say; a choice in it picks the first ones of some direction.
            count: blocks that it fits, from 2; None where no number is to be said.
        """
        phrase = self._determiner(meaning.choice, count) + self._phrase(meaning, article=False, several=True)
        if len(phrase) < MINIMUM_WORDS:
            phrase = [("the", UNNECESSARY), *phrase]
        opening, closing = self._filling()
        if opening == _words(ONE_IS, UNNECESSARY):
            opening = _words(SEVERAL_ARE, UNNECESSARY)
        return _wording(phrase, opening, closing)

    def _filling(self) -> tuple[Words, Words]:
        """Words before and after the phrase, most often none."""
        opening = _words(self._pick(OPENINGS), UNNECESSARY) if self.rng.random() < 0.25 else []
        closing = _words(self._pick(CLOSINGS), UNNECESSARY) if self.rng.random() < 0.10 else []
        return opening, closing

    def _determiner(self, choice: Choice | None, count: int | None) -> Words:
        """How a phrase about several begins: "the", "both", "all three", sometimes with nothing."""
        if choice is not None:
            return [("the", UNNECESSARY), (NUMBERS[choice.count], ATTRIBUTE)]
        if count is None:
            begins = ["the", "the", "", "all", "all the"]
        elif count == 2:
            begins = ["the", "the", "", "both", "both", "the two", "the two"]
        else:
            number = NUMBERS[count]
            begins = ["the", "the", "", "all", "all the", f"the {number}", f"the {number}", f"all {number}"]
        return _words(self.rng.choice(begins), ATTRIBUTE)

    def _phrase(self, meaning: Meaning, *, article: bool = True, ends: bool = True, several: bool = False) -> Words:
        """A noun phrase: [the] [rank] [adjectives] noun [clauses]. ``ends``: no other clause follows it."""
        before, after = self._chosen(meaning.choice, several=several)
        plain = ends and not meaning.conditions and not after
        adjectives, noun, trailing = self._described(meaning.about, may_trail=plain, several=several)
        clauses: Words = []
        conditions = self.rng.sample(meaning.conditions, len(meaning.conditions))
        for number, condition in enumerate(conditions):
            joined = len(conditions) > 1
            if joined and number:
                clauses.append(("and", UNNECESSARY))
            linked, last = joined and number > 0, number + 1 == len(conditions)
            clauses += self._condition(condition, linked=linked, ends=last, several=several)
        words = before + adjectives + noun + trailing + after + clauses
        return [("the", UNNECESSARY), *words] if article else words

    def _described(self, about: About, *, may_trail: bool, several: bool = False) -> tuple[Words, Words, Words]:
        """Adjectives, noun, and what follows the noun ("made of metal", "that is red")."""
        said = [(name, value) for name, value in about.said().items() if name != "shape"]
        order = {"size": 0, "colour": 1, "material": 2}
        said.sort(key=lambda pair: order[pair[0]])
        if self.rng.random() < 0.25:
            self.rng.shuffle(said)
        trailing: Words = []
        if may_trail and said and self.rng.random() < 0.22:
            name, value = said.pop()
            trailing = self._trailing(name, value, several=several)
        adjectives = [pair for _, value in said for pair in _words(self._pick(ADJECTIVES[value]), ATTRIBUTE)]
        noun = self._pick(NOUNS[about.shape])
        return adjectives, [(plural(noun) if several else noun, ENTITY)], trailing

    def _trailing(self, name: str, value: str, *, several: bool) -> Words:
        link = _words(self._pick(THAT_ARE if several else THAT_IS), UNNECESSARY)
        if name == "material" and self.rng.random() < 0.7:
            return [*_words("made of", UNNECESSARY), (value, ATTRIBUTE)]
        if name == "colour" and self.rng.random() < 0.4:
            return [("in", UNNECESSARY), (self._pick(ADJECTIVES[value]), ATTRIBUTE)]
        return link + _words(self._pick(ADJECTIVES[value]), ATTRIBUTE)

    def _chosen(self, choice: Choice | None, *, several: bool = False) -> tuple[Words, Words]:
        """Words before the adjectives and after the noun that say which one of several."""
        if choice is None:
            return [], []
        link = self._link(0.3, several=several)
        if choice.anchor is not None:
            return [], link + _words(self._pick(RELATION_PHRASES[choice.name]), RELATION) + self._anchor(
                choice.anchor, ends=True
            )
        if choice.rank > 1:
            start = _words(ORDINALS[choice.rank], ATTRIBUTE)
            end = _words(f"from the {SIDES[choice.name]}", ATTRIBUTE)
            return (start, end) if self.rng.random() < 0.6 else ([], link + start + end)
        if choice.name not in AFTER_NOUN or self.rng.random() < 0.5:
            return _words(self._pick(BEFORE_NOUN[choice.name]), ATTRIBUTE), []
        return [], link + _words(self._pick(AFTER_NOUN[choice.name]), ATTRIBUTE)

    def _condition(self, condition: Relation | Lacks, *, linked: bool, ends: bool, several: bool = False) -> Words:
        """A clause; ``linked``: it follows "and", so that it needs no "that is" of its own."""
        if isinstance(condition, Lacks):
            return self._lacking(condition, several=several)
        phrase = self._pick(RELATION_PHRASES[condition.name])
        if several:
            phrase = phrase.replace(" its ", " their ")
        nested = any(anchor.conditions for anchor in condition.anchors)
        link = [] if linked else self._link(0.25 if nested else 0.4, several=several)
        negation: Words = []
        if condition.negated:
            link, negation = ([] if linked else self._link(1.0, several=several)), [("not", RELATION)]
        words = link + negation + _words(phrase, RELATION)
        for number, anchor in enumerate(condition.anchors):
            if number:
                words.append(("and", RELATION))
            words += self._anchor(anchor, ends=ends and number + 1 == len(condition.anchors))
        return words

    def _anchor(self, anchor: Meaning, *, ends: bool) -> Words:
        """An anchor; one with a relation of its own says "that is", so that the relation clearly belongs to it."""
        if not anchor.conditions:
            return self._phrase(anchor, ends=ends)
        about = self._phrase(Meaning(anchor.about), ends=False)
        clauses = [self._condition(condition, linked=True, ends=True) for condition in anchor.conditions]
        return about + self._link(1.0) + [word for clause in clauses for word in clause]

    def _lacking(self, lacks: Lacks, *, several: bool) -> Words:
        link = self._link(1.0, several=several)
        names = [
            [(self._pick(NOUNS[value]), ENTITY)]
            if lacks.attribute == "shape"
            else _words(self._pick(ADJECTIVES[value]), ATTRIBUTE)
            for value in lacks.values
        ]
        if lacks.attribute == "shape" and several:
            names = [[(plural(word), kind) for word, kind in name] for name in names]
        elif lacks.attribute == "shape":
            names = [[("an" if name[0][0] == "arch" else "a", UNNECESSARY), *name] for name in names]
        if len(names) == 2:
            return [*link, ("neither", ATTRIBUTE), *names[0], ("nor", ATTRIBUTE), *names[1]]
        if lacks.attribute == "material" and self.rng.random() < 0.5:
            return [*link, ("not", ATTRIBUTE), *_words("made of", UNNECESSARY), (lacks.values[0], ATTRIBUTE)]
        return [*link, ("not", ATTRIBUTE), *names[0]]

    def _link(self, chance: float, *, several: bool = False) -> Words:
        if self.rng.random() >= chance:
            return []
        return _words(self._pick(THAT_ARE if several else THAT_IS), UNNECESSARY)

    def _pick(self, options: Sequence[str]) -> str:
        """One of the options; the first, most usual one most often."""
        if len(options) == 1 or self.rng.random() < 0.35:
            return options[0]
        return self.rng.choice(options)


def _words(text: str, kind: str) -> Words:
    """Words of one type; articles are always unnecessary."""
    return [(word, UNNECESSARY if word == "the" else kind) for word in text.split()]


def _wording(phrase: Words, opening: Words, closing: Words) -> tuple[str, tuple[str, ...]] | None:
    """Text and types, without the filling where it is too long with it; None where it is too long anyway."""
    for words in (opening + phrase + closing, phrase):
        if len(words) <= MAXIMUM_WORDS:
            return " ".join(word for word, _ in words), tuple(kind for _, kind in words)
    return None
