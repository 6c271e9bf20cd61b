"""ReferIt: photos, a MATLAB file with the mask of each region, and the queries of two splits."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from cmpc.data.masks import box_of, encode_mask
from cmpc.data.schema import ReferredObject
from cmpc.data.sources.collection import (
    Collection,
    Track,
    check_images,
    existing_files,
    expression_texts,
    find_image_folder,
    image_name,
    no_progress,
    read_json,
)
from cmpc.errors import UsageError, UserError

SPLITS = ("trainval", "test")
MASK_VARIABLE = "segimg_t"
SEVERAL_PROCESSES_FROM = 2_000
"""Masks from which a second process pays off."""

Mask = tuple[str, int, int, tuple[float, float, float, float]]
"""Compressed counts, height, width, box."""


def collect(
    annotations: Path,
    images: Path,
    *,
    splits: Sequence[str] = (),
    allow_missing: bool = False,
    decode_images: bool = False,
    track: Track = no_progress,
) -> Collection:
    """Reads ReferIt.

    Args:
        annotations: the folder with ``mask/<image>_<n>.mat`` and ``referit_query_<split>.json``.
        images: the folder with ``<image>.jpg``, or one above its ``images``.
        splits: only these of ``trainval`` and ``test``; both by default.
        allow_missing: leave regions out whose image is missing.
        decode_images: decode each image instead of reading its header only.
        track: shows progress.

    Raises:
        UsageError: there is no such split.
        UserError: a file is missing or damaged.
    """
    if unknown := [split for split in splits if split not in SPLITS]:
        raise UsageError(f"referit has no split {unknown[0]!r}; it has {', '.join(SPLITS)}.")
    if not annotations.is_dir():
        raise UserError(f"there is no annotation folder {annotations}: give ReferIt's folder with --annotations.")
    query_files = {split: annotations / f"referit_query_{split}.json" for split in splits or SPLITS}
    queries = {split: _queries(path) for split, path in query_files.items()}

    regions = [region for found in queries.values() for region in found]
    _check_masks_are_there(annotations / "mask", regions)
    wanted = {_image_of(region): None for region in regions}
    image_folder = find_image_folder(images, ("images",), wanted)
    sizes = check_images(image_folder, wanted, allow_missing=allow_missing, decode=decode_images, track=track)

    kept = [region for region in regions if _image_of(region) in sizes]
    masks = dict(zip(kept, track(_read_masks(annotations / "mask", kept), "reading masks", len(kept)), strict=True))
    rows: dict[str, list[ReferredObject]] = {split: [] for split in queries}
    for split, found in queries.items():
        for region, expressions in found.items():
            image = _image_of(region)
            if image not in sizes:
                continue
            mask, height, width, box = masks[region]
            if (height, width) != sizes[image]:
                raise UserError(
                    f"the mask of region {region} is {width} x {height} pixels but {image} is {sizes[image][1]} x "
                    f"{sizes[image][0]}: give the folder with the original photos."
                )
            image_id = region.rpartition("_")[0]
            rows[split].append(ReferredObject(region, image_id, image, height, width, mask, box, "", expressions))
    return Collection(
        rows={split: found for split, found in rows.items() if found},
        image_folder=image_folder,
        files=list(query_files.values()),
        missing_images=[image for image in wanted if image not in sizes],
    )


def read_region_mask(path: Path) -> np.ndarray:
    """The mask of a region as bool (H, W). In the file, zero is inside.

    Raises:
        UserError: the file is missing, damaged or holds no mask.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path, variable_names=[MASK_VARIABLE])
    except OSError as error:
        raise UserError(f"cannot read the mask {path}: {error.strerror or 'cut short'}.") from None
    except (
        MatReadError,
        ValueError,
        TypeError,
        NotImplementedError,
        KeyError,
        IndexError,
        EOFError,
        zlib.error,
        MemoryError,
    ):
        raise UserError(f"the mask {path} is cut short or damaged: get the file anew.") from None
    mask = content.get(MASK_VARIABLE)
    if not isinstance(mask, np.ndarray) or mask.ndim != 2 or mask.dtype.kind not in "biuf":
        raise UserError(f"the mask {path} is broken: it has no two-dimensional {MASK_VARIABLE}.")
    return mask == 0


def _queries(path: Path) -> dict[str, tuple[str, ...]]:
    content = read_json(path)
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path} does not hold regions with their expressions: get the file anew.")
    queries = {}
    for region, texts in content.items():
        image, _, number = region.rpartition("_")
        try:
            if not image or not number:
                raise ValueError("it is not named <image>_<number>")
            image_name(image)
            queries[region] = expression_texts(texts)
        except ValueError as error:
            raise UserError(f"{path}: region {region!r} is damaged: {error}.") from None
    return queries


def _image_of(region: str) -> str:
    return region.rpartition("_")[0] + ".jpg"


def _check_masks_are_there(folder: Path, regions: Sequence[str]) -> None:
    names = [f"{region}.mat" for region in regions]
    present = existing_files(folder, names)
    if missing := [name for name in names if name not in present]:
        first = ", ".join(missing[:3])
        raise UserError(
            f"{len(missing):,} of {len(names):,} masks are missing in {folder} (first: {first}): "
            "give ReferIt's folder with --annotations."
        )


def _read_masks(folder: Path, regions: Sequence[str]) -> Iterable[Mask]:
    read = partial(_encode_region, folder)
    if len(regions) < SEVERAL_PROCESSES_FROM:
        yield from map(read, regions)
    else:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            try:
                yield from pool.map(read, regions, chunksize=200)
            finally:
                pool.shutdown(cancel_futures=True)


def _encode_region(folder: Path, region: str) -> Mask:
    path = folder / f"{region}.mat"
    mask = read_region_mask(path)
    height, width = mask.shape
    try:
        counts = encode_mask(mask)
        return counts, height, width, box_of(counts, height, width)
    except ValueError as error:
        raise UserError(f"the mask {path} is broken: {error}.") from None
