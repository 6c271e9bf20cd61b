"""What programs may ask of the page: two endpoints with documented arguments and answers (docs/web.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from cmpc.errors import UserError
from cmpc.web.downloads import Downloads
from cmpc.web.photo_input import photo_input
from cmpc.web.service import Service


def add_endpoints(service: Service, downloads: Downloads) -> None:
    """Adds ``/segment`` and ``/explain`` to the page that is being built; nothing of them is to be seen on it."""

    def segment(photo: str, expressions: str, threshold: float, model: str | None) -> tuple[dict[str, Any], list[str]]:
        """Masks of expressions, one a line, about a photo: as JSON, and as files (a mask PNG each, picture, JSON)."""
        try:
            answer = service.segment(_given(photo), expressions or "", threshold, model)
            with service.drawing:
                files, results = downloads.write(Path(photo), answer)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None
        height, width = answer.pixels.shape[:2]
        predictions = [{name: value for name, value in result.items() if name != "mask"} for result in results]
        return {"height": height, "width": width, "predictions": predictions}, [str(file) for file in files]

    def explain(photo: str, expression: str, threshold: float, model: str | None) -> Any:
        """The staged picture of one expression about a photo."""
        try:
            return service.explain(_given(photo), expression or "", threshold, model)[0].picture
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    with gr.Row(visible=False):
        photo = photo_input(label="photo")
        expressions = gr.Textbox(label="expressions, one a line")
        expression = gr.Textbox(label="expression")
        threshold = gr.Number(0.5, label="threshold, 0 to 1")
        model = gr.Textbox(None, label="name of the model; the first one by default")
        answer = gr.JSON(label="answer")
        files = gr.File(file_count="multiple", label="files")
        picture = gr.Image(format="png", label="staged picture")
        endpoints = gr.Button()
        endpoints.click(
            segment,
            [photo, expressions, threshold, model],
            [answer, files],
            api_name="segment",
            concurrency_id="service",
        )
        endpoints.click(
            explain, [photo, expression, threshold, model], picture, api_name="explain", concurrency_id="service"
        )


def _given(photo: str | None) -> Path:
    if photo is None:
        raise UserError("there is no photo: give one with handle_file('photo.jpg').")
    return Path(photo)
