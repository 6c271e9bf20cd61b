"""A run on disk: what it was started with, its last state, and its best model.

::

    RUN/run.json                what decides the result: options and data; written first
    RUN/last/                   a model folder, with training_state.safetensors and training_state.json
    RUN/best/                   a model folder, with validation.json
    RUN/training.csv, validation.csv, tensorboard/

Folders change as a whole: whenever the process dies, the old one or the new one is there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cmpc.data.vocabulary import Vocabulary
from cmpc.errors import UsageError, UserError
from cmpc.files import atomic_file, atomic_folder, put_back
from cmpc.model_folder import load_model_folder, write_model_files
from cmpc.model_weights import save_tensors
from cmpc.models.network import ReferringNetwork
from cmpc.reading import read_text
from cmpc.training.optimizers import load_optimizer_tensors

SETTINGS = "run.json"
LOGS = ("training.csv", "validation.csv")
TENSORBOARD = "tensorboard"
STATE_TENSORS = "training_state.safetensors"
STATE_VALUES = "training_state.json"


@dataclass
class TrainingState:
    """What a run needs to continue bit for bit, beside weights and optimiser."""

    step: int = 0
    """Steps made."""
    best: float | None = None
    """Best score on the validation split so far."""
    seconds: float = 0.0
    """Time spent training."""
    sums: dict[str, Tensor] = field(default_factory=dict)
    """Sums of what will be logged next (``Meters``)."""


class RunFolder:
    """The folder of a training run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last = path / "last"
        self.best = path / "best"
        self.settings = path / SETTINGS

    def check(self, *, resume: bool) -> dict[str, Any] | None:
        """Looks whether a run may begin or continue here, after removing what a killed one was about to write.

        Returns:
            The settings of the run to be continued; None for a new run.

        Raises:
            UsageError: there is a run and ``resume`` is off, or there is none and it is on.
            UserError: ``run.json`` is damaged.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file: give a folder with --out.")
        put_back(self.path)
        if not self.settings.exists():
            if resume:
                raise UsageError(f"there is no run to resume in {self.path}: leave out --resume to begin one.")
            if self.path.exists() and any(map(_is_of_others, self.path.iterdir())):
                raise UsageError(f"{self.path} holds other files: give a new folder with --out.")
            return None
        if not resume:
            raise UsageError(f"{self.path} already holds a run: continue it with --resume, or give another --out.")
        try:
            settings = dict(json.loads(read_text(self.settings)))
            settings["options"] = dict(settings.get("options", {}))
        except (OSError, ValueError, TypeError, RecursionError):
            raise UserError(f"{self.settings} is damaged: begin a new run in another folder.") from None
        return settings

    def begin(self, settings: dict[str, Any]) -> None:
        """Writes down what the run is made of; from now on ``--resume`` works. Logs that an interrupted start has left
        go."""
        self.abandon()
        with atomic_file(self.settings) as file:
            file.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")

    def abandon(self) -> None:
        """Removes what a run has written that failed before its first checkpoint, so that it may begin anew here."""
        if self.last.exists():
            return
        for name in (SETTINGS, *LOGS):
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.path / TENSORBOARD, ignore_errors=True)
        with suppress(OSError):  # the user has put something there
            self.path.rmdir()

    def save_last(
        self,
        model: ReferringNetwork,
        vocabulary: Vocabulary,
        optimizer: Mapping[str, Tensor],
        state: TrainingState,
        *,
        heads: nn.Module | None = None,
    ) -> None:
        """Replaces ``last`` by the present state.

        Args:
            model: the network.
            vocabulary: its words.
            optimizer: what ``optimizer_tensors`` gives.
            state: how far the run has come.
            heads: learn with the model and are not part of it.
        """
        tensors = {f"optimizer/{name}": value for name, value in optimizer.items()}
        if heads is not None:
            tensors |= {f"heads/{name}": value.detach().cpu() for name, value in heads.state_dict().items()}
        tensors |= {f"sums/{name}": value.cpu().contiguous() for name, value in state.sums.items()}
        with atomic_folder(self.last) as folder:
            write_model_files(folder, model, vocabulary)
            save_tensors(tensors, folder / STATE_TENSORS)
            values = {"step": state.step, "best": state.best, "seconds": state.seconds}
            (folder / STATE_VALUES).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")

    def save_best(self, model: ReferringNetwork, vocabulary: Vocabulary, scores: dict[str, Any]) -> None:
        """Replaces ``best`` by the present model."""
        with atomic_folder(self.best) as folder:
            write_model_files(folder, model, vocabulary)
            (folder / "validation.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")

    def load_last(
        self, model: ReferringNetwork, optimizer: torch.optim.Optimizer, *, heads: nn.Module | None = None
    ) -> TrainingState:
        """Restores model and optimiser from ``last``; a run that was killed before its first checkpoint begins anew.

        Raises:
            UserError: the checkpoint is damaged or was made by another network.
        """
        if not self.last.exists():
            return TrainingState()
        weights = load_model_folder(self.last).model.state_dict()
        try:
            model.load_state_dict(weights)
            tensors = load_file(self.last / STATE_TENSORS)
            values = json.loads((self.last / STATE_VALUES).read_text(encoding="utf-8"))
            state = TrainingState(
                int(values["step"]), values["best"], float(values["seconds"]), _under("sums/", tensors)
            )
            if heads is not None:
                heads.load_state_dict(_under("heads/", tensors))
            found = _under("optimizer/", tensors)
            load_optimizer_tensors(optimizer, named_parameters(model, heads), found, state.step)
        except (OSError, ValueError, TypeError, KeyError, OverflowError, RuntimeError, SafetensorError):
            raise UserError(
                f"{self.last} is damaged or does not fit the options: begin a new run in another folder."
            ) from None
        return state


def _is_of_others(entry: Path) -> bool:
    """Whether something in a folder without a run is no leftover of a start that was interrupted, and not hidden."""
    return not entry.name.startswith(".") and entry.name not in (*LOGS, TENSORBOARD)


def named_parameters(model: nn.Module, heads: nn.Module | None) -> dict[str, nn.Parameter]:
    """All parameters of a network, and of what learns beside it, by the names that checkpoints know them by."""
    of_heads = {} if heads is None else {f"heads.{name}": value for name, value in heads.named_parameters()}
    return dict(model.named_parameters()) | of_heads


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
