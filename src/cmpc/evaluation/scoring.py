"""Compares predictions with the true masks, on all cores, while the network goes on with the next images.

The CRF holds Python's lock while it computes, so it runs in processes; without it threads are enough. This module is
what such a process loads: it must not import torch.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cmpc.data.schema import ReferredObject
from cmpc.errors import UserError
from cmpc.evaluation.crf import refine
from cmpc.evaluation.metrics import Overlap, overlap
from cmpc.evaluation.protocols import Protocol, mask_from_logits, mask_from_marginals
from cmpc.processes import end_with_parent, usable_cores

if TYPE_CHECKING:
    from cmpc.evaluation.inference import SampleLogits


class ScoredSample(NamedTuple):
    """Result of one expression."""

    number: int
    """The sample's number in its split."""
    without_crf: Overlap
    """The network's mask against the true one."""
    with_crf: Overlap | None = None
    """The mask after the DenseCRF; None when it was not asked for."""


@dataclass(frozen=True)
class ScoringTask:
    """All that a worker needs."""

    number: int
    row: ReferredObject
    logits: NDArray[np.float32]
    image: NDArray[np.uint8] | None
    protocol: Protocol


def score(task: ScoringTask) -> ScoredSample:
    """Turns one prediction into masks and counts their common pixels with the true mask."""
    truth = task.row.decode_mask()
    height, width = truth.shape
    without_crf = overlap(mask_from_logits(task.logits, height, width, task.protocol), truth)
    if task.image is None:
        return ScoredSample(task.number, without_crf)
    marginals = refine(sigmoid(task.logits), task.image)
    refined = mask_from_marginals(marginals, height, width, task.protocol)
    return ScoredSample(task.number, without_crf, overlap(refined, truth))


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities, float32, of logits."""
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-logits))).astype(np.float32)


class ScoringPool:
    """Scores predictions in parallel; a bounded number waits, so that the memory does not grow with the split."""

    def __init__(self, protocol: Protocol, *, crf: bool, workers: int | None = None) -> None:
        """
        Args:
            protocol: how a prediction becomes a mask.
            crf: post-process with the DenseCRF too, in processes.
            workers: threads or processes; by default one for each core.
        """
        self._protocol = protocol
        self._crf = crf
        workers = workers or usable_cores()
        self._most_waiting = 4 * workers
        self._executor: Executor
        if crf:
            self._executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_prepare_process)
        else:
            self._executor = ThreadPoolExecutor(workers, thread_name_prefix="score")

    def __enter__(self) -> ScoringPool:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)

    def score(self, predictions: Iterable[SampleLogits]) -> Iterator[ScoredSample]:
        """Yields the result of each prediction as soon as it is there, in any order.

        Raises:
            UserError: one of the processes did not start or was ended from outside.
        """
        waiting: set[Future[ScoredSample]] = set()
        try:
            for prediction in predictions:
                waiting.add(self._executor.submit(score, self._task(prediction)))
                patience = None if len(waiting) > self._most_waiting else 0
                done, waiting = wait(waiting, timeout=patience, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
            yield from (future.result() for future in as_completed(waiting))
        except BrokenProcessPool:
            raise UserError(
                "a process that computes the CRF did not start or was ended, most often for lack of memory: mend that "
                "(what it said stands above) and go on with --resume."
            ) from None

    def _task(self, prediction: SampleLogits) -> ScoringTask:
        sample = prediction.sample
        image = prediction.image if self._crf else None
        return ScoringTask(sample.number, sample.row, prediction.logits, image, self._protocol)


def _prepare_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that evaluates
    cv2.setNumThreads(1)
    end_with_parent()
