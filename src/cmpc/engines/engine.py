"""The protocol that every engine keeps: see an image once, then answer expressions about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cmpc.conventions import OBJECTS
from cmpc.models.config import ModelConfig

EngineName = Literal["torch", "onnx", "openvino"]
Precision = Literal["fp32", "bf16", "int8"]

EXPRESSIONS_AT_ONCE = 8
"""Expressions that are computed together where nothing asks for fewer: engines answer more of them in several rounds,
which bounds the memory."""

BELONGING = f"{OBJECTS}belonging"
"""Name among the features of how much each cell shows each object, (1, K, S), of networks that read objects."""
Features = Mapping[str, Any]
"""What an engine keeps of one image, by name; a tensor of the engine's own kind with a batch axis of 1 each."""


class Answer(NamedTuple):
    """What a network says to one expression of N tokens about an image; see ``Answers``."""

    logits: NDArray[np.float32]
    """(S, S)."""
    word_types: NDArray[np.float32]
    """(N, 4)."""
    presence: float | None = None
    """Logit of whether anything in the image fits; None for a network that does not tell."""


class Answers(NamedTuple):
    """What a network says to E expressions of up to N tokens about one image."""

    logits: NDArray[np.float32]
    """A pixel of the square belongs to the mask where its logit is not negative: (E, S, S)."""
    word_types: NDArray[np.float32]
    """Probability of each word type, zero at padding: (E, N, 4)."""
    presence: NDArray[np.float32] | None = None
    """Logit of whether anything in the image fits, (E,); None for a network that does not tell."""

    def of_each(self) -> list[Answer]:
        """The answer to each expression."""
        presence = [None] * len(self.logits) if self.presence is None else self.presence.tolist()
        return list(map(Answer, self.logits, self.word_types, presence))


@runtime_checkable
class Engine(Protocol):
    """Runs a network."""

    name: EngineName
    """What computes."""
    precision: Precision
    """In which numbers."""
    config: ModelConfig
    """The network that it runs."""

    def encode_image(self, images: NDArray[np.uint8]) -> list[Features]:
        """Letterboxed photos, RGB, uint8, (B, S, S, 3), with S of ``config.image.size`` -> the features of each."""
        ...

    def comprehend(self, features: Features, tokens: NDArray[np.int64]) -> Answers:
        """Answers expressions about one image, however many they are.

        Args:
            features: what ``encode_image`` gave for the image.
            tokens: word ids, (E, N) with N at most ``config.text.max_words``, padded with 0 at the end.
        """
        ...

    def array(self, feature: Any) -> NDArray[np.float32]:
        """One of the features, as an array."""
        ...


def probability_of(logit: float) -> float:
    """The probability, 0..1, that a logit stands for."""
    return 1 / (1 + math.exp(-logit)) if logit > -500 else 0.0  # beyond it floats end


def encode_in_pieces(
    images: NDArray[np.uint8], at_once: int | None, encode: Callable[[NDArray[np.uint8]], Features]
) -> list[Features]:
    """Features of each image, with a batch axis of 1, from an encoder that sees some images at once.

    Args:
        images: (B, S, S, 3) uint8.
        at_once: most images of a piece; None for all of them.
        encode: gives the features of a piece, with its batch axis.
    """
    encoded: list[Features] = []
    size = at_once or max(1, len(images))
    for start in range(0, len(images), size):
        some = images[start : start + size]
        features = encode(some)
        encoded += [{name: value[row : row + 1] for name, value in features.items()} for row in range(len(some))]
    return encoded


def comprehend_in_pieces(
    tokens: NDArray[np.int64],
    at_once: int,
    comprehend: Callable[[NDArray[np.int64]], Answers],
) -> Answers:
    """The answers to expressions, as ``Engine.comprehend`` gives them, of what answers some of them at once.

    Args:
        tokens: (E, N), E at least 1.
        at_once: most expressions of a piece.
        comprehend: answers a piece.
    """
    answers = [comprehend(tokens[start : start + at_once]) for start in range(0, len(tokens), at_once)]
    if len(answers) == 1:
        return answers[0]
    told = [some.presence for some in answers if some.presence is not None]
    return Answers(
        np.concatenate([some.logits for some in answers]),
        np.concatenate([some.word_types for some in answers]),
        np.concatenate(told) if told else None,
    )
