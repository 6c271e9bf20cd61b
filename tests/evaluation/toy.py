"""A small prepared dataset, and an engine that answers what a test tells it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from cmpc.data.pixels import PixelNormalisation
from cmpc.data.schema import DatasetInfo, PreparedDataset, ReferredObject, write_dataset
from cmpc.engines.engine import Answers, EngineName, Features, Precision
from cmpc.models.config import ModelConfig

Answer = Callable[[torch.Tensor, list[int]], np.ndarray]


def referred_object(
    ref_id: str, image: str, mask: np.ndarray, expressions: list[str], groups: list[str] | None = None
) -> ReferredObject:
    """A row of the table."""
    counts = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    height, width = mask.shape
    box = (0.0, 0.0, float(width), float(height))
    return ReferredObject(ref_id, image, image, height, width, counts, box, "", tuple(expressions), tuple(groups or ()))


def prepared(folder: Path, photos: dict[str, np.ndarray], splits: dict[str, list[ReferredObject]]) -> PreparedDataset:
    """A dataset on disk: photos as PNG files, tables."""
    images = folder / "photos"
    images.mkdir(parents=True)
    for name, photo in photos.items():
        Image.fromarray(photo).save(images / name, format="PNG")
    write_dataset(folder / "prepared", DatasetInfo("toy", images=str(images)), splits)
    return PreparedDataset.open(folder / "prepared")


def toy_dataset(folder: Path) -> PreparedDataset:
    """Split ``val``: three photos of 60 x 80, 90 x 50 and 64 x 64 with five rectangles and eleven expressions."""
    generator = np.random.default_rng(7)
    sizes = {"a": (60, 80), "b": (90, 50), "c": (64, 64)}

    def thing(
        ref_id: str, image: str, rows: slice, columns: slice, expressions: list[str], group: str
    ) -> ReferredObject:
        mask = np.zeros(sizes[image], bool)
        mask[rows, columns] = True
        return referred_object(ref_id, image, mask, expressions, [group] * len(expressions))

    rows = [
        thing("r0", "a", slice(5, 35), slice(5, 35), ["left man", "the man in a red shirt"], "people"),
        thing("r1", "b", slice(50, 80), slice(10, 40), ["white frisbee", "dog"], "things"),
        thing("r2", "a", slice(10, 50), slice(50, 70), ["right dog", ".", "man | on the right"], "people"),
        thing("r3", "c", slice(0, 64), slice(0, 64), ["all of it is a very big white thing"], "things"),
        thing("r4", "b", slice(0, 20), slice(0, 50), ["shirt", "red shirt", "the shirt of a man"], "things"),
    ]
    photos = {name: generator.integers(0, 256, (*size, 3), dtype=np.uint8) for name, size in sizes.items()}
    return prepared(folder, photos, {"val": rows, "empty": []})


class ScriptedEngine:
    """Answers with ``answer(image, word ids)``: logits (S, S) for a normalised image, (3, S, S)."""

    name: EngineName = "torch"
    precision: Precision = "fp32"

    def __init__(self, config: ModelConfig, answer: Answer, tell: Callable[[list[int]], float] | None = None) -> None:
        self.config = config
        self.answer = answer
        self.tell = tell
        """Gives the logit of whether anything fits word ids; None: the network does not tell."""
        self.images: list[torch.Tensor] = []
        """What it was shown, (3, S, S) each."""
        self.asked: list[int] = []
        """Number of expressions of each call."""

    def encode_image(self, images: np.ndarray) -> list[Features]:
        """Keeps the images, uint8, (B, S, S, 3)."""
        normalised = PixelNormalisation(self.config.image)(torch.from_numpy(images))
        self.images.extend(normalised)
        return [{"image": image} for image in normalised]

    def array(self, feature: torch.Tensor) -> np.ndarray:
        """A feature as an array."""
        return feature.numpy()

    def comprehend(self, features: Features, tokens: np.ndarray) -> Answers:
        """Asks the script for each expression."""
        self.asked.append(len(tokens))
        asked = [[word for word in words if word] for words in tokens.tolist()]
        logits = np.stack([self.answer(features["image"], words) for words in asked]).astype(np.float32)
        presence = None if self.tell is None else np.array([self.tell(words) for words in asked], np.float32)
        return Answers(logits, np.zeros((*tokens.shape, 4), np.float32), presence)
