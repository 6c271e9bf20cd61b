"""The staged picture, whole and stage by stage, as the page shows it in tabs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmpc.conventions import LEVELS
from cmpc.explanation import Explanation
from cmpc.explanation.drawing import Drawing, Shape, Text, wrap_text
from cmpc.explanation.panels import Frame, Panels
from cmpc.explanation.picture import paint
from cmpc.explanation.staged_picture import frame_of, staged_picture
from cmpc.explanation.words import GREY, draw_words, found

STAGE_NAMES = ("All stages", "Photo", "Entities and attributes", "Relations", "Mask", "Levels")
"""Names of the tabs."""

_WIDTH, _TALLEST, _MARGIN = 640.0, 640.0, 16.0
_EXPRESSION, _CAPTION = 22.0, 15.0


@dataclass(frozen=True)
class Stage:
    """One tab of the staged picture."""

    name: str
    """Its title, one of ``STAGE_NAMES``."""
    picture: NDArray[np.uint8]
    """RGB, (H, W, 3)."""
    description: str
    """The picture in words, for those who cannot see it."""


def draw_stages(explanation: Explanation) -> tuple[Stage, ...]:
    """The tabs of an explanation, in the order of ``STAGE_NAMES``."""
    panels, stages, prediction = Panels(explanation), explanation.network, explanation.prediction
    asked = repr(prediction.expression)
    answered = found(prediction)
    named = (
        f"where the network answers to one entity or attribute word alone, at most {stages.named.max():.2f}"
        if stages.words
        else "no word is an entity or attribute"
    )
    singles: list[tuple[Callable[[Frame], Sequence[Shape]], str]] = [
        (panels.photo, "the photo and the words, coloured by their types"),
        (lambda frame: panels.named(frame, stages), named),
        (
            lambda frame: panels.relations(frame, stages),
            f"where the network answers to the whole expression, at most {stages.result.max():.2f}; dashed: named by "
            "a word but not meant; arrows: which regions' features the relation words bring to which",
        ),
        (panels.answer, f"the mask: {answered}"),
    ]
    pictures = [paint(staged_picture(explanation))]
    descriptions = [f"photo, entities, relations and mask side by side for {asked}; {answered}"]
    for draw, caption in singles:
        pictures.append(paint(_single(explanation, draw, caption)))
        descriptions.append(f"{caption}, for {asked}")
    pictures.append(paint(staged_picture(explanation, levels=LEVELS)))
    descriptions.append(f"the stages as the levels {', '.join(LEVELS)} of the network see them, for {asked}")
    return tuple(
        Stage(name, picture, description)
        for name, picture, description in zip(STAGE_NAMES, pictures, descriptions, strict=True)
    )


def _single(explanation: Explanation, draw: Callable[[Frame], Sequence[Shape]], caption: str) -> Drawing:
    """One stage by itself, with the expression above and its caption below; readable on a phone."""
    rows, columns = explanation.pixels.shape[:2]
    height = min(_WIDTH * rows / columns, _TALLEST)
    top = _MARGIN + _EXPRESSION * 1.6
    drawing = Drawing(_WIDTH + 2 * _MARGIN, 0, caption)
    drawing.add(*draw_words(explanation, _MARGIN, _MARGIN, _WIDTH, _EXPRESSION))
    drawing.add(*draw(frame_of(explanation, _MARGIN, top, _WIDTH, height)))
    top += height + 10
    for line in wrap_text(caption, _CAPTION, _WIDTH):
        drawing.add(Text(_MARGIN, top, line, _CAPTION, GREY))
        top += _CAPTION + 6
    drawing.height = top + _MARGIN
    return drawing
