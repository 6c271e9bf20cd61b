"""``cmpc evaluate`` under torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cmpc.cli import main
from cmpc.data.schema import PreparedDataset
from cmpc.evaluation.processes import Processes
from evaluation.toy import prepared, referred_object

FILES = ("report.json", "report.md", "expressions.jsonl", "worst-and-best.png")


@pytest.fixture
def five_photos(tmp_path: Path) -> PreparedDataset:
    """Thirteen expressions about five photos: what two processes cannot share evenly."""
    generator = np.random.default_rng(11)
    photos = {name: generator.integers(0, 256, (40, 60, 3), dtype=np.uint8) for name in "abcde"}
    rows = []
    for number, name in enumerate(photos):
        mask = np.zeros((40, 60), bool)
        mask[5 : 20 + 4 * number, 10:45] = True
        said = ["left man", "the man in a red shirt", "white frisbee", "dog"][: 2 + number % 3]
        rows.append(referred_object(str(number), name, mask, said))
    return prepared(tmp_path / "five", photos, {"val": rows})


def evaluate_by_two(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """``cmpc evaluate`` in two processes."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [sys.executable, *torchrun, "-m", "cmpc", "evaluate", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
    )


@pytest.mark.slow
def test_two_processes_write_what_one_writes(
    five_photos: PreparedDataset,
    tiny_model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--data", five_photos.folder, "--split", "val", "--model", tiny_model_folder, "--batch-images", "1"]
    both = evaluate_by_two(*options, "--out", tmp_path / "two")
    assert both.returncode == 0, both.stdout
    assert main(["evaluate", *map(str, options), "--out", str(tmp_path / "one")]) == 0
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    assert both.stdout.count("overall") == capsys.readouterr().out.count("overall") == 1


@pytest.mark.slow
def test_missing_photo_ends_all_processes_and_the_evaluation_goes_on_afterwards(
    five_photos: PreparedDataset, tiny_model_folder: Path, tmp_path: Path
) -> None:
    options = ["--data", five_photos.folder, "--split", "val", "--model", tiny_model_folder, "--batch-images", "1"]
    photo = five_photos.folder.parent / "photos" / "d"  # of the second process
    away = photo.rename(tmp_path / "away")
    both = evaluate_by_two(*options, "--out", tmp_path / "out")
    assert both.returncode == 1
    assert "cannot read the image" in both.stdout
    assert both.stdout.count("process 0 of 2 stops because another one did") == 1
    assert not (tmp_path / "out" / "report.json").exists()
    away.rename(photo)
    assert main(["evaluate", *map(str, options), "--out", str(tmp_path / "out"), "--resume"]) == 0
    assert (tmp_path / "out" / "report.json").exists()


def test_rounds_deal_out_every_batch_once_and_are_as_many_for_all() -> None:
    items = list(range(101))
    for count in (1, 2, 3, 7):
        shares = [list(Processes(rank, count).rounds(items, batch=2)) for rank in range(count)]
        assert len({len(share) for share in shares}) == 1
        assert sorted(item for share in shares for part in share for item in part) == items


def test_process_takes_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    third = Processes(rank=6, count=8, local_rank=2, local_count=4)
    assert [third.device(name) for name in ("auto", "cuda", "cpu", "cuda:0")] == ["cuda:2", "cuda:2", "cpu", "cuda:0"]
    assert Processes().device("auto") == "auto"
