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

from cmpc.errors import UsageError, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from cmpc.data.query import Query
    from cmpc.segmenter import Segmenter

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
RESULT_SUFFIXES = (".overlay.png", ".mask.png")
"""What earlier runs wrote beside the photos of a folder is none of them."""


@dataclass
class Options:
    """What to segment and where to write."""

    arguments: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO [PHOTO ...] EXPRESSION ...")
    ]
    """Photos first, then expressions. A photo is a file, a folder of photos, or a text file (.txt) with one path a
    line. An argument that exists or ends like a photo is one, but the last is an expression even where a folder has its
    name."""
    out: Path
    """Folder for the results: for each photo an overlay PNG, a mask PNG per expression, and a JSON file."""
    model: str | None = None
    """Folder of the model, or its name on the Hugging Face hub; by default the one that ships, which knows blocks."""
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
    photos, expressions = split_arguments(options.arguments)
    if not 0 <= options.threshold <= 1:
        raise UsageError(f"--threshold must lie between 0 and 1, got {options.threshold}.")
    if options.out.exists() and not options.out.is_dir():
        raise UserError(f"{options.out} is a file: give a folder with --out.")
    start = time.perf_counter()
    from rich.console import Console

    from cmpc.segmenter import Segmenter
    from cmpc.weights import SHIPPED_MODEL_KNOWS

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if options.model is None:
        console.print(SHIPPED_MODEL_KNOWS, style="yellow")
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


def split_arguments(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Photos and expressions: the first argument is a photo, and so are those after it that exist or look like one.

    The last one may be an expression that happens to be the name of a folder.

    Raises:
        UsageError: there is no photo or no expression.
        UserError: a photo, or one of a list, is missing, or a folder holds none.
    """
    photos: list[Path] = []
    rest = list(arguments)
    while rest and rest[0].strip() and (not photos or _looks_like_photo(rest[0], last=len(rest) == 1)):
        photos += _photos(Path(rest.pop(0)))
    if not photos or not rest:
        raise UsageError("say what to look for: cmpc segment PHOTO 'EXPRESSION' ['MORE' ...] --out FOLDER.")
    return photos, rest


def _looks_like_photo(argument: str, *, last: bool) -> bool:
    try:
        exists = Path(argument).is_file() or (Path(argument).is_dir() and not last)
    except OSError:  # an expression that is too long for a file's name
        exists = False
    return exists or argument.lower().endswith(PHOTO_SUFFIXES)


def _photos(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(
            file
            for file in path.iterdir()
            if file.suffix.lower() in PHOTO_SUFFIXES and not file.name.endswith(RESULT_SUFFIXES)
        )
        if not found:
            raise UserError(f"the folder {path} holds no photo ({', '.join(PHOTO_SUFFIXES)}).")
        return found
    if not path.exists():
        raise UserError(f"there is no photo {path}: give a file, a folder, or a text file with one path a line.")
    if path.suffix.lower() == ".txt":
        return _listed_photos(path)
    return [path]


def _listed_photos(path: Path) -> list[Path]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a list of photos: it is not UTF-8 text with one path a line.") from None
    listed = [path.parent / line for line in lines if line]
    if not listed:
        raise UserError(f"{path} lists no photo: write one path a line.")
    if missing := [str(file) for file in listed if not file.is_file()]:
        raise UserError(f"{len(missing)} of {len(listed)} photos listed in {path} are missing (first: {missing[0]}).")
    return listed


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
