"""An auto-annotation function for CVAT (https://docs.cvat.ai/docs/api_sdk/sdk/auto-annotation/).

cvat-cli task auto-annotate 137 --function-module cmpc.integrations.cvat --allow-unmatched-labels \\
    -p model=str:MODEL -p expressions=str:"man=the left man; frisbee"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import PIL.Image

from cmpc.errors import UsageError, UserError
from cmpc.refining.refine import RefineName
from cmpc.segmenter import Segmenter

if TYPE_CHECKING:
    import cvat_sdk.auto_annotation as cvataa
    from cvat_sdk import models


class CVATFunction:
    """Finds expressions in the frames of a task: a mask, or polygons, for each label."""

    def __init__(
        self, segmenter: Segmenter, expressions: dict[str, str], *, threshold: float = 0.5, refine: RefineName = "none"
    ) -> None:
        """
        Args:
            segmenter: what answers.
            expressions: label of the task -> what to look for.
            threshold: pixels at least this likely form the mask, 0..1.
            refine: how edges are sharpened, as ``Segmenter.predict`` takes it.

        Raises:
            UserError: cvat-sdk is not installed, or an expression holds no word.
            UsageError: there is no expression.
        """
        try:
            import cvat_sdk.auto_annotation as cvataa
        except ImportError:
            raise UserError("CVAT's functions need the package cvat-sdk: pip install 'cvat-sdk[masks]'.") from None
        if not expressions:
            raise UsageError("say what to look for: expressions='label=the left man; other label=the dog'.")
        for expression in expressions.values():
            segmenter.query(expression)
        self.segmenter = segmenter
        self.expressions = expressions
        self.threshold = threshold
        self.refine = refine
        labels = [cvataa.label_spec(label, number, type="any") for number, label in enumerate(expressions)]
        self._spec = cvataa.DetectionFunctionSpec(labels=labels)

    @property
    def spec(self) -> cvataa.DetectionFunctionSpec:
        """The labels that the function gives."""
        return self._spec

    def detect(
        self, context: cvataa.DetectionFunctionContext, image: PIL.Image.Image
    ) -> list[models.LabeledShapeRequest]:
        """The masks in a frame; polygons where CVAT asks for them, which hold no holes."""
        import cvat_sdk.auto_annotation as cvataa
        from cvat_sdk.masks import encode_mask

        least = context.conf_threshold or 0
        asked = list(self.expressions.values())
        predictions = self.segmenter.predict(asked, image=image, threshold=self.threshold, refine=self.refine)
        shapes = []
        for number, prediction in enumerate(predictions):
            if prediction.box is None or prediction.score < least:
                continue
            if context.conv_mask_to_poly:
                shapes += [cvataa.polygon(number, polygon) for polygon in prediction.to_polygons()]
            else:
                x, y, width, height = prediction.box
                shapes.append(cvataa.mask(number, encode_mask(prediction.mask, (x, y, x + width, y + height))))
        return shapes


def create(
    expressions: str,
    model: str | None = None,
    threshold: float = 0.5,
    refine: str = "none",
    device: str = "auto",
) -> CVATFunction:
    """What CVAT's command line calls with its ``-p`` options.

    Args:
        expressions: what to look for, separated by semicolons: ``label=expression``, or a label that is one itself.
        model: folder of the model, or its name on the Hugging Face hub; by default the one for photos that ships.
        threshold: pixels at least this likely form the mask, 0..1.
        refine: ``crf``, ``guided`` or ``none``.
        device: where to compute, as ``Segmenter.load`` takes it.
    """
    asked = {}
    for part in filter(None, map(str.strip, expressions.split(";"))):
        label, equals, expression = map(str.strip, part.partition("="))
        asked[label] = expression if equals else label
    segmenter = Segmenter.load(model, device=device)
    return CVATFunction(segmenter, asked, threshold=threshold, refine=cast(RefineName, refine))
