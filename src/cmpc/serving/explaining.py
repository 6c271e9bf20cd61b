"""Explanations as the bytes of a file."""

from __future__ import annotations

import json
from typing import Literal

from cmpc.explanation import Explanation, staged_picture, to_dict, to_svg
from cmpc.explanation.files import png_bytes


def explanation_file(explanation: Explanation, kind: Literal["png", "svg", "json"]) -> tuple[bytes, str]:
    """The staged picture or its numbers, and their media type."""
    if kind == "json":
        return json.dumps(to_dict(explanation)).encode(), "application/json"
    drawing = staged_picture(explanation)
    if kind == "svg":
        return to_svg(drawing).encode(), "image/svg+xml"
    return png_bytes(drawing), "image/png"
