"""Tools for agents over the Model Context Protocol: segment and explain."""

from __future__ import annotations

import io
import json
from pathlib import Path

from mcp.server.fastmcp import FastMCP, Image
from mcp.server.fastmcp.exceptions import ToolError
from PIL import Image as PILImage

from cmpc.answers.overlay import overlay, with_legend
from cmpc.answers.results import write_results
from cmpc.data.images import read_image
from cmpc.errors import UserError
from cmpc.segmenter import Segmenter
from cmpc.serving.explaining import explanation_file

PICTURE_SIDE = 1024
"""Longest side of the pictures that agents get to see, in pixels."""


def make_mcp_server(segmenter: Segmenter) -> FastMCP:
    """A server with the tools ``segment`` and ``explain``; ``run()`` serves it on standard input and output."""
    server = FastMCP("cmpc", instructions="Finds what referring expressions refer to in photos of this machine.")

    @server.tool(structured_output=False)
    def segment(
        photo: str, expressions: list[str], threshold: float = 0.5, out: str | None = None
    ) -> list[str | Image]:
        """Finds what each expression refers to in a photo.

        Args:
            photo: path of the photo.
            expressions: what to look for, such as "the left man"; a mask each.
            threshold: pixels at least this likely form the mask, 0 to 1.
            out: folder for the masks (PNG, as large as the photo), the picture and a JSON file; nothing is written
                without it.

        Returns:
            JSON (expression, present: the probability that anything in the photo fits, or null where the model does
            not tell, score, box as x, y, width, height in pixels or null where nothing was found, area in pixels, COCO
            run lengths, instances: the parts of the mask), and the photo with the masks in colours.
        """
        try:
            pixels = read_image(photo, exif_rotation=True)
            predictions = segmenter.predict(expressions, image=pixels, threshold=threshold)
            if out is not None:
                write_results(Path(out), Path(photo).stem, Path(photo), pixels, predictions)
        except UserError as error:
            raise ToolError(str(error)) from None
        told = [
            {name: value for name, value in prediction.to_dict().items() if name not in ("polygons", "words")}
            for prediction in predictions
        ]
        captions = [prediction.caption for prediction in predictions]
        drawn = with_legend(overlay(pixels, [prediction.mask for prediction in predictions]), captions)
        return [json.dumps({"photo": photo, "predictions": told}), _picture(PILImage.fromarray(drawn))]

    @server.tool(structured_output=False)
    def explain(photo: str, expression: str, threshold: float = 0.5) -> Image:
        """Shows how the model came to its answer: words by type, entities, relations and mask, as a picture.

        Args:
            photo: path of the photo.
            expression: what to look for.
            threshold: pixels at least this likely form the mask, 0 to 1.
        """
        try:
            explanation = segmenter.explain(expression, image=photo, threshold=threshold)
        except UserError as error:
            raise ToolError(str(error)) from None
        return Image(data=explanation_file(explanation, "png")[0], format="png")

    return server


def _picture(image: PILImage.Image) -> Image:
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    file = io.BytesIO()
    image.save(file, format="PNG")
    return Image(data=file.getvalue(), format="png")
