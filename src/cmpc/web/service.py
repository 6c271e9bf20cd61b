"""What stands behind the page: photos, models, answers and limits. It knows nothing of Gradio."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cmpc.answers.overlay import overlay
from cmpc.answers.prediction import Prediction
from cmpc.arguments import to_threshold
from cmpc.data.images import image_size, read_image
from cmpc.engines.memory import give_back_unused_memory
from cmpc.errors import UserError
from cmpc.refining.refine import RefineName, check_refinement
from cmpc.segmenter import EncodedImage, Segmenter
from cmpc.web.cache import Cache, bytes_of
from cmpc.web.limits import Deadline, Limits, WaitingLine
from cmpc.web.models import Models
from cmpc.web.stages import Stage, draw_stages

PICTURE_SIDE = 1280
"""Longest side of the picture that the page shows, in pixels."""


@dataclass(frozen=True)
class Photo:
    """A photo that a visitor gave."""

    key: str
    """Digest of the file: the same file is the same photo, whoever gives it."""
    pixels: NDArray[np.uint8]
    """Upright, RGB: (H, W, 3)."""


@dataclass(frozen=True)
class PageAnswer:
    """The masks of some expressions about one photo."""

    pixels: NDArray[np.uint8]
    """The photo, upright, RGB: (H, W, 3)."""
    predictions: list[Prediction]
    """One for each expression, in their order."""

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width of ``picture``."""
        height, width = self.pixels.shape[:2]
        scale = min(1.0, PICTURE_SIDE / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))

    @cached_property
    def picture(self) -> NDArray[np.uint8]:
        """The photo with the masks in the colours of the palette, at most ``PICTURE_SIDE`` wide and high."""
        masks = (dataclasses.replace(prediction).mask for prediction in self.predictions)  # none of them is kept
        height, width = self.picture_size
        if (height, width) == self.pixels.shape[:2]:
            return overlay(self.pixels, masks)
        size = (width, height)
        small = (cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0 for mask in masks)
        return overlay(np.asarray(cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA), np.uint8), small)

    def at(self, x: int, y: int) -> list[int]:
        """Which masks hold a pixel of ``picture``: their numbers in ``predictions``; none outside of the picture."""
        height, width = self.picture_size
        if not (0 <= x < width and 0 <= y < height):
            return []
        row, column = y * self.pixels.shape[0] // height, x * self.pixels.shape[1] // width
        return [
            number
            for number, prediction in enumerate(self.predictions)
            if dataclasses.replace(prediction).mask[row, column]  # none of them is kept
        ]


