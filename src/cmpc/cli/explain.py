"""See how a model came to its answer: the stages of the paper's first figure, as a picture or as numbers.

cmpc explain photo.jpg "the cup behind the laptop" --model MODEL --out picture.png

Each word is coloured by its type; then what the entity and attribute words find, what relations highlight and suppress,
and the mask. Several photos or expressions give one sheet with a row for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from cmpc.cli.photos import split_arguments
from cmpc.cli.segment import warn_of_lost_words
from cmpc.conventions import PRESENCE_THRESHOLD
from cmpc.errors import UsageError, UserError

if TYPE_CHECKING:
    from cmpc.arguments import ImageSource
    from cmpc.explanation import Explanation
    from cmpc.segmenter import EncodedImage, Segmenter


@dataclass
class Options:
    """What to explain and where to write."""

    arguments: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO [PHOTO ...] EXPRESSION ...")
    ]
    """Photos first, then expressions. A photo is a file, a folder of photos, or a text file with one path a line."""
    out: Path
    """File to write: picture.png, picture.svg, or picture.json for every map as numbers."""
    model: str | None = None
    """Folder of the model, its name on the Hugging Face hub, or photos or blocks for those that ship; by default
    photos."""
    levels: tuple[Literal["c3", "c4", "c5"], ...] = ()
    """Levels of the network that get a row of their own in the picture of one photo."""
    spacy_pipeline: str | None = None
    """Show the types that parts of speech suggest beside those that the model learned: name or folder of a spaCy
    pipeline, or auto for the first English one installed."""
    threshold: float = 0.5
    """Pixels at least this likely form the mask, 0 to 1."""
    presence_threshold: float = PRESENCE_THRESHOLD
    """The mask is empty where the model finds it less likely that anything in the photo fits, 0 to 1; 0: never. Not
    every model tells."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""


def run(options: Options) -> None:
    """Explains every photo with every expression; a broken photo among several does not stop the others."""
    notes: list[str] = []
    try:
        photos, expressions = split_arguments(options.arguments, notes.append)
    except UsageError:
        raise UsageError("say what to look for: cmpc explain PHOTO 'EXPRESSION' --out picture.png.") from None
    local = [photo for photo in photos if isinstance(photo, Path)]
    if len(local) < len(photos):
        raise UsageError("cmpc explain reads photos on this machine alone: copy those that a URL names.")
    from rich.console import Console

    from cmpc.explanation.files import check_rows, check_suffix, save
    from cmpc.segmenter import Segmenter
    from cmpc.weights import DEFAULT_MODEL_KNOWS

    check_suffix(options.out)
    rows = len(photos) * len(expressions)
    check_rows(rows, options.out)
    if rows > 1 and (options.levels or options.spacy_pipeline is not None):
        raise UsageError("--levels and --spacy-pipeline go with one photo and one expression: a sheet has no room.")
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for note in notes:
        console.print(note, style="yellow", markup=False)
    if options.model is None:
        console.print(DEFAULT_MODEL_KNOWS, style="yellow")
    segmenter = Segmenter.load(options.model, device=options.device)
    for expression in expressions:
        warn_of_lost_words(segmenter.query(expression), console)
    if rows == 1:
        explanation = _explained(segmenter, expressions[0], local[0], options)
        if options.spacy_pipeline is not None:
            explanation = _with_suggestions(explanation, options.spacy_pipeline)
        save(explanation, options.out, levels=options.levels)
        failures = []
    else:
        failures = _save_many(segmenter, local, expressions, options)
    console.print(f"written: {options.out}", soft_wrap=True, markup=False)
    if failures:
        raise UserError(f"{len(failures)} of {len(photos)} photos failed, the others are done; first: {failures[0]}")


def _explained(
    segmenter: Segmenter,
    expression: str,
    image: ImageSource,
    options: Options,
    seen: EncodedImage | None = None,
) -> Explanation:
    return segmenter.explain(
        expression,
        image=image,
        seen=seen,
        threshold=options.threshold,
        presence_threshold=options.presence_threshold,
    )


def _with_suggestions(explanation: Explanation, pipeline: str) -> Explanation:
    """The explanation with the types that parts of speech suggest."""
    import dataclasses

    from cmpc.data.spacy_word_types import SpacyWordTypes

    labeller = SpacyWordTypes(None if pipeline == "auto" else pipeline)
    return dataclasses.replace(explanation, suggested_types=next(labeller.label([explanation.prediction.words])))


def _save_many(segmenter: Segmenter, photos: list[Path], expressions: list[str], options: Options) -> list[str]:
    """Writes the sheet; returns what was wrong with photos that are not on it."""
    from cmpc.cli.progress import progress_bar
    from cmpc.explanation.files import save_sheet

    failures: list[str] = []
    with progress_bar() as progress:
        explanations = _explanations(segmenter, photos, expressions, options, failures)
        tracked = progress.track(explanations, total=len(photos) * len(expressions), description="explaining")
        save_sheet(tracked, options.out)
    return failures


def _explanations(
    segmenter: Segmenter, photos: list[Path], expressions: list[str], options: Options, failures: list[str]
) -> Iterator[tuple[str, Explanation]]:
    """Explains photo by photo; what is wrong with a photo goes to ``failures``, unless all are wrong."""
    from cmpc.data.images import read_image

    for photo in photos:
        try:
            pixels = read_image(photo, exif_rotation=True)
        except UserError as error:
            failures.append(str(error))
            continue
        seen = segmenter.set_image(pixels)
        for expression in expressions:
            yield str(photo), _explained(segmenter, expression, pixels, options, seen)
    if len(failures) == len(photos):
        raise UserError(failures[0])
