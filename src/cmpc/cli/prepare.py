"""Turns a benchmark, or your own data, into a folder of tables that training and evaluation read.

Masks, boxes and expressions go into the tables; images stay where they are, unless --pack copies them in.
'cmpc prepare unc --help' explains what each kind of data needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import tyro

if TYPE_CHECKING:
    from rich.console import Console

    from cmpc.data.schema import DatasetInfo
    from cmpc.data.sources.collection import Collection, Track

T = TypeVar("T")


@dataclass(kw_only=True)
class _Common:
    out: Path
    """Folder to write the prepared data to. A prepared dataset that stands there is replaced."""
    splits: tuple[str, ...] = ()
    """Prepare only these splits; all by default."""
    allow_missing: bool = False
    """Leave out the objects whose image is missing, and record which in dataset.json, instead of stopping."""
    check_images: bool = False
    """Decode every image in full, which takes minutes for a benchmark, instead of reading its header only."""
    skip_broken: bool = False
    """Leave out what is broken (rows, masks, images) and count it by reason, instead of stopping at the first."""
    exif: Literal["auto", "turn", "keep", "refuse"] = "auto"
    """What to do about photos that are stored turned, with an EXIF orientation: turn them upright, keep them as they
    are stored, or refuse them; auto: whichever of both the annotations fit, by their width and height."""
    pack: bool = False
    """Copy the image files into the prepared folder, so that it can be moved and no image folder is needed."""


@dataclass(kw_only=True)
class _ReferBenchmark(_Common):
    images: Path
    """COCO's train2014 with the photos, or a folder above it."""
    annotations: Path
    """REFER's data folder, with refcoco/, refcoco+/ or refcocog/ in it, or the benchmark's own folder."""


@dataclass(kw_only=True)
class Unc(_ReferBenchmark):
    """RefCOCO: refcoco/refs(unc).p and instances.json; splits train, val, testA, testB."""


@dataclass(kw_only=True)
class UncPlus(_ReferBenchmark):
    """RefCOCO+: refcoco+/refs(unc).p and instances.json; splits train, val, testA, testB."""


@dataclass(kw_only=True)
class Gref(_ReferBenchmark):
    """RefCOCOg, Google split: refcocog/refs(google).p and instances.json; splits train, val."""


@dataclass(kw_only=True)
class Refcocog(_ReferBenchmark):
    """RefCOCOg, UMD split: refcocog/refs(umd).p and instances.json; splits train, val, test."""


@dataclass(kw_only=True)
class Grefcoco(_ReferBenchmark):
    """gRefCOCO, expressions of no, one or several objects: grefcoco/grefs(unc).json and instances.json; splits train,
    val, testA, testB."""

    annotations: Path
    """The folder with grefcoco/ in it, or that folder itself."""


@dataclass(kw_only=True)
class RefZom(_ReferBenchmark):
    """Ref-ZOM, expressions of no, one or several objects: ref-zom/refs(final).p and instances.json; the splits that are
    in it."""

    images: Path
    """COCO's train2014 and val2014 in one folder, or a folder with trainval2014 in it."""
    annotations: Path
    """The folder with ref-zom/ in it, or that folder itself."""


@dataclass(kw_only=True)
class Refer(_Common):
    """Any data in the layout of the REFER toolkit, such as RRSIS-D: a list of references and instances.json; the splits
    that are in it."""

    name: str
    """What to call the dataset."""
    annotations: Path
    """Folder with the list of references."""
    refs: str = "refs(unc).p"
    """The list of references in it: a pickle, or JSON where it ends so."""
    instances: Path | None = None
    """COCO instances that the references name; by default instances.json beside the list."""
    images: Path | None = None
    """Folder that holds the images, or one above it; by default images/ in or beside the folder with the list."""
    licence: str = ""
    """Under what terms the data may be used, kept in dataset.json."""


