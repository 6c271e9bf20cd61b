"""Compares predictions with the true masks, on all cores, while the network goes on with the next images.

The CRF holds Python's lock while it computes, so it runs in processes; without it threads are enough. This module is
what such a process loads: it must not import torch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmpc.data.schema import ReferredObject
from cmpc.errors import UserError
from cmpc.evaluation.crf import refine
from cmpc.evaluation.metrics import Overlap, overlap
from cmpc.evaluation.protocols import Protocol, mask_from_logits, mask_from_marginals, predicts_nothing
from cmpc.processes import prepare_process, usable_cores

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
    square: NDArray[np.uint8] | None
    protocol: Protocol
    presence: float | None = None


def score(task: ScoringTask) -> ScoredSample:
    """Turns one prediction into masks and counts their common pixels with the true mask."""
    truth = task.row.decode_mask()
    height, width = truth.shape
    if predicts_nothing(task.presence, task.protocol):
        nothing = overlap(np.zeros((height, width), np.bool_), truth)
        return ScoredSample(task.number, nothing, None if task.square is None else nothing)
    without_crf = overlap(mask_from_logits(task.logits, height, width, task.protocol), truth)
    if task.square is None:
        return ScoredSample(task.number, without_crf)
    marginals = refine(sigmoid(task.logits), task.square)
    refined = mask_from_marginals(marginals, height, width, task.protocol)
    return ScoredSample(task.number, without_crf, overlap(refined, truth))


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities, float32, of logits."""
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-logits))).astype(np.float32)


class ScoringPool:
    """Scores predictions in parallel, in their order; a bounded number waits, so that the memory does not grow with the
    split."""

    def __init__(self, protocol: Protocol, *, crf: bool, workers: int | None = None) -> None:
        """
        Args:
            protocol: how a prediction becomes a mask.
            crf: post-process with the DenseCRF too, in processes.
            workers: threads or processes; 0 scores in the calling thread, None takes one for each core.
        """
        self._protocol = protocol
        self._crf = crf
        workers = usable_cores() if workers is None else workers
        self._most_waiting = 4 * workers
        self._executor: Executor | None = None
        if workers and crf:
            self._executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=prepare_process)
        elif workers:
            self._executor = ThreadPoolExecutor(workers, thread_name_prefix="score")

    def __enter__(self) -> ScoringPool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def score(self, predictions: Iterable[SampleLogits]) -> Iterator[ScoredSample]:
        """Yields the result of each prediction, in the order of the predictions, as soon as it is there.

        Raises:
            UserError: one of the processes did not start or was ended from outside.
        """
        if self._executor is None:
            yield from (score(self._task(prediction)) for prediction in predictions)
            return
        waiting: deque[Future[ScoredSample]] = deque()
        try:
            for prediction in predictions:
                waiting.append(self._executor.submit(score, self._task(prediction)))
                while waiting and (waiting[0].done() or len(waiting) > self._most_waiting):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise UserError(
                "a process that computes the CRF did not start or was ended, most often for lack of memory: mend that "
                "(what it said stands above) and go on with --resume, with fewer --crf-workers if need be."
            ) from None

    def _task(self, prediction: SampleLogits) -> ScoringTask:
        sample = prediction.sample
        square = prediction.square if self._crf else None
        presence = prediction.presence
        return ScoringTask(sample.number, sample.row, prediction.logits, square, self._protocol, presence)
