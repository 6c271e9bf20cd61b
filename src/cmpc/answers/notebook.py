"""Answers as notebooks show them."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmpc.answers.prediction import Prediction

SIDE = 320
"""Longest side of a mask in a notebook, in pixels."""


def prediction_html(prediction: Prediction) -> str:
    """The mask, white on black, with its expression and score below."""
    image = prediction.to_pil()
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, format="PNG")
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
    expression = html.escape(prediction.expression)
    found = f"score {prediction.score:.2f}" if prediction.box else "nothing found"
    if prediction.is_absent:
        found = "nothing in the photo fits"
    return (
        f'<figure style="display: inline-block; margin: 0"><img src="{source}" alt="mask of {expression}">'
        f"<figcaption>{expression} ({found})</figcaption></figure>"
    )
