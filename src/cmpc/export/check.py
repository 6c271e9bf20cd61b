"""Whether an export answers as the model does: on noise, and on pictures with expressions about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cmpc.blocks.generate import make_sample
from cmpc.data.pixels import PixelNormalisation
from cmpc.data.vocabulary import Vocabulary, pad_tokens
from cmpc.engines import Engine
from cmpc.engines.asking import tokens_of
from cmpc.models.network import ReferringNetwork

TOLERANCE = 1e-3
"""The norm of the difference of an expression's logits to that of the logits, of word types, and of the probability
that something fits, at most."""
PICTURES = 2


@dataclass(frozen=True)
class Difference:
    """How far an export is from its model on one kind of input."""

    about: str
    """What was put in."""
    logits: float
    """Norm of the difference of an expression's logits over that of the logits (or over 1 a cell); the largest. Single
    logits say little: far from zero, where a pixel is surely no part of the mask, rounding changes them most."""
    word_types: float
    """Largest difference of a word type's probability."""
    presence: float | None = None
    """Largest difference of the probability that something fits; None for a network that does not tell."""

    @property
    def acceptable(self) -> bool:
        """Whether rounding can be its only reason."""
        return all(value <= TOLERANCE for value in (self.logits, self.word_types, self.presence or 0.0))

    def __str__(self) -> str:
        told = "" if self.presence is None else f", presence {self.presence:.1e}"
        return f"{self.about}: logits {self.logits:.1e} of their norm, word types {self.word_types:.1e}{told}"


def differences(network: ReferringNetwork, vocabulary: Vocabulary, engine: Engine) -> list[Difference]:
    """Compares an engine with the plain network that it was made from."""
    return [
        _difference(about, network, engine, images, tokens) for about, images, tokens in _inputs(network, vocabulary)
    ]


@torch.inference_mode()
def _difference(
    about: str, network: ReferringNetwork, engine: Engine, images: NDArray[np.uint8], tokens: NDArray[np.int64]
) -> Difference:
    """Asks every expression about every image."""
    expected = network.encode_image(PixelNormalisation(network.config.image)(torch.from_numpy(images)))
    expressions = network.encode_expression(torch.from_numpy(tokens))
    first = torch.zeros(len(tokens), dtype=torch.int64)
    logits, types, presence = [0.0], [0.0], [0.0]
    for number, features in enumerate(engine.encode_image(images)):
        output = network.comprehend(expected.select(number), expressions, first)
        ours = engine.comprehend(features, tokens)
        theirs = output.logits.numpy()
        norms = np.maximum(np.linalg.norm(theirs, axis=(1, 2)), theirs[0].size ** 0.5)
        logits.append(float((np.linalg.norm(ours.logits - theirs, axis=(1, 2)) / norms).max()))
        types.append(float(np.abs(ours.word_types - output.word_types.numpy()).max()))
        if output.presence is not None:
            told = np.full(len(tokens), np.nan) if ours.presence is None else ours.presence
            presence.append(float((torch.from_numpy(told).sigmoid() - output.presence.sigmoid()).abs().max()))
    largest = [float(np.max(values)) for values in (logits, types, presence)]  # what is no number stays one
    return Difference(about, largest[0], largest[1], largest[2] if network.presence is not None else None)


def _inputs(
    network: ReferringNetwork, vocabulary: Vocabulary
) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.int64]]]:
    """Kinds of input: a name, letterboxed images, and word ids padded to different lengths."""
    config = network.config
    random = np.random.default_rng(0)
    size = config.image.size
    lengths = (1, config.text.max_words, max(1, config.text.max_words // 2))
    ids = [random.integers(1, config.text.vocabulary_size, length).tolist() for length in lengths]
    yield "noise", random.integers(0, 256, (1, size, size, 3), np.uint8), pad_tokens(ids)
    samples = [make_sample(0, "val", index, size) for index in range(PICTURES)]
    images = np.stack([sample.rendering.pixels for sample in samples])
    asked = [sample.expressions[0].text for sample in samples]
    yield "pictures", images, tokens_of([vocabulary.query(text, config.text.max_words) for text in asked])