@dataclass(kw_only=True)
class Phrasecut(_Common):
    """PhraseCut: refer_<split>.json and image_data_split3000.json; splits train, val, test, miniv, where they are
    there."""

    images: Path
    """Folder with the photos <image>.jpg of Visual Genome, or the one above its images/."""
    annotations: Path
    """Folder with the JSON files."""


@dataclass(kw_only=True)
class Referit(_Common):
    """ReferIt: mask/<image>_<n>.mat and referit_query_<split>.json; splits trainval, test."""

    images: Path
    """Folder with the photos <image>.jpg, or the one above its images/."""
    annotations: Path
    """Folder with mask/ and the query files."""


@dataclass(kw_only=True)
class Own(_Common):
    """Your own table: one JSON object a line, with an image, expressions and a mask, rle, polygon or box, a list of
    several, or an empty list where the expressions fit nothing."""

    images: Path
    """Folder that holds the images."""
    table: tyro.conf.Positional[Path]
    """The table (JSON Lines). Paths of mask files in it are relative to its folder."""
    name: str = "own"
    """What to call the dataset."""
    licence: str = ""
    """Under what terms the data may be used, kept in dataset.json."""


@dataclass(kw_only=True)
class Coco(_Common):
    """COCO instances and a list of expressions for them."""

    images: Path
    """Folder that holds the images."""
    instances: Path
    """Annotations in the format of COCO's instances_*.json."""
    expressions: Path
    """JSON list or JSON Lines of {"ann_id": 123, "expressions": ["left man"], "split": "train"}. For expressions of
    several objects a list of ids, for those of none an empty list and image_id."""
    split: str = "train"
    """Split of the entries that name none."""
    name: str = "coco"
    """What to call the dataset."""
    licence: str = ""
    """Under what terms the data may be used, kept in dataset.json."""


@dataclass
class Options:
    data: tyro.conf.OmitSubcommandPrefixes[
        Annotated[Unc, tyro.conf.subcommand("unc")]
        | Annotated[UncPlus, tyro.conf.subcommand("unc+")]
        | Annotated[Gref, tyro.conf.subcommand("gref")]
        | Annotated[Refcocog, tyro.conf.subcommand("refcocog")]
        | Annotated[Grefcoco, tyro.conf.subcommand("grefcoco")]
        | Annotated[RefZom, tyro.conf.subcommand("ref-zom")]
        | Annotated[Referit, tyro.conf.subcommand("referit")]
        | Annotated[Phrasecut, tyro.conf.subcommand("phrasecut")]
        | Annotated[Refer, tyro.conf.subcommand("refer")]
        | Annotated[Own, tyro.conf.subcommand("own")]
        | Annotated[Coco, tyro.conf.subcommand("coco")]
    ]
    """What to prepare."""


def written(options: Options) -> Path:
    """The folder that no other process may write meanwhile."""
    return options.data.out


def run(options: Options) -> None:
    """Reads the data, checks it, writes the tables and prints the counts."""
    from rich.console import Console

    from cmpc.cli.progress import progress_bar
    from cmpc.data.schema import DatasetInfo, check_output_folder, write_dataset
    from cmpc.data.sources.published import PUBLISHED
    from cmpc.errors import UsageError
    from cmpc.files import file_hash

    data = options.data
    if isinstance(data, Own | Coco | Refer) and (not data.name.strip() or data.name in PUBLISHED):
        raise UsageError(f"--name {data.name!r} is empty or the name of a benchmark: choose another.")
    check_output_folder(data.out)
    with progress_bar() as progress:
        reading = progress.add_task("reading annotations", total=None)

        def track(items: Iterable[T], what: str, total: int) -> Iterable[T]:
            progress.update(reading, visible=False)
            return progress.track(items, total=total, description=what)

        collection = _collect(data, track)
        name = _name(data)
        info = DatasetInfo(
            name=name,
            images=str(collection.image_folder.resolve()),
            licence=PUBLISHED[name].licence if name in PUBLISHED else getattr(data, "licence", ""),
            sources={file.name: file_hash(file) for file in collection.files},
            missing_images=collection.missing_images,
            turned_images=collection.turned_images,
            broken=collection.broken,
        )
        packing = None
        if data.pack:
            total = len({row.image for rows in collection.rows.values() for row in rows})
            packing = progress.add_task("packing images", total=total)
        info = write_dataset(
            data.out,
            info,
            collection.rows,
            pack_from=collection.image_folder if data.pack else None,
            advance=lambda: None if packing is None else progress.advance(packing),
        )
    _print_summary(Console(), info, data.out, collection)


