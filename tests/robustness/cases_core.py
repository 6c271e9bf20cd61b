"""Models, folders of runs, arguments and streams."""

from __future__ import annotations

from robustness.case import Case

CASES: list[Case] = []
