"""Several processes train as one does."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cmpc.cli import main
from cmpc.errors import UsageError
from cmpc.models.config import preset
from cmpc.training.options import TrainingOptions
from cmpc.training.recipe import train
from networks import CONFIGURATIONS, SMALL
from training import alike
from training.scenes import QUICK_RUN, losses, module_process, train_process, write_scenes

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
ROUNDING = {"rel": 1e-5, "abs": 1e-6}
LOST = "stops because another one did"


@pytest.fixture(scope="module")
def odd_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine visits an epoch and three photos to validate: what two processes cannot share evenly."""
    return write_scenes(tmp_path_factory.mktemp("odd"), photos=9)


@pytest.fixture(scope="module")
def runs(odd_scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All runs of ``alike``, made by one process and by two."""
    folder = tmp_path_factory.mktemp("runs")
    both = module_process("training.alike", [odd_scenes, folder / "two"], launcher=TORCHRUN)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alike.run_all(odd_scenes, folder / "one", several=False)
    finally:
        torch.set_num_threads(threads)
    output, _ = both.communicate(timeout=600)
    assert both.returncode == 0, output
    return {"one": folder / "one", "two": folder / "two"}


def assert_alike(one: list[list[float]], two: list[list[float]]) -> None:
    """Rows of ``losses`` are equal up to rounding; in their IoU a pixel may fall on the other side."""
    for (*expected, iou), (*row, their_iou) in zip(one, two, strict=True):
        assert row == pytest.approx(expected, **ROUNDING)
        assert their_iou == pytest.approx(iou, abs=2e-3)


def validation(run: Path) -> list[list[float]]:
    """What each validation measured."""
    rows = [row.split(",") for row in (run / "validation.csv").read_text().splitlines()]
    return [[float(value) for name, value in zip(rows[0], row, strict=True) if name != "seconds"] for row in rows[1:]]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*alike.PARTS, *alike.WAYS])
def test_two_processes_give_the_losses_of_one(runs: dict[str, Path], name: str) -> None:
    """With the same images in a step: batch norms and means of the losses see both halves."""
    one, two = losses(runs["one"] / name), losses(runs["two"] / name)
    assert len(one) == len(two) == (alike.STEPS if name in alike.PARTS else alike.FEW_STEPS)
    assert_alike(one, two)


@pytest.mark.slow
@pytest.mark.parametrize("name", alike.SHARED)
def test_processes_that_share_the_weights_give_the_losses_of_one(runs: dict[str, Path], name: str) -> None:
    assert_alike(losses(runs["one"] / name), losses(runs["two"] / name))


@pytest.mark.slow
@pytest.mark.parametrize("name", alike.SHARED)
def test_checkpoint_of_processes_that_share_the_weights_is_that_of_one(runs: dict[str, Path], name: str) -> None:
    """Adam makes whole steps where a gradient is nothing but rounding, so that a few weights may differ."""
    for file, may_differ in (("model", 0.005), ("training_state", 0.0)):
        one, two = (load_file(runs[number] / name / "last" / f"{file}.safetensors") for number in ("one", "two"))
        assert one.keys() == two.keys()
        one.pop("sums/sums", None)
        off = [
            (two[tensor] - values).abs() > 1e-4 * values.abs().max() + 1e-6
            for tensor, values in one.items()
            if values.is_floating_point()
        ]
        assert torch.cat([values.flatten() for values in off]).float().mean() <= may_differ
    assert (runs["two"] / name / "best" / "model.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", alike.SHARED)
def test_validation_counts_every_expression_once(runs: dict[str, Path], name: str) -> None:
    one, two = validation(runs["one"] / name), validation(runs["two"] / name)
    assert one[0][-1] == 6 + 4 + 4
    for expected, row in zip(one, two, strict=True):
        assert row == pytest.approx(expected, abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", alike.STOPPED)
@pytest.mark.parametrize("processes", ["one", "two"])
def test_stopped_run_continues_bit_for_bit(runs: dict[str, Path], name: str, processes: str) -> None:
    stopped, never = runs[processes] / name, runs[processes] / f"never {name}"
    assert losses(stopped) == losses(never)
    for file in ("model.safetensors", "training_state.safetensors"):
        assert (stopped / "last" / file).read_bytes() == (never / "last" / file).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", alike.STOPPED)
def test_run_of_two_processes_is_continued_by_one(runs: dict[str, Path], odd_scenes: Path, name: str) -> None:
    alike.run(odd_scenes, runs["two"] / f"copy of {name}", **alike.STOPPED[name], resume=True)
    assert_alike(losses(runs["one"] / f"never {name}"), losses(runs["two"] / f"copy of {name}"))


@pytest.mark.slow
def test_two_nodes_train_as_one(scenes: Path, tmp_path: Path, tiny_network: None) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{probe.getsockname()[1]}"
    launcher = ("-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d")
    launcher += ("--rdzv-endpoint", place, "--rdzv-id", "two-nodes", "-m")
    arguments = ["--data", str(scenes), *QUICK_RUN, "--steps", "3", "--workers", "0", "--learning-rate", "1e-4"]
    nodes = [train_process([*arguments, "--out", tmp_path / "two"], launcher=launcher) for _ in range(2)]
    for node in nodes:
        output, _ = node.communicate(timeout=120)
        assert node.returncode == 0, output
    assert main(["train", *arguments, "--out", str(tmp_path / "one")]) == 0
    assert_alike(losses(tmp_path / "one"), losses(tmp_path / "two"))


def process_of_rank(rank: int, agent: subprocess.Popen[str]) -> int:
    """The process that torchrun started for a rank."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == agent.pid and f"RANK={rank}" in (folder / "environ").read_bytes().decode().split("\0"):
                return int(folder.name)
        except OSError:  # it has ended meanwhile
            continue
    raise AssertionError(f"torchrun has no process of rank {rank}")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_killed_process_ends_the_run_with_a_sentence_and_a_checkpoint(
    scenes: Path, tmp_path: Path, tiny_network: None
) -> None:
    run = tmp_path / "run"
    arguments = ["--data", scenes, *QUICK_RUN, "--steps", "100000", "--save-every", "2", "--workers", "0"]
    both = train_process([*arguments, "--validate-every", "0", "--out", run], launcher=TORCHRUN)
    state = run / "last" / "training_state.json"
    while not state.exists():
        assert both.poll() is None, both.communicate()[0]
        time.sleep(0.02)
    os.kill(process_of_rank(1, both), signal.SIGKILL)
    killed = time.monotonic()
    output, _ = both.communicate(timeout=60)
    assert time.monotonic() - killed < 60
    assert both.returncode == 1
    said, found, rest = output.partition(f"process 0 of 2 {LOST}")
    assert found, output
    assert "Traceback" not in said
    assert LOST not in rest
    reached = json.loads(state.read_text())["step"]
    options = TrainingOptions(
        data=scenes,
        out=run,
        model=preset("small", image={"size": 64}),
        resume=True,
        batch_images=2,
        expressions_per_image=2,
        steps=100_000,
        precision="32",
        accelerator="cpu",
        workers=0,
        validate_every=0,
    )
    with alike.stopping_after(2):
        assert train(options).step == reached + 2


@pytest.mark.slow
def test_photo_that_one_process_misses_ends_all_with_sentences(scenes: Path, tmp_path: Path) -> None:
    photo = shutil.copytree(scenes.parent, tmp_path / "copy") / "photos" / "3.png"
    photo.unlink()
    arguments = ("--data", tmp_path / "copy" / scenes.name, *QUICK_RUN, "--steps", "40", "--workers", "0")
    process = train_process([*arguments, "--devices", "2", "--out", tmp_path / "run"])
    output, _ = process.communicate()
    assert process.returncode == 1
    assert re.search(r"3\.png \([^)]*\): No such file or directory\.", output)
    assert LOST in output
    assert "Traceback" not in output


def test_device_that_is_not_there_is_refused(
    scenes: Path, tmp_path: Path, tiny_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="finds no cuda device here"):
        train(TrainingOptions(data=scenes, out=tmp_path / "run", accelerator="cuda"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_images": 3, "devices": "2"}, "2 devices cannot share a step's 3 images equally: give another --batch"),
        ({"batch_images": 4, "accumulate": 3}, "1 device cannot share a step's 4 images equally in 3 micro batches"),
        ({"batch_images": 4, "accumulate": 0}, "--accumulate must be positive, got 0"),
        ({"batch_images": 2, "devices": "2", "strategy": "fsdp", "compile": True}, "--compile does not go with"),
    ],
)
def test_step_that_devices_cannot_share_is_refused(
    scenes: Path, tmp_path: Path, tiny_network: None, changes: dict[str, object], message: str
) -> None:
    options = TrainingOptions(data=scenes, out=tmp_path / "run", accelerator="cpu", **changes)
    with pytest.raises(UsageError, match=message):
        train(options)
    assert not (tmp_path / "run").exists()


def test_micro_batches_decide_where_batch_norms_learn(odd_scenes: Path, tmp_path: Path) -> None:
    """There another number of them is another run; elsewhere it is the same up to rounding."""
    small = {"model": SMALL, "batch_images": 4, "steps": 1}
    alike.run(odd_scenes, tmp_path / "small", **small, accumulate=2)
    with pytest.raises(UsageError, match="--accumulate was 2 and is 4"):
        alike.run(odd_scenes, tmp_path / "small", **small, accumulate=4, resume=True)

    paper = {**alike.options_of("paper"), "batch_images": 4, "steps": 4}
    assert CONFIGURATIONS["paper"] is paper["model"]
    alike.run(odd_scenes, tmp_path / "whole", **paper)
    with alike.stopping_after(2):
        alike.run(odd_scenes, tmp_path / "paper", **paper, accumulate=2)
    alike.run(odd_scenes, tmp_path / "paper", **paper, accumulate=4, resume=True)
    assert_alike(losses(tmp_path / "whole"), losses(tmp_path / "paper"))
