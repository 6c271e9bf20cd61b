"""Work on several cores."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import parent_process
from typing import TypeVar

from cmpc.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

READERS = 4
"""Files that are read and decoded at the same time."""

_SIGNS_OF_A_LOST_PROCESS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "remote process exited",
)
"""In the errors of gloo and NCCL."""


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_first_of_run() -> bool:
    """Whether this is the only process of a run, or the first of those that torchrun, Slurm or Fabric started."""
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    return all(os.environ.get(rank, "0") == "0" for rank in ranks)


def prepare_process() -> None:
    """Start of a process that is one of several for the same work: it takes one core, leaves Ctrl-C to the process that
    started it, and ends with that one."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    end_with_parent()


def end_with_parent() -> None:
    """Makes a child process end when its parent does: a killed parent cannot end its processes itself."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


@contextmanager
def naming_lost_processes(rank: int, count: int) -> Iterator[None]:
    """Where another process of the run has ended, which says why by itself unless it was killed, this one ends with a
    sentence too.

    Args:
        rank: number of this process.
        count: how many there are.

    Raises:
        UserError: another process cannot be reached any more.
    """
    try:
        yield
    except RuntimeError as error:
        if count == 1 or not any(sign in str(error) for sign in _SIGNS_OF_A_LOST_PROCESS):
            raise
        raise UserError(
            f"process {rank} of {count} stops because another one did, which says why unless it was killed: "
            "--resume goes on from what is on disk."
        ) from None


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Sets variables of the environment while the ``with`` block runs, for this process and those it starts."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], ahead: int, *, readers: int = READERS
) -> Iterator[Result]:
    """Yields ``read(item)`` in order; the next ``ahead`` items are read meanwhile, ``readers`` at the same time."""
    pool = ThreadPoolExecutor(readers, thread_name_prefix="read")
    waiting: deque[Future[Result]] = deque()
    rest = iter(items)
    try:
        waiting.extend(pool.submit(read, item) for item in islice(rest, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(read, item) for item in islice(rest, 1))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _wait_for_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
