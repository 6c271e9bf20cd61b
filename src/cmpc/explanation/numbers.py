"""An explanation as plain JSON values: every map as rows of numbers, every mask run-length encoded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmpc.conventions import WORD_TYPES
from cmpc.explanation.explanation import Explanation, Graph, Stages

FORMAT_VERSION = 2
DIGITS = 4
"""Decimals of responses; shares of cells have two more, for they are small."""
MOST_MESSAGES = 20


def to_dict(explanation: Explanation) -> dict[str, Any]:
    """All that an explanation holds but the photo, as JSON values.

    Its keys are explained in the documentation ("The JSON file") and, one by one, by the fields of ``Explanation``,
    ``Stages``, ``Graph`` and ``Message``, whose names they have.
    """
    prediction, letterbox = explanation.prediction, explanation.letterbox
    words: list[dict[str, Any]] = []
    for position, (word, types, kind) in enumerate(
        zip(prediction.words, prediction.word_types, explanation.kinds, strict=True)
    ):
        probabilities = {name: round(float(value), DIGITS) for name, value in zip(WORD_TYPES, types, strict=True)}
        words.append({"position": position, "word": word, "kind": kind, "types": probabilities})
        if explanation.suggested_types:
            words[-1]["part_of_speech"] = explanation.suggested_types[position]
    return {
        "format_version": FORMAT_VERSION,
        "expression": prediction.expression,
        "height": explanation.pixels.shape[0],
        "width": explanation.pixels.shape[1],
        "letterbox": {
            "size": letterbox.size,
            "top": letterbox.top,
            "left": letterbox.left,
            "height": letterbox.resized_height,
            "width": letterbox.resized_width,
        },
        "upsampling": explanation.upsampling,
        "typing": {"supervised": explanation.typing.supervised, "used": explanation.typing.used},
        "words": words,
        "unknown_words": list(prediction.unknown_words),
        "cut_words": list(prediction.cut_words),
        "present": None if prediction.present is None else round(prediction.present, DIGITS),
        "presence_threshold": prediction.presence_threshold,
        "mask": {
            "rle": prediction.to_rle(),
            "score": round(prediction.score, DIGITS),
            "threshold": prediction.threshold,
            "box": None if prediction.box is None else list(prediction.box),
        },
        "network": _stages(explanation.network),
        "levels": {level: _stages(stages) for level, stages in explanation.levels.items()},
    }


def _stages(stages: Stages) -> dict[str, Any]:
    return {
        "words": {str(position): _rows(values) for position, values in stages.words.items()},
        "named": _rows(stages.named),
        "entities": _rows(stages.entities),
        "result": _rows(stages.result),
        "graph": None if stages.graph is None else _graph(stages.graph),
    }


def _graph(graph: Graph) -> dict[str, Any]:
    messages = [
        {name: round(value, DIGITS + 2) for name, value in vars(message).items()}
        for message in graph.strongest(MOST_MESSAGES)
    ]
    return {
        "cell_to_words": _rows(graph.cell_to_words),
        "word_to_cells": _rows(graph.word_to_cells, DIGITS + 2),
        "regions": graph.regions.tolist(),
        "things": graph.things,
        "shares": _rows(graph.shares, DIGITS + 2),
        "messages": messages,
    }


def _rows(values: NDArray[np.float32], digits: int = DIGITS) -> list[Any]:
    rows: list[Any] = np.round(values.astype(np.float64), digits).tolist()
    return rows
