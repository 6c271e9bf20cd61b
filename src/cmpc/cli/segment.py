"""Find what referring expressions refer to in photos: masks as PNG, COCO RLE and polygons, drawn over the photo.

cmpc segment photo.jpg "the left man" "white frisbee" --model MODEL --out FOLDER
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from cmpc.cli.photos import split_arguments
from cmpc.errors import UsageError, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from cmpc.data.query import Query
    from cmpc.segmenter import Segmenter


@dataclass
class Options:
    """What to segment and where to write."""

    arguments: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO [PHOTO ...] EXPRESSION ...")
    ]
    """Photos first, then expressions. A photo is a file, a folder of photos, a pattern such as 'photos/*.jpg', or a
    text file (.txt) with one path or pattern a line. An argument that exists or ends like a photo is one, but the last
    is an expression even where a folder has its name."""
    out: Path
    """Folder for the results: for each photo an overlay PNG, a mask PNG per expression, and a JSON file."""
    model: str | None = None
    """Folder of the model, its name on the Hugging Face hub, or photos or blocks for those that ship; by default
    photos."""
    threshold: float = 0.5
    """Pixels at least this likely form the mask, 0 to 1."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps. Exported models run on the CPU."""
    engine: Literal["torch", "onnx", "openvino"] | None = None
    """What computes; by default what the folder is for: torch, or what cmpc export was told."""
    precision: Literal["fp32", "bf16", "int8"] | None = None
    """In which numbers; by default those of the folder."""


def run(options: Options) -> None:
    """Segments every photo with every expression; a broken photo among several does not stop the others."""
    notes: list[str] = []
    photos, expressions = split_arguments(options.arguments, notes.append)
    if not 0 <= options.threshold <= 1:
        raise UsageError(f"--threshold must lie between 0 and 1, got {options.threshold}.")
    if options.out.exists() and not options.out.is_dir():
        raise UserError(f"{options.out} is a file: give a folder with --out.")
    start = time.perf_counter()
    from rich.console import Console

    from cmpc.segmenter import Segmenter
    from cmpc.weights import DEFAULT_MODEL_KNOWS

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for note in notes:
        console.print(note, style="yellow", markup=False)
    if options.model is None:
        console.print(DEFAULT_MODEL_KNOWS, style="yellow")
    segmenter = Segmenter.load(options.model, engine=options.engine, precision=options.precision, device=options.device)
    for expression in expressions:
        warn_of_lost_words(segmenter.query(expression), console)
    console.print(f"model loaded in {time.perf_counter() - start:.2f} s")
    failures: list[str] = []
    for name, photo in _names(photos).items():
        try:
            _segment(segmenter, photo, name, expressions, options, console)
        except UserError as error:
            failures.append(str(error))
            if len(photos) > 1:
                console.print(f"{photo}: failed: {error}", style="yellow", markup=False)
    if len(failures) < len(photos):
        console.print(f"results in {options.out}", markup=False)
    if len(photos) > 1 and failures:
        raise UserError(f"{len(failures)} of {len(photos)} photos failed, the others are done; first: {failures[0]}")
    if failures:
        raise UserError(failures[0])


def warn_of_lost_words(query: Query, console: Console) -> None:
    """Says which words of an expression the model does not read or does not know."""
    if query.cut:
        lost = "the last one" if len(query.cut) == 1 else f"the last {len(query.cut)}"
        sentence = f"The model reads only the first {len(query.words)} words of {query.text!r}, not {lost}."
        console.print(sentence, style="yellow", markup=False)
    if query.unknown:
        names = ", ".join(map(repr, query.unknown))
        sentence = f"The model does not know {names} and answers {query.text!r} without."
        console.print(sentence, style="yellow", markup=False)


def _names(photos: Sequence[Path]) -> dict[str, Path]:
    """A name for the results of each photo: its own, numbered where two photos share it."""
    names: dict[str, Path] = {}
    for photo in photos:
        name, number = photo.stem, 2
        while name in names:
            name, number = f"{photo.stem}-{number}", number + 1
        names[name] = photo
    return names


def _segment(
    segmenter: Segmenter, photo: Path, name: str, expressions: list[str], options: Options, console: Console
) -> None:
    from cmpc.answers.results import write_results
    from cmpc.data.images import read_image

    times = [time.perf_counter()]
    pixels = read_image(photo, exif_rotation=True)
    times.append(time.perf_counter())
    seen = segmenter.set_image(pixels)
    times.append(time.perf_counter())
    predictions = segmenter.predict(expressions, image=seen, threshold=options.threshold)
    times.append(time.perf_counter())
    results = write_results(options.out, name, photo, pixels, predictions)
    times.append(time.perf_counter())
    read, see, ask, write = (after - before for before, after in itertools.pairwise(times))
    console.print(
        f"{photo}: read {read:.2f} s, image {see:.2f} s, "
        f"{len(expressions)} expression{'s' * (len(expressions) != 1)} {ask:.2f} s, written {write:.2f} s",
        markup=False,
    )
    for result in results:
        part = result["area"] / (pixels.shape[0] * pixels.shape[1])
        found = f"score {result['score']:.2f}, {part:.1%} of the image" if part else "nothing found"
        console.print(f"  {result['expression']!r}: {found}", markup=False)
