"""From an expression to the ids of its words, by the original program's rule."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmpc.conventions import PAD_ID
from cmpc.data.query import Query, holds_a_word
from cmpc.errors import UserError
from cmpc.files import atomic_file

PAD, GO, EOS, UNKNOWN = "<pad>", "<go>", "<eos>", "<unk>"

_SEPARATOR = re.compile(r"(\W+)", re.ASCII)


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


@dataclass(frozen=True)
class Vocabulary:
    """The words that a model knows; a word's id is its line in the vocabulary file.

    Line 0 is ``<pad>`` and ``<unk>`` stands for every other word. What stands on two lines has the id of the last one,
    as in the original; its other lines are never used.
    """

    words: tuple[str, ...]
    """The lines of the file, without surrounding blanks."""

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
    def load(path: str | Path) -> Vocabulary:
        """Reads a vocabulary file: UTF-8, one word a line.

        Raises:
            UserError: the file is missing, is not text, does not begin with ``<pad>``, has no ``<unk>`` or has a word
                twice (what separates words may stand there twice, as in a file of the original).
        """
        try:
            text = Path(path).read_bytes().decode("utf-8")  # only "\n" ends a line, as in the original
        except UnicodeDecodeError:
            raise UserError(f"{path} is not a vocabulary: it is not UTF-8 text with one word a line.") from None
        except OSError as error:
            raise UserError(f"cannot read the vocabulary {path}: {error.strerror}.") from None
        try:
            vocabulary = Vocabulary(tuple(line.strip() for line in text.removesuffix("\n").split("\n")))
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
    def from_expressions(expressions: Iterable[str], minimum_count: int = 1) -> Vocabulary:
        """Collects the words that occur at least ``minimum_count`` times, the most frequent first, ties in ASCII order.

        Separators that carry blanks, such as ``", "``, have no place in a file of one word a line and stay unknown, as
        they are in the original's vocabularies.
        """
        counts = Counter(token for expression in expressions for token in tokenize(expression) if _fits_a_line(token))
        kept = [word for word, count in counts.items() if count >= minimum_count]
        return Vocabulary((PAD, GO, EOS, UNKNOWN, *sorted(kept, key=lambda word: (-counts[word], word))))

    def query(self, expression: str, max_words: int) -> Query:
        """The expression as a model with this vocabulary reads it: each piece of ``tokenize`` is a word and a token."""
        tokens = tokenize(expression)
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
