"""An expression as a model reads it: its words, their ids, and what is lost on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cmpc.errors import UserError

MOST_LETTERS = 1000
"""Letters of the longest expression that is answered. Networks read some twenty words; a person writes fewer still."""


@dataclass(frozen=True)
class Query:
    """A referring expression, read once: N words as T tokens. A tokenizer makes it."""

    text: str
    """The expression as it was asked."""
    words: tuple[str, ...]
    """The N words that the model reads, in their order; what separates words, such as a comma, counts as one."""
    ids: tuple[int, ...]
    """The T tokens of these words, unpadded; none only for a text without any token."""
    word_of_token: tuple[int, ...]
    """For each token the position of its word. Tokenizers that cut words into pieces give a word several tokens."""
    unknown: tuple[str, ...] = ()
    """Words that the tokenizer does not know, once each: the model answers without them."""
    cut: tuple[str, ...] = ()
    """Words at the end that the model does not read, because the expression is too long for it."""


class Tokenizer(Protocol):
    """Makes queries of expressions."""

    @property
    def unknown_id(self) -> int:
        """Id that stands for every word that the tokenizer does not know."""
        ...

    def query(self, expression: str, max_words: int) -> Query:
        """An expression, of which the model reads at most ``max_words`` words."""
        ...


def check_length(expression: str) -> None:
    """Refuses what is no expression any more but a text.

    Raises:
        UserError: it has more than ``MOST_LETTERS``.
    """
    if len(expression) > MOST_LETTERS:
        raise UserError(
            f"the expression {expression[:40]!r}... has {len(expression):,} letters but at most {MOST_LETTERS:,} are "
            "read: say it shorter."
        )


def holds_a_word(text: str) -> bool:
    """Whether a text holds a letter or a digit. This is the one rule of what a word is, as opposed to what separates
    words."""
    return any(map(str.isalnum, text))
