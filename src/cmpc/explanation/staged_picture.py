"""The staged picture: expression, photo, entities, relations, mask, side by side as in the paper's first figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from cmpc.answers.lettering import shorten
from cmpc.conventions import LEVELS
from cmpc.errors import UsageError
from cmpc.explanation.drawing import Drawing, Shape, Text, wrap_text
from cmpc.explanation.explanation import Explanation, Stages
from cmpc.explanation.panels import Frame, Panels
from cmpc.explanation.words import (
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    draw_expression,
    found,
    presence_note,
    typing_note,
)

WIDTH = 1200.0
MARGIN = 26.0
_GAP = 18.0
_PANEL = (WIDTH - 2 * MARGIN - 3 * _GAP) / 4
_TALLEST = 1.3
_TITLE, _CAPTION, _SMALL = 16.0, 12.5, 12.0
_THUMBS = 3
_MOST_THUMBS = 6

Thumb = tuple[str, Callable[[Frame], list[Shape]]]
"""A small panel: its caption, and what draws it."""


def staged_picture(explanation: Explanation, levels: Sequence[str] = ()) -> Drawing:
    """Draws an explanation.

    Args:
        explanation: what to draw.
        levels: levels that get a row of their own: ``c3``, ``c4``, ``c5``.

    Raises:
        UsageError: there is no such level.
    """
    check_levels(levels)
    prediction = explanation.prediction
    drawing = Drawing(WIDTH, 0, f"How the model reads {prediction.expression!r}, stage by stage")
    shapes, height = draw_expression(explanation, MARGIN, MARGIN, WIDTH - 2 * MARGIN)
    drawing.add(*shapes)
    top = MARGIN + height + 4
    top = _add_lines(drawing, _notes(explanation), top)
    top = _add_main_row(drawing, explanation, top + 6)
    for level in levels:
        top = _add_level_row(drawing, explanation, level, top + 10)
    drawing.height = _add_lines(drawing, _how_to_read(explanation), top + 8) + MARGIN - 8
    return drawing


def check_levels(levels: Sequence[str]) -> None:
    """Refuses names that are no levels.

    Raises:
        UsageError: names the levels.
    """
    if unknown := [level for level in levels if level not in LEVELS]:
        raise UsageError(f"there is no level {unknown[0]!r}: the levels are {', '.join(LEVELS)}.")


def frame_of(explanation: Explanation, x: float, y: float, width: float, height: float) -> Frame:
    """The largest frame with the photo's proportions in the upper middle of a rectangle."""
    rows, columns = explanation.pixels.shape[:2]
    scale = min(width / columns, height / rows)
    inside = (columns * scale, rows * scale)
    return Frame(x + (width - inside[0]) / 2, y, *inside)


def row_height(explanation: Explanation, width: float) -> float:
    """Height of panels of a width: the photo's proportions, but not taller than a page can show."""
    rows, columns = explanation.pixels.shape[:2]
    return min(width * rows / columns, width * _TALLEST)


def _add_main_row(drawing: Drawing, explanation: Explanation, top: float) -> float:
    """Adds the four large panels with the words' small ones below; returns where they end."""
    panels, stages = Panels(explanation), explanation.network
    prediction = explanation.prediction
    height = row_height(explanation, _PANEL)
    below = top + 26
    frames = [frame_of(explanation, _column(number), below, _PANEL, height) for number in range(4)]
    for number, (title, colour) in enumerate(
        [("photo", INK), ("entities and attributes", ORANGE), ("relations", GREEN), ("mask", PURPLE)]
    ):
        drawing.add(Text(_column(number), top, f"{'abcd'[number]}  {title}", _TITLE, colour))
    drawing.add(*panels.photo(frames[0]), *panels.named(frames[1], stages))
    drawing.add(*panels.relations(frames[2], stages), *panels.answer(frames[3]))
    bottom = below + height + 7
    captions = [
        f"{explanation.pixels.shape[1]} x {explanation.pixels.shape[0]} pixels",
        f"each word alone, at most {stages.named.max():.2f}" if stages.words else "no word is an entity or attribute",
        _relation_caption(explanation, stages),
        found(prediction),
    ]
    for number, caption in enumerate(captions):
        drawing.add(Text(_column(number), bottom, shorten(caption, _CAPTION, _PANEL), _CAPTION, GREY))
    bottom += _CAPTION + 12

    alone: list[Thumb] = [
        (f"together  {stages.entities.max():.2f}", partial(panels.entities, stages=stages)),
        *(
            (
                f"{prediction.words[position].strip()}  {values.max():.2f}",
                partial(panels.word, stages=stages, position=position),
            )
            for position, values in stages.words.items()
        ),
    ]
    attentions: list[Thumb] = []
    if stages.graph is not None:
        attentions = [
            (
                f"{prediction.words[position].strip()}  {stages.graph.cell_to_words[position].max():.2f}",
                partial(panels.attention, graph=stages.graph, position=position),
            )
            for position in explanation.relation_words
        ]
    return max(
        _add_thumbs(drawing, explanation, alone, _column(1), bottom),
        _add_thumbs(drawing, explanation, attentions, _column(2), bottom),
    )


