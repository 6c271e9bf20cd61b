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

from cmpc.data.augmentation import Augmentation, ColourChange, cut_window
from cmpc.data.sampler import Visit, VisitOrder, random_generator
from cmpc.data.schema import PreparedDataset, ReferredObject
from cmpc.data.transforms import letterbox_image, letterbox_mask
from cmpc.data.vocabulary import Vocabulary, pad_tokens, tokenize
from cmpc.errors import UserError
from cmpc.models.config import WORD_TYPES, ImageConfig
from cmpc.models.grid import STRIDE, image_grid

NO_TYPE = -1
"""Stands for the type of a word where the data give none, and at padding."""


@dataclass(frozen=True, slots=True)
class View:
    """How a photo becomes the network's square, in this order."""

    window: tuple[int, int, int, int] | None = None
    """Top, left, height and width of the part that is seen, maybe beyond the photo; None for the whole photo."""
    mirrored: bool = False
    """Whether the square is turned over, left to right."""
    colours: ColourChange | None = None
    """How the colours change; None for not at all."""

    def render(
        self, photo: NDArray[np.uint8], image: ImageConfig, *, size: tuple[int, int] | None = None
    ) -> NDArray[np.uint8]:
        """The square, RGB, uint8, (S, S, 3), of a photo, RGB, uint8, (H, W, 3).

        ``size`` is the photo's height and width where it comes shrunk, which needs a view without a window.
        """
        part = photo if self.window is None else cut_window(photo, self.window)
        square = letterbox_image(part, image.size, image.resize, photo=size)
        if self.mirrored:
            square = np.asarray(cv2.flip(square, 1), np.uint8)
        return square if self.colours is None else self.colours.apply(square)

    def render_mask(self, mask: NDArray[np.bool_], image: ImageConfig) -> NDArray[np.bool_]:
        """The same part of a mask, bool, (H, W): bool, (S, S)."""
        part = mask if self.window is None else cut_window(mask, self.window)
        square = letterbox_mask(part, image.size, image.resize)
        return cv2.flip(square.view(np.uint8), 1).view(np.bool_) if self.mirrored else square


@dataclass(frozen=True, slots=True)
class Grounding:
    """What the words of an image's expressions speak about."""

    masks: NDArray[np.float32]
    """The part of each cell of 8 x 8 pixels that a mask fills, (M, S / 8, S / 8)."""
    words: list[list[int]]
    """For each expression the mask of each word, or -1."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An image with K of its expressions."""

    image: NDArray[np.uint8]
    """Letterboxed, RGB, (S, S, 3); the photo as it is, (H, W, 3), where the device is to render it."""
    view: View
    """How the photo became, or is to become, the square."""
    masks: NDArray[np.bool_]
    """What each expression refers to, (K, S, S)."""
    tokens: list[list[int]]
    """Ids of the words of each expression."""
    word_types: list[list[int]] | None
    """Position in ``WORD_TYPES`` for each word, or ``NO_TYPE``; None when the dataset has no types at all."""
    grounding: Grounding | None
    """What the words speak about; None when the dataset does not say."""
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
    grounding_masks: Tensor | None = None
    """What words speak about, as the part of each cell that it fills, float32, (M, S / 8, S / 8); the first is empty.
    None when the dataset does not say."""
    grounding_index: Tensor | None = None
    """The mask of each word among these, int64, (E, N), 0 where unknown and at padding; None with the masks."""

    def expressions(self, rows: slice) -> Batch:
        """Some of the expressions, about the same images."""
        return self._replace(
            tokens=self.tokens[rows],
            image_index=self.image_index[rows],
            masks=self.masks[rows],
            word_types=None if self.word_types is None else self.word_types[rows],
            grounding_index=None if self.grounding_index is None else self.grounding_index[rows],
        )

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
        grounding: bool = False,
        render: bool = True,
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
            grounding: whether samples say what their words speak about, where the data do.
            render: off to leave the photos as they are, for ``device_transforms`` to render.

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
        self.render = render
        self.rows = data.read(split) if label_words is None else label_words(data.read(split))
        self.has_word_types = any(row.word_types for row in self.rows)
        self.has_grounding = grounding and any(row.grounding for row in self.rows)
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
        height, width = objects[0].height, objects[0].width
        view = View()
        if self.augmentation is not None:
            random = random_generator(self.seed, visit.epoch, visit.image + 1, visit.part + 1)
            window = None
            if self.augmentation.zoom:
                boxes = np.array([row.box for row in objects])
                window = self.augmentation.window(height, width, boxes, random)
            mirrored = self.augmentation.mirrored(expressions, random)
            expressions = expressions if mirrored is None else mirrored
            view = View(window, mirrored is not None, self.augmentation.draw_colours(random))
        # The rule "area" averages pixels, and so does decoding at a part of the size, in less time.
        shrinks = self.render and view.window is None and self.image.resize == "area"
        photo = self.data.read_image(objects[0], longest_side=self.image.size if shrinks else None)
        masks = {row.ref_id: view.render_mask(row.decode_mask(), self.image) for row in objects}

        return Sample(
            image=view.render(photo, self.image, size=(height, width) if shrinks else None) if self.render else photo,
            view=view,
            masks=np.stack([masks[row.ref_id] for row, _ in questions]),
            tokens=[self.vocabulary.encode(expression, self.max_words) for expression in expressions],
            word_types=[self._word_types(row, number) for row, number in questions] if self.has_word_types else None,
            grounding=self._grounding(questions, view) if self.has_grounding else None,
            step_expressions=visit.step_expressions,
        )

    def _word_types(self, row: ReferredObject, number: int) -> list[int]:
        words = len(tokenize(row.expressions[number])[: self.max_words])
        if not row.word_types or len(row.word_types[number]) < words:
            return [NO_TYPE] * words
        return [WORD_TYPES.index(name) if name in WORD_TYPES else NO_TYPE for name in row.word_types[number][:words]]

    def _grounding(self, questions: list[tuple[ReferredObject, int]], view: View) -> Grounding:
        masks: dict[str, int] = {}  # encoded mask -> its position
        cells: list[NDArray[np.float32]] = []
        words: list[list[int]] = []
        for row, number in questions:
            positions = [-1] * len(tokenize(row.expressions[number])[: self.max_words])
            for grounded in row.grounding[number] if row.grounding else ():
                if grounded.mask not in masks:
                    masks[grounded.mask] = len(masks)
                    square = view.render_mask(row.decode(grounded.mask), self.image)
                    cells.append(shares_of_cells(square))
                for word in grounded.words:
                    if word < len(positions):
                        positions[word] = masks[grounded.mask]
            words.append(positions)
        none = np.zeros((0, *image_grid(self.image.size)), np.float32)
        return Grounding(np.stack(cells) if cells else none, words)


