"""Make more photos to learn from: parts of annotated photos with things of others pasted into them.

Takes annotations in the format of COCO's instances_*.json and writes the photos and the new scenes with their masks, in
the same format, for cmpc phrase and cmpc pretrain. The same seed gives the same scenes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cmpc.cli.annotation_files import annotation_files
from cmpc.errors import UsageError


@dataclass(kw_only=True)
class Options:
    annotations: tuple[str, ...]
    """Annotation files, each with its split: train=instances_train.json val=instances_val.json. New scenes are made of
    the photos of the first, and belong to it; a file without a split is train."""
    images: Path
    """Folder that holds the photos, or the one above it."""
    out: Path
    """Folder to write: images/ and instances_<split>.json. One that stands there is replaced."""
    scenes: int = 20_000
    """How many new scenes to make."""
    seed: int = 0
    """Another seed gives other scenes."""
    workers: int = 0
    """Processes; 0: as many as this process may use cores."""


def written(options: Options) -> Path:
    """The folder that no other process may write meanwhile."""
    return options.out


def run(options: Options) -> None:
    """Makes the scenes and prints what there is."""
    for name in ("scenes", "seed", "workers"):
        if getattr(options, name) < 0:
            raise UsageError(f"--{name} must not be negative, got {getattr(options, name)}.")
    from cmpc.cli.progress import progress_bar
    from cmpc.phrasing.composed_photos import check_output_folder, compose
    from cmpc.processes import usable_cores

    check_output_folder(options.out, options.images)
    with progress_bar() as progress:
        task = progress.add_task("composing", total=options.scenes)
        made = compose(
            annotation_files(options.annotations),
            options.images,
            options.out,
            scenes=options.scenes,
            seed=options.seed,
            workers=options.workers or usable_cores(),
            advance=lambda count: progress.advance(task, count),
        )
    print(f"{options.out}: {made.photos:,} photos and {made.scenes:,} new scenes with {made.things:,} things")
