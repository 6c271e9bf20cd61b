"""Many explanations on one sheet: a row for each, with the four panels of the staged picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

from cmpc.answers.lettering import shorten
from cmpc.explanation.drawing import Drawing, Text, wrap_text
from cmpc.explanation.explanation import Explanation
from cmpc.explanation.panels import Panels
from cmpc.explanation.staged_picture import MARGIN, WIDTH, frame_of, row_height
from cmpc.explanation.words import GREEN, GREY, INK, ORANGE, PURPLE, draw_words, found, typing_note

_GAP = 14.0
_SIDE = 210.0
_PANEL = (WIDTH - 2 * MARGIN - _SIDE - 4 * _GAP) / 4
_WORDS, _SMALL = 17.0, 12.5


def staged_sheet(explanations: Iterable[tuple[str, Explanation]]) -> Drawing:
    """Draws explanations by the same model below each other; each is let go when it is drawn.

    Args:
        explanations: at least one, each with the name of its photo.
    """
    drawing = Drawing(WIDTH, 0, "")
    top, count = MARGIN, 0
    for count, (name, explanation) in enumerate(explanations, start=1):
        if count == 1:
            top = _add_head(drawing, explanation)
        top = _add_row(drawing, name, explanation, top)
    if not count:
        raise ValueError("a sheet needs at least one explanation, got none")
    drawing.height = top + MARGIN - _GAP
    drawing.title = f"How the model reads {count} expressions, stage by stage"
    return drawing


def _add_head(drawing: Drawing, explanation: Explanation) -> float:
    """Adds what holds for all rows; returns where the first begins."""
    top = MARGIN
    for line in wrap_text(typing_note(explanation.typing), _SMALL, WIDTH - 2 * MARGIN):
        drawing.add(Text(MARGIN, top, line, _SMALL, GREY))
        top += _SMALL + 5
    titles = [("photo", INK), ("entities and attributes", ORANGE), ("relations", GREEN), ("mask", PURPLE)]
    for number, (title, colour) in enumerate(titles):
        drawing.add(Text(_column(number), top, title, _SMALL + 1, colour))
    return top + _SMALL + 10


def _add_row(drawing: Drawing, name: str, explanation: Explanation, top: float) -> float:
    """Adds the words of an expression and its panels; returns where the next row begins."""
    drawing.add(*draw_words(explanation, MARGIN, top, WIDTH - 2 * MARGIN, _WORDS))
    top += _WORDS + 10
    prediction, stages = explanation.prediction, explanation.network
    lines = [PurePath(name).name, f"named {stages.named.max():.2f}", f"together {stages.entities.max():.2f}"]
    lines.append(f"score {prediction.score:.2f}" if prediction.area else found(prediction))
    if prediction.present is not None:
        lines.append(f"present {prediction.present:.2f}")
    if prediction.unknown_words:
        lines.append(f"unknown: {', '.join(prediction.unknown_words)}")
    for number, line in enumerate(lines):
        colour = GREY if number else INK
        drawing.add(Text(MARGIN, top + 18 * number, shorten(line, _SMALL, _SIDE), _SMALL, colour))
    panels = Panels(explanation)
    height = row_height(explanation, _PANEL)
    frames = [frame_of(explanation, _column(number), top, _PANEL, height) for number in range(4)]
    drawing.add(*panels.photo(frames[0]), *panels.named(frames[1], stages))
    drawing.add(*panels.relations(frames[2], stages), *panels.answer(frames[3]))
    return top + max(height, 18.0 * len(lines)) + _GAP


def _column(number: int) -> float:
    return MARGIN + _SIDE + _GAP + number * (_PANEL + _GAP)
