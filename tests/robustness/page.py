"""Writes the table of hostile inputs into its page of the documentation."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from robustness.case import Case

_BEGIN, _END = "<!-- begin cases -->\n", "<!-- end cases -->"


def write_page(page: Path, cases: list[Case]) -> None:
    """Fills numbers and table into a page between ``<!-- begin cases -->`` and ``<!-- end cases -->``."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for the cases: {_BEGIN.strip()} and {_END}")
    page.write_text(f"{before}{_BEGIN}{_numbers(cases)}\n{_table(cases)}{_END}{after}", encoding="utf-8")


def _numbers(cases: list[Case]) -> str:
    areas = Counter(case.area for case in cases)
    listed = ", ".join(f"{number} of {area}" for area, number in areas.items())
    return f"{len(cases)} inputs: {listed}.\n"


def _table(cases: list[Case]) -> str:
    lines = ["| area | input | exit code | says |", "| --- | --- | ---: | --- |"]
    lines += [
        f"| {_cell(case.area)} | {_cell(case.input)} | {case.exit_code} | {_cell(case.sentence)} |" for case in cases
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """A text that a table of Markdown shows as it is."""
    return re.sub(r"([|<>*_\[\]])", r"\\\1", text) if "`" not in text else text.replace("|", r"\|")
