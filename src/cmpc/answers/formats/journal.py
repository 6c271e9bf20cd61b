"""Keeps the answers about many photos as they come in, so that a run that was stopped continues where it was.

``unfinished.jsonl`` in the output folder holds a line that says what is asked, then one line for each photo that is
done. It is removed when all are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from cmpc.errors import UsageError

UNFINISHED = "unfinished.jsonl"


class AnswerJournal:
    """An append-only file of answers, bound to one model, format and set of expressions."""

    def __init__(self, out: Path, identity: Mapping[str, str], *, resume: bool) -> None:
        """Reads what is there; nothing is written before the first photo is done.

        A line that the interruption cut short is dropped: that photo is asked again.

        Args:
            out: output folder of the run; made when missing.
            identity: all that the answers depend on but the photos.
            resume: keep the answers that are there. Without it an unfinished run is refused.

        Raises:
            UsageError: unfinished answers lie there and ``resume`` is off, or they belong to another identity.
        """
        self.path = out / UNFINISHED
        self.identity = dict(identity)
        self.records: dict[str, dict[str, Any]] = {}
        """Name of a photo's results -> ``AnsweredPhoto.record``."""
        self._file: BinaryIO | None = None
        self._kept_bytes = 0
        if resume:
            self._read()
        elif self.path.exists():
            raise UsageError(
                f"{out} holds an unfinished run: continue it with --resume, give another --out, or delete {self.path} "
                "to start anew."
            )

    def append(self, record: dict[str, Any]) -> None:
        """Keeps the answers about a photo; they outlive this process from now on."""
        self.records[record["name"]] = record
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
            self._file.truncate(self._kept_bytes)
            if not self._kept_bytes:
                self._write({"run": self.identity})
        self._write(record)

    def close(self) -> None:
        """Closes the file; the run can be resumed."""
        if self._file is not None:
            self._file.close()

    def finish(self) -> None:
        """Removes the file: all photos are done."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _write(self, values: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(values).encode() + b"\n")
            self._file.flush()

    def _read(self) -> None:
        if not self.path.is_file():
            return
        *lines, _ = self.path.read_bytes().split(b"\n")  # what follows the last line break is cut short, or empty
        if not lines:
            return
        theirs = _parse(lines[0]).get("run")
        if not isinstance(theirs, dict):
            return
        if different := sorted(name for name in self.identity if self.identity[name] != theirs.get(name)):
            raise UsageError(
                f"--resume: the answers in {self.path.parent} are of another run (of another {', '.join(different)}): "
                "give another --out."
            )
        self._kept_bytes = len(lines[0]) + 1
        for line in lines[1:]:
            record = _parse(line)
            if not _is_record(record):
                break
            self.records[record["name"]] = record
            self._kept_bytes += len(line) + 1


def _parse(line: bytes) -> dict[str, Any]:
    """The values of a line; none when it is damaged."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _is_record(values: dict[str, Any]) -> bool:
    """Whether they are what ``append`` was given."""
    texts, numbers = (values.get("photo"), values.get("name")), (values.get("height"), values.get("width"))
    predictions = values.get("predictions")
    return (
        all(isinstance(value, str) for value in texts)
        and all(isinstance(value, int) for value in numbers)
        and isinstance(predictions, list)
        and all(isinstance(one, dict) and isinstance(one.get("expression"), str) for one in predictions)
    )
