"""Which expressions of other images fit nothing in an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmpc.data.schema import ReferredObject
from cmpc.data.vocabulary import Vocabulary

CLEARLY_LESS = 0.1
"""A word tells a kind from another of which it is said at most this often, as a share."""
_AT_ONCE = 8_000
"""Expressions that are looked at together; bytes are made of eight."""


class AbsentExpressions:
    """Expressions that an image may borrow from others, for the things that they name are not in it.

    The kind of what an expression means is known to be absent (``ReferredObject.kinds``), and for each kind that is
    there the expression has a word that tells the two apart: "left one" may mean anything, and "bike" a motorcycle
    where motorcycles are called so too. Words are told apart by how often the split says them of which kind.

    Every expression is borrowed about as often as any other, so that a word alone does not say whether something fits.
    """

    def __init__(
        self, questions: Sequence[Sequence[tuple[ReferredObject, int]]], vocabulary: Vocabulary, *, max_words: int
    ) -> None:
        """
        Args:
            questions: for each image its expressions, as rows and positions in them.
            vocabulary: words outside it tell nothing.
            max_words: what comes after them is not read.
        """
        kinds = sorted({kind for asked in questions for row, _ in asked for kind in row.kinds})
        number_of = {kind: number for number, kind in enumerate(kinds)}
        self.kinds_in = [_kinds_in(asked, number_of) for asked in questions]
        """Numbers of the kinds in each image; none where they are unknown."""
        places: list[tuple[int, int]] = []
        kind_of: list[int] = []
        words: list[list[int]] = []
        for image, asked in enumerate(questions):
            for position, (row, number) in enumerate(asked):
                known = set(vocabulary.encode(row.expressions[number], max_words)) - {vocabulary.unknown_id}
                if known and row.category in number_of and not row.is_empty:
                    places.append((image, position))
                    kind_of.append(number_of[row.category])
                    words.append(sorted(known))
        self.places = np.array(places, np.int32).reshape(-1, 2)
        """The expressions that may be borrowed, as image and position among those of the image."""
        self.tells_from = _tells_from(words, np.array(kind_of, np.int64), len(kinds))
        """For each kind a bit for each of these: whether the expression cannot mean a thing of the kind."""

    def count(self, image: int) -> int:
        """How many expressions an image may borrow."""
        return int(np.count_nonzero(self._fitting_nothing(image)))

    def draw(self, image: int, count: int, random: np.random.Generator) -> list[tuple[int, int]]:
        """Different expressions that an image borrows, each as its own image and its position there.

        Args:
            image: the image that borrows; ``count`` of it is at least the number that is wanted.
            count: how many.
            random: where chance comes from.
        """
        chosen = random.choice(np.flatnonzero(self._fitting_nothing(image)), count, replace=False)
        return [(int(owner), int(position)) for owner, position in self.places[chosen]]

    def _fitting_nothing(self, image: int) -> NDArray[np.uint8]:
        """Whether each expression fits nothing in an image for sure, as 0 or 1."""
        if not self.kinds_in[image] or not len(self.places):
            return np.zeros(0, np.uint8)
        return np.unpackbits(np.bitwise_and.reduce(self.tells_from[list(self.kinds_in[image])], axis=0))


def _kinds_in(asked: Sequence[tuple[ReferredObject, int]], number_of: dict[str, int]) -> tuple[int, ...]:
    """Numbers of the kinds that rows of an image say to be in it."""
    said = {kind for row, _ in asked for kind in row.kinds}
    if said:
        said |= {row.category for row, _ in asked if not row.is_empty}
    return tuple(sorted(number_of[kind] for kind in said if kind in number_of))


def _tells_from(words: Sequence[Sequence[int]], kind_of: NDArray[np.int64], kinds: int) -> NDArray[np.uint8]:
    """Whether words tell expressions from those of each kind, as bits, (K, ceil(E / 8)).

    Args:
        words: different words of each of E expressions, at least one.
        kind_of: the kind of each, (E,).
        kinds: number of kinds K.
    """
    if not words:
        return np.zeros((kinds, 0), np.uint8)
    starts = np.cumsum([0, *map(len, words)])
    used, word = np.unique(np.concatenate([np.array(one, np.int64) for one in words]), return_inverse=True)
    kind = np.repeat(kind_of, np.diff(starts))
    said = np.bincount(word * kinds + kind, minlength=len(used) * kinds).reshape(len(used), kinds)
    # Of a kind that is seldom spoken of, every word counts as said once more, at the rate of all kinds together.
    usual_rate = said.sum(axis=1, keepdims=True) / len(words)
    rates = (said + 1) / (np.bincount(kind_of, minlength=kinds) + 1 / usual_rate)
    parts = []
    for first in range(0, len(words), _AT_ONCE):
        bounds = starts[first : first + _AT_ONCE + 1]
        some = slice(bounds[0], bounds[-1])
        tells = rates[word[some]] < CLEARLY_LESS * rates[word[some], kind[some]][:, None]
        parts.append(np.packbits(np.logical_or.reduceat(tells, bounds[:-1] - bounds[0]), axis=0))
    return np.ascontiguousarray(np.concatenate(parts).T)
