"""Loading samples on one core: from files to the tensors of a 320 x 320 input, in a given order."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from benchmarks.material import EXPRESSIONS_PER_IMAGE, Material
from benchmarks.timing import Case, Variant

SIZE = 320
IMAGES = 64
ARRAYS = "array files, one for each expression, as the original keeps them"


def one_core() -> None:
    """Keeps OpenCV and PyTorch to the calling thread."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def arrays(material: Material) -> Callable[[], object]:
    """The original's files: photo, mask and words of one expression, letterboxed and not compressed.

    Each photo stands for one expression here, which favours this variant: the original has seven such files for it.
    """
    import cv2
    import numpy as np
    import torch

    from cmpc.data.images import read_image

    one_core()
    folder = tempfile.TemporaryDirectory(prefix="cmpc-arrays-")
    for path in material.photo_files():
        square = cv2.resize(read_image(path), (SIZE, SIZE))
        np.savez(
            Path(folder.name) / f"{path.stem}.npz",
            text_batch=np.zeros(20, np.int64),
            im_batch=square,
            mask_batch=np.zeros((SIZE, SIZE), bool),
        )
    files = sorted(Path(folder.name).iterdir())
    mean = np.array((104.00698793, 116.66876762, 122.67891434))

    def load() -> int:
        assert folder.name  # the files live as long as this function
        images = 0
        for file in files:
            with np.load(file) as stored:
                pixels = stored["im_batch"].astype(np.float32) - mean
                loaded = torch.from_numpy(pixels.astype(np.float32)[None]), stored["mask_batch"], stored["text_batch"]
                images += len(loaded[0])
        return images

    return load


def jpegs(material: Material, *, resize: Literal["original", "area"]) -> Callable[[], object]:
    """Decode as training does without augmentation, letterbox, normalise."""
    import dataclasses

    import torch

    from cmpc.data.images import decode_image
    from cmpc.data.pixels import PixelNormalisation
    from cmpc.data.transforms import letterbox_image
    from cmpc.models.config import preset

    one_core()
    normalise = PixelNormalisation(
        dataclasses.replace(preset("small" if resize == "area" else "paper").image, size=SIZE)
    )
    files = material.photo_files()

    def load() -> int:
        images = 0
        for file in files:
            decoded = decode_image(file, longest_side=SIZE if resize == "area" else None)
            square = letterbox_image(decoded.pixels, SIZE, resize, photo_size=(decoded.height, decoded.width))
            images += len(normalise(torch.from_numpy(square[None])))
        return images

    return load


def samples(material: Material, *, augmented: bool) -> Callable[[], object]:
    """What ``cmpc train`` loads: image, four expressions with their masks and words."""
    import dataclasses

    from cmpc.data.augmentation import Augmentation
    from cmpc.data.dataset import ReferringImages, collate
    from cmpc.data.sampler import StepSampler
    from cmpc.data.schema import PreparedDataset
    from cmpc.data.vocabulary import Vocabulary
    from cmpc.models.config import preset

    one_core()
    data = ReferringImages(
        PreparedDataset.open(material.dataset),
        "val",
        Vocabulary.load(material.model("paper") / "vocabulary.txt"),
        dataclasses.replace(preset("small").image, size=SIZE),
        max_words=20,
        expressions_per_image=4,
        augmentation=Augmentation() if augmented else None,
    )
    steps = list(StepSampler(data.order, batch=8, start=0, stop=IMAGES // 8))
    return lambda: sum(len(collate([data[visit] for visit in visits]).squares) for visits in steps)


CASE = Case(
    "loading",
    "Loading on one core",
    "image",
    (
        Variant(ARRAYS, arrays, IMAGES),
        Variant("JPEG to tensor, rule `area`", partial(jpegs, resize="area"), IMAGES),
        Variant("JPEG to tensor, rule `original`", partial(jpegs, resize="original"), IMAGES),
        Variant("training samples with 4 expressions, rule `area`", partial(samples, augmented=False), IMAGES),
        Variant("the same, augmented", partial(samples, augmented=True), IMAGES),
    ),
    measure="rate",
    needs=("models", "photos", "dataset"),
)
assert EXPRESSIONS_PER_IMAGE >= 4
