"""Answers the rows of a part: each photo is read and seen once, however many of them are about it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cmpc.bulk.inputs import read_part
from cmpc.bulk.job import BulkJob
from cmpc.bulk.outputs import COLUMNS, BulkOutput
from cmpc.bulk.parts import InputRow, Part
from cmpc.errors import CutExpressionWarning, UserError
from cmpc.file_systems import READERS as REMOTE_READERS
from cmpc.file_systems import Place, RemotePath, UnreachableError, place, read
from cmpc.processes import READERS, read_ahead

if TYPE_CHECKING:
    from cmpc.answers.prediction import Prediction
    from cmpc.segmenter import Segmenter


@dataclass
class _Photo:
    """A photo of a part with all that is asked about it."""

    source: str | bytes
    """Path, URL or bytes."""
    name: str
    """What the output calls it."""
    asked: list[tuple[int, str]] = field(default_factory=list)
    """Position in the output, and expression."""
    pixels: NDArray[np.uint8] | None = None
    """RGB, uint8, (H, W, 3); None where it cannot be read."""
    error: str = ""
    """Why it cannot be read."""
    seconds: float = 0.0
    """Spent on it alone so far."""


class PartWorker:
    """Answers parts of a job, one after the other; the model is loaded once."""

    def __init__(self, job: BulkJob) -> None:
        """
        Args:
            job: what is asked.
        """
        self.job = job
        self.output = BulkOutput(job.out)
        self.images = place(job.images)
        self._segmenter: Segmenter | None = None

    def load(self) -> Segmenter:
        """The model, which is loaded the first time.

        Raises:
            UserError: there is no such model or device.
        """
        if self._segmenter is None:
            from cmpc.segmenter import Segmenter

            self._segmenter = Segmenter.load(self.job.model, device=self.job.device)
        return self._segmenter

    def do(self, part: Part) -> tuple[int, int]:
        """Answers a part and writes it.

        Returns:
            Rows of its output, and how many of them have an error.

        Raises:
            UserError: nothing of the job can go on: there is no such model, a file system does not answer, the output
                cannot be written.
        """
        rows = read_part(self.job.files, self.job.kind, self.job.expressions, part)
        answers = self.answer(rows)
        return len(answers), self.output.write_part(part, answers)

    def answer(self, rows: Sequence[InputRow]) -> list[dict[str, Any]]:
        """The rows of the output, in the order of the input."""
        segmenter = self.load()
        answers: list[dict[str, Any]] = []
        photos: dict[str | bytes, _Photo] = {}
        for row in rows:
            for expression in row.expressions:
                number = len(answers)
                answers.append(dict.fromkeys(COLUMNS) | {"image": row.name, "expression": expression, "seconds": 0.0})
                error = row.error or _what_is_wrong(expression, segmenter)
                if error is not None or row.photo is None or expression is None:
                    answers[number]["error"] = error or "the row has no image."
                    continue
                photo = photos.setdefault(row.photo, _Photo(row.photo, row.name))
                photo.asked.append((number, expression))
        remote = isinstance(self.images, RemotePath) or any(_is_url(photo.source) for photo in photos.values())
        readers = REMOTE_READERS if remote else READERS
        ready = read_ahead(self._read, photos.values(), max(readers, 2 * self.job.batch_images), readers=readers)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CutExpressionWarning)  # of every row would be too many
            while batch := list(islice(ready, self.job.batch_images)):
                self._answer_photos([photo for photo in batch if photo.pixels is not None], answers)
                for photo in batch:
                    for number, _ in photo.asked:
                        if photo.pixels is None:
                            answers[number] |= {"error": photo.error, "seconds": photo.seconds / len(photo.asked)}
                    photo.pixels, photo.source = None, ""  # of a part with many photos
        return answers

    def _read(self, photo: _Photo) -> _Photo:
        """Reads and decodes a photo; what is wrong with it alone is kept with it.

        Raises:
            UserError: the file system that it is on does not answer.
        """
        from cmpc.data.images import decode_image

        start = time.perf_counter()
        try:
            data = photo.source if isinstance(photo.source, bytes) else self._read_file(photo.source)
            photo.pixels = decode_image(data, exif_rotation=True, name=photo.name).pixels
        except UnreachableError as error:
            raise UserError(f"cannot read {error.filename}: {error.strerror}; then go on with --resume.") from None
        except OSError as error:
            if isinstance(self.images, Path) and not self.images.is_dir():
                raise UserError(
                    f"the folder {self.images} of the photos is gone: bring it back and go on with --resume."
                ) from None
            photo.error = f"cannot read the image {photo.name}: {error.strerror or error}."
        except UserError as error:
            photo.error = str(error)
        photo.seconds = time.perf_counter() - start
        return photo

    def _read_file(self, name: str) -> bytes:
        from cmpc.data.image_formats import MAX_BYTES

        where: Place = place(name)
        if isinstance(where, Path) and not where.is_absolute():
            where = self.images / name
        return read(where, at_most=MAX_BYTES)

    def _answer_photos(self, photos: list[_Photo], answers: list[dict[str, Any]]) -> None:
        """Asks about some photos as one batch; where that fails, about each alone, to know whose fault it is."""
        if not photos:
            return
        start = time.perf_counter()
        try:
            predictions = self._predict(photos)
        except UserError as error:
            if len(photos) > 1:
                for photo in photos:
                    self._answer_photos([photo], answers)
                return
            for photo in photos:
                for number, _ in photo.asked:
                    answers[number]["error"] = str(error)
            return
        share = (time.perf_counter() - start) / sum(len(photo.asked) for photo in photos)
        for photo, some in zip(photos, predictions, strict=True):
            for (number, _), prediction in zip(photo.asked, some, strict=True):
                answers[number] |= _answer(prediction, share + photo.seconds / len(photo.asked))

    def _predict(self, photos: Sequence[_Photo]) -> list[list[Prediction]]:
        expressions = [[expression for _, expression in photo.asked] for photo in photos]
        pixels = [photo.pixels for photo in photos if photo.pixels is not None]
        job = self.job
        return self.load().predict_batch(
            expressions, pixels, threshold=job.threshold, presence_threshold=job.presence_threshold
        )


def _what_is_wrong(expression: str | None, segmenter: Segmenter) -> str | None:
    if expression is None:
        return "the expression is no text."
    try:
        segmenter.query(expression)
    except UserError as error:
        return str(error)
    return None


def _is_url(source: str | bytes) -> bool:
    return isinstance(source, str) and "://" in source[:10]


def _answer(prediction: Prediction, seconds: float) -> dict[str, Any]:
    """What the output says of an answer; the mask itself is made here, and not kept."""
    start = time.perf_counter()
    answer = {
        "rle": prediction.to_rle(),
        "score": prediction.score,
        "box": prediction.box,
        "present": prediction.present,
    }
    return {**answer, "seconds": seconds + time.perf_counter() - start}
