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
from cmpc.engines.engine import Answers, Engine, Features
from cmpc.errors import UserError
from cmpc.models.config import ModelConfig


def to_square(pixels: NDArray[np.uint8], config: ModelConfig) -> NDArray[np.uint8]:
    """The square of a photo's pixels, with zeros around them: (H, W, 3) -> (S, S, 3)."""
    return letterbox_image(pixels, config.image.size, config.image.resize)


def see(engine: Engine, squares: Sequence[NDArray[np.uint8]]) -> list[Features]:
    """What the engine keeps of each square; it sees them as one batch."""
    return engine.encode_image(np.stack(squares))


def ask(engine: Engine, features: Features, queries: Sequence[Query]) -> Answers:
    """Answers E queries about one photo.

    Args:
        engine: what answers.
        features: what it kept of the photo.
        queries: at least one; every one has a token.

    Returns:
        Of each: logits of the square, (S, S), its tokens' word types, (T, 4), and whether anything fits.

    Raises:
        UserError: some of the numbers are not finite.
    """
    answers = engine.comprehend(features, tokens_of(queries))
    if not all(np.isfinite(values).all() for values in answers if values is not None):
        raise UserError(
            f"the model answers with what is no number in {engine.precision}: take another precision, or a model whose "
            "weights are sound."
        )
    return answers


def tokens_of(queries: Sequence[Query]) -> NDArray[np.int64]:
    """The tokens of E queries as an engine takes them, padded at the end: (E, T), T of the longest."""
    return pad_tokens([query.ids for query in queries])
