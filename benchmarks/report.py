"""Results as Markdown tables, and a page that takes them in without losing its prose."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.results import Results
from benchmarks.targets import RECORDED, verdicts
from benchmarks.timing import CaseResult, VariantResult
from cmpc.errors import UserError
from cmpc.files import atomic_file

_BLOCK = re.compile(r"(<!-- begin ([\w-]+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def write_page(path: Path, results: Results) -> None:
    """Fills the tables into a page between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``; the rest stays.

    Raises:
        UserError: the page is missing, or has no place for a table.
    """
    write_places(path, tables(results))


def write_places(path: Path, content: Mapping[str, str]) -> None:
    """Fills content into the places of a page that have its names; the rest stays.

    Raises:
        UserError: the page is missing, or has no place for some content.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read the page {path}: {error.strerror}.") from None
    filled = fill(text, content)
    with atomic_file(path) as file:
        file.write_text(filled, encoding="utf-8")


def fill(page: str, content: Mapping[str, str]) -> str:
    """The page with new content between its markers; a place for which there is none stays as it is.

    Raises:
        UserError: there is no place for some content.
    """
    places = {match[2] for match in _BLOCK.finditer(page)}
    if missing := [name for name in content if name not in places]:
        raise UserError(f"the page has no place for {missing[0]!r}: add '<!-- begin {missing[0]} -->' and its end.")
    return _BLOCK.sub(lambda match: match[1] + content.get(match[2], _inside(match)) + match[3], page)


def _inside(match: re.Match[str]) -> str:
    return match[0][len(match[1]) : -len(match[3])]


def tables(results: Results) -> dict[str, str]:
    """Name of the place -> Markdown."""
    return {
        "machine": machine_table(results),
        "recorded": recorded_table(results.cases),
        "targets": target_table(results.cases),
        **{name: case_table(case) for name, case in results.cases.items()},
    }


def machine_table(results: Results) -> str:
    """Machine, libraries, and how near the naive network's numbers are to ours."""
    rows = [[name, value] for name, value in results.machine.items() if value]
    rows.append(["rounds", str(results.rounds)])
    for preset, difference in results.differences.items():
        rows.append([f"naive network against ours, `{preset}`", f"relative L2 of the logits {difference:.1e}"])
    return table(["machine", ""], rows)


def case_table(case: CaseResult) -> str:
    """The variants of a case."""
    header = [f"{case.unit}s a second" if case.measure == "rate" else f"seconds for each {case.unit}"]
    header += ["min to max", "cores at work", "peak memory"]
    if case.baseline:
        header.append("faster by")
    rows = []
    for one in case.variants:
        if not one.seconds:
            continue
        values = sorted(1 / each if case.measure == "rate" else each for each in one.each)
        middle = 1 / one.median if case.measure == "rate" else one.median
        row = [one.name, number(middle), f"{number(values[0])} to {number(values[-1])}", f"{cores(one):.1f}"]
        row.append("" if one.peak_bytes is None else f"{one.peak_bytes / 1e9:.2f} GB")
        if case.baseline:
            row.append("" if one.ratio is None else f"{one.ratio:.2f} x")
        rows.append(row)
    text = table(["", *header], rows)
    text += "".join(f"\n{name}: {value}.  \n" for name, value in case.facts.items())
    text += "".join(f"\nNot measured: {one.name} ({one.problem})\n" for one in case.variants if not one.seconds)
    before, after = case.load
    return f"{text}\n{case.began}; load of the machine {before:.1f} before, {after:.1f} after.\n"


def recorded_table(cases: Mapping[str, CaseResult]) -> str:
    """The naive network beside the recorded seconds of the original."""
    rows = []
    for recorded in RECORDED:
        naive = cases[recorded.case].variant(recorded.naive) if recorded.case in cases else None
        if naive is None or naive.peak_bytes is None:
            continue
        rows.append(
            [
                recorded.what,
                f"{recorded.tensorflow_1:.2f} s",
                f"{recorded.tensorflow_2:.2f} s, {recorded.gigabytes:.2f} GB",
                f"{number(naive.median)} s, {naive.peak_bytes / 1e9:.2f} GB",
                f"{naive.median / recorded.tensorflow_2:.2f}",
            ]
        )
    header = [
        "",
        "original, TensorFlow 1.5",
        "original, TensorFlow 2.15",
        "naive network here",
        "naive / TensorFlow 2.15",
    ]
    return table(header, rows)


def target_table(cases: Mapping[str, CaseResult]) -> str:
    """What was set out for and what was reached."""
    answers = {True: "yes", False: "no", None: "not measured"}
    rows = [
        [one.what, one.wanted, one.reached, one.variant, one.against_recorded, answers[one.is_reached]]
        for one in verdicts(cases)
    ]
    header = ["target", "wanted", "here, against the naive network", "by", "against TensorFlow 2.15", "reached"]
    return table(header, rows)


def number(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{2 if value >= 1 else 3}f}" if value < 10 else f"{value:.1f}"


def cores(result: VariantResult) -> float:
    """How many cores a variant kept busy: a figure below the machine's says that others were at work too, or that it
    does not use them."""
    return sum(result.cpu_seconds) / sum(result.seconds)


def table(header: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)
