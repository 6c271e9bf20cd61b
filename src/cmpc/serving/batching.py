"""One thread runs the network; requests that arrive meanwhile are answered together."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmpc.answers.prediction import Prediction
from cmpc.conventions import PRESENCE_THRESHOLD
from cmpc.errors import UserError
from cmpc.segmenter import Segmenter


class BusyError(UserError):
    """All places in the queue are taken."""


@dataclass(frozen=True)
class Question:
    """Expressions about one photo."""

    pixels: NDArray[np.uint8]
    """RGB, uint8, (H, W, 3)."""
    expressions: tuple[str, ...]
    """At least one; each holds a word."""
    threshold: float = 0.5
    """Pixels at least this likely form the mask, 0..1."""
    presence_threshold: float = PRESENCE_THRESHOLD
    """As ``Segmenter.predict`` takes it."""


class BatchingWorker:
    """Answers questions in the order in which they come, as many at once as wait, up to a limit.

    May be used by several threads. Use it as a context manager, or call ``close``.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        *,
        waiting: int = 64,
        batch: int = 8,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        """
        Args:
            segmenter: what answers.
            waiting: most requests in the queue; further ones are refused.
            batch: most photos that the network sees at once.
            on_batch: called with the number of photos before each batch.
        """
        self.segmenter = segmenter
        self._batch = batch
        self._on_batch = on_batch
        self._queue: queue.Queue[tuple[Question | Callable[[], Any], Future[Any]] | None] = queue.Queue(waiting)
        self._thread = threading.Thread(target=self._work, name="cmpc-network", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._queue.qsize()

    def ask(self, question: Question) -> Future[list[Prediction]]:
        """The predictions of a question, one for each expression.

        Raises:
            BusyError: all places in the queue are taken.
        """
        return self._put(question)

    def run(self, work: Callable[[], Any]) -> Future[Any]:
        """The result of other work for the network, such as an explanation.

        Raises:
            BusyError: all places in the queue are taken.
        """
        return self._put(work)

    def close(self) -> None:
        """Ends the thread after the work that is queued."""
        self._queue.put(None)
        self._thread.join()

    def __enter__(self) -> BatchingWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, work: Question | Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            self._queue.put_nowait((work, future))
        except queue.Full:
            raise BusyError(
                f"this server is busy: {self._queue.maxsize} requests wait already; try again in a moment."
            ) from None
        return future

    def _work(self) -> None:
        ended = False
        while not ended:
            taken = [self._queue.get()]
            while len(taken) < self._batch and taken[-1] is not None:
                try:
                    taken.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            ended = taken[-1] is None
            # Whoever gave up waiting is passed over; the others can give up no more.
            wanted = [item for item in taken if item is not None and item[1].set_running_or_notify_cancel()]
            questions = [(work, future) for work, future in wanted if isinstance(work, Question)]
            if questions:
                self._answer([work for work, _ in questions], [future for _, future in questions])
            for work, future in wanted:
                if not isinstance(work, Question):
                    _settle(future, work)

    def _answer(self, questions: Sequence[Question], futures: Sequence[Future[list[Prediction]]]) -> None:
        self._on_batch(len(questions))
        try:
            answers = self._predict(questions)
        except Exception:
            if len(questions) == 1:
                _settle(futures[0], partial(self._predict_one, questions[0]))
                return
            for question, future in zip(questions, futures, strict=True):  # one fault is not everybody's
                _settle(future, partial(self._predict_one, question))
            return
        for future, answer in zip(futures, answers, strict=True):
            future.set_result(answer)

    def _predict_one(self, question: Question) -> list[Prediction]:
        return self._predict([question])[0]

    def _predict(self, questions: Sequence[Question]) -> list[list[Prediction]]:
        answers = self.segmenter.predict_batch(
            [question.expressions for question in questions], [question.pixels for question in questions]
        )
        return [
            [
                replace(prediction, threshold=question.threshold, presence_threshold=question.presence_threshold)
                for prediction in some
            ]
            for question, some in zip(questions, answers, strict=True)
        ]


def _settle(future: Future[Any], work: Callable[[], Any]) -> None:
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)
