"""UNC (RefCOCO), UNC+ (RefCOCO+), Gref and RefCOCOg, from the files of the REFER toolkit.

Each benchmark is a folder with a pickle of the referred objects, ``refs(<division>).p``, and COCO's ``instances.json``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmpc.data.schema import ReferredObject
from cmpc.data.sources.collection import WHOLE, Collection, Reading, expression_texts, find_images
from cmpc.data.sources.instances import Instances
from cmpc.data.sources.restricted_pickle import read_plain_pickle
from cmpc.errors import UsageError, UserError


@dataclass(frozen=True)
class ReferBenchmark:
    """Where a benchmark of the REFER toolkit lies and how it is divided."""

    name: str
    """Its name here, which is the original program's."""
    folder: str
    """Its folder in the toolkit's ``data``."""
    refs: str
    """The pickle of referred objects."""
    splits: tuple[str, ...]
    """The splits that the pickle may name."""


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        ReferBenchmark("unc", "refcoco", "refs(unc).p", ("train", "val", "testA", "testB")),
        ReferBenchmark("unc+", "refcoco+", "refs(unc).p", ("train", "val", "testA", "testB")),
        ReferBenchmark("gref", "refcocog", "refs(google).p", ("train", "val", "test")),
        ReferBenchmark("refcocog", "refcocog", "refs(umd).p", ("train", "val", "test")),
    )
}

USUAL_IMAGE_FOLDERS = (
    "train2014",
    "images/train2014",
    "mscoco/images/train2014",
    "images/mscoco/images/train2014",
)
"""Where COCO's training photos lie below a folder that people may give instead."""


@dataclass(frozen=True)
class _Reference:
    """An entry of the pickle, checked."""

    ref_id: str
    annotation_id: int
    split: str
    expressions: tuple[str, ...]


def collect(
    benchmark: ReferBenchmark,
    annotations: Path,
    images: Path,
    reading: Reading = WHOLE,
) -> Collection:
    """Reads a benchmark.

    Args:
        benchmark: which one.
        annotations: the toolkit's ``data`` folder, or the benchmark's own folder in it.
        images: the folder ``train2014`` of COCO, or one above it.
        reading: which splits, and what to do about images.

    Raises:
        UsageError: the benchmark has no such split.
        UserError: a file is missing or damaged, or an entry contradicts another.
    """
    if unknown := [split for split in reading.splits if split not in benchmark.splits]:
        raise UsageError(f"{benchmark.name} has no split {unknown[0]!r}; it has {', '.join(benchmark.splits)}.")
    folder = _benchmark_folder(benchmark, annotations)
    refs_file, instances_file = folder / benchmark.refs, folder / "instances.json"
    references = _references(refs_file, benchmark)
    if reading.splits:
        references = [reference for reference in references if reference.split in reading.splits]
    instances = Instances.load(instances_file)

    sizes: dict[str, tuple[int, int] | None] = {}
    for reference in references:
        if reference.annotation_id not in instances.annotations:
            raise UserError(
                f"{refs_file}: ref {reference.ref_id} names annotation {reference.annotation_id}, which is not in "
                f"{instances_file}: take both files from the same release."
            )
        image, height, width = instances.image_of(reference.annotation_id)
        sizes[image] = (height, width)
    found = find_images(images, USUAL_IMAGE_FOLDERS, sizes, reading)

    rows: dict[str, list[ReferredObject]] = {split: [] for split in benchmark.splits}
    for reference in reading.track(references, "reading masks", len(references)):
        row = instances.row(reference.annotation_id, reference.ref_id, reference.expressions)
        if row.image in found.sizes:
            rows[reference.split].append(row)
    return Collection(
        rows={split: of_split for split, of_split in rows.items() if of_split},
        image_folder=found.folder,
        files=[refs_file, instances_file],
        missing_images=found.missing,
    )


def _benchmark_folder(benchmark: ReferBenchmark, annotations: Path) -> Path:
    if not annotations.is_dir():
        raise UserError(f"there is no annotation folder {annotations}: give REFER's data folder with --annotations.")
    for folder in (annotations / benchmark.folder, annotations):
        if (folder / benchmark.refs).is_file():
            return folder
    raise UserError(
        f"{benchmark.name} needs {benchmark.folder}/{benchmark.refs}, which is not in {annotations}: "
        "give REFER's data folder with --annotations."
    )


def _references(path: Path, benchmark: ReferBenchmark) -> list[_Reference]:
    entries = read_plain_pickle(path)
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path} is not a list of referred objects: get the file anew.")
    references = []
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        try:
            reference = _reference(entry)
        except KeyError as error:
            raise UserError(f"{path}: entry {number} has no {error.args[0]}: get the file anew.") from None
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}: entry {number} is damaged ({error}): get the file anew.") from None
        if reference.split not in benchmark.splits:
            raise UserError(
                f"{path}: ref {reference.ref_id} is of the split {reference.split!r}, which {benchmark.name} does not "
                f"have (it has {', '.join(benchmark.splits)}): get the file anew."
            )
        if reference.ref_id in seen:
            raise UserError(f"{path}: ref {reference.ref_id} stands there twice: get the file anew.")
        seen.add(reference.ref_id)
        references.append(reference)
    return references


def _reference(entry: Any) -> _Reference:
    ref_id, annotation_id, split = entry["ref_id"], entry["ann_id"], entry["split"]
    if not isinstance(ref_id, int) or not isinstance(annotation_id, int) or not isinstance(split, str):
        raise ValueError("its ref_id, ann_id or split has the wrong type")
    texts = [sentence["sent"] for sentence in entry["sentences"]]
    return _Reference(str(ref_id), annotation_id, split, expression_texts(texts))
