"""Runs an engine over images with all their expressions: each image is seen once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cmpc.data.schema import PreparedDataset
from cmpc.data.transforms import letterbox_image
from cmpc.data.vocabulary import Vocabulary, pad_tokens
from cmpc.engines.engine import Engine
from cmpc.evaluation.samples import Sample

Item = TypeVar("Item")
Result = TypeVar("Result")

READERS = 4


@dataclass(frozen=True)
class SampleLogits:
    """What the network says about one sample."""

    sample: Sample
    """The expression and its object."""
    logits: NDArray[np.float32]
    """float32, (S, S), for the letterboxed photo."""
    image: NDArray[np.uint8]
    """The letterboxed photo, RGB, uint8, (S, S, 3)."""


def predict(
    engine: Engine,
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    images: Sequence[Sequence[Sample]],
    *,
    batch_images: int = 4,
    batch_expressions: int = 16,
) -> Iterator[SampleLogits]:
    """Yields a prediction for every sample; photos are read ahead while the engine works.

    An expression without any token (``"."``) is asked for as one unknown word: the network needs a word.

    Args:
        engine: what runs the network.
        vocabulary: its words.
        dataset: where the photos are.
        images: the samples of each image, as ``samples_by_image`` gives them.
        batch_images: images that the network sees at once.
        batch_expressions: most expressions about an image that it comprehends at once; bounds the memory.

    Raises:
        UserError: a photo is missing or broken.
    """
    config = engine.config

    def read(samples: Sequence[Sample]) -> NDArray[np.uint8]:
        return letterbox_image(dataset.read_image(samples[0].row), config.image.size, config.image.resize)

    def tokens_of(sample: Sample) -> list[int]:
        return vocabulary.encode(sample.expression, config.max_words) or [vocabulary.unknown_id]

    photos = _read_ahead(read, images, ahead=2 * batch_images)
    for batch in _batches(zip(images, photos, strict=True), batch_images):
        features = engine.encode_image(np.stack([square for _, square in batch]))
        for (samples, square), of_image in zip(batch, features, strict=True):
            for chunk in _batches(samples, batch_expressions):
                tokens = pad_tokens([tokens_of(sample) for sample in chunk])  # (E, T)
                logits, _ = engine.comprehend(of_image, tokens)  # (E, S, S)
                for sample, values in zip(chunk, logits, strict=True):
                    yield SampleLogits(sample, values, square)


def _read_ahead(read: Callable[[Item], Result], items: Iterable[Item], ahead: int) -> Iterator[Result]:
    """Yields ``read(item)`` in order; the next ``ahead`` items are read meanwhile."""
    pool = ThreadPoolExecutor(READERS, thread_name_prefix="read")
    waiting: deque[Future[Result]] = deque()
    rest = iter(items)
    try:
        waiting.extend(pool.submit(read, item) for item in islice(rest, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(read, item) for item in islice(rest, 1))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
