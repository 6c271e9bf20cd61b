"""The server's addresses: /segment, /explain, /health and /metrics, and /docs, which describes them."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import Future
from functools import partial
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException

from cmpc.answers.prediction import Prediction
from cmpc.errors import UserError
from cmpc.serving.batching import BatchingWorker, BusyError, Question
from cmpc.serving.guard import RequestGuard
from cmpc.serving.label_studio.backend import label_studio_router
from cmpc.serving.label_studio.task_photos import TaskPhotos
from cmpc.serving.metrics import Metrics
from cmpc.serving.requests import FORM, JSON, NOT_JSON, decode_photo, read_request, sentence_of
from cmpc.serving.schemas import (
    ErrorAnswer,
    ExplainRequest,
    HealthAnswer,
    PredictionAnswer,
    SegmentAnswer,
    SegmentRequest,
)
from cmpc.web.limits import RequestLimits

Result = TypeVar("Result")

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "the request cannot be parsed"},
    413: {"model": ErrorAnswer, "description": "the request is too large"},
    415: {"model": ErrorAnswer, "description": "the body is neither a form nor JSON"},
    422: {"model": ErrorAnswer, "description": "a field is wrong, or the photo is broken or too large"},
    503: {"model": ErrorAnswer, "description": "too many requests wait"},
}


def make_app(
    worker: BatchingWorker,
    *,
    model_name: str,
    metrics: Metrics | None = None,
    limits: RequestLimits | None = None,
    hosts: Collection[str] | None = None,
    label_studio: TaskPhotos | None = None,
) -> FastAPI:
    """The application, for any ASGI server.

    Args:
        worker: what answers.
        model_name: as ``/health`` names the model.
        metrics: what ``/metrics`` tells.
        limits: of one request.
        hosts: names that the server is reached by, without ports; None for any.
        label_studio: where photos of Label Studio's tasks come from; None: only those that are sent along.
    """
    metrics, limits = metrics or Metrics(), limits or RequestLimits()
    metrics.watch_waiting(lambda: worker.waiting)
    app = FastAPI(
        title="CMPC",
        version=version("cmpc"),
        summary="Referring image segmentation: a photo and expressions in, the masks of what they refer to out.",
    )
    app.add_middleware(RequestGuard, most_bytes=limits.file_megabytes * 1_400_000 + 100_000, hosts=hosts)
    _add_errors(app)
    _add_counting(app, metrics)

    @app.get("/health")
    def health() -> HealthAnswer:
        """That the server is up, and how much waits."""
        return HealthAnswer(model=model_name, waiting=worker.waiting)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def numbers() -> Response:
        """Counts and times of requests, for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.post(
        "/segment",
        response_model=SegmentAnswer,
        responses={200: {"content": {"image/png": {}}}, **_ERRORS},
        openapi_extra=_body_of(SegmentRequest),
    )
    async def segment(request: Request) -> Response:
        """The masks of expressions about a photo."""
        asked, data = await read_request(request, SegmentRequest)
        expressions = tuple(limits.check_expressions(asked.expressions))
        if asked.answer == "png" and len(expressions) > 1:
            raise HTTPException(422, "answer: png holds one mask; ask one expression, or take masks=png in JSON.")
        for expression in expressions:
            worker.segmenter.query(expression)
        pixels = await run_in_threadpool(decode_photo, data, limits)
        question = Question(pixels, expressions, asked.threshold, asked.presence_threshold)
        predictions = await _within(limits.seconds, worker.ask(question))

        def answer() -> Response:
            refined = [prediction.refined(pixels, asked.refine) for prediction in predictions]
            if asked.answer == "png":
                file = io.BytesIO()
                refined[0].to_pil().save(file, format="PNG")
                return Response(file.getvalue(), media_type="image/png")
            found = SegmentAnswer(
                height=pixels.shape[0],
                width=pixels.shape[1],
                predictions=[PredictionAnswer.of(prediction, asked.masks) for prediction in refined],
            )
            return Response(found.model_dump_json(), media_type=JSON)

        return await run_in_threadpool(answer)

    @app.post(
        "/explain",
        response_class=Response,
        responses={200: {"content": {"image/png": {}, "image/svg+xml": {}, JSON: {}}}, **_ERRORS},
        openapi_extra=_body_of(ExplainRequest),
    )
    async def explain(request: Request) -> Response:
        """How the answer to an expression came about, as a picture or as numbers."""
        from cmpc.serving.explaining import explanation_file

        asked, data = await read_request(request, ExplainRequest)
        [expression] = limits.check_expressions([asked.expression])
        worker.segmenter.query(expression)
        pixels = await run_in_threadpool(decode_photo, data, limits)
        work = worker.run(
            lambda: worker.segmenter.explain(
                expression, image=pixels, threshold=asked.threshold, presence_threshold=asked.presence_threshold
            )
        )
        content, kind = await run_in_threadpool(explanation_file, await _within(limits.seconds, work), asked.answer)
        return Response(content, media_type=kind)

    async def ask(pixels: NDArray[np.uint8], expressions: list[str]) -> list[Prediction]:
        found: dict[str, Prediction] = {}
        for start in range(0, len(expressions), limits.expressions):  # a project may have more labels
            asked = limits.check_expressions(expressions[start : start + limits.expressions])
            for expression in asked:
                worker.segmenter.query(expression)
            answered = await _within(limits.seconds, worker.ask(Question(pixels, tuple(asked))))
            found |= {prediction.expression: prediction for prediction in answered}
        return [found[expression.strip()] for expression in expressions]

    photos = label_studio or TaskPhotos()
    decode = partial(decode_photo, limits=limits)
    app.include_router(label_studio_router(ask, decode, photos, model_name), responses=_ERRORS)
    return app


