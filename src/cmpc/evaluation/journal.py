"""Keeps the results of an evaluation as they come in, so that an interrupted one continues where it stopped.

``unfinished.jsonl`` in the output folder holds a line that says what is evaluated, then one line for each finished
expression. When all are done it is renamed to ``scores.jsonl``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from cmpc.errors import UsageError
from cmpc.evaluation.metrics import Overlap
from cmpc.evaluation.results import MOST, Results
from cmpc.evaluation.scoring import ScoredSample
from cmpc.files import naming
from cmpc.reading import MAX_TABLE, open_file

UNFINISHED = "unfinished.jsonl"
FINISHED = "scores.jsonl"


class Journal:
    """An append-only file of results, bound to one model, split and protocol."""

    def __init__(self, folder: str | Path, identity: Mapping[str, str], *, resume: bool) -> None:
        """Reads what is there; nothing is written before the first result.

        A line that the interruption cut short is dropped with all after it: those expressions are done again.

        Args:
            folder: output folder of the evaluation; made when missing.
            identity: all that the results depend on, such as ``{"model": "<sha256>", "protocol": "paper"}``.
            resume: keep the results that are there. Without it an unfinished evaluation is refused, and a finished one
                is replaced when the new one finishes.

        Raises:
            UsageError: unfinished results lie there and ``resume`` is off, or the results belong to another identity.
        """
        self.folder = Path(folder)
        self.identity = dict(identity)
        self.results = Results()
        """Sample number -> result."""
        self._unfinished, self._finished = self.folder / UNFINISHED, self.folder / FINISHED
        self._file: BinaryIO | None = None
        self._kept_bytes = 0
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"{self.folder} is a file: give a folder with --out.")
        if resume:
            self._source = self._unfinished if self._unfinished.exists() else self._finished
            if self._source.exists():
                self._kept_bytes = self._read(self._source)
        elif self._unfinished.exists():
            raise UsageError(
                f"{self.folder} holds an unfinished evaluation: continue it with --resume, give another --out, "
                f"or delete {self._unfinished} to start anew."
            )

    def append(self, result: ScoredSample) -> None:
        """Keeps a result; it outlives this process from now on."""
        self.results[result.number] = result
        values: dict[str, Any] = {"sample": result.number, "without_crf": list(result.without_crf)}
        if result.with_crf is not None:
            values["with_crf"] = list(result.with_crf)
        self._write(values)

    def finish(self) -> None:
        """Says that the evaluation is complete."""
        self._open()
        self.close()
        self._unfinished.replace(self._finished)

    def close(self) -> None:
        """Closes the file; an evaluation that is not finished can be resumed."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> BinaryIO:
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._kept_bytes:
                self._source.replace(self._unfinished)
            self._file = self._unfinished.open("ab")
            self._file.truncate(self._kept_bytes)
            if not self._kept_bytes:
                self._write({"evaluation": self.identity})
        return self._file

    def _write(self, values: dict[str, Any]) -> None:
        with naming(self._unfinished):
            file = self._open()
            file.write(json.dumps(values).encode() + b"\n")
            file.flush()

    def _read(self, path: Path) -> int:
        """Reads the results; returns how many bytes of the file are whole lines."""
        with open_file(path, at_most=MAX_TABLE) as file:
            first = file.readline()
            return self._read_results(first, file) if first.endswith(b"\n") else 0  # or cut short

    def _read_results(self, first: bytes, lines: Iterable[bytes]) -> int:
        try:
            theirs = dict(json.loads(first)["evaluation"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return 0
        names = self.identity | theirs
        if different := sorted(name for name in names if self.identity.get(name) != theirs.get(name)):
            raise UsageError(
                f"--resume: the results in {self.folder} are of another evaluation "
                f"(of another {', '.join(different)}): give another --out."
            )
        length = len(first)
        for line in lines:
            result = _parse(line) if line.endswith(b"\n") else None  # what follows the last line break is cut short
            if result is None:
                break
            self.results[result.number] = result
            length += len(line)
        return length


def _parse(line: bytes) -> ScoredSample | None:
    """The result in a line; None when the line is damaged."""
    try:
        values = json.loads(line)
        without_crf = Overlap(*map(int, values["without_crf"]))
        with_crf = Overlap(*map(int, values["with_crf"])) if "with_crf" in values else None
        number = int(values["sample"])
        return ScoredSample(number, without_crf, with_crf) if 0 <= number < MOST else None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
