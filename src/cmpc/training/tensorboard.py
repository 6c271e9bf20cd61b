"""Scalars for TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from cmpc.files import naming


class TensorBoardFile:
    """An event file that is written at once.

    The library's own ``SummaryWriter`` hands events to a thread; where that dies, of a full disk, it waits for ever.
    """

    def __init__(self, folder: Path, *, step: int) -> None:
        """
        Args:
            folder: where event files lie; made when it is missing.
            step: steps made so far; TensorBoard hides what earlier files say of later ones.

        Raises:
            OSError: the file cannot be written.
        """
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        with naming(folder):
            self._writer = EventsWriter(str(folder / "events"), f".{step}")
            if step:
                self._writer.write_event(Event(step=step + 1, file_version="brain.Event:2"))
                self._writer.write_event(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))
            self._writer.flush()

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Adds values by their names.

        Raises:
            OSError: the file cannot be written.
        """
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        with naming(self._folder):
            self._writer.write_event(Event(wall_time=time.time(), step=step, summary=summary))
            self._writer.flush()

    def close(self) -> None:
        """Closes the file.

        Raises:
            OSError: its end cannot be written.
        """
        with naming(self._folder):
            self._writer.close()