async def _within(seconds: float, future: Future[Result]) -> Result:
    """The result of work in another thread; what is not begun in time is called off."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), seconds)
    except TimeoutError:
        raise BusyError(f"this server is busy: there was no answer within {seconds:g} seconds; try again.") from None


def _add_errors(app: FastAPI) -> None:
    """Every error is one sentence in JSON; a fault of the program shows its traceback in the terminal only."""

    @app.exception_handler(UserError)
    async def user_error(_: Request, error: UserError) -> Response:
        busy = isinstance(error, BusyError)
        return _error(503 if busy else 422, str(error), {"retry-after": "1"} if busy else {})

    @app.exception_handler(StarletteHTTPException)
    async def http_error(_: Request, error: StarletteHTTPException) -> Response:
        unread = error.detail == "There was an error parsing the body"  # FastAPI's words, of JSON that is too deep
        return _error(error.status_code, NOT_JSON if unread else str(error.detail), dict(error.headers or {}))

    @app.exception_handler(405)
    async def not_asked_so(request: Request, error: StarletteHTTPException) -> Response:
        sentence = f"this address is not asked by {request.method}: /docs describes what it is asked."
        return _error(405, sentence, dict(error.headers or {}))

    @app.exception_handler(404)
    async def not_found(_: Request, error: Exception) -> Response:
        return _error(404, "there is nothing at this address: /docs describes those that there are.", {})

    @app.exception_handler(RequestValidationError)
    async def wrong_field(_: Request, error: RequestValidationError) -> Response:
        if error.errors()[0]["type"] == "json_invalid":
            return _error(400, NOT_JSON, {})
        return _error(422, sentence_of(error.errors()), {})

    @app.exception_handler(Exception)
    async def fault(_: Request, error: Exception) -> Response:
        return _error(500, "this did not work because of a fault of the program: its terminal says more.", {})


def _error(status: int, sentence: str, headers: dict[str, str]) -> Response:
    return JSONResponse({"error": sentence}, status_code=status, headers=headers)


def _add_counting(app: FastAPI, metrics: Metrics) -> None:
    @app.middleware("http")
    async def count(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        start = time.perf_counter()
        response = await answer(request)
        route = request.scope.get("route")
        path = getattr(route, "path", "other")
        metrics.count_request(path, response.status_code, time.perf_counter() - start)
        return response


def _body_of(model: type[BaseModel]) -> dict[str, Any]:
    """The two forms of a body, for the description of the server."""
    schema = model.model_json_schema()
    fields = {**schema["properties"], "photo": {"type": "string", "format": "binary", "description": "the file"}}
    form = {**schema, "properties": fields}
    return {"requestBody": {"required": True, "content": {FORM: {"schema": form}, JSON: {"schema": schema}}}}
