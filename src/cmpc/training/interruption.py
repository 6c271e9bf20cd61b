"""Stopping in order: Ctrl-C and SIGTERM end the run after the present step, with a checkpoint."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import torch
from lightning_fabric import Fabric

from cmpc.training.fabric import over_devices


class Interruption:
    """Notes SIGINT and SIGTERM instead of dying; a second signal acts as usual. Use as a context manager."""

    def __init__(self) -> None:
        self.noted = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def wanted(self, fabric: Fabric, *, ask_others: bool) -> bool:
        """Whether to stop now. Several processes stop together: they only do when all of them ask at the same step.

        Args:
            fabric: of the run.
            ask_others: whether all processes ask at this step.
        """
        if fabric.world_size == 1:
            return self.noted
        if not ask_others:
            return False
        return bool(over_devices(fabric, torch.tensor(int(self.noted)), "max"))

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.noted = True
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)
