"""What the scenes of Blocks teach without words: for each pixel the block that it shows, and of each block how it looks
and where it stands."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from cmpc.blocks.dataset import SceneRecord, read_scenes
from cmpc.blocks.placement import footprint
from cmpc.blocks.relations import middle_height
from cmpc.blocks.scene import ATTRIBUTES, VALUES, Scene
from cmpc.data.images import read_image
from cmpc.data.masks import decode_mask
from cmpc.data.sampler import Visit, VisitOrder

CLASSES = {attribute: 1 + len(VALUES[attribute]) for attribute in ATTRIBUTES}
"""For each attribute its values, after the ground and the backdrop (0)."""
UNKNOWN_THING = 255
"""Number of the thing at pixels of which nothing is known."""


@dataclass(frozen=True, slots=True)
class LabelledScene:
    """An image of K blocks, and what is known of them."""

    image: Path
    """File of the image."""
    size: int
    """Side of the image in pixels."""
    masks: tuple[str, ...]
    """Visible part of each block as COCO's compressed run-length counts."""
    attributes: NDArray[np.int64]
    """Class of each attribute, after a row of zeros for no block: (K + 1, attributes)."""
    geometry: NDArray[np.float32]
    """Middle in the image, from the upper left corner in its sides, then place and radius on the ground, of each block,
    after a row of zeros: (K + 1, 5)."""

    @staticmethod
    def of(record: SceneRecord, images: Path) -> LabelledScene:
        """What a record says without words."""
        classes = [
            [1 + VALUES[name].index(getattr(block, name)) for name in ATTRIBUTES] for block in record.scene.blocks
        ]
        attributes = np.array([[0] * len(ATTRIBUTES), *classes], np.int64)
        return LabelledScene(images / record.image, record.size, record.rles, attributes, _geometry(record.scene))

    def blocks(self) -> NDArray[np.uint8]:
        """Number of the block that each pixel shows, from 1, 0 for none: (S, S)."""
        numbers = np.zeros((self.size, self.size), np.uint8)
        for number, mask in enumerate(self.masks, start=1):
            numbers[decode_mask(mask, self.size, self.size)] = number
        return numbers


class SceneBatch(NamedTuple):
    """B images of at most K blocks."""

    images: Tensor
    """RGB, uint8, (B, S, S, 3)."""
    blocks: Tensor
    """Number of the block or thing that each pixel shows, from 1, 0 for none, ``UNKNOWN_THING`` where that is not
    known, uint8, (B, S, S)."""
    attributes: Tensor
    """Class of each attribute of each block, 0 for none, ``losses.UNKNOWN`` where it is not known, int64, (B, K + 1,
    attributes)."""
    geometry: Tensor
    """Middle in the image, place and radius on the ground of each block, float32, (B, K + 1, 5)."""

    def to(self, device: torch.device | str) -> SceneBatch:
        """The batch on another device; pinned tensors are copied without waiting."""
        return SceneBatch._make(value.to(device, non_blocking=True) for value in self)


class LabelledScenes(Dataset[SceneBatch]):
    """The images of a split of Blocks with their labels. Items are taken by ``Visit``, as batches of one."""

    def __init__(self, folder: Path, split: str, *, seed: int = 0, most: int | None = None) -> None:
        """
        Args:
            folder: that ``cmpc blocks`` made.
            split: its split.
            seed: decides the order.
            most: images at most; None for all.

        Raises:
            UserError: the folder holds no scenes of that split.
        """
        self.classes = CLASSES
        """Number of classes of each attribute."""
        records = itertools.islice(read_scenes(folder, split), most)
        self.scenes = [LabelledScene.of(record, folder / "images") for record in records]
        self.order = VisitOrder((1,) * len(self.scenes), 1, seed=seed)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.scenes)

    def __getitem__(self, visit: Visit) -> SceneBatch:
        """
        Raises:
            UserError: the image or a mask is missing or damaged.
        """
        scene = self.scenes[visit.image]
        parts = (read_image(scene.image), scene.blocks(), scene.attributes, scene.geometry)
        return SceneBatch._make(torch.from_numpy(part)[None] for part in parts)


def collate_scenes(samples: Sequence[SceneBatch]) -> SceneBatch:
    """Joins batches of one."""
    images, blocks, attributes, geometry = zip(*samples, strict=True)

    def padded(tables: Sequence[Tensor]) -> Tensor:
        return nn.utils.rnn.pad_sequence([table[0] for table in tables], batch_first=True)

    return SceneBatch(torch.cat(images), torch.cat(blocks), padded(attributes), padded(geometry))


def _geometry(scene: Scene) -> NDArray[np.float32]:
    position = np.array([block.position for block in scene.blocks]).reshape(-1, 3)
    heights = [middle_height(scene, index) for index in range(len(position))]
    middles = scene.camera.project(np.column_stack([position[:, :2], heights]))[:, :2]
    ground = position[:, :2] @ scene.camera.ground_axes().T
    radii = [footprint(block) for block in scene.blocks]
    rows = np.column_stack([middles, ground, radii])
    return np.concatenate([np.zeros((1, 5)), rows]).astype(np.float32)
