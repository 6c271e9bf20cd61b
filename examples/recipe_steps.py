"""What the recipes of the models that ship have in common."""

from __future__ import annotations

import csv
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Stage:
    """A part of the training, which goes on from the one before it."""

    command: Literal["pretrain", "train"]
    """Of cmpc: ``pretrain`` learns to see, ``train`` learns from the expressions."""
    settings: str
    """Its options."""


def command(name: str, *arguments: str | Path) -> None:
    """Runs a command of cmpc, and ends with it if it fails."""
    from cmpc.cli import main as run

    print(f"\n$ cmpc {name} {' '.join(map(str, arguments))}", flush=True)
    if status := run([name, *map(str, arguments)]):
        sys.exit(status)


def save(model: Path, out: Path, card: str | None) -> None:
    """Writes a model with its weights in half precision."""
    import torch

    from cmpc.model_folder import load_model_folder, save_model_folder

    loaded = load_model_folder(model)
    save_model_folder(out, loaded.model, loaded.vocabulary, card, dtype=torch.float16)


SOMETHING = "something"
"""Row of the report with all expressions that refer to something, where some refer to nothing."""


def scores_of(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Scores of ``report.json`` without DenseCRF, of all expressions, of each group and by the number of targets.

    ``absent`` counts expressions that refer to nothing; N-acc and T-acc are None where there are none to take them of.
    """
    table = report["tables"]["without_crf"]
    return {
        name: {
            "expressions": score["expressions"],
            "overall IoU": score["overall_iou"],
            "mean IoU": score["mean_iou"],
            "precision@0.5": score["precision"]["0.5"],
            "absent": score.get("absent", 0),
            "N-acc": score.get("no_target_accuracy"),
            "T-acc": score.get("target_accuracy"),
        }
        for name, score in {"all": table["all"], **table["groups"], **table.get("targets", {})}.items()
    }


def percent(share: float) -> str:
    """A share as a table shows it."""
    return f"{100 * share:.1f}"


def machine() -> str:
    """What computed: the GPU, or kind and number of the cores."""
    import torch

    if torch.cuda.is_available():
        return f"one {torch.cuda.get_device_name()}"
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{'one core' if cores == 1 else f'{cores} cores'} of an {name}, no GPU"


def hours(runs: Sequence[Path]) -> str:
    """Hours that each run took."""
    spent = []
    for run in runs:
        with (run / "training.csv").open(encoding="utf-8") as file:
            spent.append(float([row["seconds"] for row in csv.DictReader(file)][-1]) / 3600)
    return listed([f"{value:.2g}" for value in spent])


def listed(texts: Sequence[str]) -> str:
    """Texts with commas, and "and" before the last."""
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
