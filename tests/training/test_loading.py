"""Processes that load batches: whatever happens to one of them, the run ends with a sentence and leaves none behind."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import namedtuple
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset, _utils

from cmpc.cli import main
from cmpc.errors import UserError
from cmpc.training import loading as loading_module
from cmpc.training.loading import loading, make_loader
from training.scenes import QUICK_RUN

Usage = namedtuple("Usage", "total used free")


class Numbers(Dataset[Any]):
    """Gives what a function makes of a number."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __getitem__(self, number: int) -> Any:
        return self.make(number)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of tenths of seconds."""
    monkeypatch.setattr(loading_module, "LONGEST_WAIT", 1)
    monkeypatch.setattr(_utils, "MP_STATUS_CHECK_INTERVAL", 0.3)


def first_batch(make: Callable[[int], Any]) -> Any:
    """The first batch of a loader with one process."""
    sampler: Any = [[number] for number in range(5)]
    with loading(make_loader(Numbers(make), sampler, collate=lambda samples: samples, workers=1)) as batches:
        return next(batches)


def test_batches_come_from_shared_memory(impatient: None) -> None:
    [tensor] = first_batch(lambda number: torch.arange(number, number + 3))
    assert tensor.is_shared()
    assert tensor.tolist() == [0, 1, 2]
    assert not active_children()


@pytest.mark.parametrize("render_on", ["cpu", "device"])
def test_full_shared_memory_ends_a_training_with_a_sentence(
    scenes: Path,
    tmp_path: Path,
    tiny_network: None,
    render_on: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(64_000_000, 63_999_900, 100))
    arguments = ("--data", scenes, "--out", tmp_path / "run", "--steps", "2", "--workers", "1", *QUICK_RUN)
    assert main(["train", *map(str, arguments), "--render-on", render_on]) == 1
    [said] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cmpc train: ")]
    assert said.startswith("cmpc train: the shared memory is full: a batch needs 0.")
    assert said.endswith(
        "/dev/shm has 0.0 MB left; give /dev/shm more room (docker run --shm-size 2g), or load with "
        "fewer --workers (0: none)."
    )
    assert not active_children()


def test_errors_of_a_process_are_raised_as_they_were(impatient: None) -> None:
    def fail(number: int) -> Any:
        raise UserError(f"the photo {number} is damaged.")

    with pytest.raises(UserError, match=r"^the photo 0 is damaged\.$"):
        first_batch(fail)


def test_process_that_is_killed_is_noticed(impatient: None) -> None:
    def die(number: int) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(UserError, match="a process that loads photos was ended, most often for lack of memory"):
        first_batch(die)
    assert not active_children()


def test_process_that_runs_out_of_shared_memory_is_noticed(impatient: None) -> None:
    """What the kernel sends who writes to room that is not there."""

    def die(number: int) -> Any:
        os.kill(os.getpid(), signal.SIGBUS)

    with pytest.raises(UserError, match="was ended because the shared memory is full: give /dev/shm more room"):
        first_batch(die)


@pytest.mark.parametrize("make", [lambda _: time.sleep(1000), lambda _: lambda: None], ids=["stands still", "is lost"])
def test_batch_that_never_comes_is_waited_for_in_vain_once(impatient: None, make: Callable[[int], Any]) -> None:
    with pytest.raises(UserError, match="no batch came for 1 seconds: the photos cannot be read"):
        first_batch(make)
    assert not active_children()
