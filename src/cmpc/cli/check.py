"""Look at prepared data as a colleague would: what is said, the masks, the photos, and what the splits share.

cmpc check data/mine --out check
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from cmpc.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from cmpc.data.schema import ReferredObject


@dataclass
class Options:
    """What to look at."""

    data: tyro.conf.Positional[Path]
    """A folder that cmpc prepare made."""
    images: Path | None = None
    """Where its photos are now, if they were moved."""
    out: Path | None = None
    """Folder for a sheet of masks over photos for each split, to look at."""
    strict: bool = False
    """Exit with status 1 where there is something to mend."""


def run(options: Options) -> None:
    """Prints what there is and what to mend."""
    from rich.console import Console

    from cmpc.checking.contact_sheet import write_contact_sheet
    from cmpc.checking.expressions import check_expressions
    from cmpc.checking.masks import check_masks
    from cmpc.checking.photos import check_photos
    from cmpc.cli.progress import progress_bar
    from cmpc.data.schema import PreparedDataset

    if options.out is not None and options.out.exists() and not options.out.is_dir():
        raise UserError(f"{options.out} is a file: give a folder with --out.")
    dataset = PreparedDataset.open(options.data, options.images)
    splits = {split: dataset.read(split) for split in dataset.splits}
    with progress_bar() as progress:
        photos = len({row.image for rows in splits.values() for row in rows})
        task = progress.add_task("photos", total=photos)
        findings = [
            *check_expressions(splits),
            *check_masks(splits),
            *check_photos(dataset, splits, lambda: progress.advance(task)),
        ]
    console = Console(highlight=False, soft_wrap=True)
    console.print(_summary(splits))
    if options.out is not None:
        for split, rows in splits.items():
            if rows:
                write_contact_sheet(options.out / f"{split}.png", dataset, rows)
                console.print(f"masks of {split} to look at: {options.out / f'{split}.png'}", markup=False)
    for number, found in enumerate(findings, start=1):
        console.print(f"{number}. {found.sentence}", markup=False)
    if not findings:
        console.print("nothing to mend was found")
    elif options.strict:
        raise UserError(f"{options.data} has {len(findings)} things to mend: they are listed above.")


def _summary(splits: Mapping[str, Sequence[ReferredObject]]) -> Table:
    """Counts, and how long the expressions are."""
    import numpy as np
    from rich.table import Table

    from cmpc.data.schema import SplitInfo
    from cmpc.data.vocabulary import tokenize

    table = Table("split", box=None, pad_edge=False)
    for name in ("objects", "expressions", "photos", "words (median)", "words (most)"):
        table.add_column(name, justify="right")
    for split, rows in splits.items():
        counts = SplitInfo.of(rows)
        lengths = [len(tokenize(text)) for row in rows for text in row.expressions] or [0]
        numbers = (counts.objects, counts.expressions, counts.images, round(float(np.median(lengths))), max(lengths))
        table.add_row(split, *(f"{number:,}" for number in numbers))
    return table
