"""The whole training, from top to bottom."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, dataclass

from rich.console import Console

from cmpc.processes import naming_lost_processes
from cmpc.training.interruption import Interruption
from cmpc.training.options import TrainingOptions
from cmpc.training.preparation import prepare
from cmpc.training.progress import RunLog
from cmpc.training.run import Run


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended."""

    step: int
    """Steps made in all."""
    finished: bool
    """False when it was stopped before its end."""
    interrupted: bool
    """Whether it was asked to stop, be it in its last step."""
    best: float | None
    """Overall IoU of the best model on the validation split; None without validation."""


def train(options: TrainingOptions, console: Console | None = None) -> TrainingResult:
    """Trains a network, or continues to.

    Args:
        options: what to do; see ``TrainingOptions``.
        console: where progress is shown; by default the terminal's standard error.

    Raises:
        UsageError: options contradict each other, or the run's folder does not fit them.
        UserError: data are missing or damaged, or the loss is no longer a number.
    """
    return learn(prepare(options), console)


def learn(run: Run, console: Console | None = None) -> TrainingResult:
    """Makes the steps that are left, with checkpoints, log entries and validations.

    Args:
        run: what to train, ready to begin or to go on.
        console: where progress is shown; by default the terminal's standard error.

    Raises:
        UserError: data are missing or damaged, or the loss is no longer a number.
    """
    try:
        return _take_steps(run, console or Console(stderr=True))
    except BaseException:
        if run.is_new and run.fabric.is_global_zero:  # what is left of a failed start would keep the next one out
            run.folder.abandon()
        raise


def _take_steps(run: Run, console: Console) -> TrainingResult:
    log = _begin_log(run, console) if run.fabric.is_global_zero else None
    run.objective.train()
    run.clock.mark(run.state.step)
    saved_step, stop = run.state.step, False
    with (
        naming_lost_processes(run.fabric.global_rank, run.fabric.world_size),
        log or nullcontext(),
        Interruption() as interruption,
        run.batches() as loaded,
    ):
        for batches in run.steps_of(loaded):
            learning_rate = run.take_step(batches)
            log_now = run.state.step % run.log_every == 0 or run.is_over
            if log_now:
                _log_training(run, log, learning_rate)
            stop = interruption.wanted(run.fabric, ask_others=log_now)
            validated = run.is_to_be_validated and not stop
            if validated:
                _validate(run, log)
            if validated or run.is_over or stop or run.state.step - saved_step >= run.save_every:
                run.save_last()
                saved_step = run.state.step
            if stop:
                break
    run.fabric.barrier()
    if log:
        log.say(_end(run))
    return TrainingResult(run.state.step, run.is_over, stop, run.state.best)


def _begin_log(run: Run, console: Console) -> RunLog:
    log = RunLog(
        run.folder.path,
        run.meters.names,
        step=run.state.step,
        steps=run.steps,
        console=console,
        measure=run.measure,
    )
    for sentence in run.notes:
        log.say(sentence)
    return log


def _log_training(run: Run, log: RunLog | None, learning_rate: float) -> None:
    """Logs the means since the last entry and begins new ones."""
    means = run.meters.read(run.fabric)
    run.meters.clear()
    row = {
        "step": run.state.step,
        "epoch": run.epoch,
        "learning_rate": learning_rate,
        **means,
        "images_per_second": run.clock.steps_per_second(run.state.step) * run.batch_images,
        "seconds": run.clock.seconds,
    }
    run.clock.mark(run.state.step)
    if log:
        log.add_training(row)


def _validate(run: Run, log: RunLog | None) -> None:
    """Scores the model, and keeps it if it is the best so far."""
    assert run.validate is not None
    scores = run.validate()
    row = {"step": run.state.step, "epoch": run.epoch, **asdict(scores), "seconds": run.clock.seconds}
    run.meters.read(run.fabric)  # raises when a loss was not finite
    if log:
        log.add_validation(row)
    if run.state.best is None or scores.overall_iou > run.state.best:
        run.state.best = scores.overall_iou
        run.save_best(row)
    run.clock.mark(run.state.step)


def _end(run: Run) -> str:
    if not run.is_over:
        return f"Stopped at step {run.state.step:,} with a checkpoint: the same command with --resume continues."
    best = "" if run.state.best is None else f", the best one (overall IoU {run.state.best:.4f}) in {run.folder.best}"
    return f"Done: the last model is in {run.folder.last}{best}."
