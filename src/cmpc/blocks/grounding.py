"""Which blocks each word of an expression speaks about, for models that learn to look where words point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations, product

from cmpc.blocks.grammar import ADJECTIVES, ATTRIBUTE, ENTITY, NOUNS, RELATION, plural
from cmpc.blocks.meaning import About, Meaning, Relation
from cmpc.blocks.solver import Solver

_SHAPE_OF = {word: shape for shape, nouns in NOUNS.items() for noun in nouns for word in (noun, plural(noun))}
_SAID_BY = {words: value for value, wordings in ADJECTIVES.items() for words in wordings if " " not in words}
_DENIALS = ("not", "neither")


@dataclass(slots=True)
class _Phrase:
    """A noun phrase of the text, and the relation that leads to it."""

    named: list[int] = field(default_factory=list)
    """Positions of its nouns, looks and ranks."""
    relation: list[int] = field(default_factory=list)
    """Positions of the words of the relation before it."""


@dataclass(frozen=True, slots=True)
class _Meant:
    """What a noun phrase means."""

    meaning: Meaning
    related: tuple[Meaning, ...]
    """All anchors of the relation that leads to it: both of "between"."""


def ground_words(text: str, word_types: Sequence[str], meaning: Meaning, solver: Solver) -> list[tuple[int, ...]]:
    """The blocks that each word speaks about, in increasing order; none for words that speak about no block.

    Nouns, looks, numbers and ranks ("leftmost") of the phrase about the target speak about all blocks that its looks
    fit, those of an anchor about the anchor. Words of a relation speak about its anchors. Articles, filling, what is
    denied ("not a cube") and what is not there speak about nothing.

    Args:
        text: an expression.
        word_types: type of each of its words.
        meaning: what it says.
        solver: of the expression's scene.

    Raises:
        ValueError: the text does not say the meaning.
    """
    words = text.split()
    phrases = _phrases(words, word_types)
    for order in _orders(meaning):
        said = [[words[position] for position in phrase.named] for phrase in phrases]
        if len(order) == len(phrases) and all(_says(*pair) for pair in zip(said, order, strict=True)):
            break
    else:
        raise ValueError(f"the text {text!r} does not say its meaning")
    result: list[tuple[int, ...]] = [()] * len(words)
    for phrase, meant in zip(phrases, order, strict=True):
        if meant.meaning is meaning:
            blocks = tuple(solver.described(meaning.about).nonzero()[0].tolist())
        else:
            blocks = _referents(solver, (meant.meaning,))
        for position in phrase.named:
            result[position] = blocks
        for position in phrase.relation:
            result[position] = _referents(solver, meant.related)
    return result


def _referents(solver: Solver, anchors: Sequence[Meaning]) -> tuple[int, ...]:
    found = {solver.refers_to(anchor) for anchor in anchors}
    return tuple(sorted(block for block in found if block is not None))


def _phrases(words: list[str], kinds: Sequence[str]) -> list[_Phrase]:
    """The noun phrases in the order of the text: a relational word after a noun begins the next one."""
    phrases = [_Phrase()]
    has_noun = denied = False
    for position, (word, kind) in enumerate(zip(words, kinds, strict=True)):
        if kind == RELATION:
            if has_noun:
                phrases.append(_Phrase())
                has_noun = denied = False
            phrases[-1].relation.append(position)
        elif kind in (ENTITY, ATTRIBUTE):
            denied = denied or (kind == ATTRIBUTE and word in _DENIALS)
            has_noun = has_noun or kind == ENTITY
            if not denied:
                phrases[-1].named.append(position)
    return phrases


def _orders(meaning: Meaning, related: tuple[Meaning, ...] = ()) -> Iterator[list[_Meant]]:
    """The orders in which the noun phrases of a meaning can be said."""
    choice = meaning.choice
    chosen = () if choice is None or choice.anchor is None else (choice.anchor,)
    for conditions in permutations(meaning.conditions):
        groups = [chosen, *(condition.anchors for condition in conditions if isinstance(condition, Relation))]
        parts = [list(_orders(anchor, group)) for group in groups for anchor in group]
        for picked in product(*parts):
            yield [_Meant(meaning, related), *(meant for part in picked for meant in part)]


def _says(phrase: Sequence[str], meant: _Meant) -> bool:
    """Whether the words of a phrase say the looks; "middle sized" is left aside, since places are "middle" too."""
    about: About = meant.meaning.about
    shapes = {_SHAPE_OF[word] for word in phrase if word in _SHAPE_OF}
    looks = {_SAID_BY[word] for word in phrase if word in _SAID_BY}
    return shapes == {about.shape} and looks - {"medium"} == {about.colour, about.material, about.size} - {
        None,
        "medium",
    }
