"""What an ablation has found so far: ``ablation.json``, from which it also continues."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cmpc.ablation.options import VOCABULARY
from cmpc.ablation.run import RunResult
from cmpc.errors import UsageError, UserError
from cmpc.files import atomic_file
from cmpc.reading import read_text
from cmpc.training.options import TrainingOptions

JSON_FILE = "ablation.json"


@dataclass
class Record:
    """Settings and results of an ablation."""

    settings: dict[str, Any]
    """What all runs have in common and decides their results."""
    results: list[RunResult] = field(default_factory=list)
    """Of the finished runs."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; rates 0..1."""
        versions = {"python": platform.python_version(), **{name: version(name) for name in ("cmpc", "torch")}}
        return {
            "settings": self.settings,
            "versions": versions,
            "runs": [result.to_json() for result in self.results],
        }

    def write(self, folder: Path) -> None:
        """Writes ``ablation.json``, whole or not at all."""
        with atomic_file(folder / JSON_FILE) as file:
            file.write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def abandon(self, folder: Path) -> None:
        """Removes what an ablation has written of which no run came to a checkpoint, so that it may begin anew here."""
        written = {JSON_FILE, VOCABULARY}
        if {entry.name for entry in folder.iterdir()} <= written:
            for name in written:
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()


def open_record(folder: Path, settings: dict[str, Any], *, resume: bool) -> Record:
    """The record of a folder; an empty one for a new folder.

    Raises:
        UsageError: the folder holds something and ``resume`` is off, nothing to resume, or the ablation was begun with
            other settings.
        UserError: the record is damaged.
    """
    path = folder / JSON_FILE
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: give a folder with --out.")
    if not path.exists():
        if resume:
            raise UsageError(f"there is no ablation to resume in {folder}: leave out --resume to begin one.")
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} holds other files: give a new folder with --out.")
        return Record(settings)
    if not resume:
        raise UsageError(f"{folder} already holds an ablation: continue it with --resume, or give another --out.")
    try:
        values = json.loads(read_text(path))
        record = Record(dict(values["settings"]), [RunResult.from_json(run) for run in values["runs"]])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path} is damaged: begin a new ablation in another folder.") from None
    changed = [
        f"{name.replace('_', ' ')} was {before} and is {now}"
        for name in {**record.settings, **settings}
        if (before := _setting(record.settings, name)) != (now := _setting(settings, name))
    ]
    if changed:
        raise UsageError(
            f"the ablation in {folder} began with other settings ({'; '.join(changed)}): give the same ones to resume."
        )
    return record


def _setting(settings: dict[str, Any], name: str) -> Any:
    """A setting; options of the training stand there only where they are not what they are by default."""
    return settings.get(name, getattr(TrainingOptions, name, None))
