"""The page of hostile inputs is what its command writes."""

from __future__ import annotations

import shutil
from pathlib import Path

from robustness.page import write_page
from robustness.table import all_cases

PAGE = Path(__file__).parents[2] / "docs" / "robustness.md"


def test_page_is_what_its_command_writes(tmp_path: Path) -> None:
    copy = Path(shutil.copy(PAGE, tmp_path))
    write_page(copy, all_cases())
    again = "python -m tests.robustness --docs docs/robustness.md"
    assert copy.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8"), f"write it anew: {again}"


def test_no_input_stands_twice_in_the_table() -> None:
    names = [(case.area, case.input) for case in all_cases()]
    assert sorted(set(names)) == sorted(names)
