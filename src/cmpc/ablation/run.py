"""One run of an ablation: a training and the test of its last model."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from cmpc.ablation.options import AblationOptions, VariantRun
from cmpc.data.schema import PreparedDataset
from cmpc.devices import choose_device
from cmpc.engines.torch_engine import TorchEngine
from cmpc.evaluation.evaluate import evaluate
from cmpc.evaluation.metrics import Score
from cmpc.model_folder import load_model_folder
from cmpc.training.checkpoints import STATE_VALUES, RunFolder
from cmpc.training.recipe import train


@dataclass(frozen=True)
class Figures:
    """How good the masks of some expressions are; rates 0..1."""

    expressions: int
    """Number of expressions."""
    overall_iou: float
    """Sum of the intersections over sum of the unions."""
    mean_iou: float
    """Mean of the expressions' IoUs."""
    precision: dict[str, float]
    """Threshold, as text -> part of the expressions whose IoU reaches it."""

    @staticmethod
    def of(score: Score) -> Figures:
        """The figures of a score."""
        precision = {str(threshold): rate for threshold, rate in score.precision.items()}
        return Figures(score.expressions, score.overall_iou, score.mean_iou, precision)


@dataclass(frozen=True)
class RunResult:
    """What a run came to."""

    run: VariantRun
    """Which run."""
    parameters: int
    """Numbers that the network learns, those of a frozen backbone included."""
    training_seconds: float
    """Time spent training, interruptions left out."""
    evaluation_seconds: float
    """Time spent testing."""
    all: Figures
    """Over all expressions."""
    groups: dict[str, Figures]
    """Over each group that the data give."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = dataclasses.asdict(self)
        return {**values.pop("run"), **values}

    @staticmethod
    def from_json(values: dict[str, Any]) -> RunResult:
        """The inverse of ``to_json``.

        Raises:
            KeyError, TypeError: the values are others.
        """
        return RunResult(
            run=VariantRun(values["variant"], values["seed"]),
            parameters=values["parameters"],
            training_seconds=values["training_seconds"],
            evaluation_seconds=values["evaluation_seconds"],
            all=Figures(**values["all"]),
            groups={name: Figures(**figures) for name, figures in values["groups"].items()},
        )


def train_and_test(options: AblationOptions, run: VariantRun, console: Console) -> RunResult:
    """Trains, or continues to, and tests the last model with the standard protocol.

    Args:
        options: of the ablation.
        run: which run.
        console: where the training shows its progress.

    Raises:
        KeyboardInterrupt: the training was stopped; it left a checkpoint.
        UserError: as ``train`` and ``evaluate`` say.
    """
    seconds = 0.0
    for training in options.trainings(run):
        folder = RunFolder(training.out)
        training.resume = folder.settings.exists()
        if train(training, console).interrupted:
            raise KeyboardInterrupt
        seconds += json.loads((folder.last / STATE_VALUES).read_text(encoding="utf-8"))["seconds"]
    device = choose_device(options.training.accelerator)
    loaded = load_model_folder(folder.last, device=device)
    began = time.monotonic()
    evaluation = evaluate(
        TorchEngine(loaded.model),
        loaded.vocabulary,
        PreparedDataset.open(options.training.data, options.training.images),
        options.split,
        limit=options.limit,
    )
    table = evaluation.table()
    return RunResult(
        run=run,
        parameters=sum(parameter.numel() for parameter in loaded.model.parameters()),
        training_seconds=seconds,
        evaluation_seconds=time.monotonic() - began,
        all=Figures.of(table.all),
        groups={name: Figures.of(score) for kind, name, score in table.rows() if kind == "group"},
    )
