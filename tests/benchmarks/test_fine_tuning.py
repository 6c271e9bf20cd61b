"""What fine-tuning brings, measured with a tiny model and two steps."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import fine_tuning
from cmpc.data.schema import PreparedDataset
from cmpc.models.config import PRESETS
from training.scenes import tiny_preset, write_scenes


def test_a_row_is_printed_for_each_number_of_photos(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scenes").mkdir()
    data, work = write_scenes(tmp_path / "scenes"), tmp_path / "work"
    monkeypatch.setitem(PRESETS, "small", tiny_preset())
    steps = ("--epochs", "1", "--steps-from-nothing", "2")
    model = ("--model", str(tiny_model_folder))
    monkeypatch.setattr(sys, "argv", ["", str(data), "--work", str(work), "--photos", "1", "3", *steps, *model])
    fine_tuning.main()
    table = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][2:]
    taken = [PreparedDataset.open(work / f"{count}-photos").info.splits["train"] for count in (1, 3)]
    assert [split.images for split in taken] == [1, 3]
    assert [(int(row[0]), int(row[1])) for row in table] == [(1, taken[0].expressions), (3, taken[1].expressions)]
    assert all(0 <= float(row[place]) <= 1 for row in table for place in (2, 4))
    fine_tuning.main()  # nothing is left to do
