"""The whole ablation."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from cmpc.ablation.options import VOCABULARY, AblationOptions
from cmpc.ablation.processes import Failure, carry_out
from cmpc.ablation.record import Record, open_record
from cmpc.ablation.table import write_tables
from cmpc.ablation.variants import VARIANTS
from cmpc.data.schema import PreparedDataset
from cmpc.data.vocabulary import Vocabulary
from cmpc.errors import UsageError, UserError
from cmpc.evaluation.samples import fingerprint_rows, samples_by_image
from cmpc.training.inputs import check_backbone_weights, splitting_of
from cmpc.training.options import TrainingOptions


@dataclass(frozen=True)
class AblationResult:
    """How an ablation ended."""

    record: Record
    """All results, also those of before."""
    failures: list[Failure]
    """Runs that did not come to their end."""


def ablate(options: AblationOptions, console: Console | None = None) -> AblationResult:
    """Trains and tests every variant with every seed, or continues to; writes results and tables after each run.

    With ``parallel`` above one the runs are processes that import the calling program's main module: guard it with
    ``if __name__ == "__main__":``.

    Args:
        options: what to compare, and how.
        console: where progress is shown; by default the terminal's standard error.

    Raises:
        KeyboardInterrupt: it was stopped; runs at work have left checkpoints.
        UsageError: options contradict each other, or the folder does not fit them.
        UserError: the data are missing or damaged. (What goes wrong in a run is a failure in the result.)
    """
    console = console or Console(stderr=True)
    training, out = options.training, options.training.out
    settings = {**options.settings(), **_test_data(options)}
    for variant in dict.fromkeys(run.variant for run in options.runs):
        check_backbone_weights(VARIANTS[variant].of(options.model), training.backbone_weights)
    record = open_record(out, settings, resume=training.resume)
    record.write(out)  # from now on --resume works
    if options.first_data is not None and not (out / VOCABULARY).exists():
        _words(training).save(out / VOCABULARY)
    done = {result.run for result in record.results}
    runs = [run for run in options.runs if run not in done]

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    say(f"{len(runs)} runs to do, {len(options.runs) - len(runs)} are done.")
    failures = []
    with closing(carry_out(options, runs, console)) as outcomes:
        for number, outcome in enumerate(outcomes, start=1):
            if isinstance(outcome, Failure):
                failures.append(outcome)
                say(f"{number} of {len(runs)}: {outcome.run.name} failed: {outcome.reason}")
                continue
            record.results.append(outcome)
            record.write(out)
            write_tables(record, out)
            say(
                f"{number} of {len(runs)}: {outcome.run.name} has overall IoU {100 * outcome.all.overall_iou:.1f}, "
                f"P@0.5 {100 * outcome.all.precision['0.5']:.1f} (trained in {outcome.training_seconds / 60:.1f} min, "
                f"tested in {outcome.evaluation_seconds / 60:.1f} min)"
            )
    if failures and not record.results:
        record.abandon(out)
    return AblationResult(record, failures)


def _words(training: TrainingOptions) -> Vocabulary:
    """The words of the data, of which those of the first data may lack some."""
    rows = PreparedDataset.open(training.data, training.images).read(training.train_split)
    expressions = (expression for row in rows for expression in row.expressions)
    return Vocabulary.from_expressions(expressions, splitting=splitting_of(training))


def _test_data(options: AblationOptions) -> dict[str, Any]:
    """What is tested on, for the record."""
    training = options.training
    dataset = PreparedDataset.open(training.data, training.images)
    if training.train_split not in dataset.splits:
        raise UsageError(
            f"{training.data} has no split {training.train_split!r} to learn from; it has {', '.join(dataset.splits)}: "
            "give another --train-split."
        )
    rows = dataset.read(options.split)
    images = samples_by_image(rows)
    if not images:
        raise UserError(f"split {options.split} of {training.data} has no expressions: there is nothing to test on.")
    dataset.read_image_bytes(rows[0])  # the wrong folder of photos is found out before anything is computed
    chosen = images[: options.limit]
    return {
        "dataset": dataset.info.name,
        "images": len(chosen),
        "images_in_split": len(images),
        "expressions": len(chosen.samples),
        "test_data": fingerprint_rows(rows),
    }
