"""A served model of random weights, and photos to send it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

import cmpc
from cmpc import Segmenter
from cmpc.serving.app import make_app
from cmpc.serving.batching import BatchingWorker
from cmpc.serving.metrics import Metrics
from cmpc.web.limits import RequestLimits

LIMITS = RequestLimits(file_megabytes=1, megapixels=1, expressions=3, characters=60, waiting=8, seconds=60)


@pytest.fixture(scope="session")
def segmenter(tiny_model_folder: Path) -> Segmenter:
    return cmpc.load(tiny_model_folder)


@pytest.fixture(scope="session")
def app(segmenter: Segmenter) -> Iterator[FastAPI]:
    """The application with small limits."""
    metrics = Metrics()
    with BatchingWorker(segmenter, waiting=LIMITS.waiting, on_batch=metrics.count_batch) as worker:
        hosts = {"127.0.0.1", "localhost"}
        yield make_app(worker, model_name="tiny", metrics=metrics, limits=LIMITS, hosts=hosts)


@pytest.fixture(scope="session")
def client(app: FastAPI) -> TestClient:
    """A client that gets the answers of faults too, in the place of their tracebacks."""
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A PNG of 40 x 60 pixels."""
    return picture_of(40, 60)


def picture_of(height: int, width: int) -> bytes:
    """A PNG of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()
