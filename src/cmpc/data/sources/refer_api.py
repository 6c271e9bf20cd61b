"""UNC (RefCOCO), UNC+ (RefCOCO+), Gref, RefCOCOg, gRefCOCO, Ref-ZOM, and others with the layout of the REFER toolkit.

Each benchmark is a folder with a list of what expressions refer to, ``refs(<division>).p``, and COCO's
``instances.json``. Its entries name one annotation, several, or none where nothing in the photo fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmpc.data.schema import ReferredObject
from cmpc.data.sources.collection import WHOLE, Collection, Reading, find_images
from cmpc.data.sources.faults import BrokenRowError, BrokenRows
from cmpc.data.sources.fields import expression_texts, identities, identity, split_name
from cmpc.data.sources.instances import Instances
from cmpc.data.sources.json_files import read_json
from cmpc.data.sources.restricted_pickle import read_plain_pickle
from cmpc.data.sources.upright import counted, listed
from cmpc.errors import UsageError, UserError


@dataclass(frozen=True)
class ReferBenchmark:
    """Where a benchmark of the REFER toolkit's layout lies and how it is divided."""

    name: str
    """Its name here, which is the original program's."""
    folder: str
    """Its folder in the toolkit's ``data``."""
    refs: str
    """The list of what is referred to: a pickle, or JSON where it is named so."""
    splits: tuple[str, ...] = ()
    """The splits that the list may name; whatever it names where empty."""
    without_crowds: bool = False
    """Whether annotations that mark a crowd are no part of several objects, as gRefCOCO's program has it."""
    instances: str = "instances.json"
    """The file with the annotations."""
    annotates_all: bool = True
    """Whether it has every thing of its categories that is in its images, not only what is referred to."""


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        ReferBenchmark("unc", "refcoco", "refs(unc).p", ("train", "val", "testA", "testB")),
        ReferBenchmark("unc+", "refcoco+", "refs(unc).p", ("train", "val", "testA", "testB")),
        ReferBenchmark("gref", "refcocog", "refs(google).p", ("train", "val", "test")),
        ReferBenchmark("refcocog", "refcocog", "refs(umd).p", ("train", "val", "test")),
        ReferBenchmark(
            "grefcoco", "grefcoco", "grefs(unc).json", ("train", "val", "testA", "testB"), without_crowds=True
        ),
        ReferBenchmark("ref-zom", "ref-zom", "refs(final).p", annotates_all=False),  # its authors do not say it
    )
}

NO_TARGET = -1
"""What stands for an annotation where nothing is referred to."""

USUAL_IMAGE_FOLDERS = (
    "train2014",
    "images/train2014",
    "mscoco/images/train2014",
    "images/mscoco/images/train2014",
    "trainval2014",
    "images/trainval2014",
    "images",
    "JPEGImages",
    "images/JPEGImages",
)
"""Where photos lie below a folder that people may give instead."""


