"""Every hostile input of the table ends as the table says, in one sentence and without a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmpc.cli import main
from robustness.case import Case
from robustness.table import all_cases


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: f"{case.area}: {case.input}")
def test_input_is_answered_as_the_table_says(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = case.make(tmp_path)
    capfd.readouterr()
    code = main(arguments)
    said = capfd.readouterr()
    text = said.err if case.exit_code else said.out + said.err
    assert (code, "Traceback" in text) == (case.exit_code, False), text
    assert case.sentence in " ".join(text.split())
