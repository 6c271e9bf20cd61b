"""What reads the words, one file each.

A text encoder is built for the tokens of a tokenizer (``cmpc.data.vocabulary``), which gives ids and the word of each.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class TextEncoder(Protocol):
    """Gives a feature for each token, in the light of the others."""

    width: int
    """Channels of a feature, D."""

    def encode_words(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """
        Args:
            tokens: ids, (E, N) int64, padded with 0 at the end. What stands after the words changes nothing.

        Returns:
            Features, unit norm, zero at padding, (E, N, D), and which tokens are words, (E, N).
        """
        ...

    def reset_parameters(self) -> None:
        """Draws initial weights."""