class Service:
    """Answers the page's requests. May be used by several threads at once.

    What the network saw of a photo and what it answered is remembered by the digest of the file, the model's name and
    the expression: the second expression needs no second look at the photo, another threshold needs no network.
    """

    def __init__(self, models: Models, limits: Limits | None = None) -> None:
        self.models = models
        self.limits = limits or Limits()
        self._memory = Cache(self.limits.memory_megabytes * 1_000_000)
        self._line = WaitingLine(self.limits.waiting)
        self.drawing = threading.Lock()
        """Whoever draws or writes pictures as large as photos holds it: several at once would need too much memory."""

    @property
    def waiting(self) -> int:
        """Requests that wait for the network."""
        return self._line.waiting

    def close(self) -> None:
        """Answers nothing any more; what is being answered is still answered."""
        self._line.close()

    def see(self, file: Path, model: str | None = None) -> tuple[int, int]:
        """Looks at a photo before anything is asked, so that the first answer comes sooner.

        Args:
            file: the photo.
            model: name of the model; the first one by default.

        Returns:
            Height and width of the upright photo.

        Raises:
            UserError: the file is no photo or too large, there is no such model, or the page is busy.
        """
        name, deadline = self.models.name(model), Deadline(self.limits.seconds)
        data = self._read(file)
        with self._turn(deadline):
            photo = self._photo(data)
            deadline.check()
            self._seen(photo, name, self.models.load(name))
        return photo.pixels.shape[0], photo.pixels.shape[1]

    def segment(
        self,
        file: Path,
        text: str,
        threshold: float = 0.5,
        model: str | None = None,
        refine: RefineName = "none",
    ) -> PageAnswer:
        """The masks of expressions about a photo.

        Args:
            file: the photo.
            text: expressions, one a line.
            threshold: pixels at least this likely form the mask, 0..1.
            model: name of the model; the first one by default.
            refine: draws the masks' edges to those of the photo, as ``Prediction.refined``.

        Raises:
            UserError: one of the limits is reached, the file is no photo, there is no such model or refinement, an
                expression holds no word, or the threshold lies outside 0..1.
        """
        check_refinement(refine)
        expressions, name = self.limits.split(text), self.models.name(model)
        threshold = to_threshold(threshold)
        deadline, data = Deadline(self.limits.seconds), self._read(file)
        answer = self._remembered(data, expressions, name)
        if answer is None:
            with self._turn(deadline):
                answer = self._compute(self._photo(data), expressions, name, deadline)
        predictions = [dataclasses.replace(prediction, threshold=threshold) for prediction in answer.predictions]
        if refine != "none":
            with self._line.turn(deadline):
                predictions = [prediction.refined(answer.pixels, refine) for prediction in predictions]
        return PageAnswer(answer.pixels, predictions)

    def explain(
        self, file: Path, expression: str, threshold: float = 0.5, model: str | None = None
    ) -> tuple[Stage, ...]:
        """The stages of one answer as pictures. Arguments and errors as ``segment``, for one expression.

        Raises:
            UserError: also when the model has no stages.
        """
        name, deadline = self.models.name(model), Deadline(self.limits.seconds)
        if len(self.limits.split(expression)) > 1:
            raise UserError("one expression is explained at a time: ask for the others afterwards.")
        [prediction] = self.segment(file, expression, threshold, name).predictions
        threshold = prediction.threshold
        data = self._read(file)
        key = ("stages", _digest(data), name, prediction.expression, threshold)
        stages: tuple[Stage, ...] | None = self._memory.get(key)
        if stages is None:
            with self._turn(deadline):
                photo, segmenter = self._photo(data), self.models.load(name)
                seen = self._seen(photo, name, segmenter)
                deadline.check()
                asked = prediction.expression
                explanation = segmenter.explain(asked, image=photo.pixels, seen=seen, threshold=threshold)
                stages = draw_stages(explanation)
            self._memory.put(key, stages, bytes_of(stages))
        return stages

    @contextmanager
    def _turn(self, deadline: Deadline) -> Iterator[None]:
        """Waits for the network and holds it; afterwards the system gets back what the work needed."""
        with self._line.turn(deadline):
            try:
                yield
            finally:
                give_back_unused_memory()

    def _compute(self, photo: Photo, expressions: list[str], name: str, deadline: Deadline) -> PageAnswer:
        segmenter = self.models.load(name)
        keys = {expression: ("answer", photo.key, name, expression) for expression in expressions}
        known: dict[str, Prediction] = {}
        for expression in expressions:
            segmenter.query(expression)
            if (remembered := self._memory.get(keys[expression])) is not None:
                known[expression] = remembered
        deadline.check()
        if missing := [expression for expression in expressions if expression not in known]:
            seen = self._seen(photo, name, segmenter)
            deadline.check()
            for prediction in segmenter.predict(missing, image=seen):
                known[prediction.expression] = prediction
                self._memory.put(keys[prediction.expression], prediction, bytes_of(prediction))
        deadline.check()
        return PageAnswer(photo.pixels, [known[expression] for expression in expressions])

    def _remembered(self, data: bytes, expressions: list[str], name: str) -> PageAnswer | None:
        """The whole answer from memory, or None."""
        key = _digest(data)
        photo: Photo | None = self._memory.get(("photo", key))
        predictions = [self._memory.get(("answer", key, name, expression)) for expression in expressions]
        if photo is None or any(prediction is None for prediction in predictions):
            return None
        return PageAnswer(photo.pixels, [prediction for prediction in predictions if prediction is not None])

    def _seen(self, photo: Photo, name: str, segmenter: Segmenter) -> EncodedImage:
        key = ("seen", photo.key, name)
        seen: EncodedImage | None = self._memory.get(key)
        if seen is None:
            seen = segmenter.set_image(photo.pixels)
            self._memory.put(key, seen, bytes_of(seen))
        return seen

    def _photo(self, data: bytes) -> Photo:
        key = _digest(data)
        photo: Photo | None = self._memory.get(("photo", key))
        if photo is None:
            self.limits.check_pixels(*image_size(data, name="you gave"))
            try:
                photo = Photo(key, read_image(data, exif_rotation=True))
            except UserError:  # which names a file that the visitor knows nothing of
                raise UserError("the image you gave is damaged: its pixels cannot be decoded.") from None
            self._memory.put(("photo", key), photo, photo.pixels.nbytes)
        return photo

    def _read(self, file: Path) -> bytes:
        try:
            self.limits.check_file(file.stat().st_size)
            return file.read_bytes()
        except OSError:
            raise UserError("the photo is no longer here: give it again.") from None


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=20).hexdigest()
