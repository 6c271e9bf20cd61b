"""Answers as files that a visitor can take along."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from cmpc.answers.results import write_results
from cmpc.web.service import Answer

KEPT_SECONDS = 3600
"""Age at which files of visitors are deleted."""


class Downloads:
    """Writes the files of answers, each answer into a folder of its own, and deletes old ones."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: where to write; who made it removes it.
        """
        self._folder = folder

    def write(self, photo: Path, answer: Answer) -> list[Path]:
        """Writes a mask PNG for each expression, the photo with all masks and a legend, and everything as JSON.

        Args:
            photo: its name begins the names of the files.
            answer: what to write.

        Returns:
            The files, masks first. They are those of ``cmpc segment``.
        """
        for old in self._folder.iterdir():
            if old.stat().st_mtime < time.time() - KEPT_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        write_results(folder, photo.stem, Path(photo.name), answer.pixels, answer.predictions)
        return sorted(folder.iterdir(), key=lambda file: (not file.name.endswith(".mask.png"), file.name))
