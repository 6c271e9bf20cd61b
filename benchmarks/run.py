"""Measures how fast the package is and how much memory it needs, side by side with the network written naively.

python -m benchmarks.run --out benchmarks/results.json --docs docs/performance.md

Every case compares variants round by round, each in a process of its own. The material is made here; nothing is
downloaded. The whole takes some 40 minutes on two cores that have nothing else to do, 6 GB of disk and 12 GB of memory.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.cases import CASES
from benchmarks.machine import busy_warning, describe_machine
from benchmarks.material import Material
from benchmarks.report import case_table, machine_table, recorded_table, target_table, write_page
from benchmarks.results import Results
from benchmarks.timing import Case, run_case
from cmpc.errors import UsageError, UserError

LEAST_ROUNDS = 5
QUICK_CASES = ("first", "further", "train-small", "loading", "startup")
QUICK_ROUNDS = 2
LARGEST_DIFFERENCE = 1e-4
"""Of the naive network's logits from ours, relative L2."""


@dataclass
class Options:
    """What to measure, and where to write."""

    cases: tuple[str, ...] = ()
    """Only these; all by default. Cases that an earlier run on this machine left in --out stay there."""
    rounds: int = LEAST_ROUNDS
    """Rounds that count; in each every variant has its turn."""
    quick: bool = False
    """A look in about two minutes: fewer cases, two rounds, PyTorch alone, a smaller benchmark to prepare."""
    out: Path | None = None
    """JSON file for all figures."""
    docs: Path | None = None
    """Page whose tables are renewed; its prose stays."""
    material: Path | None = None
    """Folder for models, photos and data, kept for the next run; by default a temporary one."""


def main() -> int:
    """Runs the benchmark; returns the exit status."""
    try:
        options = tyro.cli(Options, description=__doc__, prog="python -m benchmarks.run")
        return run(options)
    except UserError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def run(options: Options) -> int:
    """Measures and writes; returns 1 when a variant failed, else 0.

    Raises:
        UsageError: options contradict each other.
        UserError: the naive network does not give our numbers, or a file cannot be read.
    """
    names = chosen_cases(options)
    cases = {name: for_quick_look(CASES[name]) if options.quick else CASES[name] for name in names}
    rounds = QUICK_ROUNDS if options.quick else options.rounds
    if warning := busy_warning():
        print(warning, file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="cmpc-benchmark-") as temporary:
        material = Material((options.material or Path(temporary)).resolve())
        if options.quick:
            material = dataclasses.replace(material, benchmark_images=1_700, benchmark_expressions=12_000)
        material.folder.mkdir(parents=True, exist_ok=True)
        print("making the material", file=sys.stderr)
        pieces = {piece for case in cases.values() for piece in case.needs}
        pieces |= {piece for case in cases.values() for variant in case.variants for piece in variant.needs}
        _in_a_process(_make, material, pieces)
        results = Results(describe_machine(), rounds, options.quick)
        if {"models", "photos"} <= pieces:
            results.differences = _in_a_process(_compare, material)
            check_differences(results.differences)
        if options.out is not None:
            results.join(options.out)
        print(machine_table(results))
        for name, case in cases.items():
            results.cases[name] = run_case(case, material, rounds, lambda text: print(text, file=sys.stderr))
            print(f"## {case.title}\n\n{case_table(results.cases[name])}")
            if options.out is not None:
                results.write(options.out)
    results.cases = {name: results.cases[name] for name in CASES if name in results.cases}
    print(recorded_table(results.cases))
    print(target_table(results.cases))
    if options.out is not None:
        results.write(options.out)
    if options.docs is not None:
        write_page(options.docs, results)
    problems = (variant.problem or "" for name in names for variant in results.cases[name].variants)
    return int(any(problem.startswith("failed") for problem in problems))


def chosen_cases(options: Options) -> list[str]:
    """The names of the cases to run, in their order.

    Raises:
        UsageError: there is no such case, or the options contradict each other.
    """
    if unknown := [name for name in options.cases if name not in CASES]:
        raise UsageError(f"there is no case {unknown[0]!r}; the cases are {', '.join(CASES)}.")
    if options.rounds < 1:
        raise UsageError(f"--rounds must be 1 or more, got {options.rounds}.")
    if options.docs is not None and (options.quick or options.rounds < LEAST_ROUNDS):
        raise UsageError(f"--docs wants at least {LEAST_ROUNDS} rounds and no --quick: a look is not for the page.")
    chosen: Iterable[str] = options.cases or (QUICK_CASES if options.quick else CASES)
    return [name for name in CASES if name in set(chosen)]


def for_quick_look(case: Case) -> Case:
    """The case without the variants that take long to start, or need more than its own material, which does too."""
    quick = tuple(variant for variant in case.variants if variant.in_quick_look and not variant.needs)
    return dataclasses.replace(case, variants=quick)


def check_differences(differences: dict[str, float]) -> None:
    """Makes sure that what is compared computes the same.

    Raises:
        UserError: a naive network gives other logits than ours.
    """
    for preset, difference in differences.items():
        if not difference < LARGEST_DIFFERENCE:
            raise UserError(
                f"the naive network of {preset} gives other logits than ours (relative L2 {difference:.1e}, at most "
                f"{LARGEST_DIFFERENCE:g} is allowed): comparing their speed would mean nothing."
            )


def _in_a_process(function, *arguments):  # type: ignore[no-untyped-def]
    """What the function gives, computed in a process of its own: this one stays small, for a process that it starts
    counts this one's memory as its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def _make(material: Material, pieces: set[str]) -> None:
    from benchmarks.make_material import make_material

    make_material(material, pieces)


def _compare(material: Material) -> dict[str, float]:
    from benchmarks.cases.inference import EXPRESSIONS
    from benchmarks.naive_segmenter import difference_from_ours
    from cmpc.data.images import read_image

    photo = read_image(next(material.photos.iterdir()))
    return {preset: difference_from_ours(material.model(preset), photo, EXPRESSIONS) for preset in ("paper", "small")}


if __name__ == "__main__":
    sys.exit(main())