def shares_of_cells(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The part of each cell of 8 x 8 pixels that a mask fills, bool (S, S): (S / 8, S / 8), rounded up."""
    rows, columns = image_grid(len(mask))
    padded = np.zeros((rows * STRIDE, columns * STRIDE), np.float32)
    padded[: len(mask), : len(mask)] = mask
    return padded.reshape(rows, STRIDE, columns, STRIDE).mean(axis=(1, 3))


def collate(samples: Sequence[Sample]) -> Batch:
    """Joins samples to a batch; expressions are padded to the longest."""
    return Batch(torch.from_numpy(np.stack([sample.image for sample in samples])), *collate_expressions(samples))


def collate_expressions(
    samples: Sequence[Sample],
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, int, Tensor | None, Tensor | None]:
    """What a batch holds beside the images, in the order of ``Batch``."""
    counts = torch.tensor([len(sample.masks) for sample in samples])
    tokens = [ids for sample in samples for ids in sample.tokens]
    padded = torch.from_numpy(pad_tokens(tokens))
    word_types: Tensor | None = None
    given = [types for sample in samples if sample.word_types is not None for types in sample.word_types]
    if given:
        word_types = torch.full_like(padded, NO_TYPE)
        for row, types in zip(word_types, given, strict=True):
            row[: len(types)] = torch.tensor(types)
    image_index = torch.repeat_interleave(torch.arange(len(samples)), counts)
    masks = torch.from_numpy(np.concatenate([sample.masks for sample in samples]))
    return padded, image_index, masks, word_types, samples[0].step_expressions, *_collate_grounding(samples, padded)


def _collate_grounding(samples: Sequence[Sample], tokens: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """``grounding_masks`` and ``grounding_index`` of ``Batch``."""
    given = [sample.grounding for sample in samples if sample.grounding is not None]
    if not given:
        return None, None
    positions: list[list[int]] = []
    start = 1
    for grounding in given:
        positions += [[0 if mask < 0 else mask + start for mask in words] for words in grounding.words]
        start += len(grounding.masks)
    index = torch.zeros_like(tokens)
    for row, words in zip(index, positions, strict=True):
        row[: len(words)] = torch.tensor(words)
    empty = np.zeros((1, *given[0].masks.shape[1:]), np.float32)
    return torch.from_numpy(np.concatenate([empty, *(grounding.masks for grounding in given)])), index


def prepare_worker(_: int) -> None:
    """Start of a data-loading process: one thread, and signals are left to the main process, which stops it in
    order."""
    import signal

    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
