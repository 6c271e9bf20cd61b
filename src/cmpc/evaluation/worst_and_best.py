"""A picture of the worst and the best cases: what to look at before a number is believed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cmpc.answers.lettering import font, shorten
from cmpc.answers.overlay import PALETTE, overlay
from cmpc.data.schema import PreparedDataset
from cmpc.data.vocabulary import Vocabulary
from cmpc.engines.engine import Engine
from cmpc.evaluation.crf import refine
from cmpc.evaluation.evaluate import Evaluation
from cmpc.evaluation.inference import SampleLogits, predict
from cmpc.evaluation.protocols import mask_from_logits, mask_from_marginals, predicts_nothing
from cmpc.evaluation.samples import Sample
from cmpc.evaluation.scoring import sigmoid
from cmpc.files import atomic_file

PICTURE_FILE = "worst-and-best.png"

_COLUMNS = 4
_TILE = 320
_CAPTION = 44
_MARGIN = 12
_TITLE = 40
_LETTERS = 15
_TRUTH = (0, 255, 120)
_BACKGROUND = (24, 24, 28)
_TEXT = (235, 235, 235)


@dataclass(frozen=True)
class RankedCase:
    """An expression with the IoU of its mask."""

    sample: Sample
    iou: float


def worst_and_best(evaluation: Evaluation, count: int) -> tuple[list[RankedCase], list[RankedCase]]:
    """The ``count`` worst and the ``count`` best cases, at most one for each object, none in both lists.

    Judged after the DenseCRF where there is one. Equal cases come in the order of the split.
    """
    scores = ((result.with_crf or result.without_crf).iou for result in evaluation.results)
    ious = np.fromiter(scores, np.float64, len(evaluation.results))
    objects: set[str] = set()
    for sample in evaluation.samples:
        objects.add(sample.row.ref_id)
        if len(objects) == 2 * count:  # there are enough
            break

    def cases(order: NDArray[np.int64]) -> Iterator[RankedCase]:
        return (RankedCase(evaluation.samples[int(place)], float(ious[place])) for place in order)

    taken: set[str] = set()
    most = min(count, (len(objects) + 1) // 2)
    worst = _first_of_each_object(cases(np.argsort(ious, kind="stable")), taken, most)
    best = _first_of_each_object(cases(np.argsort(-ious, kind="stable")), taken, count)
    return worst, best


def write_worst_and_best(
    path: str | Path,
    evaluation: Evaluation,
    engine: Engine,
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    *,
    count: int = 8,
) -> None:
    """Asks again for the worst and the best cases and paints them: the prediction red, the true outline green.

    Args:
        path: PNG file to write.
        evaluation: which cases there are.
        engine: what was evaluated.
        vocabulary: its words.
        dataset: the dataset that it was evaluated on.
        count: how many of the worst, and how many of the best.
    """
    worst, best = worst_and_best(evaluation, count)
    cases = [*worst, *best]
    predictions = predict(engine, vocabulary, dataset, [[case.sample] for case in cases], batch_images=1)
    tiles = [
        _tile(dataset.read_image(prediction.sample.row), _mask(prediction, evaluation), case)
        for prediction, case in zip(predictions, cases, strict=True)
    ]
    sheet = _sheet({"Worst": tiles[: len(worst)], "Best": tiles[len(worst) :]})
    with atomic_file(path) as file:
        sheet.save(file, format="PNG")


def _mask(prediction: SampleLogits, evaluation: Evaluation) -> NDArray[np.bool_]:
    row, protocol = prediction.sample.row, evaluation.protocol
    if predicts_nothing(prediction.presence, protocol):
        return np.zeros((row.height, row.width), np.bool_)
    if not evaluation.with_crf:
        return mask_from_logits(prediction.logits, row.height, row.width, protocol)
    marginals = refine(sigmoid(prediction.logits), prediction.square)
    return mask_from_marginals(marginals, row.height, row.width, protocol)


def _first_of_each_object(cases: Iterable[RankedCase], taken: set[str], count: int) -> list[RankedCase]:
    chosen: list[RankedCase] = []
    for case in cases:
        if len(chosen) == count:
            break
        if case.sample.row.ref_id not in taken:
            taken.add(case.sample.row.ref_id)
            chosen.append(case)
    return chosen


def _tile(pixels: NDArray[np.uint8], mask: NDArray[np.bool_], case: RankedCase) -> Image.Image:
    painted = overlay(pixels, [mask])
    scale = _TILE / max(pixels.shape[:2])
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    small = cv2.resize(painted, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    truth = cv2.resize(case.sample.row.decode_mask().astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    outlines, _ = cv2.findContours((truth >= 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(small, outlines, -1, _TRUTH, 2)

    tile = Image.new("RGB", (_TILE, _TILE + _CAPTION), _BACKGROUND)
    tile.paste(Image.fromarray(small), ((_TILE - width) // 2, (_TILE - height) // 2))
    draw = ImageDraw.Draw(tile)
    draw.text((0, _TILE + 2), f"IoU {100 * case.iou:.1f}", fill=PALETTE[0], font=font(_LETTERS))
    draw.text((0, _TILE + 20), shorten(case.sample.expression, _LETTERS, _TILE), fill=_TEXT, font=font(_LETTERS))
    return tile


def _sheet(sections: dict[str, list[Image.Image]]) -> Image.Image:
    rows = {title: -(-len(tiles) // _COLUMNS) for title, tiles in sections.items() if tiles}
    step_x, step_y = _TILE + _MARGIN, _TILE + _CAPTION + _MARGIN
    size = (_MARGIN + _COLUMNS * step_x, sum(_TITLE + count * step_y for count in rows.values()) + _MARGIN)
    sheet = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    top = 0
    for title, count in rows.items():
        label = f"{title}: the prediction is red, the outline of the true mask green"
        draw.text((_MARGIN, top + _MARGIN), label, fill=_TEXT, font=font(18))
        top += _TITLE
        for number, tile in enumerate(sections[title]):
            row, column = divmod(number, _COLUMNS)
            sheet.paste(tile, (_MARGIN + column * step_x, top + row * step_y))
        top += count * step_y
    return sheet