@dataclass(frozen=True)
class _Reference:
    """An entry of the list, checked."""

    place: str
    """Such as ``entry 7``."""
    ref_id: str
    annotation_ids: tuple[int | str, ...]
    """Empty where the expressions refer to nothing."""
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
        images: the folder with the photos, such as ``train2014`` of COCO, or one above it.
        reading: which splits, and what to do about images.

    Raises:
        UsageError: the benchmark has no such split.
        UserError: a file is missing or damaged, or an entry contradicts another.
    """
    if benchmark.splits:
        _check_splits(benchmark.name, reading.splits, benchmark.splits)
    folder = _benchmark_folder(benchmark, annotations)
    refs_file, instances_file = folder / benchmark.refs, folder / benchmark.instances
    broken = BrokenRows(reading.skip_broken)
    references = _references(refs_file, benchmark, broken)
    splits = benchmark.splits or tuple(dict.fromkeys(reference.split for reference in references))
    if reading.splits:
        _check_splits(benchmark.name, reading.splits, splits)
        references = [reference for reference in references if reference.split in reading.splits]
    silent = [reference.ref_id for reference in references if not reference.expressions]
    references = [reference for reference in references if reference.expressions]
    instances = Instances.load(instances_file)

    sizes: dict[str, tuple[int, int] | None] = {}
    checked: list[tuple[_Reference, int | str]] = []
    for reference in references:
        with broken.told("references that their annotations contradict", _place(refs_file, reference)):
            image_id = instances.common_image(reference.annotation_ids, reference.image_id)
            instances.add_size(image_id, sizes)
            checked.append((reference, image_id))
    if not checked:
        raise broken.nothing_left(f"{refs_file} holds no expression that can be used")
    found = find_images(images, USUAL_IMAGE_FOLDERS, sizes, reading, broken, if_both_fit="keep")

    rows: dict[str, list[ReferredObject]] = {split: [] for split in splits}
    for reference, image_id in reading.track(checked, "reading masks", len(checked)):
        with broken.told("broken masks", _place(refs_file, reference)):
            if instances.image(image_id)[0] not in found.sizes:
                continue
            ids = reference.annotation_ids
            if benchmark.without_crowds and len(ids) > 1:
                ids = tuple(one for one in ids if not instances.is_crowd(one)) or ids
            row = instances.row(
                reference.ref_id, image_id, ids, reference.expressions, annotates_all=benchmark.annotates_all
            )
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


def layout(name: str, annotations: Path, refs: str, instances: Path | None) -> ReferBenchmark:
    """A benchmark that this program does not know, but which has the toolkit's layout.

    Args:
        name: what to call it.
        annotations: its folder.
        refs: its list of what is referred to, below the folder.
        instances: its annotations; ``instances.json`` beside the list where not given.

    Raises:
        UserError: there is no such list.
    """
    if not annotations.is_dir():
        raise UserError(f"there is no annotation folder {annotations}: give the benchmark's own with --annotations.")
    if not (annotations / refs).is_file():
        there = sorted(path.name for pattern in ("*.p", "*refs*.json") for path in annotations.glob(pattern))
        raise UserError(
            f"there is no {annotations / refs}: give the list of what is referred to with --refs"
            f"{f' (there is {listed(there)})' if there else ''}."
        )
    file = (annotations / refs).with_name("instances.json") if instances is None else instances
    return ReferBenchmark(name, ".", refs, instances=str(file.absolute()), annotates_all=False)


def image_folder_of(annotations: Path) -> Path:
    """Where a benchmark's photos most often lie, seen from its own folder: in it, or where the toolkit has them, in
    ``images/<name>`` beside it."""
    beside = annotations.parent / "images"
    if any((annotations / place).is_dir() for place in USUAL_IMAGE_FOLDERS):
        return annotations
    return next((path for path in (beside / annotations.name, beside) if path.is_dir()), annotations)


def _check_splits(name: str, wanted: Sequence[str], splits: Sequence[str]) -> None:
    if unknown := [split for split in wanted if split not in splits]:
        raise UsageError(f"{name} has no split {unknown[0]!r}; it has {', '.join(splits)}.")


def _place(path: Path, reference: _Reference) -> str:
    return f"{path}, {reference.place} (ref {reference.ref_id})"


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
    entries = read_json(path) if path.suffix == ".json" else read_plain_pickle(path)
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path} is not a list of referred objects: get the file anew.")
    references: dict[str, _Reference] = {}
    for number, entry in enumerate(entries, start=1):
        place = f"entry {number}"
        with broken.told("damaged references", f"{path}, {place}"):
            reference = _reference(entry, place)
            if benchmark.splits and reference.split not in benchmark.splits:
                raise ValueError(
                    f"ref {reference.ref_id} is of the split {reference.split!r}, which {benchmark.name} does not have "
                    f"(it has {', '.join(benchmark.splits)})"
                )
            if reference.ref_id in references:
                raise BrokenRowError("references that stand twice", f"ref {reference.ref_id} stands there twice")
            references[reference.ref_id] = reference
    return list(references.values())


def _reference(entry: Any, place: str) -> _Reference:
    """
    Raises:
        BrokenRowError: its list of annotations contradicts itself.
        ValueError: it lacks something, or something is of another type.
    """
    try:
        ref_id, split = entry["ref_id"], entry["split"]
        texts = [sentence["sent"] for sentence in entry["sentences"]]
        image_id = identity(entry["image_id"]) if "image_id" in entry else None
        annotation_ids = () if entry.get("source") == "zero" else _annotation_ids(entry["ann_id"])  # Ref-ZOM's mark
        expressions = expression_texts(texts) if texts else ()
        return _Reference(place, str(identity(ref_id)), annotation_ids, image_id, split_name(split), expressions)
    except KeyError as error:
        raise ValueError(f"it has no {error.args[0]}") from None
    except (TypeError, AttributeError):
        raise ValueError("it is damaged: it does not have the form of a referred object") from None
    except BrokenRowError:
        raise
    except ValueError as error:
        raise ValueError(f"it is damaged ({error})") from None


def _annotation_ids(value: Any) -> tuple[int | str, ...]:
    """
    Raises:
        BrokenRowError: an annotation stands there twice, or beside what says that there is none.
        ValueError: there is something else than ids.
    """
    found = identities(value)
    if found == (NO_TARGET,):
        return ()
    if NO_TARGET in found:
        raise BrokenRowError(
            "lists of annotations with -1 in them", f"-1, which stands for no annotation, stands among {len(found)}"
        )
    return found
