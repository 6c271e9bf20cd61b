"""UNC (RefCOCO), UNC+ (RefCOCO+), Gref and RefCOCOg, from the files of the REFER toolkit.

Each benchmark is a folder with a pickle of the referred objects, ``refs(<division>).p``, and COCO's ``instances.json``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmpc.data.schema import ReferredObject
from cmpc.data.sources.collection import WHOLE, Collection, Reading, find_images
from cmpc.data.sources.faults import BrokenRows
from cmpc.data.sources.fields import expression_texts, identity
from cmpc.data.sources.instances import Instances
from cmpc.data.sources.restricted_pickle import read_plain_pickle
from cmpc.data.sources.upright import counted, listed
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
    annotation_id: int | str
    image_id: int | str | None
    """None where the entry does not say it."""
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
    broken = BrokenRows(reading.skip_broken)
    references = _references(refs_file, benchmark, broken)
    if reading.splits:
        references = [reference for reference in references if reference.split in reading.splits]
    silent = [reference.ref_id for reference in references if not reference.expressions]
    references = [reference for reference in references if reference.expressions]
    instances = Instances.load(instances_file)

    sizes: dict[str, tuple[int, int] | None] = {}
    checked: list[_Reference] = []
    for reference in references:
        with broken.told("references that their annotations contradict", f"{refs_file}: ref {reference.ref_id}"):
            _check_annotation(reference, instances)
            instances.add_size(reference.annotation_id, sizes)
            checked.append(reference)
    if not checked:
        raise broken.nothing_left(f"{refs_file} holds no expression that can be used")
    found = find_images(images, USUAL_IMAGE_FOLDERS, sizes, reading, broken, if_both_fit="keep")

    rows: dict[str, list[ReferredObject]] = {split: [] for split in benchmark.splits}
    for reference in reading.track(checked, "reading masks", len(checked)):
        with broken.told("broken masks", f"{refs_file}: ref {reference.ref_id}"):
            row = instances.row(reference.annotation_id, reference.ref_id, reference.expressions)
            if row.image in found.sizes:
                rows[reference.split].append(row)
    if not any(rows.values()):
        raise broken.nothing_left(f"{refs_file} holds no expression that can be used")
    notes = found.turned.lines()
    if silent:
        notes.append(f"{counted(silent, 'reference')} left out for want of a sentence (ref {listed(silent)}).")
    return Collection(
        rows={split: of_split for split, of_split in rows.items() if of_split},
        image_folder=found.folder,
        files=[refs_file, instances_file],
        missing_images=found.missing,
        turned_images=found.turned.turned,
        broken=dict(broken.faults.counts),
        notes=notes + broken.lines(),
    )


def _check_annotation(reference: _Reference, instances: Instances) -> None:
    """
    Raises:
        ValueError: there is no such annotation, or it is of another image.
    """
    if reference.annotation_id not in instances.annotations:
        raise ValueError(
            f"it names annotation {reference.annotation_id}, which is not in {instances.path}: take both files from "
            "the same release"
        )
    image_id = instances.image_id_of(reference.annotation_id)
    if reference.image_id is not None and reference.image_id != image_id:
        raise ValueError(
            f"it is about image {reference.image_id}, but its annotation {reference.annotation_id} is of image "
            f"{image_id}: take both files from the same release"
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


def _references(path: Path, benchmark: ReferBenchmark, broken: BrokenRows) -> list[_Reference]:
    entries = read_plain_pickle(path)
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path} is not a list of referred objects: get the file anew.")
    references: dict[str, _Reference] = {}
    for number, entry in enumerate(entries):
        with broken.told("damaged references", f"{path}: entry {number}"):
            reference = _reference(entry)
            if reference.split not in benchmark.splits:
                raise ValueError(
                    f"ref {reference.ref_id} is of the split {reference.split!r}, which {benchmark.name} does not have "
                    f"(it has {', '.join(benchmark.splits)})"
                )
            if reference.ref_id in references:
                raise UserError(f"{path}: ref {reference.ref_id} stands there twice: get the file anew.")
            references[reference.ref_id] = reference
    return list(references.values())


def _reference(entry: Any) -> _Reference:
    """
    Raises:
        ValueError: it lacks something, or something is of another type.
    """
    try:
        ref_id, annotation_id, split = entry["ref_id"], entry["ann_id"], entry["split"]
        texts = [sentence["sent"] for sentence in entry["sentences"]]
        image_id = identity(entry["image_id"]) if "image_id" in entry else None
        if not isinstance(split, str):
            raise ValueError("its split is no text")
        expressions = expression_texts(texts) if texts else ()
        return _Reference(str(identity(ref_id)), identity(annotation_id), image_id, split, expressions)
    except KeyError as error:
        raise ValueError(f"it has no {error.args[0]}") from None
    except (TypeError, AttributeError):
        raise ValueError("it is damaged: it does not have the form of a referred object") from None
    except ValueError as error:
        raise ValueError(f"it is damaged ({error})") from None
