"""Training samples: an image with some of its expressions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from cmpc.data.augmentation import Augmentation, cut_window
from cmpc.data.sampler import Visit, VisitOrder, random_generator
from cmpc.data.schema import PreparedDataset, ReferredObject
from cmpc.data.transforms import letterbox_image, letterbox_mask
from cmpc.data.vocabulary import Vocabulary, pad_tokens, tokenize
from cmpc.errors import UserError
from cmpc.models.config import WORD_TYPES, ImageConfig

NO_TYPE = -1
"""Stands for the type of a word where the data give none, and at padding."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An image with K of its expressions."""

    image: NDArray[np.uint8]
    """Letterboxed, RGB, (S, S, 3)."""
    masks: NDArray[np.bool_]
    """What each expression refers to, (K, S, S)."""
    tokens: list[list[int]]
    """Ids of the words of each expression."""
    word_types: list[list[int]] | None
    """Position in ``WORD_TYPES`` for each word, or ``NO_TYPE``; None when the dataset has no types at all."""
    step_expressions: int
    """Expressions of the whole step on all devices."""


class Batch(NamedTuple):
    """B images with their E expressions of at most N words."""

    images: Tensor
    """Letterboxed, RGB, uint8, (B, S, S, 3)."""
    tokens: Tensor
    """Word ids, int64, (E, N), padded with 0 at the end."""
    image_index: Tensor
    """The image of each expression, int64, (E,)."""
    masks: Tensor
    """What each expression refers to, bool, (E, S, S)."""
    word_types: Tensor | None
    """Position in ``WORD_TYPES`` or ``NO_TYPE``, int64, (E, N); None when the dataset has no types."""
    step_expressions: int
    """Expressions of the whole step on all devices: the divisor of a mean over expressions."""

    def to(self, device: torch.device | str) -> Batch:
        """The batch on another device; pinned tensors are copied without waiting."""
        return Batch._make(
            value.to(device, non_blocking=True) if isinstance(value, Tensor) else value for value in self
        )


class ReferringImages(Dataset[Sample]):
    """The images of a split, each with all expressions of all its referred objects. Items are taken by ``Visit``."""

    def __init__(
        self,
        data: PreparedDataset,
        split: str,
        vocabulary: Vocabulary,
        image: ImageConfig,
        *,
        max_words: int,
        expressions_per_image: int,
        seed: int = 0,
        shuffle: bool = True,
        augmentation: Augmentation | None = None,
        label_words: Callable[[list[ReferredObject]], list[ReferredObject]] | None = None,
    ) -> None:
        """
        Args:
            data: the prepared dataset.
            split: its split.
            vocabulary: turns words into ids.
            image: size and resize rule of the network's input.
            max_words: longer expressions are cut.
            expressions_per_image: most expressions of a visit.
            seed: decides order and augmentation.
            shuffle: off for validation.
            augmentation: random changes of the samples; None for none.
            label_words: gives the rows with other word types; None for those of the data.

        Raises:
            UsageError: there is no such split.
            UserError: the split has no expression with a word in it.
        """
        self.data = data
        self.vocabulary = vocabulary
        self.image = image
        self.max_words = max_words
        self.seed = seed
        self.augmentation = augmentation
        self.rows = data.read(split) if label_words is None else label_words(data.read(split))
        self.has_word_types = any(row.word_types for row in self.rows)
        by_image: dict[str, list[tuple[ReferredObject, int]]] = {}
        for row in self.rows:
            for number, expression in enumerate(row.expressions):
                if tokenize(expression):
                    by_image.setdefault(row.image, []).append((row, number))
        if not by_image:
            raise UserError(f"split {split!r} of {data.folder} has no expressions: there is nothing to train on.")
        self.questions = list(by_image.values())
        self.order = VisitOrder(tuple(map(len, self.questions)), expressions_per_image, seed=seed, shuffle=shuffle)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.questions)

    def __getitem__(self, visit: Visit) -> Sample:
        """
        Raises:
            UserError: the image or a mask is missing or damaged.
        """
        chosen = self.order.chosen(visit.epoch, visit.image, visit.part)
        questions = [self.questions[visit.image][number] for number in chosen]
        objects = list({row.ref_id: row for row, _ in questions}.values())
        expressions = [row.expressions[number] for row, number in questions]
        pixels = self.data.read_image(objects[0])
        masks = {row.ref_id: row.decode_mask() for row in objects}

        random = random_generator(self.seed, visit.epoch, visit.image + 1, visit.part + 1)
        if self.augmentation is not None and self.augmentation.zoom:
            boxes = np.array([row.box for row in objects])
            window = self.augmentation.window(pixels.shape[0], pixels.shape[1], boxes, random)
            pixels = cut_window(pixels, window)
            masks = {name: cut_window(mask, window) for name, mask in masks.items()}
        size, resize = self.image.size, self.image.resize
        pixels = letterbox_image(pixels, size, resize)
        masks = {name: letterbox_mask(mask, size, resize) for name, mask in masks.items()}
        if self.augmentation is not None:
            if (mirrored := self.augmentation.mirrored(expressions, random)) is not None:
                expressions = mirrored
                pixels = np.ascontiguousarray(pixels[:, ::-1])
                masks = {name: mask[:, ::-1] for name, mask in masks.items()}
            pixels = self.augmentation.colours(pixels, random)

        return Sample(
            image=pixels,
            masks=np.stack([masks[row.ref_id] for row, _ in questions]),
            tokens=[self.vocabulary.encode(expression, self.max_words) for expression in expressions],
            word_types=[self._word_types(row, number) for row, number in questions] if self.has_word_types else None,
            step_expressions=visit.step_expressions,
        )

    def _word_types(self, row: ReferredObject, number: int) -> list[int]:
        words = len(tokenize(row.expressions[number])[: self.max_words])
        if not row.word_types or len(row.word_types[number]) < words:
            return [NO_TYPE] * words
        return [WORD_TYPES.index(name) if name in WORD_TYPES else NO_TYPE for name in row.word_types[number][:words]]


def collate(samples: Sequence[Sample]) -> Batch:
    """Joins samples to a batch; expressions are padded to the longest."""
    counts = torch.tensor([len(sample.masks) for sample in samples])
    tokens = [ids for sample in samples for ids in sample.tokens]
    padded = torch.from_numpy(pad_tokens(tokens))
    word_types: Tensor | None = None
    given = [types for sample in samples if sample.word_types is not None for types in sample.word_types]
    if given:
        word_types = torch.full_like(padded, NO_TYPE)
        for row, types in zip(word_types, given, strict=True):
            row[: len(types)] = torch.tensor(types)
    return Batch(
        images=torch.from_numpy(np.stack([sample.image for sample in samples])),
        tokens=padded,
        image_index=torch.repeat_interleave(torch.arange(len(samples)), counts),
        masks=torch.from_numpy(np.concatenate([sample.masks for sample in samples])),
        word_types=word_types,
        step_expressions=samples[0].step_expressions,
    )


def prepare_worker(_: int) -> None:
    """Start of a data-loading process: one thread, and signals are left to the main process, which stops it in
    order."""
    import signal

    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
