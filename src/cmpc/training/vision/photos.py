"""What annotated photos teach without words: the kind of thing that each pixel shows, and which pixels show one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from cmpc.conventions import ImageConfig
from cmpc.data.augmentation import Augmentation, cut_window
from cmpc.data.dataset import PhotoView
from cmpc.data.images import read_image
from cmpc.data.masks import decode_mask
from cmpc.data.sampler import Visit, VisitOrder, random_generator
from cmpc.data.transforms import Letterbox
from cmpc.errors import UserError
from cmpc.models.grounded.objects import GROUND_AWAY, GROUND_RIGHT, WIDENING
from cmpc.phrasing.annotations import AnnotatedPhoto, Faults, read_photos
from cmpc.training.vision.losses import UNKNOWN
from cmpc.training.vision.scenes import UNKNOWN_THING, SceneBatch

LEAST_OF_A_KIND = 20
"""Instances from which a kind is a class of its own; pixels of rarer kinds show something, but teach no kind."""
MOST_THINGS = UNKNOWN_THING - 1
MARGIN = 0.1
"""Around the box of a thing, as a share of its sides, what shows no thing is known to be background, also in photos of
which not everything is annotated."""
SHIFT = 0.3
"""Largest change of scale at random, up or down."""


class LabelledPhotos(Dataset[SceneBatch]):
    """Photos with their annotated things, each time another part of them. Items are taken by ``Visit``, as batches of
    one."""

    def __init__(self, annotations: Path, images: Path, image: ImageConfig, *, seed: int = 0) -> None:
        """
        Args:
            annotations: file in the format of COCO's ``instances_*.json``.
            images: folder of the photos.
            image: size and resize rule of the network's input.
            seed: decides order and augmentation.

        Raises:
            UserError: the file cannot be used, an annotation is broken, or there is nothing to learn from.
        """
        faults = Faults()
        photos = list(read_photos(annotations, faults))
        faults.check()
        self.photos = [photo for photo in photos if any(one.rle for one in photo.annotations)]
        if not self.photos:
            raise UserError(f"{annotations} has no annotation with a mask: there is nothing to learn to see from.")
        self.images, self.image, self.seed = images, image, seed
        if missing := [photo.file for photo in self.photos if not (images / photo.file).is_file()]:
            raise UserError(f"{len(missing):,} photos are missing in {images} (first: {missing[0]}): give --images.")
        counts = Counter(one.kind for photo in self.photos for one in photo.annotations if one.rle and not one.is_part)
        kinds = sorted(kind for kind, count in counts.items() if count >= min(LEAST_OF_A_KIND, max(counts.values())))
        self.kinds = {kind: 1 + number for number, kind in enumerate(kinds)}
        """Class of each kind of thing, after the background (0)."""
        self.classes = {"kind": 1 + len(kinds)}
        """Number of classes of what a pixel is told to show."""
        self.augmentation = Augmentation(zoom=SHIFT)
        self.order = VisitOrder((1,) * len(self.photos), 1, seed=seed)

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.photos)

    def __getitem__(self, visit: Visit) -> SceneBatch:
        """
        Raises:
            UserError: the photo or a mask is missing or damaged.
        """
        photo = self.photos[visit.image]
        random = random_generator(self.seed, visit.epoch, visit.image + 1)
        pixels = read_image(self.images / photo.file)
        if pixels.shape[:2] != (photo.height, photo.width):
            raise UserError(
                f"{photo.file} is not of the size that its annotations are for: {photo.width} x {photo.height}."
            )
        numbers, kinds = self._things(photo)
        window = self._window(photo, random)
        view = PhotoView(window, colours=self.augmentation.draw_colours(random))
        square = view.render(pixels, self.image)
        shown = _letterboxed(cut_window(numbers, window), self.image.size)
        labels = np.array([0, *kinds], np.int64)[:, None]
        geometry = geometry_of(shown, len(kinds))
        return SceneBatch._make(torch.from_numpy(part)[None] for part in (square, shown, labels, geometry))

    def _things(self, photo: AnnotatedPhoto) -> tuple[NDArray[np.uint8], list[int]]:
        """The number of the thing that each pixel shows, from 1, and the class of each thing."""
        known = photo.annotated.is_broad
        numbers = np.full((photo.height, photo.width), 0 if known else UNKNOWN_THING, np.uint8)
        things = [one for one in photo.annotations if not one.is_part and one.box is not None]
        if not known:
            for one in things:
                numbers[_around(one.box, photo)] = 0  # type: ignore[arg-type]
        masked = [one for one in things if one.rle is not None]
        masks = {one.id: decode_mask(one.rle, photo.height, photo.width) for one in masked if one.rle is not None}
        masked.sort(key=lambda one: -int(masks[one.id].sum()))  # the small ones lie on top
        kinds: list[int] = []
        for one in masked:
            # Of a crowd it is not known where one thing ends, so that it teaches its kind but no middle.
            if one.is_crowd or one.quality == "split" or len(kinds) == MOST_THINGS:
                numbers[masks[one.id]] = UNKNOWN_THING
                continue
            kinds.append(self.kinds.get(one.kind, UNKNOWN))
            numbers[masks[one.id]] = len(kinds)
        for one in things:
            if one.rle is None:
                x, y, width, height = one.box  # type: ignore[misc]
                box = numbers[int(y) : int(y + height) + 1, int(x) : int(x + width) + 1]
                box[box == 0] = UNKNOWN_THING
        return numbers, kinds

    def _window(self, photo: AnnotatedPhoto, random: np.random.Generator) -> tuple[int, int, int, int]:
        """A part of the photo, or more than it, that shows one of its things whole."""
        boxes = [one.box for one in photo.annotations if one.rle is not None and one.box is not None]
        chosen = np.array([boxes[int(random.integers(len(boxes)))]])
        return self.augmentation.window(photo.height, photo.width, chosen, random)


def geometry_of(shown: NDArray[np.uint8], count: int) -> NDArray[np.float32]:
    """Where things are: their middle in the picture, and on a ground that is seen as the object head sees it untaught.

    A thing stands where its lower edge is, as wide as it looks.

    Args:
        shown: number of the thing that each pixel shows, from 1, (S, S).
        count: of the things, K.

    Returns:
        As ``LabelledScene.geometry``, (K + 1, 5); zeros for what is not seen.
    """
    size = len(shown)
    geometry = np.zeros((count + 1, 5), np.float32)
    for number in range(1, count + 1):
        mask = (shown == number).view(np.uint8)
        _, y, width, height = cv2.boundingRect(mask)
        if not width:
            continue
        moments = cv2.moments(mask, binaryImage=True)
        across, down = moments["m10"] / moments["m00"] + 0.5, moments["m01"] / moments["m00"] + 0.5
        away = GROUND_AWAY * (1 - 2 * (y + height) / size) + 1
        half = GROUND_RIGHT + WIDENING * away
        geometry[number] = across / size, down / size, (2 * across / size - 1) * half, away, width / size * half
    return geometry


def _around(box: tuple[float, float, float, float], photo: AnnotatedPhoto) -> tuple[slice, slice]:
    """Rows and columns of a box and a margin around it."""
    x, y, width, height = box
    rows = slice(max(int(y - MARGIN * height), 0), min(int(y + (1 + MARGIN) * height) + 1, photo.height))
    columns = slice(max(int(x - MARGIN * width), 0), min(int(x + (1 + MARGIN) * width) + 1, photo.width))
    return rows, columns


def _letterboxed(numbers: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Numbers of things in the network's square, 0 beyond the photo: (H, W) -> (size, size)."""
    box = Letterbox.of(numbers.shape[0], numbers.shape[1], size)
    square = np.zeros((size, size), np.uint8)
    resized: Sequence[int] = (box.resized_width, box.resized_height)
    square[box.rows, box.columns] = cv2.resize(numbers, resized, interpolation=cv2.INTER_NEAREST)
    return square
