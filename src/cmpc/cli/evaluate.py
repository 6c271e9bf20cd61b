"""Test a model on a split of a prepared dataset.

Prints overall IoU, mean IoU and precision@0.5 to 0.9, by the length of the expressions and by the groups that the data
gives; where some expressions refer to nothing, also how often that is told (N-acc), and how often something is found
where there is something (T-acc). Writes report.json, report.md, expressions.jsonl (one line for each expression) and
worst-and-best.png.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass
class Options:
    """What to evaluate, how, and where to write."""

    data: Path
    """Folder that 'cmpc prepare' made."""
    split: str
    """Which split: val, test, testA, ..."""
    model: Path
    """Folder of a model, or of an export (cmpc export)."""
    precision: Literal["fp32", "bf16", "int8"] | None = None
    """Numbers to compute with: bf16 for a model folder on a device that has such numbers; an export has its own."""
    protocol: Literal["paper", "standard", "gres"] = "standard"
    """How a prediction becomes a mask of the photo. standard: logits are resized to the photo, then cut at zero. paper:
    as the published program, for comparison (cut at the network's size, then resized and thereby dilated). gres: as
    standard, with gRefCOCO's measures, for which a mask of fewer than 50 pixels is empty."""
    crf: bool = False
    """Also report the masks after the paper's DenseCRF (needs the extra 'crf', Python 3.11 or 3.12)."""
    crf_workers: int | None = None
    """Processes that compute the DenseCRF while the network goes on; 0 computes it in between. By default one for each
    core. The numbers are the same."""
    out: Path | None = None
    """Folder for the reports. By default evaluation/MODEL-DATASET-SPLIT-PROTOCOL."""
    resume: bool = False
    """Continue an evaluation that was interrupted: finished expressions are kept."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps, ... auto takes a GPU where there is one."""
    batch_images: int = 4
    """Images that the network sees at once; fewer need less memory."""
    limit: int | None = None
    """Evaluate only the first images of the split, with all their expressions."""
    images: Path | None = None
    """Where the photos are, if they were moved since the data was prepared."""


def written(options: Options) -> Path:
    """The folder that no other process may write meanwhile."""
    from cmpc.data.schema import PreparedDataset

    return options.out or _default_folder(options, PreparedDataset.open(options.data).info.name)


def run(options: Options) -> None:
    """Evaluates, prints the tables and writes the reports."""
    from functools import partial

    from rich.console import Console

    from cmpc.cli.progress import progress_bar
    from cmpc.data.schema import PreparedDataset
    from cmpc.devices import choose_device
    from cmpc.engines.fingerprint import fingerprint_model
    from cmpc.engines.loading import is_export, load_engine
    from cmpc.evaluation.crf import require_crf
    from cmpc.evaluation.evaluate import evaluate
    from cmpc.evaluation.journal import Journal
    from cmpc.evaluation.processes import processes_of_run
    from cmpc.evaluation.protocols import DESCRIPTIONS
    from cmpc.evaluation.report import Report
    from cmpc.evaluation.samples import fingerprint_rows
    from cmpc.evaluation.worst_and_best import PICTURE_FILE, write_worst_and_best

    if options.crf:
        require_crf()
    dataset = PreparedDataset.open(options.data, options.images)
    rows = dataset.read(options.split)
    out = options.out or _default_folder(options, dataset.info.name)
    console = Console()
    with processes_of_run() as processes:
        name = processes.device(options.device)
        device = "cpu" if options.device == "auto" and is_export(options.model) else choose_device(name)
        engine, vocabulary = load_engine(options.model, precision=options.precision, device=device)
        identity = {
            "model": fingerprint_model(options.model),
            "data": fingerprint_rows(rows),
            "split": options.split,
            "protocol": options.protocol,
            "crf": "yes" if options.crf else "no",
            "engine": f"{engine.name} {engine.precision}",
        }
        ask = partial(
            evaluate,
            engine,
            vocabulary,
            dataset,
            options.split,
            rows=rows,
            protocol=options.protocol,
            crf=options.crf,
            crf_workers=options.crf_workers,
            batch_images=options.batch_images,
            limit=options.limit,
            processes=processes,
        )
        if not processes.is_first:
            ask()
            return
        with (
            closing(Journal(out, identity, resume=options.resume)) as journal,
            progress_bar() as progress,
        ):
            if journal.results:
                console.print(f"continuing: {len(journal.results):,} expressions are done")
            task = progress.add_task("expressions", total=None)
            evaluation = ask(
                journal=journal, advance=lambda done, total: progress.update(task, completed=done, total=total)
            )
            report = Report(evaluation, str(options.model), identity)
            report.write(out)
            write_worst_and_best(out / PICTURE_FILE, evaluation, engine, vocabulary, dataset)
            journal.finish()
    for table in report.terminal_tables():
        console.print(table)
    console.print(f"protocol {options.protocol}: {DESCRIPTIONS[options.protocol]}", highlight=False, soft_wrap=True)
    console.print(f"reports in {out}", highlight=False, soft_wrap=True, markup=False)


def _default_folder(options: Options, dataset: str) -> Path:
    parts = [options.model.resolve().name, dataset, options.split, options.protocol, *(["crf"] if options.crf else [])]
    return Path("evaluation") / "-".join(parts)
