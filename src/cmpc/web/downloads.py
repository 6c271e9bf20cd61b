"""Answers as files that a visitor can take along."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Any, Literal, get_args

from cmpc.answers.formats import results_format
from cmpc.answers.formats.results_format import AnsweredPhoto
from cmpc.answers.results import write_cutouts, write_results
from cmpc.errors import UserError
from cmpc.files import atomic_file
from cmpc.web.service import PageAnswer
from cmpc.web.visitor_files import VisitorFiles

DownloadName = Literal["masks", "cutouts", "coco", "labelme"]
DOWNLOADS: tuple[DownloadName, ...] = get_args(DownloadName)
_FEATHER = 1.0
"""How soft the edge of a cutout is, in pixels."""


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

    def write(self, photo: Path, answer: PageAnswer) -> tuple[list[Path], list[dict[str, Any]]]:
        """Writes a mask PNG for each expression, the photo with all masks and a legend, and everything as JSON.

        Args:
            photo: its name begins the names of the files.
            answer: what to write.

        Returns:
            The files, masks first, which are those of ``cmpc segment``, and what the JSON file says of each expression.
        """
        folder = self._new_folder(answer.pixels.nbytes)
        results = write_results(folder, photo.stem, Path(photo.name), answer.pixels, answer.predictions)
        files = sorted(folder.iterdir(), key=lambda file: (not file.name.endswith(".mask.png"), file.name))
        return files, results

    def write_as(self, name: DownloadName, photo: Path, answer: PageAnswer) -> list[Path]:
        """Writes an answer in one of the forms of ``DOWNLOADS``.

        Args:
            name: ``masks`` as ``write``; ``cutouts``: what each mask shows alone, RGBA, and where they are several a
                zip file of them; ``coco``: a dataset and results with run lengths; ``labelme``: its JSON.
            photo: its name begins the names of the files, and stands in them.
            answer: what to write.

        Returns:
            The files; none where nothing was found and cutouts are asked for.

        Raises:
            UserError: there is no such form, or a file cannot be written.
        """
        try:
            if name == "masks":
                return self.write(photo, answer)[0]
            if name == "cutouts":
                return self._write_cutouts(photo, answer)
            if name in ("coco", "labelme"):
                return self._write_format(name, photo, answer)
        except OSError as error:
            raise UserError(f"cannot write the files of this answer: {error.strerror or error}.") from None
        raise UserError(f"there are no such files: choose {', '.join(DOWNLOADS[:-1])} or {DOWNLOADS[-1]}.")

    def _write_cutouts(self, photo: Path, answer: PageAnswer) -> list[Path]:
        boxes = [prediction.box for prediction in answer.predictions if prediction.box is not None]
        # as many bytes as their pixels have: PNG halves them, and the zip file holds them once more
        folder = self._new_folder(sum(4 * width * height for _, _, width, height in boxes))
        write_cutouts(folder, photo.stem, answer.pixels, answer.predictions, feather=_FEATHER)
        cutouts = sorted(folder.iterdir())
        if len(cutouts) < 2:
            return cutouts
        together = folder / f"{photo.stem}.cutouts.zip"
        with atomic_file(together) as path, zipfile.ZipFile(path, "w") as archive:
            for cutout in cutouts:
                archive.write(cutout, cutout.name)
        return [*cutouts, together]

    def _write_format(self, name: Literal["coco", "labelme"], photo: Path, answer: PageAnswer) -> list[Path]:
        folder = self._new_folder(answer.pixels.nbytes)
        expressions = list(dict.fromkeys(prediction.expression for prediction in answer.predictions))
        written = results_format(name, folder, expressions)
        # The files name the photo as if it lay beside them: where it lies here is nobody's business.
        answered = AnsweredPhoto(folder / photo.name, photo.stem, answer.pixels, answer.predictions)
        written.write(answered)
        written.finish([answered.record])
        return sorted(folder.iterdir())

    def _new_folder(self, size: int) -> Path:
        """A folder for files of about so many bytes."""
        self._files.make_room(size)
        return Path(tempfile.mkdtemp(dir=self._folder))
