"""What a run tells while it goes: running means without waiting for the device, tables on disk, a live line."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from cmpc.errors import UserError
from cmpc.files import atomic_file, naming
from cmpc.training.checkpoints import LOGS, TENSORBOARD
from cmpc.training.fabric import over_devices
from cmpc.training.tensorboard import TensorBoardFile


class Meters:
    """Means of a step's terms over the steps since the last log entry. They stay on the device until they are read."""

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self.names = tuple(names)
        self.sums = torch.zeros(len(self.names), device=device)
        self.steps = torch.zeros((), dtype=torch.int64, device=device)
        self.bad_step = torch.zeros((), dtype=torch.int64, device=device)

    def add(self, step: int, terms: Mapping[str, Tensor]) -> None:
        """Adds the terms of a step; remembers the first step in which one is not finite."""
        values = torch.stack([terms[name].detach().float() for name in self.names])
        self.sums += values
        self.steps += 1
        bad = (self.bad_step == 0) & ~torch.isfinite(values).all()
        self.bad_step += bad * step

    def read(self, fabric: Fabric) -> dict[str, float]:
        """Means over the steps, of the sums over all devices. Waits for the device.

        Raises:
            UserError: a term was not finite.
        """
        sums = over_devices(fabric, self.sums)
        if bad_step := int(over_devices(fabric, self.bad_step, "max")):
            raise not_finite(bad_step)
        steps = max(int(self.steps), 1)
        return {name: value / steps for name, value in zip(self.names, sums.tolist(), strict=True)}

    def clear(self) -> None:
        """Begins a new mean."""
        self.sums.zero_()
        self.steps.zero_()

    def state(self, fabric: Fabric) -> dict[str, Tensor]:
        """For a checkpoint: the sums of each device, (devices, terms), or of the only one, (terms,). All processes must
        call it."""
        sums = self.sums.clone()
        if fabric.world_size > 1:
            sums = over_devices(fabric, nn.functional.pad(sums[None], (0, 0, fabric.global_rank, _after(fabric))))
        return {"sums": sums, "steps": self.steps.clone()}

    def restore(self, state: Mapping[str, Tensor], fabric: Fabric) -> None:
        """The inverse of ``state``; an empty one leaves zeros. Of another number of devices the first takes all."""
        if not state:
            return
        self.steps.copy_(state["steps"])
        sums = state["sums"].reshape(-1, len(self.names))
        if len(sums) == fabric.world_size:
            self.sums.copy_(sums[fabric.global_rank])
        elif fabric.is_global_zero:
            self.sums.copy_(sums.sum(dim=0))


def _after(fabric: Fabric) -> int:
    """How many processes come after this one."""
    return int(fabric.world_size - fabric.global_rank - 1)


def not_finite(step: int) -> UserError:
    """The error of a run that has diverged."""
    return UserError(
        f"the loss is no longer a number since step {step:,}: begin another run with a lower --learning-rate or "
        "--precision 32; checkpoints of this one are from before."
    )


class TableFile:
    """A CSV file with a ``step`` column that grows a row at a time and survives being cut short."""

    def __init__(self, path: Path, columns: Sequence[str], *, keep_until: int) -> None:
        """
        Args:
            path: the file; made when it is missing.
            columns: names of the columns, ``step`` first.
            keep_until: rows of later steps, and a half-written last row, are removed: they will come again.
        """
        self.path = path
        self.columns = tuple(columns)
        kept: list[list[str]] = []
        if path.exists():
            whole = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")[0]
            rows = [line.split(",") for line in whole.split("\n")[1:]]
            kept = [row for row in rows if len(row) == len(self.columns) and _step(row[0]) <= keep_until]
        with atomic_file(path) as file, file.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([self.columns, *kept])

    def add(self, row: Mapping[str, Any]) -> None:
        """Appends a row."""
        with naming(self.path), self.path.open("a", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerow([_text(row[name]) for name in self.columns])


def _step(text: str) -> float:
    """The step of a row; of a damaged one infinity, later than all."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else math.inf


class RunLog:
    """Tables, TensorBoard and the live line of a run. Only one process of a run has one."""

    def __init__(
        self,
        folder: Path,
        terms: Sequence[str],
        *,
        step: int,
        steps: int,
        console: Console,
        measure: tuple[str, str] = ("iou", "IoU"),
    ) -> None:
        """
        Args:
            folder: of the run.
            terms: names of the logged means.
            step: steps made so far; entries of later steps are removed.
            steps: steps of the whole run.
            console: where the live line goes. When it is no terminal, a plain line is printed now and then.
            measure: the term that it shows beside the loss, and its name there.
        """
        training, validation = LOGS
        columns = ("step", "epoch", "learning_rate", *terms, "images_per_second", "seconds")
        self.training = TableFile(folder / training, columns, keep_until=step)
        scores = ("step", "epoch", "overall_iou", "mean_iou", "expressions", "seconds")
        self.validation = TableFile(folder / validation, scores, keep_until=step)
        self.tensorboard = TensorBoardFile(folder / TENSORBOARD, step=step)
        self.console = console
        self.steps = steps
        self.term, self.name = measure
        self.progress = Progress(
            TextColumn("epoch {task.fields[epoch]:.1f}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(f"loss {{task.fields[loss]:.4g}}  {self.name} {{task.fields[measure]:.3f}}"),
            TextColumn("{task.fields[rate]:.1f} images/s"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        nothing = float("nan")
        self.task = self.progress.add_task(
            "", total=steps, completed=step, epoch=0.0, loss=nothing, measure=nothing, rate=nothing
        )
        self.printed = time.monotonic()

    def __enter__(self) -> RunLog:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()
        self.tensorboard.close()

    def add_training(self, row: Mapping[str, Any]) -> None:
        """Logs a row of ``training.csv`` and shows it."""
        self.training.add(row)
        self._plot("train", row)
        loss, measure, rate = row["loss"], row[self.term], row["images_per_second"]
        self.progress.update(
            self.task, completed=row["step"], epoch=row["epoch"], loss=loss, measure=measure, rate=rate
        )
        if not self.console.is_terminal and (time.monotonic() - self.printed > 10 or row["step"] == self.steps):
            self.printed = time.monotonic()
            self.say(
                f"step {row['step']:,} of {self.steps:,}  epoch {row['epoch']:.1f}  loss {loss:.4g}  "
                f"{self.name} {measure:.3f}  {rate:.1f} images/s"
            )

    def add_validation(self, row: Mapping[str, Any]) -> None:
        """Logs a row of ``validation.csv`` and prints it."""
        self.validation.add(row)
        self._plot("validation", row)
        self.say(
            f"step {row['step']:,}  epoch {row['epoch']:.1f}  validation at the network's size: "
            f"overall IoU {row['overall_iou']:.4f}, mean IoU {row['mean_iou']:.4f}"
        )

    def say(self, text: str) -> None:
        """Prints a line above the live one."""
        self.console.print(text, highlight=False, soft_wrap=True)

    def _plot(self, group: str, row: Mapping[str, Any]) -> None:
        values = {f"{group}/{name}": value for name, value in row.items() if name not in ("step", "seconds")}
        self.tensorboard.add(values, row["step"])


def _text(value: Any) -> str:
    return f"{value:.8g}" if isinstance(value, float) else str(value)
