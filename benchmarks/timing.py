"""Variants of a piece of work, timed side by side: each in a process of its own, one after the other, round by round.

A process holds one variant, so its peak memory is its own and the thread pools of two engines do not meet. Only one of
them works at a time; in each round every variant has its turn (A B C, A B C, ...), so whatever slows the machine down
for a while slows all of them alike.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Literal

from benchmarks.material import Material
from cmpc.errors import UserError

Start = Callable[[Material], Callable[[], object]]
"""Makes everything ready and gives the operation that is timed. It is called in the variant's own process."""

TOO_SLOW = 4
"""A variant that takes so many times as long as the baseline is not repeated."""


@dataclass(frozen=True)
class Variant:
    """One way to do the work of a case."""

    name: str
    """What to call it in the tables."""
    start: Start
    """Must be importable: a function of a module, or a ``functools.partial`` of one."""
    units: int = 1
    """How many of the case's units one operation does."""
    warm_up: bool = True
    """Run the operation once before it counts. False: ``start`` has warmed up with less than that."""
    needs: tuple[str, ...] = ()
    """Pieces of the material beside those of the case; with any, it is left out of a quick look."""
    in_quick_look: bool = True
    """False: it is left out of a quick look, since its start takes as long as all others together."""


@dataclass(frozen=True)
class Case:
    """A subject of the benchmark."""

    name: str
    """For ``--cases``."""
    title: str
    """Heading of its table."""
    unit: str
    """What is counted: expression, image, ..."""
    variants: tuple[Variant, ...]
    """What is compared."""
    baseline: str | None = None
    """The variant that ratios refer to; None for none."""
    measure: Literal["seconds", "rate"] = "seconds"
    """Seconds a unit, or units a second."""
    in_processes: bool = False
    """The operations start programs: the memory is that of the largest of these processes."""
    needs: tuple[str, ...] = ()
    """Pieces of the material that all variants need."""
    facts: Callable[[Material], dict[str, str]] | None = None
    """Anything else to tell, asked for after the rounds."""


@dataclass
class VariantResult:
    """What was measured of a variant."""

    name: str
    units: int
    seconds: list[float] = field(default_factory=list)
    """Of each round, for the whole operation."""
    cpu_seconds: list[float] = field(default_factory=list)
    """Of each round, over all threads and processes."""
    peak_bytes: int | None = None
    """Largest resident memory of the process."""
    problem: str | None = None
    """Why there is no result."""
    ratio: float | None = None
    """How many times faster than the baseline: the median over the rounds."""

    @property
    def each(self) -> list[float]:
        """Seconds a unit, of each round."""
        return [seconds / self.units for seconds in self.seconds]

    @property
    def median(self) -> float:
        """Median of the seconds a unit."""
        return statistics.median(self.each)


@dataclass
class CaseResult:
    """What was measured of a case."""

    name: str
    title: str
    unit: str
    measure: str
    baseline: str | None
    variants: list[VariantResult]
    began: str
    """Local date and time."""
    load: tuple[float, float]
    """Waiting and running threads of the whole machine (its one-minute load) before and after."""
    facts: dict[str, str] = field(default_factory=dict)

    def variant(self, name: str) -> VariantResult | None:
        """The result of a variant, if it was measured."""
        return next((one for one in self.variants if one.name == name and one.seconds), None)


