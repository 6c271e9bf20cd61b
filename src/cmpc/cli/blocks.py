"""Make Blocks, the built-in benchmark: rendered scenes and expressions that need relations.

Nothing is downloaded. The result is a prepared dataset that every command takes. The same seed, size and numbers give
the same dataset, whatever the number of workers; an interrupted run continues when it is started again.

From a dataset that is there already, --phrases, --without-language and --without-images make others to learn from.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cmpc.errors import UsageError

if TYPE_CHECKING:
    from cmpc.data.schema import DatasetInfo


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
    phrases: Path | None = None
    """Instead of new scenes: phrases about those of this Blocks dataset, where "the red cube" asks for every red cube:
    a lesson for the first stage of a training."""
    without_language: Path | None = None
    """Instead of new scenes: a copy of this prepared dataset in which every expression is "the object"."""
    without_images: Path | None = None
    """Instead of new scenes: a copy of this prepared dataset in which every photo is grey."""


_OF_NEW_SCENES = ("images", "seed", "size", "split", "workers")
_OF_A_DATASET: dict[str, tuple[str, ...]] = {"phrases": ("seed",), "without_language": (), "without_images": ()}
"""Options that derive a dataset from another one -> the options of new scenes that they take too."""


def written(options: Options) -> Path:
    """The folder that no other process may write meanwhile."""
    return options.out


def run(options: Options) -> None:
    """Makes the dataset and prints what it holds."""
    derived_from = _derived_from(options)
    info = _make_scenes(options) if derived_from is None else _derive(options)
    for split, held in info.splits.items():
        print(
            f"{options.out} {split}: {held.images:,} images, {held.objects:,} objects, {held.expressions:,} expressions"
        )
    if derived_from is None and "test" in info.splits:
        from rich.console import Console

        from cmpc.evaluation.blocks_baselines import baseline_table

        Console().print(baseline_table(options.out, "test"))


def _derived_from(options: Options) -> str | None:
    """Which of the options that derive a dataset is given; None for new scenes.

    Raises:
        UsageError: options contradict each other, or a number is too low.
    """
    given = [name for name in _OF_A_DATASET if getattr(options, name) is not None]
    if len(given) > 1:
        raise UsageError(f"{_flag(given[0])} and {_flag(given[1])} make different datasets: give one of them.")
    if not given:
        if options.images < 1:
            raise UsageError(f"--images is a number from 1, not {options.images}.")
        if options.workers < 0:
            raise UsageError(f"--workers is a number from 0, not {options.workers}.")
        return None
    meaningless = set(_OF_NEW_SCENES) - set(_OF_A_DATASET[given[0]])
    for field in dataclasses.fields(Options):
        if field.name in meaningless and getattr(options, field.name) != field.default:
            raise UsageError(f"{_flag(field.name)} is for new scenes, {_flag(given[0])} takes those that are there.")
    if options.out.resolve() == getattr(options, given[0]).resolve():
        raise UsageError(f"{options.out} is the dataset to read: give another folder with --out.")
    return given[0]


def _derive(options: Options) -> DatasetInfo:
    from cmpc.blocks.phrases import write_phrases
    from cmpc.data.blind import write_blind_copy

    if options.phrases is not None:
        return write_phrases(options.phrases, options.out, seed=options.seed)
    if options.without_language is not None:
        return write_blind_copy(options.without_language, options.out, "language")
    assert options.without_images is not None
    return write_blind_copy(options.without_images, options.out, "image")


def _make_scenes(options: Options) -> DatasetInfo:
    from cmpc.blocks.dataset import Settings, make_blocks
    from cmpc.cli.progress import progress_bar
    from cmpc.processes import usable_cores

    rest = max(options.images // 20, 20)
    counts: dict[str, int] = {split: options.images if split == "train" else rest for split in options.split}
    settings = Settings(seed=options.seed, size=options.size, splits=counts)
    workers = options.workers or usable_cores()
    with progress_bar() as bar:
        task = bar.add_task("rendering", total=sum(counts.values()))
        return make_blocks(options.out, settings, workers=workers, advance=lambda n: bar.advance(task, n))


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
