"""Carries out the runs of an ablation, in turn or several at once. A run that fails leaves the others alone."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import cast

import cv2
import torch
from rich.console import Console

from cmpc.ablation.options import AblationOptions, VariantRun
from cmpc.ablation.run import RunResult, train_and_test
from cmpc.errors import UserError
from cmpc.processes import end_with_parent
from cmpc.training.interruption import Interruption


@dataclass(frozen=True)
class Failure:
    """A run that did not come to its end."""

    run: VariantRun
    """Which run."""
    reason: str
    """A sentence."""


Outcomes = Generator[RunResult | Failure, None, None]


def carry_out(options: AblationOptions, runs: list[VariantRun], console: Console) -> Outcomes:
    """Yields what each run came to, as soon as it is there.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; the runs at work have left checkpoints.
    """
    return _side_by_side(options, runs) if options.parallel > 1 else _in_turn(options, runs, console)


def _in_turn(options: AblationOptions, runs: list[VariantRun], console: Console) -> Outcomes:
    for run in runs:
        console.print(f"{run.name}:", highlight=False)
        yield _outcome(options, run, console)


def _outcome(options: AblationOptions, run: VariantRun, console: Console) -> RunResult | Failure:
    try:
        return train_and_test(options, run, console)
    except UserError as error:
        return Failure(run, str(error))
    except OSError as error:  # a full disk
        where = "" if error.filename is None else f"{error.filename}: "
        return Failure(run, f"{where}{error.strerror or error}.")


def _side_by_side(options: AblationOptions, runs: list[VariantRun]) -> Outcomes:
    waiting = list(reversed(runs))
    working: dict[Connection, tuple[VariantRun, SpawnProcess]] = {}
    try:
        with Interruption() as interruption:
            while waiting or working:
                if interruption.noted:
                    raise KeyboardInterrupt
                while waiting and len(working) < options.parallel:
                    run = waiting.pop()
                    answer, process = _start(options, run)
                    working[answer] = run, process
                for ready in wait(list(working), timeout=0.2):
                    answer = cast(Connection, ready)
                    run, process = working.pop(answer)
                    yield _answer(run, answer, process)
    finally:
        for _, process in working.values():
            process.terminate()  # once: the training stops in order, with a checkpoint
        for answer, (_, process) in working.items():
            process.join()
            answer.close()


def _start(options: AblationOptions, run: VariantRun) -> tuple[Connection, SpawnProcess]:
    context = get_context("spawn")
    answer, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(options, run, sender))
    process.start()
    sender.close()  # so that the end of the process is the end of the pipe
    return answer, process


def _answer(run: VariantRun, answer: Connection, process: SpawnProcess) -> RunResult | Failure:
    try:
        outcome: RunResult | Failure = answer.recv()
    except EOFError:
        process.join()
        reason = f"its process ended without a result (status {process.exitcode}), perhaps for want of memory."
        outcome = Failure(run, reason)
    process.join()
    answer.close()
    return outcome


def _work(options: AblationOptions, run: VariantRun, sender: Connection) -> None:
    """What a process does. Its progress is in the run's training.csv."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C is for the process that started this one, which asks this one to stop
    end_with_parent()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        sender.send(_outcome(options, run, Console(quiet=True)))
    except KeyboardInterrupt:
        sender.close()