def run_case(case: Case, material: Material, rounds: int, say: Callable[[str], None]) -> CaseResult:
    """Measures all variants of a case.

    A variant that cannot run here (a ``UserError``, a package that is missing) is named with its reason; so is one that
    fails in another way, with its traceback on the standard error.
    """
    began, load_before = time.strftime("%Y-%m-%d %H:%M"), os.getloadavg()[0]
    results = [VariantResult(variant.name, variant.units) for variant in case.variants]
    with ExitStack() as stack:
        workers = []
        for variant, result in zip(case.variants, results, strict=True):
            worker = stack.enter_context(_Worker(variant, material, in_processes=case.in_processes))
            result.problem = worker.wait_until_ready()
            say(f"{case.name}: {variant.name}: {result.problem or 'ready'}")
            if result.problem is None:
                workers.append((worker, result))
        for number in range(rounds):
            for worker, result in workers:
                if result.problem is None:
                    worker.add_round(result)
            if number == 0:
                _give_up_on_slow(case, results)
            say(f"{case.name}: round {number + 1} of {rounds}")
        for worker, result in workers:
            if result.problem is None:
                result.peak_bytes = worker.peak_bytes()
    _add_ratios(case, results)
    return CaseResult(
        name=case.name,
        title=case.title,
        unit=case.unit,
        measure=case.measure,
        baseline=case.baseline,
        variants=results,
        began=began,
        load=(load_before, os.getloadavg()[0]),
        facts=case.facts(material) if case.facts else {},
    )


def _give_up_on_slow(case: Case, results: list[VariantResult]) -> None:
    """Names variants that one round has shown to be far slower than the baseline: bf16 on a processor without it."""
    baseline = next((one for one in results if one.name == case.baseline and one.problem is None), None)
    for one in results if baseline else []:
        if one.problem is None and baseline and one.median > TOO_SLOW * baseline.median:
            one.problem = f"{one.median:.1f} s a {case.unit} in its only round, slower than {TOO_SLOW} x the baseline"
            one.seconds.clear()
            one.cpu_seconds.clear()


def _add_ratios(case: Case, results: list[VariantResult]) -> None:
    baseline = next((one for one in results if one.name == case.baseline and one.problem is None), None)
    if baseline is None:
        return
    for one in results:
        if one.problem is None:
            one.ratio = statistics.median(base / own for base, own in zip(baseline.each, one.each, strict=True))


class _Worker:
    """The process of one variant, as the process that measures sees it."""

    def __init__(self, variant: Variant, material: Material, *, in_processes: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, variant, material), kwargs={"in_processes": in_processes}
        )
        self._process.start()
        theirs.close()

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()  # the process ends when it has nobody to talk to
        self._process.join(10)
        self._process.terminate()
        self._process.join()

    def wait_until_ready(self) -> str | None:
        """None, or why the variant cannot be measured."""
        kind, value = self._receive()
        return None if kind == "ready" else value

    def add_round(self, result: VariantResult) -> None:
        """Runs the operation once."""
        self._connection.send("round")
        kind, value = self._receive()
        if kind == "round":
            result.seconds.append(value[0])
            result.cpu_seconds.append(value[1])
        else:
            result.problem = value

    def peak_bytes(self) -> int:
        """Largest resident memory so far."""
        self._connection.send("peak")
        peak: int = self._receive()[1]
        return peak

    def _receive(self) -> tuple[str, Any]:
        try:
            answer: tuple[str, Any] = self._connection.recv()
        except EOFError:
            self._process.join()
            return "failed", f"its process ended with status {self._process.exitcode}, perhaps for lack of memory"
        return answer


def _serve(connection: Connection, variant: Variant, material: Material, *, in_processes: bool) -> None:
    """What the process of a variant does."""
    try:
        operation = variant.start(material)
        if variant.warm_up:
            operation()
        connection.send(("ready", None))
        while True:
            if connection.recv() == "peak":
                connection.send(("peak", _peak_bytes(of_children=in_processes)))
                continue
            cpu, start = _cpu_seconds(), time.perf_counter()
            operation()
            connection.send(("round", (time.perf_counter() - start, _cpu_seconds() - cpu)))
    except EOFError:
        pass
    except (UserError, ImportError) as error:
        connection.send(("unavailable", str(error)))
    except Exception as error:
        traceback.print_exc()
        connection.send(("failed", f"failed: {type(error).__name__}: {error}"))


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _peak_bytes(*, of_children: bool) -> int:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN if of_children else resource.RUSAGE_SELF)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
