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

from cmpc.conventions import STRIDE, WORD_TYPES, ImageConfig
from cmpc.data.absent import AbsentExpressions
from cmpc.data.augmentation import Augmentation, ColourChange, cut_window
from cmpc.data.expressions_by_image import ExpressionsByImage
from cmpc.data.sampler import Visit, VisitOrder, random_generator
from cmpc.data.schema import PreparedDataset, ReferredObject
from cmpc.data.transforms import letterbox_image, letterbox_mask
from cmpc.data.vocabulary import Vocabulary, pad_tokens
from cmpc.errors import UserError
from cmpc.file_systems import READERS
from cmpc.processes import read_ahead

NO_TYPE = -1
"""Stands for the type of a word where the data give none, and at padding."""


@dataclass(frozen=True, slots=True)
class PhotoView:
    """How a photo becomes the network's square, in this order."""

    window: tuple[int, int, int, int] | None = None
    """Top, left, height and width of the part that is seen, maybe beyond the photo; None for the whole photo."""
    mirrored: bool = False
    """Whether the square is turned over, left to right."""
    colours: ColourChange | None = None
    """How the colours change; None for not at all."""

    def render(
        self, pixels: NDArray[np.uint8], image: ImageConfig, *, photo_size: tuple[int, int] | None = None
    ) -> NDArray[np.uint8]:
        """The square, RGB, uint8, (S, S, 3), of a photo's pixels, RGB, uint8, (H, W, 3).

        ``photo_size`` is the photo's height and width where the pixels are shrunk, which needs a view without a window.
        """
        part = pixels if self.window is None else cut_window(pixels, self.window)
        square = letterbox_image(part, image.size, image.resize, photo_size=photo_size)
        if self.mirrored:
            square = np.asarray(cv2.flip(square, 1), np.uint8)
        return square if self.colours is None else self.colours.apply(square)

    def render_mask(self, mask: NDArray[np.bool_], image: ImageConfig) -> NDArray[np.bool_]:
        """The same part of a mask, bool, (H, W): bool, (S, S)."""
        part = mask if self.window is None else cut_window(mask, self.window)
        square = letterbox_mask(part, image.size, image.resize)
        return cv2.flip(square.view(np.uint8), 1).view(np.bool_) if self.mirrored else square


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """An image with K expressions."""

    pixels: NDArray[np.uint8]
    """RGB: the square, (S, S, 3), or the whole photo, (H, W, 3), where the device is to render it."""
    view: PhotoView
    """How the photo became, or is to become, the square."""
    masks: NDArray[np.bool_]
    """What each expression refers to, (K, S, S); empty of those of other images."""
    tokens: list[list[int]]
    """Ids of the words of each expression."""
    word_types: list[list[int]] | None
    """Position in ``WORD_TYPES`` for each word, or ``NO_TYPE``; None when the dataset has no types at all."""
    grounding_masks: NDArray[np.float32] | None
    """What words speak about, as the part of each cell of 8 x 8 pixels that it fills, (M, S / 8, S / 8); the first is
    empty. None when the dataset does not say."""
    grounding_index: list[list[int]] | None
    """The mask of each word of each expression among these, 0 where unknown; None with the masks."""
    step_expressions: int
    """Expressions of the whole step on all devices."""


class Batch(NamedTuple):
    """B images with their E expressions of at most N words."""

    squares: Tensor
    """The letterboxed photos, RGB, uint8, (B, S, S, 3)."""
    tokens: Tensor
    """Word ids, int64, (E, N), padded with 0 at the end."""
    image_index: Tensor
    """The image of each expression, int64, (E,)."""
    masks: Tensor
    """What each expression refers to, bool, (E, S, S); without a pixel inside where it refers to nothing."""
    word_types: Tensor | None
    """Position in ``WORD_TYPES`` or ``NO_TYPE``, int64, (E, N); None when the dataset has no types."""
    step_expressions: int
    """Expressions of the whole step on all devices: the divisor of a mean over expressions."""
    grounding_masks: Tensor | None = None
    """As in ``TrainingSample``, of all samples: float32, (M, S / 8, S / 8)."""
    grounding_index: Tensor | None = None
    """The mask of each word among these, int64, (E, N), 0 where unknown and at padding."""

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


