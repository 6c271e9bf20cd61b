"""A run that was killed, interrupted or diverged."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cmpc.errors import UsageError, UserError
from cmpc.model_folder import load_model_folder
from cmpc.model_weights import save_tensors
from cmpc.models.config import preset
from cmpc.training.options import TrainingOptions
from cmpc.training.recipe import train
from training.scenes import QUICK_RUN, train_process

STEPS = 30
OPTIONS = (*QUICK_RUN, "--steps", str(STEPS), "--save-every", "2")


def step_of(run: Path) -> int:
    try:
        return int(json.loads((run / "last" / "training_state.json").read_text())["step"])
    except FileNotFoundError:
        return 0


def wait_for_step(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    while step_of(run) < step:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows of a log without the columns that tell the time."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [
        {name: value for name, value in row.items() if name not in ("seconds", "images_per_second")} for row in rows
    ]


def assert_same_run(run: Path, other: Path) -> None:
    for file in ("last/model.safetensors", "last/training_state.safetensors", "best/model.safetensors"):
        assert (run / file).read_bytes() == (other / file).read_bytes(), file
    for file in ("training.csv", "validation.csv"):
        assert rows_of(run / file) == rows_of(other / file), file
    assert step_of(run) == step_of(other) == STEPS


@pytest.fixture(scope="module")
def uninterrupted(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "uninterrupted"
    process = train_process(["--data", scenes, "--out", run, *OPTIONS, "--workers", "0"])
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return run


@pytest.mark.slow
def test_killed_run_continues_bit_for_bit(scenes: Path, uninterrupted: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = train_process(["--data", scenes, "--out", run, *OPTIONS, "--workers", "1"])
    wait_for_step(run, 4, process)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert step_of(run) < STEPS

    process = train_process(["--data", scenes, "--out", run, *OPTIONS, "--workers", "0", "--resume"])
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert_same_run(run, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_stops_with_a_checkpoint_and_continues(
    scenes: Path, uninterrupted: Path, tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "run"
    process = train_process(["--data", scenes, "--out", run, *OPTIONS, "--workers", "1"])
    wait_for_step(run, 2, process)
    os.killpg(process.pid, number)
    output, _ = process.communicate()
    assert process.returncode == 130, output
    assert "--resume" in output
    assert "Traceback" not in output
    stopped_at = len(rows_of(run / "training.csv"))
    assert stopped_at == step_of(run) < STEPS

    process = train_process(["--data", scenes, "--out", run, *OPTIONS, "--workers", "0", "--resume"])
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert_same_run(run, uninterrupted)


@pytest.fixture
def short(scenes: Path, tmp_path: Path, tiny_network: None) -> TrainingOptions:
    """Options of a run of two steps."""
    return TrainingOptions(
        data=scenes,
        out=tmp_path / "run",
        model=preset("small", image={"size": 32}),
        batch_images=1,
        expressions_per_image=1,
        steps=2,
        log_every=1,
        workers=0,
        validate_every=0,
        precision="32",
        accelerator="cpu",
    )


def test_checkpoint_is_a_model_folder(short: TrainingOptions) -> None:
    result = train(short)
    assert result.finished
    loaded = load_model_folder(short.out / "last")
    assert loaded.model.config.image.size == 32
    assert "left" in loaded.vocabulary.words


def test_checkpoint_that_was_about_to_be_replaced_is_put_back(short: TrainingOptions) -> None:
    """What a kill between two renamings leaves behind where a system cannot exchange folders."""
    train(short)
    before = (short.out / "last" / "model.safetensors").read_bytes()
    (short.out / ".last.abc.writing" / "old").mkdir(parents=True)
    (short.out / ".last.abc.writing.lock").touch()
    (short.out / "last").rename(short.out / ".last.abc.writing" / "old" / "last")
    short.resume = True
    assert train(short).finished
    assert (short.out / "last" / "model.safetensors").read_bytes() == before
    assert not list(short.out.glob(".*"))


def test_run_killed_before_its_first_checkpoint_begins_anew(short: TrainingOptions) -> None:
    train(short)
    weights = (short.out / "last" / "model.safetensors").read_bytes()
    shutil.rmtree(short.out / "last")
    short.resume = True
    assert train(short).step == 2
    assert (short.out / "last" / "model.safetensors").read_bytes() == weights
    assert len(rows_of(short.out / "training.csv")) == 2


def test_folder_with_a_run_is_refused_without_resume(short: TrainingOptions) -> None:
    train(short)
    with pytest.raises(UsageError, match="already holds a run: continue it with --resume"):
        train(short)


def test_no_loading_process_is_left_behind_by_a_missing_photo(short: TrainingOptions, tmp_path: Path) -> None:
    """One that is left ignores the signal by which Python ends it, so that the command would never return."""
    photos = shutil.copytree(short.data.parent / "photos", tmp_path / "photos")
    for photo in [*photos.iterdir()][1:]:
        photo.unlink()
    short.images, short.workers, short.steps = photos, 1, 12
    with pytest.raises(UserError, match=r"^cannot read the image") as stopped:
        train(short)
    assert "\n" not in str(stopped.value)
    assert multiprocessing.active_children() == []


def test_resumed_run_keeps_the_precision_that_auto_chose(
    short: TrainingOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    short.precision = "auto"
    monkeypatch.setattr("cmpc.training.precision._cpu_has_bfloat16", lambda: False)
    train(short)
    monkeypatch.setattr("cmpc.training.precision._cpu_has_bfloat16", lambda: True)
    short.resume = True
    assert train(short).finished


def test_resume_without_a_run_is_refused(short: TrainingOptions) -> None:
    short.resume = True
    with pytest.raises(UsageError, match="no run to resume"):
        train(short)


def test_resume_with_other_options_names_them(short: TrainingOptions) -> None:
    train(short)
    short.resume, short.seed, short.learning_rate = True, 5, 1e-4
    with pytest.raises(UsageError) as refused:
        train(short)
    assert "--seed was 0 and is 5" in str(refused.value)
    assert "--learning-rate was 0.0015 and is 0.0001" in str(refused.value)


def test_diverged_run_says_at_which_step_and_keeps_the_last_good_checkpoint(short: TrainingOptions) -> None:
    short.learning_rate, short.steps, short.save_every = 1e25, 6, 1
    with pytest.raises(UserError, match=r"no longer a number since step \d: begin another run with a lower"):
        train(short)
    weights = load_file(short.out / "last" / "model.safetensors")
    assert all(value.isfinite().all() for value in weights.values())


def test_damaged_checkpoint_is_refused(short: TrainingOptions) -> None:
    train(short)
    state = short.out / "last" / "training_state.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    short.resume = True
    with pytest.raises(UserError, match="is damaged or does not fit"):
        train(short)


def test_checkpoint_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot write weights.safetensors"):
        save_tensors({"a": torch.zeros(2)}, tmp_path / "missing" / "weights.safetensors")


def test_run_from_before_an_option_existed_is_resumed(scenes: Path, tmp_path: Path, tiny_network: None) -> None:
    network = preset("small", image={"size": 32})
    options = TrainingOptions(
        data=scenes, out=tmp_path / "run", model=network, steps=1, workers=0, accelerator="cpu", precision="32"
    )
    train(options)
    path = tmp_path / "run" / "run.json"
    settings = json.loads(path.read_text())
    del settings["options"]["render_on"]
    path.write_text(json.dumps(settings))

    options.resume = True
    assert train(options).finished
    options.render_on = "device"
    with pytest.raises(UsageError, match="--render-on was cpu and is device"):
        train(options)
