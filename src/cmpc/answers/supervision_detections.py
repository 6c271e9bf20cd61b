"""Predictions as the detections of https://supervision.roboflow.com."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cmpc.errors import UserError

if TYPE_CHECKING:
    import supervision

    from cmpc.answers.prediction import Prediction


def to_detections(prediction: Prediction, class_id: int) -> supervision.Detections:
    """As ``Prediction.to_supervision``."""
    try:
        import supervision
    except ImportError:
        raise UserError("to_supervision needs the package supervision: pip install supervision.") from None
    if prediction.box is None:
        return supervision.Detections.empty()
    x, y, width, height = prediction.box
    return supervision.Detections(
        xyxy=np.array([[x, y, x + width, y + height]], dtype=np.float32),
        mask=prediction.mask[None],
        confidence=np.array([prediction.score], dtype=np.float32),
        class_id=np.array([class_id]),
        data={"class_name": np.array([prediction.expression])},
    )
