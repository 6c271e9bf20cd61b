"""From an expression to the ids of its words, by the original program's rule or by a plain one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cmpc.conventions import PAD_ID
from cmpc.data.query import Query, holds_a_word
from cmpc.errors import UserError
from cmpc.files import atomic_file
from cmpc.reading import read_text

PAD, GO, EOS, UNKNOWN = "<pad>", "<go>", "<eos>", "<unk>"

Splitting = Literal["original", "plain"]
"""How an expression is split into words: ``tokenize``, or ``plain_words``."""
MAX_BYTES = 512 * 1024**2
"""Larger files are no vocabulary."""

_SEPARATOR = re.compile(r"(\W+)", re.ASCII)
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u00b4\u2032\uff07`", "'"))
_QUOTES = re.compile(r"[\s\"\u201c-\u201f\u00ab\u00bb\u2039\u203a()\[\]{}]+")
_QUOTES_OF_BOTH_KINDS = re.compile(_QUOTES.pattern.replace("[", "['", 1))


def tokenize(expression: str) -> list[str]:
    """Splits an expression into words and separators, lower-cased (original: ``sentence2vocab_indices``).

    Letters outside ASCII count as separators, and separators keep their blanks: ``"woman, in blue"`` gives
    ``["woman", ", ", "in", "blue"]``. Pieces that are only blank are dropped, and so is one final ``"."``.
    """
    pieces = _SEPARATOR.split(expression.strip())
    tokens = [piece.lower() for piece in pieces if piece.strip()]
    if tokens and tokens[-1] == ".":
        tokens.pop()
    return tokens


def plain_words(expression: str) -> list[tuple[int, str]]:
    """Splits an expression like ``tokenize``, but punctuation only ends words: ``"the dog's ball, left!"`` gives
    ``["the", "dog", "'", "s", "ball", ",", "left"]``.

    Signs before the first and after the last word, quotation marks and brackets fall away, blanks do not belong to
    signs, and apostrophes of typewriters and of typography are the same.

    Returns:
        For each word its position among those of ``tokenize`` and the word.
    """
    pieces = tokenize(expression.translate(_APOSTROPHES))
    are_words = [holds_a_word(piece) or piece.strip("_") == "" for piece in pieces]
    if not any(are_words):
        return []
    first, last = are_words.index(True), len(pieces) - are_words[::-1].index(True)
    words = []
    for position in range(first, last):
        piece = pieces[position]
        if not are_words[position]:
            # An apostrophe beside a blank is a quotation mark.
            piece = (_QUOTES_OF_BOTH_KINDS if any(map(str.isspace, piece)) else _QUOTES).sub("", piece)
        if piece.strip():
            words.append((position, piece.strip()))
    return words


@dataclass(frozen=True)
class Vocabulary:
    """The words that a model knows; a word's id is its line in the vocabulary file.

    Line 0 is ``<pad>`` and ``<unk>`` stands for every other word. What stands on two lines has the id of the last one,
    as in the original; its other lines are never used.
    """

    words: tuple[str, ...]
    """The lines of the file, without surrounding blanks."""
    splitting: Splitting = "original"
    """How expressions are split into words. The file does not say it: it is the network's."""

    def __post_init__(self) -> None:
        if not self.words or self.words[0] != PAD:
            raise ValueError(f"the first word of a vocabulary must be {PAD}, got {self.words[:1]}")
        if UNKNOWN not in self.words:
            raise ValueError(f"a vocabulary must hold {UNKNOWN}")

    def __len__(self) -> int:
        return len(self.words)

    @property
    def pad_id(self) -> int:
        """Id of the padding, 0."""
        return PAD_ID

    @property
    def unknown_id(self) -> int:
        """Id that stands for every word outside the vocabulary."""
        return self.ids[UNKNOWN]

    @cached_property
    def ids(self) -> dict[str, int]:
        """Word -> id."""
        return {word: number for number, word in enumerate(self.words)}

    @staticmethod
    def load(path: str | Path, splitting: Splitting = "original") -> Vocabulary:
        """Reads a vocabulary file: UTF-8, one word a line.

        Raises:
            UserError: the file is missing, is not text, does not begin with ``<pad>``, has no ``<unk>`` or has a word
                twice (what separates words may stand there twice, as in a file of the original).
        """
        try:
            text = read_text(path, at_most=MAX_BYTES)  # only "\n" ends a line, as in the original
        except UnicodeDecodeError:
            raise UserError(f"{path} is not a vocabulary: it is not UTF-8 text with one word a line.") from None
        except OSError as error:
            raise UserError(f"cannot read the vocabulary {path}: {error.strerror}.") from None
        try:
            vocabulary = Vocabulary(tuple(line.strip() for line in text.removesuffix("\n").split("\n")), splitting)
        except ValueError as error:
            raise UserError(f"{path} is not a vocabulary: {error}.") from None
        for number, word in enumerate(vocabulary.words):
            if vocabulary.ids[word] != number and holds_a_word(word):
                raise UserError(
                    f"{path} has the word {word[:40]!r} on the lines {number + 1:,} and {vocabulary.ids[word] + 1:,}: "
                    "every word has one line."
                )
        return vocabulary

    def save(self, path: str | Path) -> None:
        """Writes the words, one a line."""
        with atomic_file(path) as file:
            file.write_text("\n".join(self.words) + "\n", encoding="utf-8", newline="\n")

    @staticmethod
    def from_expressions(
        expressions: Iterable[str], minimum_count: int = 1, splitting: Splitting = "original"
    ) -> Vocabulary:
        """Collects the words that occur at least ``minimum_count`` times, the most frequent first, ties in ASCII order.

        Separators that carry blanks, such as ``", "`` of the original's rule, have no place in a file of one word a
        line and stay unknown, as they are in the original's vocabularies.
        """
        rule = Vocabulary((PAD, GO, EOS, UNKNOWN), splitting)
        counts = Counter(word for expression in expressions for _, word in rule.split(expression) if _fits_a_line(word))
        kept = [word for word, count in counts.items() if count >= minimum_count]
        return Vocabulary((*rule.words, *sorted(kept, key=lambda word: (-counts[word], word))), splitting)

    def with_words(self, words: Iterable[str]) -> Vocabulary:
        """This vocabulary, every word with its id, and after it those of the given words that it lacks."""
        added = dict.fromkeys(word for word in words if word not in self.ids)
        return Vocabulary((*self.words, *added), self.splitting)

    def split(self, expression: str) -> list[tuple[int, str]]:
        """The words of an expression, each with its position among the tokens of ``tokenize``, to which labels of words
        in data belong."""
        return list(enumerate(tokenize(expression))) if self.splitting == "original" else plain_words(expression)

    def query(self, expression: str, max_words: int) -> Query:
        """The expression as a model with this vocabulary reads it: each word of ``split`` is a token."""
        tokens = [word for _, word in self.split(expression)]
        words = tokens[:max_words]
        unknown = self.unknown_id
        return Query(
            text=expression,
            words=tuple(words),
            ids=tuple(self.ids.get(word, unknown) for word in words),
            word_of_token=tuple(range(len(words))),
            unknown=tuple(dict.fromkeys(word.strip() for word in words if holds_a_word(word) and word not in self.ids)),
            cut=tuple(word.strip() for word in tokens[max_words:] if holds_a_word(word)),
        )

    def encode(self, expression: str, max_words: int) -> list[int]:
        """Ids of the first ``max_words`` tokens, unpadded; empty only when the expression has no token."""
        return list(self.query(expression, max_words).ids)


def pad_tokens(ids: Sequence[Sequence[int]], length: int | None = None) -> NDArray[np.int64]:
    """Puts expressions of different lengths into one array, padded on the right.

    Args:
        ids: E lists of ids, as ``Query.ids`` has them.
        length: number of columns T; the longest expression's by default.

    Returns:
        int64 (E, T).

    Raises:
        ValueError: an expression is longer than ``length``.
    """
    longest = max(map(len, ids), default=0)
    if length is None:
        length = longest
    if longest > length:
        raise ValueError(f"an expression of {longest} words does not fit in {length} columns: cut it in query()")
    padded = np.full((len(ids), length), PAD_ID, dtype=np.int64)
    for row, expression in zip(padded, ids, strict=True):
        row[: len(expression)] = expression
    return padded


def _fits_a_line(token: str) -> bool:
    return token == token.strip() and "\n" not in token
