"""Several processes train as one does."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch

from cmpc.errors import UsageError
from cmpc.training.options import TrainingOptions
from cmpc.training.recipe import train
from training.scenes import QUICK_RUN, losses, train_process

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")


@pytest.mark.slow
@pytest.mark.parametrize("extra", [(), ("--recipe", "paper"), ("--network.no-word-type-gating",)], ids=" ".join)
def test_two_processes_give_the_losses_of_one(scenes: Path, tmp_path: Path, extra: tuple[str, ...]) -> None:
    """With the same images in a step: batch norms and means of the losses see both halves."""
    arguments = ["--data", scenes, *QUICK_RUN, "--steps", "8", "--workers", "0", *extra]
    for run, launcher in (("one", ()), ("two", TORCHRUN)):
        process = train_process([*arguments, "--out", tmp_path / run], launcher=launcher)
        output, _ = process.communicate()
        assert process.returncode == 0, output
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) == 8
    assert one[0] == pytest.approx(two[0], rel=1e-5, abs=1e-6)
    for expected, row in zip(one, two, strict=True):
        assert row == pytest.approx(expected, rel=2e-3, abs=2e-3)
    assert (tmp_path / "one" / "validation.csv").read_text().count("\n") > 1
    assert (tmp_path / "two" / "validation.csv").read_text().count("\n") > 1


@pytest.mark.slow
def test_photo_that_one_process_misses_ends_all_with_sentences(scenes: Path, tmp_path: Path) -> None:
    photo = shutil.copytree(scenes.parent, tmp_path / "copy") / "photos" / "3.png"
    photo.unlink()
    arguments = ("--data", tmp_path / "copy" / scenes.name, *QUICK_RUN, "--steps", "40", "--workers", "0")
    process = train_process([*arguments, "--devices", "2", "--out", tmp_path / "run"])
    output, _ = process.communicate()
    assert process.returncode == 1
    assert re.search(r"3\.png \([^)]*\): No such file or directory\.", output)
    assert "stops because another one did" in output
    assert "Traceback" not in output


def test_device_that_is_not_there_is_refused(
    scenes: Path, tmp_path: Path, tiny_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="finds no cuda device here"):
        train(TrainingOptions(data=scenes, out=tmp_path / "run", accelerator="cuda"))


def test_step_that_devices_cannot_share_is_refused(scenes: Path, tmp_path: Path, tiny_network: None) -> None:
    options = TrainingOptions(data=scenes, out=tmp_path / "run", batch_images=3, devices="2", accelerator="cpu")
    with pytest.raises(UsageError, match="2 devices cannot share a step's 3 images equally"):
        train(options)
    assert not (tmp_path / "run").exists()
