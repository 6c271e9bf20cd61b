"""Answers as files that a visitor can take along."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from cmpc.answers.results import write_results
from cmpc.web.service import Answer
from cmpc.web.visitor_files import VisitorFiles


class Downloads:
    """Writes the files of answers, each answer into a folder of its own."""

    def __init__(self, files: VisitorFiles) -> None:
        """
        Args:
            files: where to write.
        """
        self._files = files
        self._folder = files.folder / "results"
        self._folder.mkdir()

    def write(self, photo: Path, answer: Answer) -> tuple[list[Path], list[dict[str, Any]]]:
        """Writes a mask PNG for each expression, the photo with all masks and a legend, and everything as JSON.

        Args:
            photo: its name begins the names of the files.
            answer: what to write.

        Returns:
            The files, masks first, which are those of ``cmpc segment``, and what the JSON file says of each expression.
        """
        self._files.make_room(answer.pixels.nbytes)
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        results = write_results(folder, photo.stem, Path(photo.name), answer.pixels, answer.predictions)
        files = sorted(folder.iterdir(), key=lambda file: (not file.name.endswith(".mask.png"), file.name))
        return files, results
