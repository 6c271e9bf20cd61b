"""Masks for many photos: a table or a folder in, Parquet out, in one process or on a Ray cluster.

cmpc bulk table.parquet --model MODEL --out FOLDER
cmpc bulk photos "the dog" "the person on the left" --model MODEL --out FOLDER
cmpc bulk s3://bucket/tables --model MODEL --out s3://bucket/answers --engine ray --workers 8

A row that cannot be answered is a row with an error; it stops nothing. What is interrupted goes on with --resume.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from cmpc.conventions import PRESENCE_THRESHOLD
from cmpc.errors import UsageError, UserError

if TYPE_CHECKING:
    from cmpc.file_systems import Place

MOST_ROWS = 1_000_000


@dataclass
class Options:
    """What to answer, and where to write."""

    arguments: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="INPUT [EXPRESSION ...]")]
    """INPUT is a table (.parquet, .jsonl) with the columns image (a path, a URL or, in Parquet, the bytes of a file)
    and expression (one or a list), or a folder of such tables; or, with expressions after it, a folder of photos, with
    those in folders below it. Wherever a path may stand, a URL may: s3://, gs://, abfss://, hdfs://."""
    out: str
    """Folder for the answers, a path or a URL. Each file, part-NNNNNNNN.parquet, answers some rows of the input and is
    written whole."""
    images: str | None = None
    """Folder, or URL of one, that relative paths of images are in; by default that of the table."""
    model: str | None = None
    """Folder of the model, or photos or blocks for those that ship; by default photos. Every worker must find it
    there."""
    device: str = "auto"
    """Where each worker computes: auto, cpu, cuda, ... auto takes a GPU where there is one."""
    threshold: float = 0.5
    """Pixels at least this likely form the mask, 0 to 1."""
    presence_threshold: float = PRESENCE_THRESHOLD
    """The mask is empty where the model finds it less likely that anything in the photo fits, 0 to 1; 0: never. Not
    every model tells."""
    engine: Literal["process", "ray"] = "process"
    """What shares out the work: this process alone, or Ray (the extra ray) among many. The answers are the same."""
    workers: int | None = None
    """With --engine ray: how many load the model; by default one for each GPU, or core where there is none."""
    address: str | None = None
    """With --engine ray: the cluster, such as HOST:6379; by default that of RAY_ADDRESS, else one on this machine."""
    resume: bool = False
    """Go on with a job that was interrupted: parts that are there are not asked again."""
    rows_per_part: int = 1_000
    """Rows of the input for each file of the output: what an interruption costs at most. Fewer where the table brings
    the images' bytes, for a worker holds those of a part."""
    batch_images: int = 8
    """Photos that the network sees at once."""


def written(options: Options) -> Path | None:
    """The folder that no other process may write meanwhile; None on a remote file system, which has no locks."""
    from cmpc.file_systems import place

    out = place(options.out)
    return out if isinstance(out, Path) else None


def run(options: Options) -> None:
    """Answers every row that has not been answered."""
    from rich.console import Console

    from cmpc.bulk.inputs import find_input, plan_parts
    from cmpc.bulk.job import BulkJob
    from cmpc.bulk.run import run_bulk
    from cmpc.cli.progress import progress_bar
    from cmpc.file_systems import place
    from cmpc.weights import DEFAULT_MODEL, DEFAULT_MODEL_KNOWS

    _check(options)
    text, *expressions = options.arguments
    found = find_input(text, has_expressions=bool(expressions))
    model = options.model or DEFAULT_MODEL
    fingerprint = _fingerprint(model)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if options.model is None:
        console.print(DEFAULT_MODEL_KNOWS, style="yellow")
    plan = plan_parts(found, options.rows_per_part)
    job = BulkJob(
        files=tuple(map(_absolute, found.files)),
        kind=found.kind,
        expressions=tuple(dict.fromkeys(expressions)),
        images=_absolute(found.folder if options.images is None else place(options.images)),
        out=_absolute(place(options.out)),
        model=_absolute_model(model),
        device=options.device,
        threshold=options.threshold,
        presence_threshold=options.presence_threshold,
        batch_images=options.batch_images,
    )
    identity = job.identity(model=fingerprint, content=plan.fingerprint, rows_per_part=options.rows_per_part)
    start = time.perf_counter()
    with progress_bar(console=console) as progress:
        task = progress.add_task("rows", total=plan.rows)
        before: list[int] = []

        def advance(done: int, errors: int) -> None:
            if not before:
                before.append(done)
                if done:
                    console.print(f"continuing: {done:,} of {plan.rows:,} rows are done")
            progress.update(task, completed=done, description=f"rows, {errors:,} with an error" if errors else "rows")

        result = run_bulk(
            job,
            plan,
            identity,
            resume=options.resume,
            engine=options.engine,
            workers=options.workers,
            address=options.address,
            advance=advance,
        )
    seconds, answered = time.perf_counter() - start, plan.rows - before[0]
    console.print(
        f"{answered:,} rows of the input in {seconds:.1f} s ({answered / seconds:,.1f} a second); {result.rows:,} "
        f"answers in {options.out}",
        markup=False,
    )
    if result.errors == result.rows:
        raise UserError(
            f"none of the {result.rows:,} rows could be answered: the column error in {options.out} says why."
        )
    if result.errors:
        console.print(
            f"{result.errors:,} of them could not be answered: their column error says why.",
            style="yellow",
            markup=False,
        )


def _check(options: Options) -> None:
    from cmpc.data.query import check_length, holds_a_word
    from cmpc.file_systems import place

    if not options.arguments:
        raise UsageError("say what to answer: cmpc bulk INPUT ['EXPRESSION' ...] --out OUT.")
    for expression in options.arguments[1:]:
        check_length(expression)
        if not holds_a_word(expression):
            raise UsageError(f"the expression {expression!r} holds no word: say what to look for.")
    if not 0 <= options.threshold <= 1:
        raise UsageError(f"--threshold must lie between 0 and 1, got {options.threshold}.")
    if not 0 <= options.presence_threshold <= 1:
        raise UsageError(f"--presence-threshold must lie between 0 and 1, got {options.presence_threshold}.")
    for name in ("rows_per_part", "batch_images", "workers"):
        value = getattr(options, name)
        if value is not None and not 1 <= value <= MOST_ROWS:
            raise UsageError(f"--{name.replace('_', '-')} must lie between 1 and {MOST_ROWS:,}, got {value}.")
    if options.images is not None and isinstance(images := place(options.images), Path) and not images.is_dir():
        raise UserError(f"there is no folder {images}: give the one that the names of photos begin in with --images.")
    for name in ("workers", "address"):
        if getattr(options, name) is not None and options.engine != "ray":
            raise UsageError(f"--{name} goes with --engine ray.")


def _fingerprint(model: str) -> str:
    """Stands for the model's files.

    Raises:
        UserError: there is no such model here.
    """
    from cmpc import hub
    from cmpc.engines.fingerprint import fingerprint_model
    from cmpc.model_folder import CONFIG, located

    folder = located(model)
    if not folder.exists() and hub.may_be_on_the_hub(model):
        folder = hub.download(model)
    if not (folder / CONFIG).is_file():
        raise UserError(f"{model} is not a model folder: it has no {CONFIG}.")
    return fingerprint_model(folder)


def _absolute_model(model: str) -> str:
    from cmpc.model_folder import located

    folder = located(model)
    return str(folder.resolve()) if folder == Path(model) and folder.exists() else model


def _absolute(where: Place) -> str:
    """A place as a worker in another folder finds it."""
    return str(where.resolve()) if isinstance(where, Path) else str(where)