def _add_thumbs(drawing: Drawing, explanation: Explanation, thumbs: list[Thumb], left: float, top: float) -> float:
    """Adds small panels with captions below a large one, three in a row; returns where they end."""
    gap = 8.0
    width = (_PANEL - (_THUMBS - 1) * gap) / _THUMBS
    height = row_height(explanation, width)
    step = height + _SMALL + 14
    shown = thumbs if len(thumbs) <= _MOST_THUMBS else thumbs[: _MOST_THUMBS - 1]
    for number, (caption, draw) in enumerate(shown):
        row, column = divmod(number, _THUMBS)
        x, y = left + column * (width + gap), top + row * step
        drawing.add(*draw(frame_of(explanation, x, y, width, height)))
        drawing.add(Text(x, y + height + 4, shorten(caption, _SMALL, width), _SMALL, INK))
    if len(shown) < len(thumbs):
        row, column = divmod(len(shown), _THUMBS)
        place = (left + column * (width + gap), top + row * step + height / 2)
        drawing.add(Text(*place, f"and {len(thumbs) - len(shown)} more", _SMALL, GREY))
    return top + -(-min(len(thumbs), _MOST_THUMBS) // _THUMBS) * step


def _add_level_row(drawing: Drawing, explanation: Explanation, level: str, top: float) -> float:
    """Adds the panels of one level; returns where they end."""
    panels, stages = Panels(explanation), explanation.levels[level]
    height = row_height(explanation, _PANEL)
    frames = [frame_of(explanation, _column(number), top, _PANEL, height) for number in range(4)]
    rows, columns = stages.result.shape
    drawing.add(Text(_column(0), top, f"level {level}", _TITLE, INK))
    lines = [f"{rows} x {columns} cells", "what this level alone", "would answer"]
    for number, line in enumerate(lines):
        drawing.add(Text(_column(0), top + 26 + 18 * number, line, _CAPTION, GREY))
    drawing.add(*panels.named(frames[1], stages), *panels.relations(frames[2], stages))
    drawing.add(*panels.level_answer(frames[3], stages))
    bottom = top + height + 7
    captions = [
        f"at most {stages.named.max():.2f}",
        _relation_caption(explanation, stages),
        f"at most {stages.result.max():.2f}",
    ]
    for number, caption in enumerate(captions, start=1):
        drawing.add(Text(_column(number), bottom, shorten(caption, _CAPTION, _PANEL), _CAPTION, GREY))
    return bottom + _CAPTION + 8


def _relation_caption(explanation: Explanation, stages: Stages) -> str:
    if stages.graph is None:
        return "this model has no graph"
    if not explanation.relation_words:
        return "no word is a relation"
    messages = Panels(explanation).messages(stages)
    if not messages:
        return "the relation words move next to nothing"
    word = explanation.prediction.words[messages[0].word].strip()
    return f"strongest arrow: {word!r}, {100 * messages[0].excess:+.1f} points"


def _notes(explanation: Explanation) -> list[str]:
    notes = [typing_note(explanation.typing), presence_note(explanation.prediction)]
    if unknown := explanation.prediction.unknown_words:
        names = ", ".join(repr(word) for word in unknown)
        notes.append(f"The model does not know {names} and answers without.")
    if cut := explanation.prediction.cut_words:
        notes.append(f"The model reads no more words: {' '.join(cut)} is left out.")
    return [note for note in notes if note]


def _how_to_read(explanation: Explanation) -> list[str]:
    lines = [
        "b: what the network answers to each of these words when it is asked nothing else (0 to 1); together: what it "
        "answers to the sentence vector of these words without relations in its graph."
    ]
    if explanation.network.graph is not None:
        lines.append(
            "c: its answer to the whole expression; dashed: named in b but not meant; arrows: what the graph sends "
            "between regions, beyond what it sends without relation words; below: attention of the cells to a word."
        )
    return lines


def _add_lines(drawing: Drawing, paragraphs: list[str], top: float) -> float:
    for paragraph in paragraphs:
        for line in wrap_text(paragraph, _CAPTION, WIDTH - 2 * MARGIN):
            drawing.add(Text(MARGIN, top, line, _CAPTION, GREY))
            top += _CAPTION + 5
    return top


def _column(number: int) -> float:
    return MARGIN + number * (_PANEL + _GAP)
