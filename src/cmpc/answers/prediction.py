"""What a segmenter answers: the mask of one expression, in the forms that people need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmpc.answers.cutout import crop, cut_out
from cmpc.answers.instances import PredictedInstance, find_instances, objects_shown
from cmpc.answers.outlines import has_holes, outlines
from cmpc.answers.overlay import overlay, with_legend
from cmpc.arguments import ImageSource, to_pixels
from cmpc.conventions import PRESENCE_THRESHOLD, WORD_TYPES
from cmpc.data.masks import encode_mask
from cmpc.data.query import Query
from cmpc.data.transforms import Letterbox, undo_letterbox_in_bands
from cmpc.errors import UserError
from cmpc.refining.refine import RefineName, check_refinement, refine_probability

if TYPE_CHECKING:
    import supervision


def nothing_fits(expression: str) -> str:
    """The sentence for an expression that fits nothing in the photo."""
    return f"nothing in the photo fits {expression!r}"


class _Measures(NamedTuple):
    """What is told of a mask."""

    area: int
    score: float
    box: tuple[int, int, int, int] | None


@dataclass(frozen=True)
class Prediction:
    """The answer to one expression about one image of H x W pixels.

    It holds what the network said, at the size of the network's square. What is as large as the image, ``probability``
    and ``mask``, is made when it is first asked for, and kept from then on.
    """

    query: Query
    """The referring expression that was asked, as the network read it."""
    logits: NDArray[np.float32]
    """What the network said for its square, in which the image lies scaled to fit: (S, S)."""
    height: int
    """Height of the image in pixels, H."""
    width: int
    """Width of the image in pixels, W."""
    threshold: float
    """Pixels at least this likely form the mask."""
    word_types: NDArray[np.float32]
    """Probability of each word's type in the order of ``cmpc.conventions.WORD_TYPES``: (N, 4)."""
    sharpened: NDArray[np.float32] | None = None
    """Probabilities at the size of the image that stand in the place of the logits': what refining gave, (H, W)."""
    present: float | None = None
    """Probability that anything in the image fits the expression; None of a network that does not tell."""
    presence_threshold: float = PRESENCE_THRESHOLD
    """Where ``present`` is lower, the mask is empty; 0: never for that reason."""
    belonging: NDArray[np.float32] | None = None
    """How much each cell of the square shows each of the K objects that the network found before it read a word,
    (K, h, w); None of a network that looks for none."""

    @property
    def expression(self) -> str:
        """The referring expression that was asked."""
        return self.query.text

    @property
    def words(self) -> tuple[str, ...]:
        """The words that the network read: N, at most its maximum."""
        return self.query.words

    @property
    def unknown_words(self) -> tuple[str, ...]:
        """Words that the model's vocabulary lacks; it could not take them into account."""
        return self.query.unknown

    @property
    def cut_words(self) -> tuple[str, ...]:
        """Words at the end that the network did not read, because the expression is too long for it."""
        return self.query.cut

    @property
    def is_absent(self) -> bool:
        """Whether the network says that nothing in the image fits, which leaves the mask empty."""
        return self.present is not None and self.present < self.presence_threshold

    @cached_property
    def probability(self) -> NDArray[np.float32]:
        """For each pixel how likely it belongs to what the expression refers to, if anything fits, 0..1: (H, W)."""
        probability = np.empty((self.height, self.width), np.float32)
        for rows, values in self._bands():
            probability[rows] = values
        return probability

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """True where the image shows what the expression refers to: (H, W)."""
        mask = np.zeros((self.height, self.width), np.bool_)
        if self.is_absent:
            return mask
        for rows, values in self._bands():
            np.greater_equal(values, self.threshold, out=mask[rows])
        return mask

    @cached_property
    def instances(self) -> tuple[PredictedInstance, ...]:
        """The things that the mask shows, the largest first: of "the two sheep" two.

        They are told by the objects that the network found, else by what hangs together in the mask. Specks, smaller
        than a share ``SMALLEST_SHARE`` of the mask, are none of them.
        """
        if self.box is None:
            return ()
        objects = None
        if self.belonging is not None:
            place = Letterbox.of(self.height, self.width, len(self.logits))
            with np.errstate(divide="ignore"):
                least = np.log(self.threshold) - np.log1p(-self.threshold)
            objects = objects_shown(self.belonging, self.logits >= least, place, self.box)
        return find_instances(self.mask, self.box, self._bands(), objects)

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return self._measures.area

    @property
    def score(self) -> float:
        """Mean probability inside the mask, 0..1; 0 when the mask is empty."""
        return self._measures.score

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """Smallest box around the mask: x, y, width, height in pixels; None when the mask is empty."""
        return self._measures.box

    @property
    def caption(self) -> str:
        """The expression with its score, or that nothing in the photo fits it."""
        return nothing_fits(self.expression) if self.is_absent else f"{self.expression} ({self.score:.2f})"

    @cached_property
    def has_holes(self) -> bool:
        """Whether the mask encloses something that is outside of it, which polygons say only in a roundabout way."""
        return has_holes(self.mask)

    def to_rle(self) -> dict[str, Any]:
        """The mask in COCO's compressed run-length form: ``{"size": [H, W], "counts": "..."}``."""
        return {"size": list(self.mask.shape), "counts": encode_mask(self.mask)}

    def to_polygons(self) -> list[list[float]]:
        """The mask's parts as COCO polygons ``[x1, y1, x2, y2, ...]`` in pixels, along the borders of its pixels.

        Filled by pycocotools they are the mask, one pixel or a line included. A polygon has no holes: where the mask
        has some (``has_holes``), a line without area leads to each and back. Programs that do not take such polygons
        need ``to_rle``.
        """
        return outlines(self.mask)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the probabilities, as plain JSON values."""
        return {
            "expression": self.expression,
            "present": None if self.present is None else round(self.present, 4),
            "presence_threshold": self.presence_threshold,
            "score": round(self.score, 4),
            "threshold": self.threshold,
            "box": None if self.box is None else list(self.box),
            "area": self.area,
            "rle": self.to_rle(),
            "polygons": self.to_polygons(),
            "has_holes": self.has_holes,
            "instances": [instance.to_dict() for instance in self.instances],
            "words": [
                {"word": word, "types": {name: round(float(p), 4) for name, p in zip(WORD_TYPES, types, strict=True)}}
                for word, types in zip(self.words, self.word_types, strict=True)
            ],
            "unknown_words": list(self.unknown_words),
            "cut_words": list(self.cut_words),
        }

    def refined(self, image: ImageSource, refine: RefineName) -> Prediction:
        """The answer with the edge of its mask drawn to the edges of the photo; an empty mask stays empty.

        Args:
            image: the photo that was asked about.
            refine: ``crf`` (a fully connected CRF, the extra ``crf``), ``guided`` (a guided filter, quick) or ``none``.

        Raises:
            UsageError: there is no such refinement.
            UserError: its package is not installed, or the image is missing, broken, or of another size than the mask.
        """
        check_refinement(refine)
        if self.box is None or refine == "none":
            return self
        return replace(self, sharpened=refine_probability(self.probability, self._pixels(image), self.box, refine))

    def to_coco(
        self, *, image_id: int = 1, category_id: int = 1, annotation_id: int = 1, polygons: bool = False
    ) -> dict[str, Any]:
        """The mask as an annotation of a COCO dataset, which is a COCO result as well.

        Args:
            image_id: of the image that was asked about.
            category_id: of what was asked for.
            annotation_id: another one for each annotation of a dataset.
            polygons: whether the mask is polygons, without holes, in the place of run lengths.
        """
        return {
            "id": annotation_id,
            "image_id": image_id,
            "category_id": category_id,
            "segmentation": self.to_polygons() if polygons else self.to_rle(),
            "bbox": list(self.box or (0, 0, 0, 0)),
            "area": self.area,
            "iscrowd": 0,
            "score": round(self.score, 4),
        }

    def to_supervision(self, class_id: int = 0) -> supervision.Detections:
        """The mask as ``supervision.Detections``: one detection named after the expression, none when it is empty.

        Args:
            class_id: number of what was asked for.

        Raises:
            UserError: the package supervision is not installed.
        """
        from cmpc.answers.supervision_detections import to_detections

        return to_detections(self, class_id)

    def to_pil(self) -> Image.Image:
        """The mask as an image of mode L: 255 inside, 0 outside."""
        return Image.fromarray(self.mask.astype(np.uint8) * 255)

    def crop(self, image: ImageSource, *, margin: int = 0) -> Image.Image | None:
        """The part of the photo in the box around the mask; None when the mask is empty.

        Args:
            image: the photo that was asked about.
            margin: pixels around the box that are shown too.

        Raises:
            UserError: the image is missing, broken, or of another size than the mask.
        """
        pixels = self._pixels(image)
        return None if self.box is None else Image.fromarray(crop(pixels, self.box, margin))

    def cutout(self, image: ImageSource, *, feather: float = 1.0) -> Image.Image | None:
        """The thing alone, RGBA, as large as the box around it; None when the mask is empty.

        Args:
            image: the photo that was asked about.
            feather: how soft the edge is, in pixels; 0 for a hard edge.

        Raises:
            UserError: the image is missing, broken, or of another size than the mask.
        """
        pixels = self._pixels(image)
        return None if self.box is None else Image.fromarray(cut_out(pixels, self.mask, self.box, feather))

    def draw(self, image: ImageSource, *, opacity: float = 0.5, legend: bool = False) -> Image.Image:
        """The photo with the mask drawn over it.

        Args:
            image: the photo that was asked about.
            opacity: how much of the photo the mask hides, 0..1.
            legend: whether expression and score stand below.

        Raises:
            UserError: the image is missing, broken, or of another size than the mask.
        """
        drawn = overlay(self._pixels(image), [self.mask], opacity=opacity)
        return Image.fromarray(with_legend(drawn, [self.caption]) if legend else drawn)

    def _repr_html_(self) -> str:
        """The mask with its expression and score, as notebooks show it."""
        from cmpc.answers.notebook import prediction_html

        return prediction_html(self)

    def _pixels(self, image: ImageSource) -> NDArray[np.uint8]:
        pixels = to_pixels(image)
        if pixels.shape[:2] != self.mask.shape:
            height, width = self.mask.shape
            raise UserError(
                f"the image has {pixels.shape[1]} x {pixels.shape[0]} pixels but the mask {width} x {height}: "
                "give the photo that was asked about."
            )
        return pixels

    def _bands(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """The probabilities, some rows after the others."""
        if self.sharpened is not None:
            yield slice(0, self.height), self.sharpened
            return
        for rows, values in undo_letterbox_in_bands(self.logits, self.height, self.width):
            with np.errstate(over="ignore"):  # what is surely no part of the mask becomes 0
                np.exp(np.negative(values, out=values), out=values)
            values += 1
            yield rows, np.reciprocal(values, out=values)

    @cached_property
    def _measures(self) -> _Measures:
        """Area, score and box, without a mask as large as the image."""
        if self.is_absent:
            return _Measures(0, 0.0, None)
        area, total = 0, 0.0
        rows_inside = np.zeros(self.height, np.bool_)
        columns_inside = np.zeros(self.width, np.bool_)
        for rows, values in self._bands():
            inside = values >= self.threshold
            if inside.any():
                area += int(np.count_nonzero(inside))
                total += float(values.sum(where=inside, dtype=np.float64))
                rows_inside[rows] = inside.any(axis=1)
                columns_inside |= inside.any(axis=0)
        if not area:
            return _Measures(0, 0.0, None)
        y, x = np.flatnonzero(rows_inside)[[0, -1]], np.flatnonzero(columns_inside)[[0, -1]]
        box = (int(x[0]), int(y[0]), int(x[1] - x[0]) + 1, int(y[1] - y[0]) + 1)
        return _Measures(area, total / area, box)
