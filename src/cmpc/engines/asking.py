"""From a photo to the logits of expressions about it: photo -> square -> features -> logits.

Throughout the package ``photo`` is a file, ``pixels`` what it shows, RGB, uint8, (H, W, 3), and ``square`` what the
network sees of it, (S, S, 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmpc.data.query import Query
from cmpc.data.transforms import letterbox_image
from cmpc.data.vocabulary import pad_tokens
from cmpc.engines.engine import Engine, Features
from cmpc.errors import UserError
from cmpc.models.config import ModelConfig


def to_square(pixels: NDArray[np.uint8], config: ModelConfig) -> NDArray[np.uint8]:
    """The square of a photo's pixels, with zeros around them: (H, W, 3) -> (S, S, 3)."""
    return letterbox_image(pixels, config.image.size, config.image.resize)


def see(engine: Engine, squares: Sequence[NDArray[np.uint8]]) -> list[Features]:
    """What the engine keeps of each square; it sees them as one batch."""
    return engine.encode_image(np.stack(squares))


def ask(
    engine: Engine, features: Features, queries: Sequence[Query]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Answers E queries about one photo.

    Args:
        engine: what answers.
        features: what it kept of the photo.
        queries: at least one; every one has a token.

    Returns:
        Logits of the square, (E, S, S), and the probability of each token's word types, (E, T, 4).

    Raises:
        UserError: some of them are not finite.
    """
    logits, types = engine.comprehend(features, tokens_of(queries))
    if not (np.isfinite(logits).all() and np.isfinite(types).all()):
        raise UserError(
            f"the model answers with what is no number in {engine.precision}: take another precision, or a model whose "
            "weights are sound."
        )
    return logits, types


def tokens_of(queries: Sequence[Query]) -> NDArray[np.int64]:
    """The tokens of E queries as an engine takes them, padded at the end: (E, T), T of the longest."""
    return pad_tokens([query.ids for query in queries])
