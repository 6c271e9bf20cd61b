"""``cmpc evaluate`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cmpc.evaluation.scoring
from cmpc.cli import main
from cmpc.data.schema import PreparedDataset
from cmpc.evaluation.scoring import ScoredSample, ScoringTask


def run(*arguments: str | Path) -> int:
    return main(["evaluate", *map(str, arguments)])


@pytest.fixture
def options(dataset: PreparedDataset, tiny_model_folder: Path, tmp_path: Path) -> list[str | Path]:
    return ["--data", dataset.folder, "--split", "val", "--model", tiny_model_folder, "--out", tmp_path / "out"]


def test_reports_agree_with_each_other_and_name_the_protocol(
    options: list[str | Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*options, "--protocol", "paper") == 0

    out = tmp_path / "out"
    report = json.loads((out / "report.json").read_text())
    lines = [json.loads(line) for line in (out / "expressions.jsonl").read_text().splitlines()]
    table = report["tables"]["without_crf"]
    assert report["protocol"] == "paper"
    assert (report["images"], report["images_in_split"], report["expressions"]) == (3, 3, 11)
    assert [line["sample"] for line in lines] == list(range(11))
    assert lines[5]["expression"] == "."
    assert table["all"]["intersection"] == sum(line["intersection"] for line in lines)
    assert table["all"]["union"] == sum(line["union"] for line in lines)
    assert table["all"]["mean_iou"] == pytest.approx(np.mean([line["iou"] for line in lines]))
    assert table["all"]["precision"]["0.5"] == np.mean([line["iou"] >= 0.5 for line in lines])
    assert {name: row["expressions"] for name, row in table["words"].items()} == {"1-2": 7, "4-5": 2, "6-7": 1, "8+": 1}
    assert {name: row["expressions"] for name, row in table["groups"].items()} == {"people": 5, "things": 6}
    overall = f"{100 * table['all']['overall_iou']:.2f}"
    assert overall in (out / "report.md").read_text()
    assert "protocol paper" in (out / "report.md").read_text()
    printed = capsys.readouterr().out
    assert overall in printed
    assert "protocol paper" in printed


def test_picture_shows_worst_and_best(options: list[str | Path], tmp_path: Path) -> None:
    assert run(*options) == 0
    sheet = np.asarray(Image.open(tmp_path / "out/worst-and-best.png"))
    assert sheet.ndim == 3
    outline = (sheet == (0, 255, 120)).all(axis=2)
    middle = len(sheet) // 2
    assert outline[:middle].any()
    assert outline[middle:].any()


def test_default_folder_and_protocol(
    options: list[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*options[:-2]) == 0
    assert (tmp_path / "evaluation/tiny-toy-val-standard/report.json").is_file()


def test_a_part_of_a_split_is_named_as_such(
    options: list[str | Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*options, "--limit", "2") == 0
    assert "only 2 of 3 images" in (tmp_path / "out/report.md").read_text()
    assert run(*options, "--resume") == 0  # goes on to the whole split
    assert json.loads((tmp_path / "out/report.json").read_text())["images"] == 3
    assert "10 expressions are done" in capsys.readouterr().out


def test_interrupted_run_is_continued_with_resume_and_protected_without(
    options: list[str | Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(*options) == 0
    whole = (tmp_path / "out/expressions.jsonl").read_text()
    options[-1] = tmp_path / "second"

    scored: list[int] = []
    original = cmpc.evaluation.scoring.score

    def interrupted(task: ScoringTask) -> ScoredSample:
        scored.append(task.number)
        if task.number == 9:
            raise KeyboardInterrupt
        return original(task)

    monkeypatch.setattr(cmpc.evaluation.scoring, "score", interrupted)
    assert run(*options, "--batch-images", "1") == 130
    monkeypatch.setattr(cmpc.evaluation.scoring, "score", original)
    assert not (tmp_path / "second/report.json").exists()

    assert run(*options) == 2
    assert "--resume" in capsys.readouterr().err
    assert run(*options, "--resume") == 0
    assert (tmp_path / "second/expressions.jsonl").read_text() == whole


def test_another_protocol_does_not_continue_foreign_results(
    options: list[str | Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*options) == 0
    assert run(*options, "--resume", "--protocol", "paper") == 2
    assert "protocol" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "status", "message"),
    [
        ("--split", "testA", 2, "no split 'testA'"),
        ("--split", "empty", 1, "nothing to evaluate"),
        ("--data", "nowhere", 1, "no prepared dataset"),
        ("--model", "nowhere", 1, "does not exist"),
        ("--device", "abacus", 1, "no device"),
        ("--limit", "0", 2, "--limit"),
        ("--protocol", "mine", 2, "protocol"),
    ],
)
def test_mistakes_are_named_and_leave_nothing_behind(
    name: str,
    value: str,
    status: int,
    message: str,
    options: list[str | Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(*options, name, value) == status
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()
