"""A bulk job from its first part to its last, in one process or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cmpc.bulk.answering import PartWorker
from cmpc.bulk.inputs import BulkPlan
from cmpc.bulk.job import BulkJob
from cmpc.bulk.outputs import BulkOutput
from cmpc.bulk.parts import Part
from cmpc.errors import UserError

BulkEngine = Literal["process", "ray"]


@dataclass(frozen=True)
class DonePart:
    """A part whose answers are written."""

    part: Part
    """Which."""
    rows: int
    """Rows of its output."""
    errors: int
    """How many of them have an error."""


@dataclass(frozen=True)
class BulkResult:
    """What a job has written."""

    rows: int
    """Rows of the output, those of earlier runs included."""
    errors: int
    """How many of them have an error."""


def run_bulk(
    job: BulkJob,
    plan: BulkPlan,
    identity: dict[str, str],
    *,
    resume: bool,
    engine: BulkEngine = "process",
    workers: int | None = None,
    address: str | None = None,
    advance: Callable[[int, int], None] = lambda done, errors: None,
) -> BulkResult:
    """Answers all parts that are not there yet.

    Args:
        job: what is asked.
        plan: its input in parts.
        identity: what decides the output, as ``BulkJob.identity`` says.
        resume: whether to go on with what is there.
        engine: ``process`` for this process, ``ray`` for a Ray cluster.
        workers: processes of Ray that load the model; None for one a GPU or core.
        address: of the Ray cluster; None for the one in ``RAY_ADDRESS``, else one on this machine for this job.
        advance: told after each part how many rows of the input are done, and how many rows of the output since the
            beginning of this run have an error.

    Raises:
        UsageError: answers are there and ``resume`` is off, or they are of another run.
        UserError: there is no such model, no Ray or no such cluster, a file system does not answer or the output cannot
            be written; finished parts are kept.
    """
    output = BulkOutput(job.out)
    worker = PartWorker(job) if engine == "process" else None
    if worker is not None:  # what is missing is found out before anything is written
        worker.load()
    else:
        from cmpc.bulk.ray_engine import check_cluster

        check_cluster(address)
    output.begin(identity, resume=resume)
    there = output.done()
    left = [part for part in plan.parts if part.output not in there]
    done = plan.rows - sum(part.rows for part in left)
    rows = errors = 0
    advance(done, errors)
    for finished in _in_this_process(worker, left) if worker else _on_ray(job, left, workers, address):
        rows, errors = rows + finished.rows, errors + finished.errors
        done += finished.part.rows
        advance(done, errors)
    for part in plan.parts:  # of earlier runs
        if part.output in there:
            some_rows, some_errors = output.counts(part.output)
            rows, errors = rows + some_rows, errors + some_errors
    output.finish(identity, parts=len(plan.parts), rows=rows, errors=errors)
    return BulkResult(rows, errors)


def _in_this_process(worker: PartWorker, parts: Sequence[Part]) -> Iterator[DonePart]:
    return (DonePart(part, *worker.do(part)) for part in parts)


def _on_ray(job: BulkJob, parts: Sequence[Part], workers: int | None, address: str | None) -> Iterator[DonePart]:
    from cmpc.bulk.ray_engine import on_ray

    by_number = {part.number: part for part in parts}
    for number, rows, errors, stopped in on_ray(job, parts, workers, address) if parts else ():
        if stopped:
            raise UserError(stopped)
        yield DonePart(by_number[number], rows, errors)
