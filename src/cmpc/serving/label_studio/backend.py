"""The addresses of an ML backend: /setup, /predict, /versions and /webhook; /health is the server's own."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from operator import itemgetter
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


class VersionsAnswer(BaseModel):
    """The versions of the model that one can choose between."""

    versions: list[str]


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
        """Brush or polygon labels: of what the user typed, or of the label that the user drew with, or of all."""
        config = read_label_config(request.label_config)
        wanted = _wanted(config, (request.params or {}).get("context"))
        results = []
        for task in request.tasks:
            data = await run_in_threadpool(photos.read, task.data.get(config.field))
            pixels = await run_in_threadpool(decode, data)
            predictions = await ask(pixels, [expression for _, expression in wanted])
            results.append(await run_in_threadpool(_task_prediction, config, wanted, predictions, model_name))
        return PredictAnswer(results=results)

    @router.get("/versions")
    def versions() -> VersionsAnswer:
        """The one model that there is."""
        return VersionsAnswer(versions=[model_name])

    @router.post("/webhook", status_code=201)
    async def webhook(message: dict[str, Any]) -> WebhookAnswer:
        """Takes messages about annotations; nothing is learned from them."""
        return WebhookAnswer()

    return router


def _wanted(config: LabelConfig, context: Any) -> list[tuple[str, str]]:
    """Labels and what to look for: as the context of an interactive request says, or all of the project."""
    typed, drawn = _strings(context, "text"), _strings(context, config.kind)
    if typed:
        return [(_label_of(text, config.labels), text) for text in typed]
    chosen = [(label, hint) for label, hint in config.labels.items() if label in drawn]
    return chosen or list(config.labels.items())


def _strings(context: Any, key: str) -> list[str]:
    """What the regions of a context hold under a key: typed texts, or labels."""
    regions = context.get("result") if isinstance(context, dict) else None
    found: list[str] = []
    for region in regions if isinstance(regions, list) else []:
        value = region.get("value") if isinstance(region, dict) else None
        held = value.get(key) if isinstance(value, dict) else None
        found += [one for one in (held if isinstance(held, list) else [held]) if isinstance(one, str)]
    return [text.strip() for text in found if text.strip()]


def _label_of(text: str, labels: dict[str, str]) -> str:
    """The label of a typed text: the one that is looked for so, or whose name comes first in it, or else the first."""
    typed = text.casefold()
    places: list[tuple[int, str]] = []
    for label, hint in labels.items():
        if typed == hint.casefold():
            return label
        if named := re.search(rf"\b{re.escape(label.casefold())}\b", typed):
            places.append((named.start(), label))
    return min(places, key=itemgetter(0), default=(0, next(iter(labels))))[1]


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
