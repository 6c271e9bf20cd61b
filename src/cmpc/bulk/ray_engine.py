"""Parts of a job on the workers of a Ray cluster, by Ray Data.

Ray Data hands out parts, restarts workers that died and gives their parts to others. Answers do not travel: a worker
writes the parts that it answers, and reports how many rows they have.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cmpc.bulk.answering import PartWorker
from cmpc.bulk.job import BulkJob
from cmpc.bulk.parts import Part
from cmpc.errors import UserError
from cmpc.processes import environment

MOST_BLOCKS = 10_000
"""Tasks that Ray Data is given; of more parts, several make a task."""
_ANSWER_SECONDS = 5

Report = tuple[int, int, int, str]
"""Number of a part, rows of its output, how many of them have an error, and why the job must stop, or nothing."""


class RayPartWorker:
    """A worker of Ray: answers the parts that it is given."""

    def __init__(self, job: BulkJob) -> None:
        self._worker = PartWorker(job)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        reports = [self._do(Part.from_json(str(text))) for text in batch["part"]]
        return {name: [report[place] for report in reports] for place, name in enumerate(_NAMES)}

    def _do(self, part: Part) -> Report:
        try:
            if self._worker.output.has(part):  # by a worker that died before it could say so
                return (part.number, *self._worker.output.counts(part.output), "")
            return (part.number, *self._worker.do(part), "")
        except UserError as error:  # which no other worker could mend
            return part.number, 0, 0, str(error)


_NAMES = ("number", "rows", "errors", "stopped")


def on_ray(job: BulkJob, parts: Sequence[Part], workers: int | None, address: str | None) -> Iterator[Report]:
    """Answers parts, in whatever order they are ready.

    Args:
        job: what is asked.
        parts: of it.
        workers: how many load the model; None for one a GPU, or a core where there is no GPU.
        address: of the cluster; None for the one in ``RAY_ADDRESS``, else one on this machine for this job.

    Raises:
        UserError: there is no such cluster, it is too small, or it ended.
    """
    with _quiet(), _cluster(address) as ray:
        on_gpu = job.device.startswith("cuda") or (job.device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1)
        there = ray.cluster_resources().get("GPU" if on_gpu else "CPU", 0)
        wanted = workers or max(1, int(there))
        if wanted > there:
            kind = "GPUs" if on_gpu else "cores"
            raise UserError(f"--workers {wanted} need {wanted} {kind}, and the Ray cluster has {int(there)}.")
        dataset = ray.data.from_items(
            [{"part": part.to_json()} for part in parts], override_num_blocks=min(len(parts), MOST_BLOCKS)
        ).map_batches(
            RayPartWorker,
            fn_constructor_args=(job,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(wanted, len(parts))),
            num_cpus=1,
            num_gpus=1 if on_gpu else 0,
        )
        try:
            for row in dataset.iter_rows():
                yield int(row["number"]), int(row["rows"]), int(row["errors"]), str(row["stopped"])
        except (ray.exceptions.RayError, ConnectionError) as error:
            reason = str(error).strip().splitlines()[-1][:200] if str(error).strip() else type(error).__name__
            raise UserError(f"the Ray cluster could not go on ({reason}); go on with --resume.") from error


def check_cluster(address: str | None) -> None:
    """Finds out before anything is written whether there is a Ray, and somebody at an address.

    Raises:
        UserError: there is not.
    """
    try:
        import ray.data  # noqa: F401
    except ImportError:
        raise UserError("--engine ray needs Ray: pip install 'cmpc[ray]'.") from None
    if address is not None:
        _check_answers(address)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Ray from telling how it plans and what it may do about losses; its own files of logs say that."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with environment(RAY_BACKEND_LOG_LEVEL=os.environ.get("RAY_BACKEND_LOG_LEVEL", "fatal")):
            yield
    finally:
        logging.disable(before)


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    import ray
    import ray.data

    if ray.is_initialized():
        yield ray
        return
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # of many kinds
        where = "a Ray cluster on this machine" if address is None else f"the Ray cluster at {address}"
        raise UserError(f"cannot reach or start {where}: {str(error).splitlines()[0][:200]}.") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Asks once whether anybody listens at an address: Ray itself asks for minutes.

    Raises:
        UserError: nobody does, or it is no address.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address in ("auto", "local"):
        return
    if not host or not port.isdecimal():
        raise UserError(f"{address!r} is no address of a Ray cluster: give HOST:6379, ray://HOST:10001 or auto.")
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, OverflowError):
        raise UserError(f"no Ray cluster answers at {address}: start one, or give the address of one.") from None
