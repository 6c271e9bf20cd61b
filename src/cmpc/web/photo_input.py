"""The page's input for a photo."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.data_classes import ImageData


def photo_input(**options: Any) -> gr.Image:
    """Gradio's image, except that it hands over the path of the file as it was given.

    The file is then decoded by our own rules (orientation, 16 bits, damage), and what is no photo is answered in the
    page. It is no subclass, because Gradio writes a stub file beside the module of each one.

    Args:
        options: those of ``gradio.Image``.
    """
    component = gr.Image(type="filepath", **options)
    component.preprocess = _path  # type: ignore[method-assign]
    return component


def _path(payload: ImageData | None) -> str | None:
    return None if payload is None else payload.path
