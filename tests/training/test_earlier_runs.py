"""A run that an earlier version began."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from cmpc.cli import main
from training.scenes import QUICK_RUN

BEFORE = Path(__file__).parent / "fixtures" / "run_of_format_1"
"""What a run left whose options and network were in one place; it was stopped before its first checkpoint."""


def resume(scenes: Path, run: Path, *extra: str) -> int:
    """Continues a copy of that run with the options that it began with, as they are spelled today, and others."""
    run.mkdir()
    shutil.copy(BEFORE / "run.json", run)
    options = ("--steps", "4", "--workers", "0", "--validate-every", "0", "--resume", *QUICK_RUN, *extra)
    network = ("--text.both-directions", "--network.exchange-rounds", "1", "--network.no-word-type-gating")
    return main(["train", "--data", str(scenes), "--out", str(run), *network, *options])


def test_it_is_resumed_and_learns_what_it_would_have(scenes: Path, tmp_path: Path, tiny_network: None) -> None:
    """But for side losses, which were judged at the size of the image then and at a quarter of it now."""
    assert resume(scenes, tmp_path / "run") == 0
    with (BEFORE / "losses.csv").open() as file, (tmp_path / "run" / "training.csv").open() as now:
        for expected, row in zip(csv.DictReader(file), csv.DictReader(now), strict=True):
            assert {name: float(row[name]) for name in expected} == pytest.approx(
                {name: float(value) for name, value in expected.items()}, rel=1e-2, abs=2e-3
            )


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        (("--network.exchange-rounds", "2"), "--network.exchange-rounds was 1 and is 2"),
        (("--network", "grounded", "--network.word-type-gating"), "--network was cmpc and is grounded"),
        (("--image.size", "32"), "--image.size was 64 and is 32"),
        (("--seed", "3"), "--seed was 0 and is 3"),
    ],
    ids=lambda extra: extra[0] if isinstance(extra, tuple) else "",
)
def test_other_options_are_refused_by_name(
    extra: tuple[str, ...],
    told: str,
    scenes: Path,
    tmp_path: Path,
    tiny_network: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert resume(scenes, tmp_path / "run", *extra) == 2
    assert f"({told}): give the same ones to resume it." in " ".join(capsys.readouterr().err.split())


def test_run_of_a_later_version_is_refused(
    scenes: Path, tmp_path: Path, tiny_network: None, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"format_version": 3}))
    arguments = ("--steps", "4", "--workers", "0", "--resume", *QUICK_RUN)
    assert main(["train", "--data", str(scenes), "--out", str(run), *arguments]) == 1
    assert "newer version of cmpc" in capsys.readouterr().err
