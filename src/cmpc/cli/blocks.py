"""Make Blocks, the built-in benchmark: rendered scenes and expressions that need relations.

Nothing is downloaded. The result is a prepared dataset that every command takes. The same seed, size and numbers give
the same dataset, whatever the number of workers; an interrupted run continues when it is started again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cmpc.errors import UsageError


@dataclass
class Options:
    out: Path
    """Folder to write. It appears when the dataset is whole."""
    images: int = 40_000
    """Training images. val, test and test_unseen hold a twentieth of that each, at least 20: 2,000 by default."""
    seed: int = 0
    """Another seed gives other scenes."""
    size: int = 192
    """Side of the images in pixels, 64 to 1024."""
    split: tuple[Literal["train", "val", "test", "test_unseen"], ...] = ("train", "val", "test", "test_unseen")
    """Splits to make."""
    workers: int = 0
    """Processes; 0: as many as this process may use cores."""


def run(options: Options) -> None:
    if options.images < 1:
        raise UsageError(f"--images is a number from 1, not {options.images}.")
    if options.workers < 0:
        raise UsageError(f"--workers is a number from 0, not {options.workers}.")

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from cmpc.blocks.baselines import baseline_table
    from cmpc.data.sources.blocks import Settings, make_blocks
    from cmpc.processes import usable_cores

    rest = max(options.images // 20, 20)
    counts: dict[str, int] = {split: options.images if split == "train" else rest for split in options.split}
    settings = Settings(seed=options.seed, size=options.size, splits=counts)
    workers = options.workers or usable_cores()
    columns = (TextColumn("rendering"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress_console = Console(stderr=True)
    with Progress(*columns, console=progress_console, transient=True, disable=not progress_console.is_terminal) as bar:
        task = bar.add_task("", total=sum(counts.values()))
        info = make_blocks(options.out, settings, workers=workers, advance=lambda n: bar.advance(task, n))
    console = Console()
    for split, held in info.splits.items():
        print(
            f"{options.out} {split}: {held.images:,} images, {held.objects:,} objects, {held.expressions:,} expressions"
        )
    if "test" in info.splits:
        console.print(baseline_table(options.out, "test"))
