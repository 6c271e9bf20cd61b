"""Find what referring expressions refer to in photos: masks as PNG, COCO, YOLO, labelme or JSON, drawn over the photo.

cmpc segment photo.jpg "the left man" "white frisbee" --model MODEL --out FOLDER
cmpc segment photos --prompts expressions.txt --format coco --model MODEL --out FOLDER
cmpc segment s3://bucket/photos "the left man" --model MODEL --out FOLDER
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from cmpc.cli.photos import AskedPhoto, asked_photos, read_photo, result_names
from cmpc.conventions import PRESENCE_THRESHOLD
from cmpc.errors import UsageError, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from cmpc.answers.formats.journal import AnswerJournal
    from cmpc.answers.formats.results_format import ResultsFormat
    from cmpc.data.query import Query
    from cmpc.file_systems import Place
    from cmpc.segmenter import Segmenter


@dataclass
class Options:
    """What to segment and where to write."""

    arguments: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO [PHOTO ...] EXPRESSION ...")
    ]
    """Photos first, then expressions. A photo is a file, a folder of photos, a pattern in quotes ('photos/*.jpg'), a
    text file (.txt) with one path or pattern a line, or a table (.csv, .tsv, .jsonl, .parquet) with a column photo and,
    if each photo has its own expressions, a column expression. An argument that exists or ends like a photo is one, but
    the last is an expression even where a folder has its name. A photo or folder may be a URL: s3://, gs://, abfss://,
    hdfs://."""
    out: Path
    """Folder for the results."""
    prompts: Path | None = None
    """File with the expressions: a text file with one a line, for all photos, or a table with the columns photo and
    expression. Then all arguments are photos."""
    format: Literal["files", "coco", "yolo", "labelme", "png", "jsonl"] = "files"
    """What to write: files (for each photo an overlay, a mask PNG per expression, and a JSON file), coco (results and a
    dataset), yolo (segmentation labels), labelme, png (one indexed PNG a photo) or jsonl (one table of all answers)."""
    polygons: bool = False
    """With --format coco: polygons in the place of run lengths. They hold no holes."""
    instances: bool = False
    """With --format coco, yolo or labelme: an object for each part of a mask that hangs together, without specks, such
    as two of "the two sheep", in the place of one for each expression."""
    cutout: bool = False
    """Write also what each mask shows alone, as PNG with transparency."""
    feather: float = 1.0
    """How soft the edge of a cutout is, in pixels; 0 for a hard edge."""
    resume: bool = False
    """Continue a run that was stopped, or that some photos failed in: those that are done are not asked again."""
    model: str | None = None
    """Folder of the model, its name on the Hugging Face hub, or photos or blocks for those that ship; by default
    photos."""
    threshold: float = 0.5
    """Pixels at least this likely form the mask, 0 to 1."""
    presence_threshold: float = PRESENCE_THRESHOLD
    """The mask is empty where the model finds it less likely that anything in the photo fits, 0 to 1; 0: never. Not
    every model tells."""
    refine: Literal["crf", "guided", "none"] = "none"
    """Draw the masks' edges to those of the photo: crf (a fully connected CRF, the extra crf), guided (a guided filter,
    quick) or none."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps. Exported models run on the CPU."""
    engine: Literal["torch", "onnx", "openvino"] | None = None
    """What computes; by default what the folder is for: torch, or what cmpc export was told."""
    precision: Literal["fp32", "bf16", "int8"] | None = None
    """In which numbers; by default those of the folder."""


def run(options: Options) -> None:
    """Segments every photo with its expressions; a broken photo among several does not stop the others."""
    notes: list[str] = []
    photos = asked_photos(options.arguments, options.prompts, notes.append)
    _check(options)
    expressions = list(dict.fromkeys(itertools.chain.from_iterable(asked.expressions for asked in photos)))
    start = time.perf_counter()
    from rich.console import Console

    from cmpc.answers.formats import results_format
    from cmpc.answers.formats.journal import AnswerJournal
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
    written = results_format(
        options.format, options.out, expressions, polygons=options.polygons, instances=options.instances
    )
    with closing(AnswerJournal(options.out, _identity(options, expressions), resume=options.resume)) as journal:
        failures = _segment_all(segmenter, photos, written, journal, options, console)
        if journal.records:
            written.finish([journal.records[name] for name in _names(photos) if name in journal.records])
            console.print(f"results in {options.out}", markup=False)
        if not failures:
            journal.finish()
    if len(photos) > 1 and failures:
        raise UserError(
            f"{len(failures)} of {len(photos)} photos failed, the others are done; mend them and go on with --resume; "
            f"first: {failures[0]}"
        )
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


