"""Runs an engine over images with all their expressions: each image is seen once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cmpc.data.query import Query, Tokenizer
from cmpc.data.schema import PreparedDataset
from cmpc.engines.asking import ask, see, to_square
from cmpc.engines.engine import Engine
from cmpc.evaluation.samples import Sample
from cmpc.file_systems import READERS as REMOTE_READERS
from cmpc.processes import READERS, read_ahead

Item = TypeVar("Item")


@dataclass(frozen=True)
class SampleLogits:
    """What the network says about one sample."""

    sample: Sample
    """The expression and its object."""
    logits: NDArray[np.float32]
    """float32, (S, S), for the letterboxed photo."""
    square: NDArray[np.uint8]
    """The letterboxed photo, RGB, uint8, (S, S, 3)."""
    presence: float | None = None
    """Logit of whether anything in the photo fits; None of a network that does not tell."""


def predict(
    engine: Engine,
    tokenizer: Tokenizer,
    dataset: PreparedDataset,
    images: Sequence[Sequence[Sample]],
    *,
    batch_images: int = 4,
) -> Iterator[SampleLogits]:
    """Yields a prediction for every sample; photos are read ahead while the engine works.

    An expression without any token (``"."``) is asked for as one unknown word: the network needs a word.

    Args:
        engine: what runs the network.
        tokenizer: reads the expressions for it.
        dataset: where the photos are.
        images: the samples of each image, as ``samples_by_image`` gives them.
        batch_images: images that the network sees at once.

    Raises:
        UserError: a photo is missing or broken.
    """
    config = engine.config

    def read(samples: Sequence[Sample]) -> NDArray[np.uint8]:
        return to_square(dataset.read_image(samples[0].row), config)

    def query_of(sample: Sample) -> Query:
        query = tokenizer.query(sample.expression, config.text.max_words)
        return query if query.ids else dataclasses.replace(query, ids=(tokenizer.unknown_id,))

    readers = REMOTE_READERS if dataset.is_remote else READERS
    squares = read_ahead(read, images, ahead=max(readers, 2 * batch_images), readers=readers)
    for batch in _batches(zip(images, squares, strict=True), batch_images):
        features = see(engine, [square for _, square in batch])
        for (samples, square), of_image in zip(batch, features, strict=True):
            answers = ask(engine, of_image, [query_of(sample) for sample in samples])
            for sample, answer in zip(samples, answers.of_each(), strict=True):
                yield SampleLogits(sample, answer.logits, square, answer.presence)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
