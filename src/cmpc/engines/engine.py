"""The protocol that every engine keeps: see an image once, then answer expressions about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cmpc.models.config import ModelConfig

EngineName = Literal["torch", "onnx", "openvino"]
Precision = Literal["fp32", "bf16", "int8"]

EXPRESSIONS_AT_ONCE = 8
"""Expressions that are computed together where nothing asks for fewer: engines answer more of them in several rounds,
which bounds the memory."""

Features = Mapping[str, Any]
"""What an engine keeps of one image, by name; a tensor of the engine's own kind with a batch axis of 1 each."""


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

    def comprehend(
        self, features: Features, tokens: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Answers expressions about one image, however many they are.

        Args:
            features: what ``encode_image`` gave for the image.
            tokens: word ids, (E, N) with N at most ``config.text.max_words``, padded with 0 at the end.

        Returns:
            Logits, (E, S, S), and the probability of each word type, (E, N, 4), zero at padding.
        """
        ...


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
    comprehend: Callable[[NDArray[np.int64]], tuple[NDArray[np.float32], NDArray[np.float32]]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The answers to expressions, as ``Engine.comprehend`` gives them, of what answers some of them at once.

    Args:
        tokens: (E, N), E at least 1.
        at_once: most expressions of a piece.
        comprehend: gives logits and word types of a piece.
    """
    answers = [comprehend(tokens[start : start + at_once]) for start in range(0, len(tokens), at_once)]
    if len(answers) == 1:
        return answers[0]
    logits, types = zip(*answers, strict=True)
    return np.concatenate(logits), np.concatenate(types)