class ReferringImages(Dataset[TrainingSample]):
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
        label_words: Callable[[Sequence[ReferredObject]], Sequence[ReferredObject]] | None = None,
        grounding: bool = False,
        render: bool = True,
        rows: Sequence[ReferredObject] | None = None,
        absent_per_image: int = 0,
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
            rows: those of the split, where they were read before.
            absent_per_image: most expressions of other images that a visit adds, which fit nothing in its image.

        Raises:
            UsageError: there is no such split.
            UserError: the split has no expression with a word in it, or none that is known to be absent from an image
                where some are asked for.
        """
        self.data = data
        self.split = split
        self.vocabulary = vocabulary
        self.image = image
        self.max_words = max_words
        self.seed = seed
        self.augmentation = augmentation
        self.render = render
        read = data.read(split) if rows is None else rows
        self.rows = read if label_words is None else label_words(read)
        self.has_word_types = any(row.word_types for row in self.rows)
        self.has_grounding = grounding and any(row.grounding for row in self.rows)
        self.cut_expressions = 0
        """How many expressions are longer than the network reads."""
        self.questions = ExpressionsByImage(self.rows, self._has_words)
        """The expressions of each image."""
        if not self.questions:
            raise UserError(f"split {split!r} of {data.folder} has no expressions: there is nothing to train on.")
        self.absent: AbsentExpressions | None = None
        absent: tuple[int, ...] = ()
        if absent_per_image:
            self.absent = AbsentExpressions(self.questions, vocabulary, max_words=max_words)
            absent = tuple(min(absent_per_image, self.absent.count(image)) for image in range(len(self.questions)))
            self._check_absent(absent)
        counts = tuple(self.questions.counts.tolist())
        self.order = VisitOrder(counts, expressions_per_image, seed=seed, shuffle=shuffle, absent=absent)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.questions)

    def __getitems__(self, visits: Sequence[Visit]) -> list[TrainingSample]:
        """The samples of a batch; their photos come from a remote file system at the same time.

        Raises:
            UserError: as for one of them.
        """
        if not self.data.is_remote:
            return [self[visit] for visit in visits]
        rows = [self.questions[visit.image][0][0] for visit in visits]
        photos = read_ahead(self.data.read_image_bytes, rows, ahead=len(rows), readers=READERS)
        return [self._sample(visit, photo) for visit, photo in zip(visits, photos, strict=True)]

    def __getitem__(self, visit: Visit) -> TrainingSample:
        """
        Raises:
            UserError: the image or a mask is missing or damaged.
        """
        return self._sample(visit)

    def _sample(self, visit: Visit, photo: bytes | None = None) -> TrainingSample:
        """The sample of a visit; of its photo's file, where that has been read."""
        chosen = self.order.chosen(visit.epoch, visit.image, visit.part)
        questions = self.questions.questions(self.questions.numbers(visit.image)[chosen])
        absent = self._absent_questions(visit)
        objects = list({row.ref_id: row for row, _ in questions}.values())
        expressions = [row.expressions[number] for row, number in questions]
        height, width = objects[0].height, objects[0].width
        view = PhotoView()
        if self.augmentation is not None:
            random = random_generator(self.seed, visit.epoch, visit.image + 1, visit.part + 1)
            window = None
            if self.augmentation.zoom:
                boxes = [row.box for row in objects if not row.is_empty] or [(0.0, 0.0, width, height)]
                window = self.augmentation.window(height, width, np.array(boxes), random)
            mirrored = self.augmentation.mirrored(expressions, random)
            expressions = expressions if mirrored is None else mirrored
            view = PhotoView(window, mirrored is not None, self.augmentation.draw_colours(random))
        # The rule "area" averages pixels, and so does decoding at a part of the size, in less time.
        shrinks = self.render and view.window is None and self.image.resize == "area"
        pixels = self.data.read_image(objects[0], longest_side=self.image.size if shrinks else None, data=photo)
        if self.render:
            pixels = view.render(pixels, self.image, photo_size=(height, width) if shrinks else None)
        masks = {row.ref_id: view.render_mask(row.decode_mask(), self.image) for row in objects}
        # What is absent is absent from the mirrored photo too, whichever side is spoken of.
        expressions += [row.expressions[number] for row, number in absent]
        nothing = np.zeros((len(absent), self.image.size, self.image.size), bool)
        grounding_masks, grounding_index = (
            self._grounding(questions, absent, view) if self.has_grounding else (None, None)
        )
        return TrainingSample(
            pixels=pixels,
            view=view,
            masks=np.concatenate([np.stack([masks[row.ref_id] for row, _ in questions]), nothing]),
            tokens=[self.vocabulary.encode(expression, self.max_words) for expression in expressions],
            word_types=[self._word_types(*one) for one in questions + absent] if self.has_word_types else None,
            grounding_masks=grounding_masks,
            grounding_index=grounding_index,
            step_expressions=visit.step_expressions,
        )

    def _has_words(self, expression: str) -> bool:
        """Whether there is anything to read in an expression; counts those that are too long."""
        words = self.vocabulary.split(expression)
        self.cut_expressions += len(words) > self.max_words
        return bool(words)

    def _check_absent(self, counts: Sequence[int]) -> None:
        """
        Raises:
            UserError: no image may borrow an expression.
        """
        if any(counts):
            return
        if not any(row.kinds for row in self.rows):
            raise UserError(
                f"{self.data.folder} does not say which kinds of things are in the images of split {self.split!r}: "
                "prepare it anew (ReferIt and own tables do not know it), or leave out --absent-per-image."
            )
        raise UserError(
            f"split {self.split!r} of {self.data.folder} has no expression that surely fits nothing in another image: "
            "its kinds are in all of them, or it says too little of each kind; leave out --absent-per-image."
        )

    def _absent_questions(self, visit: Visit) -> list[tuple[ReferredObject, int]]:
        """The expressions of other images that a visit adds; its own stay what they are without."""
        if self.absent is None or not self.order.absent[visit.image]:
            return []
        [random] = random_generator(self.seed, visit.epoch, visit.image + 1, visit.part + 1).spawn(1)
        drawn = self.absent.draw(visit.image, self.order.absent[visit.image], random)
        return [self.questions[image][position] for image, position in drawn]

    def _word_types(self, row: ReferredObject, number: int) -> list[int]:
        positions = self._positions(row.expressions[number])
        if not row.word_types or len(row.word_types[number]) <= max(positions):
            return [NO_TYPE] * len(positions)
        names = [row.word_types[number][position] for position in positions]
        return [WORD_TYPES.index(name) if name in WORD_TYPES else NO_TYPE for name in names]

    def _positions(self, expression: str) -> list[int]:
        """Of the words that the network reads, the positions to which labels in the data belong."""
        return [position for position, _ in self.vocabulary.split(expression)[: self.max_words]]

    def _grounding(
        self,
        questions: Sequence[tuple[ReferredObject, int]],
        absent: Sequence[tuple[ReferredObject, int]],
        view: PhotoView,
    ) -> tuple[NDArray[np.float32], list[list[int]]]:
        """``grounding_masks`` and ``grounding_index`` of ``TrainingSample``."""
        cells = -(-self.image.size // STRIDE)
        masks = [np.zeros((cells, cells), np.float32)]
        place_of: dict[str, int] = {}  # run lengths -> number of the mask
        index: list[list[int]] = []
        for row, number in questions:
            positions = self._positions(row.expressions[number])
            place_of_word = {position: place for place, position in enumerate(positions)}
            of_words = [0] * len(positions)
            for grounded in row.grounding[number] if row.grounding else ():
                if grounded.rle not in place_of:
                    place_of[grounded.rle] = len(masks)
                    masks.append(shares_of_cells(view.render_mask(row.decode(grounded.rle), self.image)))
                for word in grounded.words:
                    if word in place_of_word:
                        of_words[place_of_word[word]] = place_of[grounded.rle]
            index.append(of_words)
        index += [[0] * len(self._positions(row.expressions[number])) for row, number in absent]
        return np.stack(masks), index


def shares_of_cells(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The part of each cell of 8 x 8 pixels that a mask fills, bool (S, S): (S / 8, S / 8), rounded up."""
    cells = -(-len(mask) // STRIDE)
    padded = np.zeros((cells * STRIDE, cells * STRIDE), np.float32)
    padded[: len(mask), : len(mask)] = mask
    return padded.reshape(cells, STRIDE, cells, STRIDE).mean(axis=(1, 3))


def collate(samples: Sequence[TrainingSample]) -> Batch:
    """Joins samples to a batch; expressions are padded to the longest."""
    return collate_without_squares(samples)._replace(
        squares=torch.from_numpy(np.stack([sample.pixels for sample in samples]))
    )


def collate_without_squares(samples: Sequence[TrainingSample]) -> Batch:
    """Joins samples to a batch whose ``squares`` are still to be put in."""
    counts = torch.tensor([len(sample.masks) for sample in samples])
    tokens = [ids for sample in samples for ids in sample.tokens]
    padded = torch.from_numpy(pad_tokens(tokens))
    word_types = [types for sample in samples if sample.word_types is not None for types in sample.word_types]
    grounding_masks, grounding_index = _collate_grounding(samples)
    image_index = torch.repeat_interleave(torch.arange(len(samples)), counts)
    masks = torch.from_numpy(np.concatenate([sample.masks for sample in samples]))
    return Batch(
        squares=torch.empty(0, dtype=torch.uint8),
        tokens=padded,
        image_index=image_index,
        masks=masks,
        word_types=_padded(word_types, padded, NO_TYPE) if word_types else None,
        step_expressions=samples[0].step_expressions,
        grounding_masks=grounding_masks,
        grounding_index=None if grounding_masks is None else _padded(grounding_index, padded, 0),
    )


def _collate_grounding(samples: Sequence[TrainingSample]) -> tuple[Tensor | None, list[list[int]]]:
    """``grounding_masks`` of ``Batch`` and, not yet padded, its ``grounding_index``."""
    masks: list[NDArray[np.float32]] = []
    index: list[list[int]] = []
    before = 0  # masks of the samples before, without their empty ones
    for sample in samples:
        if sample.grounding_masks is None or sample.grounding_index is None:
            return None, []
        index += [[number and before + number for number in numbers] for numbers in sample.grounding_index]
        masks.append(sample.grounding_masks[1:] if masks else sample.grounding_masks)
        before += len(sample.grounding_masks) - 1
    return torch.from_numpy(np.concatenate(masks)), index


def _padded(rows: Sequence[Sequence[int]], tokens: Tensor, value: int) -> Tensor:
    """A number for each word, as large as the tokens, (E, N), and padded with the value."""
    result = torch.full_like(tokens, value)
    for row, numbers in zip(result, rows, strict=True):
        row[: len(numbers)] = torch.tensor(numbers)
    return result


def prepare_worker(_: int) -> None:
    """Start of a data-loading process: one thread, and signals are left to the main process, which stops it in
    order."""
    import signal

    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