_NAMES: dict[type, str] = {
    Unc: "unc",
    UncPlus: "unc+",
    Gref: "gref",
    Refcocog: "refcocog",
    Grefcoco: "grefcoco",
    RefZom: "ref-zom",
    Referit: "referit",
    Phrasecut: "phrasecut",
}


def _name(data: _Common) -> str:
    return data.name if isinstance(data, Own | Coco | Refer) else _NAMES[type(data)]


def _collect(data: _Common, track: Track) -> Collection:
    from cmpc.data.sources import coco, own, phrasecut, refer_api, referit
    from cmpc.data.sources.collection import Reading

    reading = Reading(
        splits=data.splits,
        allow_missing=data.allow_missing,
        decode_images=data.check_images,
        skip_broken=data.skip_broken,
        exif=data.exif,
        track=track,
    )
    if isinstance(data, _ReferBenchmark):
        return refer_api.collect(refer_api.BENCHMARKS[_name(data)], data.annotations, data.images, reading)
    if isinstance(data, Refer):
        layout = refer_api.layout(data.name, data.annotations, data.refs, data.instances)
        images = data.images or refer_api.image_folder_of(data.annotations)
        return refer_api.collect(layout, data.annotations, images, reading)
    if isinstance(data, Phrasecut):
        return phrasecut.collect(data.annotations, data.images, reading)
    if isinstance(data, Referit):
        return referit.collect(data.annotations, data.images, reading)
    if isinstance(data, Own):
        return own.collect(data.table, data.images, reading)
    assert isinstance(data, Coco)
    return coco.collect(data.instances, data.expressions, data.images, reading, default_split=data.split)


def _print_summary(console: Console, info: DatasetInfo, out: Path, collection: Collection) -> None:
    from rich.table import Table
    from rich.text import Text

    from cmpc.data.sources.published import PUBLISHED, Counts, compare_whole, compare_with_published

    counts = {split: Counts.of(rows) for split, rows in collection.rows.items()}
    by_target = any(found.several or found.none for found in counts.values())
    title = f"{info.name} ({PUBLISHED[info.name].title})" if info.name in PUBLISHED else info.name
    table = Table("split", title=Text(title), title_justify="left", box=None, pad_edge=False)
    for name in ("objects", "expressions", *(("of several", "of none") if by_target else ()), "images"):
        table.add_column(name, justify="right")
    if info.name in PUBLISHED:
        table.add_column("compared with the published number")
    for split, of_split in info.splits.items():
        numbers = [of_split.objects, of_split.expressions]
        numbers += [counts[split].several or 0, counts[split].none or 0] if by_target else []
        cells = [split, *(f"{number:,}" for number in (*numbers, of_split.images))]
        if info.name in PUBLISHED:
            compared = compare_with_published(info.name, split, of_split.expressions)
            cells.append(compared or "no published count")
        table.add_row(*cells)
    console.print(table)
    if compared := compare_whole(info.name, collection.rows):
        console.print(compared, soft_wrap=True, highlight=False)
    if info.missing_images:
        console.print(f"{len(info.missing_images):,} images were missing; their objects are left out.")
    for note in collection.notes:
        console.print(note, soft_wrap=True, highlight=False, markup=False)
    console.print(f"written to {out}", soft_wrap=True, highlight=False, markup=False)
