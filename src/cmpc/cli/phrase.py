"""Makes referring expressions for instances that have masks but no expressions.

Takes annotations in the format of COCO's instances_*.json and writes a prepared dataset that every command reads.
An expression is used only where it fits exactly one thing of its photo, by a margin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from cmpc.cli.annotation_files import annotation_files
from cmpc.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from cmpc.data.schema import DatasetInfo
    from cmpc.phrasing.dataset import Phrases

T = TypeVar("T")

MOST_EXPRESSIONS = 1_000
"""Of a kind for each object or photo; nobody can say more of them."""


@dataclass(kw_only=True)
class Options:
    annotations: tuple[str, ...]
    """Annotation files, each with its split: train=instances_train.json val=instances_val.json. A file without a split
    is train."""
    images: Path
    """Folder that holds the photos, or the one above it."""
    out: Path
    """Folder to write the prepared dataset to. A prepared dataset that stands there is replaced."""
    name: str = "phrases"
    """What to call the dataset."""
    licence: str = ""
    """Under what terms the data may be used, kept in dataset.json."""
    per_object: int = 5
    """Expressions for each object; fewer where not so many can be said."""
    several_per_photo: int = 0
    """Most expressions for each photo that fit several of its objects: "both dogs"."""
    absent_per_photo: int = 0
    """Most expressions for each photo that fit nothing in it, for networks that tell so (preset photos). Only of kinds
    of which the photo's annotation says that all are there."""
    loose_names: bool = False
    """Call the only person of a photo man, woman, guy, lady, boy, girl or kid too, whoever it is, the only dog puppy,
    the only cat kitten and so on: masks do not tell, and a model that never heard these words answers people badly."""
    seed: int = 0
    """Another seed gives other expressions."""
    quality: tuple[Literal["exact", "teacher", "split", "rough"], ...] = ("exact",)
    """Which annotations may be referred to, by their field "quality"; all others are only spoken of beside them.
    Annotations without the field are exact."""
    smallest: float = 0.005
    """Share of the photo, 0 to 1, from which an object may be referred to."""
    skip_broken: bool = False
    """Leave out what is broken (photos missing or of another size, broken masks, categories without names) and count
    it, instead of stopping."""
    exif: Literal["auto", "turn", "keep", "refuse"] = "auto"
    """What to do about photos that are stored turned, with an EXIF orientation: turn them upright, keep them as they
    are stored, or refuse them; auto: whichever of both the annotations fit, by their width and height."""
    pack: bool = False
    """Copy the photos into the prepared folder, so that it can be moved and no image folder is needed."""


def written(options: Options) -> Path:
    """The folder that no other process may write meanwhile."""
    return options.out


def run(options: Options) -> None:
    """Reads the annotations, makes expressions, writes the tables and prints the counts."""
    files = _files(options)
    from rich.console import Console

    from cmpc.cli.progress import progress_bar
    from cmpc.data.schema import DatasetInfo, check_output_folder, write_dataset
    from cmpc.files import file_hash
    from cmpc.phrasing.dataset import PhraseSettings, make_phrases

    check_output_folder(options.out)
    with progress_bar() as progress:
        reading = progress.add_task("reading annotations", total=None)

        def track(items: Iterable[T], what: str, total: int) -> Iterable[T]:
            progress.update(reading, visible=False)
            return progress.track(items, total=total, description=what)

        settings = PhraseSettings(
            options.per_object,
            options.seed,
            options.quality,
            options.smallest,
            options.several_per_photo,
            options.absent_per_photo,
            options.loose_names,
        )
        phrases = make_phrases(
            files, options.images, settings, skip_broken=options.skip_broken, exif=options.exif, track=track
        )
        info = DatasetInfo(
            name=options.name,
            images=str(phrases.image_folder.resolve()),
            licence=options.licence,
            sources={path.name: file_hash(path) for path in files.values()},
            missing_images=phrases.missing_images,
            turned_images=phrases.turned.turned,
            broken=dict(phrases.faults.counts),
        )
        packing = None
        if options.pack:
            images = {row.image for rows in phrases.rows.values() for row in rows}
            packing = progress.add_task("packing images", total=len(images))
        info = write_dataset(
            options.out,
            info,
            phrases.rows,
            pack_from=phrases.image_folder if options.pack else None,
            advance=lambda: None if packing is None else progress.advance(packing),
        )
    _print_summary(Console(), info, phrases, options.out)


def _files(options: Options) -> dict[str, Path]:
    """Split -> annotation file."""
    from cmpc.data.sources.published import PUBLISHED

    if not options.name.strip() or options.name in PUBLISHED:
        raise UsageError(f"--name {options.name!r} is empty or the name of a benchmark: choose another.")
    for name, least in (("per_object", 1), ("several_per_photo", 0), ("absent_per_photo", 0)):
        if not least <= (value := getattr(options, name)) <= MOST_EXPRESSIONS:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} is a number from {least} to {MOST_EXPRESSIONS:,}, not {value:,}.")
    if not 0 <= options.smallest < 1:
        raise UsageError(f"--smallest is a share from 0 to 1, not {options.smallest:g}.")
    if not options.quality:
        raise UsageError("--quality needs at least one of exact, teacher, split, rough.")
    return annotation_files(options.annotations)


def _print_summary(console: Console, info: DatasetInfo, phrases: Phrases, out: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    from cmpc.phrasing.meaning import FAMILIES

    counted = {split: Counter(group for row in rows for group in row.groups) for split, rows in phrases.rows.items()}
    table = Table("", *info.splits, title=Text(info.name), title_justify="left", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name in ("objects", "expressions", "images"):
        table.add_row(name, *(f"{getattr(counts, name):,}" for counts in info.splits.values()))
    for family in FAMILIES:
        table.add_row(f"  {family}", *(f"{counted[split][family]:,}" for split in info.splits))
    console.print(table)
    say = partial(console.print, soft_wrap=True, highlight=False, markup=False)
    if phrases.silent:
        say(f"objects that nothing tells from the others by a margin, left out: {phrases.silent:,}")
    if phrases.boxes:
        say(f"annotations with a box and no mask, spoken of only beside others: {phrases.boxes:,}")
    for line in phrases.turned.lines():
        say(line)
    for line in phrases.faults.lines():
        say(f"left out, {line}")
    say(f"written to {out}")
