"""Masks of expressions as a field of FiftyOne's samples (https://docs.voxel51.com/user_guide/using_datasets.html).

import cmpc, fiftyone as fo
from cmpc.integrations.fiftyone import add_masks

add_masks(fo.load_dataset("street"), cmpc.load(), ["the left car", "the person on a bicycle"], field="cmpc")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cmpc.answers.prediction import Prediction
from cmpc.arguments import shown, to_expressions, to_threshold
from cmpc.errors import UsageError, UserError
from cmpc.refining.refine import RefineName, check_refinement
from cmpc.segmenter import Segmenter

if TYPE_CHECKING:
    import fiftyone as fo


def add_masks(
    samples: fo.core.collections.SampleCollection,
    segmenter: Segmenter,
    expressions: str | Sequence[str] | Mapping[str, str],
    *,
    field: str = "cmpc",
    threshold: float = 0.5,
    refine: RefineName = "none",
) -> dict[str, str]:
    """Finds expressions in the photo of each sample, and saves them as its instance segmentations.

    A field of that name is made where there is none, and its content replaced where there is one. A photo that cannot
    be read does not stop the others: its field becomes None.

    Args:
        samples: a dataset or a view of one, of images.
        segmenter: what answers.
        expressions: what to look for, which are the labels too; or label -> what to look for.
        field: name of the field, of the type ``fiftyone.Detections``.
        threshold: pixels at least this likely form the mask, 0..1.
        refine: how edges are sharpened, as ``Segmenter.predict`` takes it.

    Returns:
        File of each photo that could not be read -> why.

    Raises:
        UserError: fiftyone is not installed, or an expression holds no word.
        UsageError: there is no expression, the samples are no images, or an argument is of another kind.
    """
    asked = _by_label(expressions)
    for expression in asked.values():
        segmenter.query(expression)
    threshold = to_threshold(threshold)
    check_refinement(refine)
    _import_fiftyone()
    if getattr(samples, "media_type", None) not in ("image", None):  # None where there is no sample yet
        raise UsageError(f"masks are found in images, but these samples are of the kind {shown(samples.media_type)}.")
    broken = {}
    for sample in samples.iter_samples(autosave=True):
        try:
            predictions = segmenter.predict(
                list(asked.values()), image=sample.filepath, threshold=threshold, refine=refine
            )
        except UserError as error:
            broken[sample.filepath] = str(error)
            if sample.has_field(field):  # from None alone no field is made
                sample[field] = None
            continue
        sample[field] = to_detections(predictions, list(asked))
    return broken


def to_detections(predictions: Sequence[Prediction], labels: Sequence[str] | None = None) -> fo.Detections:
    """Answers about one photo as FiftyOne's label of instance segmentations; empty masks are left out.

    Each has the box relative to the photo's size, the mask inside of the box, the score as ``confidence``, and the
    expression as an attribute.

    Args:
        predictions: what was answered about one photo.
        labels: one for each prediction; None: the expressions.

    Raises:
        UserError: fiftyone is not installed.
        ValueError: there are more labels or fewer than predictions.
    """
    fiftyone = _import_fiftyone()
    names = labels if labels is not None else [prediction.expression for prediction in predictions]
    detections = []
    for label, prediction in zip(names, predictions, strict=True):
        if prediction.box is None:
            continue
        x, y, width, height = prediction.box
        detections.append(
            fiftyone.Detection(
                label=label,
                bounding_box=[
                    x / prediction.width,
                    y / prediction.height,
                    width / prediction.width,
                    height / prediction.height,
                ],
                mask=prediction.mask[y : y + height, x : x + width].copy(),
                confidence=prediction.score,
                expression=prediction.expression,
            )
        )
    return fiftyone.Detections(detections=detections)


def _by_label(expressions: Any) -> dict[str, str]:
    """Label -> expression."""
    if isinstance(expressions, Mapping):
        asked = dict(zip(to_expressions(list(expressions)), to_expressions(list(expressions.values())), strict=True))
    else:
        asked = {expression: expression for expression in to_expressions(expressions)}
    if not asked:
        raise UsageError("say what to look for: add_masks(dataset, segmenter, ['the left man', 'the dog']).")
    return asked


def _import_fiftyone() -> Any:
    try:
        import fiftyone
    except ImportError:
        raise UserError("this needs the package fiftyone: pip install fiftyone.") from None
    return fiftyone
