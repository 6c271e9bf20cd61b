"""The expression in colours: each word by its type, its probabilities below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmpc.answers.lettering import shorten, text_width
from cmpc.answers.prediction import Prediction
from cmpc.explanation.drawing import Box, Colour, Shape, Text
from cmpc.explanation.explanation import Explanation, Typing, WordKind

ORANGE: Colour = (230, 108, 0)
BLUE: Colour = (26, 105, 215)
GREEN: Colour = (20, 128, 60)
GREY: Colour = (118, 122, 128)
PURPLE: Colour = (132, 44, 204)
INK: Colour = (32, 33, 36)
PALE: Colour = (244, 244, 246)

KIND_COLOURS: dict[WordKind, Colour] = {
    "entity": ORANGE,
    "attribute": BLUE,
    "entity_or_attribute": ORANGE,
    "relation": GREEN,
    "unnecessary": GREY,
    "untyped": INK,
}
_WORD, _VALUE = 25.0, 12.5
_CELL, _GAP = 20.0, 4.0
_LABELS = 128.0


def type_rows(typing: Typing, types: NDArray[np.float32]) -> list[tuple[str, Colour, NDArray[np.float32]]]:
    """What is to be read of the word types, (N, 4): rows of a label, its colour, and a probability for each word."""
    if not typing.used:
        return []
    entity, attribute, relation, unnecessary = types.T
    if typing.supervised:
        first = [("entity", ORANGE, entity), ("attribute", BLUE, attribute)]
    else:
        first = [("entity or attribute", ORANGE, entity + attribute)]
    return [*first, ("relation", GREEN, relation), ("unnecessary", GREY, unnecessary)]


def typing_note(typing: Typing) -> str:
    """What must be said about the word types of a model; empty where they are what they seem."""
    if not typing.used:
        return "This model does not weigh words by their types: every word counts as an entity and as a relation."
    if not typing.supervised:
        return (
            "This model was trained without labels for word types. Entity and attribute enter it only as a sum, "
            "so it cannot tell one from the other, and neither does this picture."
        )
    return ""


def found(prediction: Prediction) -> str:
    """What was found, in a few words."""
    if prediction.is_absent:
        return "nothing in the photo fits"
    if not prediction.area:
        return "nothing found"
    return f"score {prediction.score:.2f}, {prediction.mask.mean():.1%} of the photo"


def presence_note(prediction: Prediction) -> str:
    """How likely it is that anything fits, in words; empty where the network does not tell."""
    if prediction.present is None:
        return ""
    told = f"By the model, something in the photo fits with a probability of {prediction.present:.2f}"
    if not prediction.is_absent:
        return f"{told}."
    return f"{told}, less than {prediction.presence_threshold:g}: the mask is empty."


def draw_expression(explanation: Explanation, x: float, y: float, width: float) -> tuple[list[Shape], float]:
    """The words with a table of their types below, on as many lines as they need.

    Returns:
        The shapes, and the height that they take.
    """
    prediction = explanation.prediction
    rows = type_rows(explanation.typing, prediction.word_types)
    suggested = explanation.suggested_types
    left = _LABELS if rows or suggested else 0.0
    words = [shorten(word.strip(), _WORD, width - left - 14) for word in prediction.words]
    widths = [max(text_width(word, _WORD) + 14, 40.0) for word in words]
    shapes: list[Shape] = []
    top = y
    for line in _lines(widths, width - left):
        for number, (label, colour, _) in enumerate(rows):
            place = top + _WORD * 1.5 + number * (_CELL + _GAP)
            shapes.append(Text(x, place + 3, label, _VALUE, colour))
        along = x + left
        for position in line:
            centre = along + widths[position] / 2
            colour = KIND_COLOURS[explanation.kinds[position]]
            shapes.append(Text(centre, top, words[position], _WORD, colour, "middle"))
            for number, (_, row_colour, values) in enumerate(rows):
                place = top + _WORD * 1.5 + number * (_CELL + _GAP)
                shapes += _cell(along + 2, place, widths[position] - 4, float(values[position]), row_colour)
            if suggested:
                place = top + _WORD * 1.5 + len(rows) * (_CELL + _GAP)
                shapes += _suggestion(along + 2, place, widths[position] - 4, suggested[position])
            along += widths[position]
        if suggested:
            shapes.append(Text(x, top + _WORD * 1.5 + len(rows) * (_CELL + _GAP) + 3, "part of speech", _VALUE, INK))
        top += _WORD * 1.5 + (len(rows) + bool(suggested)) * (_CELL + _GAP) + 8
    return shapes, top - y


def draw_words(explanation: Explanation, x: float, y: float, width: float, size: float) -> list[Shape]:
    """The words on one line, without a table; cut where they are too many."""
    shapes: list[Shape] = []
    along = x
    for word, kind in zip(explanation.prediction.words, explanation.kinds, strict=True):
        text = word.strip()
        if along + text_width(text, size) > x + width - text_width(" ...", size):
            shapes.append(Text(along, y, "...", size, GREY))
            break
        shapes.append(Text(along, y, text, size, KIND_COLOURS[kind]))
        along += text_width(text, size) + 0.3 * size
    return shapes


def _lines(widths: Sequence[float], available: float) -> list[list[int]]:
    lines: list[list[int]] = [[]]
    for position, width in enumerate(widths):
        if lines[-1] and sum(widths[other] for other in lines[-1]) + width > available:
            lines.append([])
        lines[-1].append(position)
    return lines


def _cell(x: float, y: float, width: float, value: float, colour: Colour) -> list[Shape]:
    """A probability as a box that fills up with its colour, and as a number of hundredths."""
    level, strong = round(100 * value), value >= 0.5
    background = _mixed(colour, 0.85 * value)
    ink = (255, 255, 255) if strong else _mixed(INK, 0.35 + 0.65 * min(1.0, 4 * value))
    return [
        Box(x, y, width, _CELL, background, radius=3),
        Text(x + width / 2, y + 3, str(level), _VALUE, ink, "middle"),
    ]


def _suggestion(x: float, y: float, width: float, kind: str) -> list[Shape]:
    """A type without a probability: the beginning of its name in its colour."""
    colour = {"entity": ORANGE, "attribute": BLUE, "relation": GREEN, "unnecessary": GREY}[kind]
    return [
        Box(x, y, width, _CELL, PALE, radius=3),
        Text(x + width / 2, y + 3, shorten(kind, _VALUE, width - 2), _VALUE, colour, "middle"),
    ]


def _mixed(colour: Colour, part: float) -> Colour:
    """A colour thinned with the pale ground."""
    red, green, blue = (round(part * one + (1 - part) * pale) for one, pale in zip(colour, PALE, strict=True))
    return red, green, blue
