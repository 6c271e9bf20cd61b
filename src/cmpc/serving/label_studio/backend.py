"""The addresses of an ML backend: /setup, /predict and /webhook; /health is the server's own."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from cmpc.answers.prediction import Prediction
from cmpc.serving.label_studio.brush import brush_rle
from cmpc.serving.label_studio.label_config import LabelConfig, read_label_config
from cmpc.serving.label_studio.task_photos import TaskPhotos

Ask = Callable[[NDArray[np.uint8], list[str]], Awaitable[list[Prediction]]]
"""Answers expressions about the pixels of a photo."""


class SetupRequest(BaseModel):
    """What Label Studio sends when the backend is added to a project."""

    schema_: Annotated[str, Field(alias="schema", description="the label config")] = ""


class SetupAnswer(BaseModel):
    """The model, as predictions name it."""

    model_version: str


class LabelTask(BaseModel):
    """A task: an image."""

    data: dict[str, Any] = {}


class PredictRequest(BaseModel):
    """What Label Studio sends to get predictions."""

    tasks: list[LabelTask]
    label_config: str
    params: dict[str, Any] | None = None


class TaskPrediction(BaseModel):
    """The regions of one task."""

    result: list[dict[str, Any]]
    score: float
    model_version: str


class PredictAnswer(BaseModel):
    """The regions of all tasks, in their order."""

    results: list[TaskPrediction]


class WebhookAnswer(BaseModel):
    """That the message arrived; nothing is learned from it."""

    status: str = "ok"


def label_studio_router(
    ask: Ask, decode: Callable[[bytes], NDArray[np.uint8]], photos: TaskPhotos, model_name: str
) -> APIRouter:
    """The addresses.

    Args:
        ask: answers expressions about a photo.
        decode: the pixels of a photo's file.
        photos: gets the photos of tasks.
        model_name: the version that predictions carry.
    """
    router = APIRouter(tags=["Label Studio"])

    @router.post("/setup")
    async def setup(request: SetupRequest) -> SetupAnswer:
        """Checks the project's label config."""
        if request.schema_:
            read_label_config(request.schema_)
        return SetupAnswer(model_version=model_name)

    @router.post("/predict")
    async def predict(request: PredictRequest) -> PredictAnswer:
        """Brush or polygon labels: of the text that the user typed, or else of the labels themselves."""
        config = read_label_config(request.label_config)
        typed = _typed((request.params or {}).get("context"))
        label = next(iter(config.labels))
        wanted = [(label, expression) for expression in typed] or list(config.labels.items())
        results = []
        for task in request.tasks:
            data = await run_in_threadpool(photos.read, task.data.get(config.field))
            pixels = await run_in_threadpool(decode, data)
            predictions = await ask(pixels, [expression for _, expression in wanted])
            results.append(await run_in_threadpool(_task_prediction, config, wanted, predictions, model_name))
        return PredictAnswer(results=results)

    @router.post("/webhook", status_code=201)
    async def webhook(message: dict[str, Any]) -> WebhookAnswer:
        """Takes messages about annotations; nothing is learned from them."""
        return WebhookAnswer()

    return router


def _typed(context: Any) -> list[str]:
    """What the user typed into a ``<TextArea>``."""
    regions = context.get("result") if isinstance(context, dict) else None
    found: list[str] = []
    for region in regions if isinstance(regions, list) else []:
        value = region.get("value") if isinstance(region, dict) else None
        text = value.get("text") if isinstance(value, dict) else None
        found += [text] if isinstance(text, str) else [one for one in text or [] if isinstance(one, str)]
    return [text.strip() for text in found if text.strip()]


def _task_prediction(
    config: LabelConfig, wanted: list[tuple[str, str]], predictions: list[Prediction], model_name: str
) -> TaskPrediction:
    regions = [
        region
        for (label, _), prediction in zip(wanted, predictions, strict=True)
        if prediction.box is not None
        for region in _regions(config, label, prediction)
    ]
    scores = [region["score"] for region in regions]
    mean = sum(scores) / len(scores) if scores else 0.0
    return TaskPrediction(result=regions, score=mean, model_version=model_name)


def _regions(config: LabelConfig, label: str, prediction: Prediction) -> list[dict[str, Any]]:
    height, width = prediction.mask.shape
    if config.kind == "brushlabels":
        values: list[dict[str, Any]] = [{"format": "rle", "rle": brush_rle(prediction.mask)}]
    else:
        percent = np.array([100 / width, 100 / height])
        values = [
            {"points": (np.reshape(polygon, (-1, 2)) * percent).tolist(), "closed": True}
            for polygon in prediction.to_polygons()
        ]
    about = {
        "from_name": config.control,
        "to_name": config.image,
        "type": config.kind,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": round(prediction.score, 4),
        "readonly": False,
    }
    return [{"id": secrets.token_urlsafe(7), **about, "value": {**value, config.kind: [label]}} for value in values]
