"""``cmpc ablate`` as a user runs it: comparing, failing, stopping, continuing."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cmpc.ablation.options import AblationOptions, VariantRun, default_training
from cmpc.ablation.processes import Failure, carry_out
from cmpc.cli import main
from cmpc.model_folder import read_model_config
from cmpc.models.config import preset

QUICK = (
    *("--steps", "2", "--image.size", "32", "--batch-images", "1", "--expressions-per-image", "2"),
    *("--workers", "0", "--accelerator", "cpu"),
)


def arguments_of(data: Path, out: Path, *extra: str) -> list[str]:
    return ["ablate", "--data", str(data), "--out", str(out), *QUICK, *extra]


def ablate(data: Path, out: Path, *extra: str) -> int:
    return main(arguments_of(data, out, *extra))


def record_of(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "ablation.json").read_text()))


def names_of(out: Path) -> list[tuple[str, int]]:
    return [(run["variant"], run["seed"]) for run in record_of(out)["runs"]]


def test_variants_and_seeds_are_compared(
    grouped_scenes: Path, tmp_path: Path, tiny_network: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ablation"
    assert ablate(grouped_scenes, out, "--variants", "rrn", "exchange-2") == 0
    assert names_of(out) == [("rrn", 0), ("exchange-2", 0), ("rrn", 1), ("exchange-2", 1)]
    record = record_of(out)
    assert record["settings"]["steps"] == 2
    assert record["settings"]["augmentation"] is True
    assert set(record["versions"]) == {"python", "cmpc", "torch"}
    assert record["runs"][0]["parameters"] < record["runs"][1]["parameters"]
    assert set(record["runs"][0]["groups"]) == {"long", "short"}

    lines = (out / "ablation.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")] == [
        *("| variant", "| ---", "| recurrent refinement network", "| + both, exchange of 2 rounds: the full network"),
        *("| variant", "| ---", "| recurrent refinement network", "| + both, exchange of 2 rounds: the full network"),
    ]
    rates = [100 * run["all"]["mean_iou"] for run in record["runs"] if run["variant"] == "rrn"]
    cell = f"{sum(rates) / 2:.1f} ± {abs(rates[0] - rates[1]) / 2:.1f}"
    assert cell in next(line for line in lines if line.startswith("| recurrent")).split(" | ")
    assert "2 steps of 1 images" in lines[2]
    printed = capsys.readouterr()
    assert "Precision@0.5 by group" in printed.out
    assert "rrn-seed0 has overall IoU" in printed.err


def test_figures_are_those_of_evaluate(grouped_scenes: Path, tmp_path: Path, tiny_network: None) -> None:
    out = tmp_path / "ablation"
    assert ablate(grouped_scenes, out, "--variants", "both", "--seeds", "1", "--limit", "2") == 0
    command = ["evaluate", "--data", str(grouped_scenes), "--split", "test", "--limit", "2", "--device", "cpu"]
    assert main([*command, "--model", str(out / "both-seed0" / "last"), "--out", str(tmp_path / "report")]) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())["tables"]["without_crf"]
    run = record_of(out)["runs"][0]
    for mine, theirs in [
        (run["all"], report["all"]),
        *((run["groups"][g], report["groups"][g]) for g in run["groups"]),
    ]:
        assert mine == {name: theirs[name] for name in mine}
    assert run["groups"].keys() == report["groups"].keys()
    assert "only the first 2 of 3 images" in (out / "ablation.md").read_text()


@pytest.mark.parametrize("steps", ["40", "1"], ids=["in the middle of a run", "in the last step of a run"])
def test_interrupted_ablation_continues_without_repeating_finished_runs(
    steps: str, grouped_scenes: Path, tmp_path: Path, tiny_network: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ablation"
    variants = ("--variants", "concatenation", "both")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored

    def interrupt_the_second_run() -> None:
        while not (out / "both-seed0" / "training.csv").exists():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt_the_second_run)
    watcher.start()
    assert ablate(grouped_scenes, out, *variants, "--steps", steps) == 130
    watcher.join()
    assert names_of(out) == [("concatenation", 0)]
    finished = (out / "concatenation-seed0" / "last").stat().st_mtime_ns

    assert ablate(grouped_scenes, out, *variants, "--steps", steps) == 2
    assert "continue it with --resume" in capsys.readouterr().err
    assert ablate(grouped_scenes, out, *variants, "--steps", steps, "--resume") == 0
    assert names_of(out) == [("concatenation", 0), ("both", 0), ("concatenation", 1), ("both", 1)]
    assert (out / "concatenation-seed0" / "last").stat().st_mtime_ns == finished
    assert json.loads((out / "both-seed0" / "last" / "training_state.json").read_text())["step"] == int(steps)


def test_runs_learn_from_other_data_first(
    grouped_scenes: Path, tmp_path: Path, tiny_network: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ablation"
    lesson = ("--first-data", str(grouped_scenes), "--first-steps", "3")
    networks = ("--variants", "rrn", "concatenation", "no-conv-lstm", "--seeds", "1")
    assert ablate(grouped_scenes, out, *networks, *lesson) == 0
    assert names_of(out) == [("rrn", 0), ("concatenation", 0), ("no-conv-lstm", 0)]
    for name, part in (("rrn", None), ("concatenation", "relation_reasoning"), ("no-conv-lstm", "conv_lstm")):
        first, last = (read_model_config(out / folder / "last") for folder in (f"{name}-seed0-first", f"{name}-seed0"))
        assert first == last
        assert last.network.kind == ("cmpc" if part else "rrn")
        assert part is None or getattr(last.network, part) is False
        steps = [
            json.loads((out / folder / "last" / "training_state.json").read_text())["step"]
            for folder in (f"{name}-seed0-first", f"{name}-seed0")
        ]
        assert steps == [3, 2]
    assert "3 steps on " in (out / "ablation.md").read_text()
    capsys.readouterr()
    assert ablate(grouped_scenes, out, *networks, "--resume") == 2
    assert "first steps was 3 and is None" in capsys.readouterr().err
    assert ablate(grouped_scenes, out, *networks, *lesson, "--resume") == 0


def test_run_that_fails_leaves_the_others_alone(
    grouped_scenes: Path, tmp_path: Path, tiny_network: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ablation"
    assert ablate(grouped_scenes, out, "--variants", "both", "--seeds", "1") == 0
    (out / "exchange-1-seed0").mkdir()
    (out / "exchange-1-seed0" / "notes.txt").write_text("mine")
    more = ("--variants", "both", "exchange-1", "concatenation", "--seeds", "1", "--resume")
    assert ablate(grouped_scenes, out, *more) == 1
    assert names_of(out) == [("both", 0), ("concatenation", 0)]
    error = capsys.readouterr().err
    assert "exchange-1-seed0 failed: " in error
    assert "1 of 3 runs failed (first: exchange-1-seed0: " in error.splitlines()[-1]
    (out / "exchange-1-seed0" / "notes.txt").unlink()
    assert ablate(grouped_scenes, out, *more) == 0
    assert len(names_of(out)) == 3


@pytest.mark.slow
def test_runs_side_by_side_stop_with_the_command_and_continue(grouped_scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "ablation"
    extra = ("--variants", "rrn", "both", "--seeds", "1", "--parallel", "2", "--steps", "12")
    command = [sys.executable, "-m", "cmpc", *arguments_of(grouped_scenes, out, *extra)]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    logs = [out / name / "training.csv" for name in ("rrn-seed0", "both-seed0")]
    while not all(log.exists() for log in logs):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 130, output
    assert "Traceback" not in output

    output = subprocess.run([*command, "--resume"], text=True, capture_output=True, check=True).stdout
    assert "recurrent refinement" in output
    assert sorted(names_of(out)) == [("both", 0), ("rrn", 0)]


@pytest.mark.slow
def test_run_whose_process_is_killed_is_a_failure_and_the_others_go_on(grouped_scenes: Path, tmp_path: Path) -> None:
    network = preset("small", image={"size": 32})
    training = default_training(
        data=grouped_scenes, out=tmp_path, model=network, steps=1, batch_images=1, workers=0, accelerator="cpu"
    )
    options = AblationOptions(training=training, parallel=2)
    before = set(multiprocessing.active_children())

    def kill_the_first() -> None:
        while not (started := set(multiprocessing.active_children()) - before):
            time.sleep(0.01)
        min(started, key=lambda child: child.pid or 0).kill()

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    outcomes = list(carry_out(options, [VariantRun("both", 0), VariantRun("concatenation", 0)], Console(quiet=True)))
    killer.join()
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    assert [failure.run for failure in failed] == [VariantRun("both", 0)]
    assert "ended without a result (status -9)" in failed[0].reason
    assert [outcome.run for outcome in outcomes if outcome not in failed] == [VariantRun("concatenation", 0)]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("--seeds", "0"), "--seeds must be 1 or more, got 0"),
        (("--parallel", "0"), "--parallel must be 1 or more, got 0"),
        (("--steps", "0"), "--steps must be positive, got 0"),
        (("--train-split", "holiday"), "has no split 'holiday' to learn from"),
        (("--split", "holiday"), "has no split 'holiday'"),
        (("--preset", "paper"), "it needs --backbone-weights"),
        (("--first-steps", "5"), "--first-steps goes with --first-data"),
        (("--network.exchange-rounds", "1"), "--network.exchange-rounds is what the variants differ in"),
        (
            ("--text.both-directions", "--variants", "rrn"),
            "the variant rrn cannot be made of that network: the recurrent refinement",
        ),
        (("--backbone", "efficientnet_lite"), "it needs --backbone-weights"),
        (("--resume",), "there is no ablation to resume"),
    ],
)
def test_wrong_use_exits_with_2_and_leaves_nothing(
    extra: tuple[str, ...], message: str, grouped_scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablate(grouped_scenes, tmp_path / "ablation", *extra) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "ablation").exists()


def test_resume_with_another_budget_names_what_changed(
    grouped_scenes: Path, tmp_path: Path, tiny_network: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out, extra = tmp_path / "ablation", ("--variants", "both", "--seeds", "1")
    assert ablate(grouped_scenes, out, *extra) == 0
    assert ablate(grouped_scenes, out, *extra, "--resume", "--tune-backbone") == 2
    assert "tune backbone was False and is True" in capsys.readouterr().err
    assert ablate(grouped_scenes, out, *extra, "--resume", "--steps", "3", "--no-augmentation") == 2
    error = capsys.readouterr().err
    assert "steps was 2 and is 3" in error
    assert "augmentation was True and is False" in error
    (out / "ablation.json").write_text("{")
    assert ablate(grouped_scenes, out, *extra, "--resume") == 1
    assert "is damaged" in capsys.readouterr().err