def _check(options: Options) -> None:
    from cmpc.answers.formats import WITH_INSTANCES
    from cmpc.refining.refine import check_refinement

    if not 0 <= options.threshold <= 1:
        raise UsageError(f"--threshold must lie between 0 and 1, got {options.threshold}.")
    if not 0 <= options.presence_threshold <= 1:
        raise UsageError(f"--presence-threshold must lie between 0 and 1, got {options.presence_threshold}.")
    if not 0 <= options.feather <= 100:
        raise UsageError(f"--feather must lie between 0 and 100 pixels, got {options.feather}.")
    if options.polygons and options.format != "coco":
        raise UsageError("--polygons goes with --format coco; yolo and labelme write polygons anyway.")
    if options.instances and options.format not in WITH_INSTANCES:
        raise UsageError(
            f"--instances goes with --format {', '.join(WITH_INSTANCES[:-1])} or {WITH_INSTANCES[-1]}; the JSON of "
            "files and jsonl tells the instances anyway."
        )
    check_refinement(options.refine)
    if options.out.exists() and not options.out.is_dir():
        raise UserError(f"{options.out} is a file: give a folder with --out.")


def _identity(options: Options, expressions: Sequence[str]) -> dict[str, str]:
    """What answers depend on but the photos, for ``--resume``."""
    from cmpc.engines.fingerprint import fingerprint_model
    from cmpc.model_folder import located
    from cmpc.weights import DEFAULT_MODEL

    folder = located(options.model or DEFAULT_MODEL)
    return {
        "model": fingerprint_model(folder) if folder.is_dir() else str(options.model),
        "precision": str(options.precision),
        "threshold": str(options.threshold),
        "presence threshold": str(options.presence_threshold),
        "refinement": options.refine,
        "format": f"{options.format} {options.polygons} {options.instances} {options.cutout} {options.feather}",
        "expressions": hashlib.sha256(json.dumps(expressions).encode()).hexdigest(),
    }


def _names(photos: Sequence[AskedPhoto]) -> dict[str, Place]:
    return result_names([asked.photo for asked in photos])


def _segment_all(
    segmenter: Segmenter,
    photos: Sequence[AskedPhoto],
    written: ResultsFormat,
    journal: AnswerJournal,
    options: Options,
    console: Console,
) -> list[str]:
    """Asks about the photos that are not done; returns a sentence for each that failed."""
    from cmpc.cli.progress import progress_bar

    failures = []
    named = list(zip(_names(photos), photos, strict=True))
    left = [(name, asked) for name, asked in named if not _is_done(journal, name, asked)]
    if len(left) < len(photos):
        console.print(f"continuing: {len(photos) - len(left):,} of {len(photos):,} photos are done")
    with progress_bar(console=console) as progress:
        for name, asked in progress.track(left, description="photos"):
            try:
                _segment(segmenter, asked, name, written, journal, options, console)
            except UserError as error:
                failures.append(str(error))
                if len(photos) > 1:
                    console.print(f"{asked.photo}: failed: {error}", style="yellow", markup=False)
    return failures


def _is_done(journal: AnswerJournal, name: str, asked: AskedPhoto) -> bool:
    record = journal.records.get(name)
    if record is None:
        return False
    expressions = tuple(prediction["expression"] for prediction in record["predictions"])
    return record["photo"] == str(asked.photo) and expressions == asked.expressions


def _segment(
    segmenter: Segmenter,
    asked: AskedPhoto,
    name: str,
    written: ResultsFormat,
    journal: AnswerJournal,
    options: Options,
    console: Console,
) -> None:
    from cmpc.answers.formats.results_format import AnsweredPhoto
    from cmpc.answers.results import write_cutouts

    photo = asked.photo
    times = [time.perf_counter()]
    pixels = read_photo(photo)
    times.append(time.perf_counter())
    seen = segmenter.set_image(pixels)
    times.append(time.perf_counter())
    predictions = segmenter.predict(
        asked.expressions, image=seen, threshold=options.threshold, presence_threshold=options.presence_threshold
    )
    predictions = [prediction.refined(pixels, options.refine) for prediction in predictions]
    times.append(time.perf_counter())
    answered = AnsweredPhoto(photo, name, pixels, predictions)
    try:
        notes = written.write(answered)
    except OSError as error:
        raise UserError(f"cannot write the results of {photo} to {options.out}: {error.strerror or error}.") from None
    if options.cutout:
        write_cutouts(options.out, name, pixels, predictions, feather=options.feather)
    journal.append(answered.record)
    times.append(time.perf_counter())
    read, see, ask, write = (after - before for before, after in itertools.pairwise(times))
    count = len(predictions)
    console.print(
        f"{photo}: read {read:.2f} s, image {see:.2f} s, "
        f"{count} expression{'s' * (count != 1)} {ask:.2f} s, written {write:.2f} s",
        markup=False,
    )
    for prediction in predictions:
        if prediction.is_absent:
            console.print(
                f"  {prediction.caption} (probability that something does: {prediction.present:.2f})", markup=False
            )
            continue
        part = prediction.area / (pixels.shape[0] * pixels.shape[1])
        found = f"score {prediction.score:.2f}, {part:.1%} of the image" if part else "nothing found"
        console.print(f"  {prediction.expression!r}: {found}", markup=False)
    for note in notes:
        console.print(f"  {note}", style="yellow", markup=False)
