"""ReferIt: photos, a MATLAB file with the mask of each region, and the queries of two splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cmpc.data.masks import box_of, encode_mask
from cmpc.data.schema import ReferredObject
from cmpc.data.sources.collection import WHOLE, Collection, Reading, existing_files, find_images
from cmpc.data.sources.faults import BrokenRows
from cmpc.data.sources.fields import expression_texts, image_name
from cmpc.data.sources.json_files import read_json
from cmpc.errors import UsageError, UserError
from cmpc.processes import prepare_process
from cmpc.reading import open_file

SPLITS = ("trainval", "test")
MASK_VARIABLE = "segimg_t"
SEVERAL_PROCESSES_FROM = 2_000
"""Masks from which a second process pays off."""
MAX_MASK_BYTES = 1024**3


class EncodedMask(NamedTuple):
    """The mask of a region as a table holds it."""

    rle: str
    """Run lengths, of size (height, width)."""
    height: int
    """Height of the mask, and of its photo, in pixels."""
    width: int
    """Width of the mask, and of its photo, in pixels."""
    box: tuple[float, float, float, float]
    """Smallest box around the mask: x and y of the upper left corner, width, height, in pixels."""


def collect(
    annotations: Path,
    images: Path,
    reading: Reading = WHOLE,
) -> Collection:
    """Reads ReferIt.

    Args:
        annotations: the folder with ``mask/<image>_<n>.mat`` and ``referit_query_<split>.json``.
        images: the folder with ``<image>.jpg``, or one above its ``images``.
        reading: which of the splits ``trainval`` and ``test``, and what to do about images.

    Raises:
        UsageError: there is no such split.
        UserError: a file is missing or damaged.
    """
    if unknown := [split for split in reading.splits if split not in SPLITS]:
        raise UsageError(f"referit has no split {unknown[0]!r}; it has {', '.join(SPLITS)}.")
    if not annotations.is_dir():
        raise UserError(f"there is no annotation folder {annotations}: give ReferIt's folder with --annotations.")
    query_files = {split: annotations / f"referit_query_{split}.json" for split in reading.splits or SPLITS}
    broken = BrokenRows(reading.skip_broken)
    queries = {split: _queries(path, broken) for split, path in query_files.items()}

    regions = [region for found in queries.values() for region in found]
    _check_masks_are_there(annotations / "mask", regions)
    sizes: dict[str, tuple[int, int] | None] = {_image_of(region): None for region in regions}
    present = find_images(images, ("images",), sizes, reading, broken, if_both_fit="keep")

    kept = [region for region in regions if _image_of(region) in present.sizes]
    masks = dict(
        zip(kept, reading.track(_read_masks(annotations / "mask", kept), "reading masks", len(kept)), strict=True)
    )
    rows: dict[str, list[ReferredObject]] = {split: [] for split in queries}
    for split, found in queries.items():
        for region, expressions in found.items():
            image = _image_of(region)
            if image not in present.sizes:
                continue
            mask = masks[region]
            height, width = present.sizes[image]
            with broken.told("broken masks", f"the mask of region {region}"):
                if isinstance(mask, str):
                    raise UserError(mask)
                if (mask.height, mask.width) != (height, width):
                    raise UserError(
                        f"the mask of region {region} is {mask.width} x {mask.height} pixels but {image} is {width} x "
                        f"{height}: give the folder with the original photos."
                    )
                image_id = region.rpartition("_")[0]
                rows[split].append(
                    ReferredObject(region, image_id, image, height, width, mask.rle, mask.box, "", expressions)
                )
    if not any(rows.values()):
        raise broken.nothing_left(f"{annotations} holds no region that can be used")
    return Collection(
        rows={split: found for split, found in rows.items() if found},
        image_folder=present.folder,
        files=list(query_files.values()),
        missing_images=present.missing,
        turned_images=present.turned.turned,
        broken=dict(broken.faults.counts),
        notes=present.turned.lines() + broken.lines(),
    )


def read_region_mask(path: Path) -> np.ndarray:
    """The mask of a region as bool (H, W). In the file, zero is inside.

    Raises:
        UserError: the file is missing, damaged or holds no mask.
    """
    from scipy.io import loadmat

    try:
        with open_file(path, at_most=MAX_MASK_BYTES) as file:
            content = loadmat(file, variable_names=[MASK_VARIABLE])
    except OSError as error:
        raise UserError(f"cannot read the mask {path}: {error.strerror or 'cut short'}.") from None
    except Exception:  # SciPy's reader raises anything on damaged files
        raise UserError(f"the mask {path} is cut short or damaged: get the file anew.") from None
    mask = content.get(MASK_VARIABLE)
    if not isinstance(mask, np.ndarray) or mask.ndim != 2 or mask.dtype.kind not in "biuf":
        raise UserError(f"the mask {path} is broken: it has no two-dimensional {MASK_VARIABLE}.")
    return mask == 0


def _queries(path: Path, broken: BrokenRows) -> dict[str, tuple[str, ...]]:
    content = read_json(path)
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path} does not hold regions with their expressions: get the file anew.")
    queries = {}
    for region, texts in content.items():
        image, _, number = region.rpartition("_")
        with broken.told("damaged regions", f"{path}: region {region!r} is damaged"):
            if not image or not number:
                raise ValueError("it is not named <image>_<number>")
            image_name(image)
            queries[region] = expression_texts(texts)
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


def _read_masks(folder: Path, regions: Sequence[str]) -> Iterable[EncodedMask | str]:
    read = partial(_encode_region, folder)
    if len(regions) < SEVERAL_PROCESSES_FROM:
        yield from map(read, regions)
    else:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=prepare_process) as pool:
            try:
                yield from pool.map(read, regions, chunksize=200)
            except BrokenProcessPool:
                raise UserError(
                    "a process that reads ReferIt's masks was ended, most often for lack of memory: start again."
                ) from None
            finally:
                pool.shutdown(cancel_futures=True)


def _encode_region(folder: Path, region: str) -> EncodedMask | str:
    """The mask of a region, or the sentence that says what is wrong with it."""
    path = folder / f"{region}.mat"
    try:
        mask = read_region_mask(path)
        height, width = mask.shape
        rle = encode_mask(mask)
        return EncodedMask(rle, height, width, box_of(rle, height, width))
    except UserError as error:
        return str(error)
    except ValueError as error:
        return f"the mask {path} is broken: {error}."
