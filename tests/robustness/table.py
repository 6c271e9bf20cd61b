"""All cases: what ``CASES`` of each ``cases_*.py`` beside this file holds."""

from __future__ import annotations

import importlib
from pathlib import Path

from robustness.case import Case


def all_cases() -> list[Case]:
    """The cases of every file, in the order of the files' names."""
    files = sorted(Path(__file__).parent.glob("cases_*.py"))
    return [case for file in files for case in importlib.import_module(f"robustness.{file.stem}").CASES]
