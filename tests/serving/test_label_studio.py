"""What Label Studio asks of an ML backend, and gets; read back by its SDK."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.converter.brush import decode_rle
from label_studio_sdk.label_interface import LabelInterface
from starlette.testclient import TestClient

from cmpc import Segmenter, UserError
from cmpc.cli import main
from cmpc.serving.app import make_app
from cmpc.serving.batching import BatchingWorker
from cmpc.serving.label_studio.backend import _wanted
from cmpc.serving.label_studio.brush import brush_rle
from cmpc.serving.label_studio.label_config import read_label_config
from cmpc.serving.label_studio.task_photos import TaskPhotos

BRUSH = """<View>
  <Image name="image" value="$photo"/>
  <TextArea name="prompt" toName="image"/>
  <BrushLabels name="tag" toName="image"><Label value="Man" hint="the left man"/><Label value="dog"/></BrushLabels>
</View>"""
POLYGON = BRUSH.replace("BrushLabels", "PolygonLabels")
RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("label_studio_requests.json").read_text("utf-8"))
"""What Label Studio 1.23.2 sent when it was tried by hand; the run lengths are cut short."""


def as_address(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def predict(client: TestClient, config: str, photo: object, context: object = None) -> Any:
    request = {
        "tasks": [{"id": 7, "data": {"photo": photo}}],
        "label_config": config,
        "project": "1.1700000000",
        "model_version": "tiny",
        "params": {"login": None, "password": None, "context": context},
    }
    return client.post("/predict", json=request)


def test_masks_of_every_form_survive_the_run_lengths() -> None:
    random = np.random.default_rng(0)
    masks = [
        np.zeros((5, 7), bool),
        np.ones((200, 300), bool),
        random.random((31, 17)) > 0.5,
        random.random((1, 1)) > 0,
    ]
    for mask in masks:
        values = np.array(decode_rle(brush_rle(mask))).reshape(*mask.shape, 4)
        np.testing.assert_array_equal(values, np.repeat(mask[..., None] * 255, 4, axis=2))


@pytest.mark.parametrize("config", [BRUSH, POLYGON], ids=["brush", "polygon"])
def test_labels_become_regions_that_the_sdk_accepts(
    config: str, client: TestClient, picture: bytes, segmenter: Segmenter
) -> None:
    assert client.get("/health").json()["status"] == "UP"
    setup = client.post("/setup", json={"project": "1.17", "schema": config, "hostname": "x", "access_token": "y"})
    assert setup.json() == {"model_version": "tiny"}
    [found] = predict(client, config, as_address(picture)).json()["results"]
    assert LabelInterface(config).validate_prediction(found, return_errors=True) == []
    expected = dict(zip(["Man", "dog"], segmenter.predict(["the left man", "dog"], image=picture), strict=True))
    kind = "brushlabels" if config is BRUSH else "polygonlabels"
    for region in found["result"]:
        [label] = region["value"][kind]
        prediction = expected[label]
        assert (region["original_height"], region["original_width"]) == prediction.mask.shape
        if config is BRUSH:
            mask = np.array(decode_rle(region["value"]["rle"])).reshape(40, 60, 4)[..., 3] == 255
            np.testing.assert_array_equal(mask, prediction.mask)
        else:
            assert 0 <= np.min(region["value"]["points"]) <= np.max(region["value"]["points"]) <= 100
    assert {region["value"][kind][0] for region in found["result"]} == {
        label for label, prediction in expected.items() if prediction.box
    }


def test_typed_text_is_what_is_looked_for(client: TestClient, picture: bytes, segmenter: Segmenter) -> None:
    context = {"result": [{"type": "textarea", "from_name": "prompt", "value": {"text": ["red shirt"]}}]}
    [found] = predict(client, BRUSH, as_address(picture), context).json()["results"]
    [prediction] = segmenter.predict("red shirt", image=picture)
    [region] = found["result"]
    assert region["value"]["brushlabels"] == ["Man"]
    mask = np.array(decode_rle(region["value"]["rle"])).reshape(40, 60, 4)[..., 3] == 255
    np.testing.assert_array_equal(mask, prediction.mask)


@pytest.mark.parametrize(
    ("context", "labels"),
    [
        ({"text": ["The dog"]}, ["dog"]),
        ({"text": ["the left man"]}, ["Man"]),  # as its hint says
        ({"text": "a dog beside a man"}, ["dog"]),
        ({"text": ["the woman", "hot dogs"]}, ["Man", "Man"]),  # of no label: the first
        ({"brushlabels": ["dog"], "rle": [0, 1]}, ["dog"]),
        ({"brushlabels": ["Cat"]}, ["Man", "dog"]),
        ({"text": [7]}, ["Man", "dog"]),
    ],
)
def test_labels_are_those_that_the_user_means(context: Any, labels: list[str]) -> None:
    wanted = _wanted(read_label_config(BRUSH), {"result": [{"value": context}]})
    assert [label for label, _ in wanted] == labels


def test_nothing_found_is_no_region(client: TestClient, picture: bytes) -> None:
    black = {"result": [{"value": {"text": "dog"}}]}
    answer = predict(client, BRUSH, as_address(picture), black)
    assert answer.status_code == 200


def test_messages_about_annotations_are_taken(client: TestClient) -> None:
    assert client.post("/webhook", json=RECORDED["webhook"]).status_code == 201
    assert client.get("/versions").json() == {"versions": ["tiny"]}


@pytest.mark.parametrize(
    ("config", "photo", "sentence"),
    [
        ("<View", "data:,", "is not XML"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><View/>", "data:,", "document type"),
        ("<View><Image name='image' value='$photo'/></View>", "data:,", "no <BrushLabels>"),
        (BRUSH, None, "has no photo"),
        (BRUSH, "data:image/png;base64,*", "not base64"),
        (BRUSH, "data:image/png;base64,AAAA", "not an image"),
        (BRUSH, "/etc/passwd", "fetches no photos: start it with --label-studio-url"),
        (BRUSH, "http://169.254.169.254/", "fetches no photos"),
    ],
)
def test_what_cannot_be_answered_is_told(config: str, photo: object, sentence: str, client: TestClient) -> None:
    answer = predict(client, config, photo)
    assert answer.status_code == 422
    assert sentence in answer.json()["error"]


class _LabelStudio(BaseHTTPRequestHandler):
    """Gives photos to whoever has a token, as Label Studio does, and sends elsewhere at one address."""

    picture = b""

    def do_GET(self) -> None:
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.2:9/photo.png")
            self.end_headers()
        elif self.headers.get("Authorization") not in (f"Token {LEGACY}", "Bearer for.some.minutes"):
            self._answer(401, b'{"detail": "Authentication credentials were not provided."}')
        elif self.path.startswith("/data/upload/1/"):
            self._answer(200, self.picture)
        else:
            self._answer(404, b"")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = self.path == "/api/token/refresh" and asked == {"refresh": PERSONAL}
        self._answer(200 if known else 401, b'{"access": "for.some.minutes"}' if known else b"{}")

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


LEGACY, PERSONAL = "0123456789abcdef", "head.payload.signature"


@pytest.fixture
def label_studio(picture: bytes) -> Iterator[str]:
    """Address of a server that has one photo."""
    _LabelStudio.picture = picture
    with HTTPServer(("127.0.0.1", 0), _LabelStudio) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("token", [LEGACY, PERSONAL], ids=["legacy", "personal"])
def test_recorded_requests_are_answered(token: str, label_studio: str, segmenter: Segmenter, picture: bytes) -> None:
    config = RECORDED["setup"]["schema"]
    expected = segmenter.predict(["the elephant", "the man"], image=picture)
    with BatchingWorker(segmenter) as worker:
        client = TestClient(make_app(worker, model_name="tiny", label_studio=TaskPhotos(label_studio, token)))
        assert client.post("/setup", json=RECORDED["setup"]).json() == {"model_version": "tiny"}
        for name, predictions in {"batch": expected, "typed": expected[1:]}.items():
            answer = client.post("/predict", json=RECORDED[name])
            assert answer.status_code == 200, answer.text
            [found] = answer.json()["results"]
            assert LabelInterface(config).validate_prediction(found, return_errors=True) == []
            labels = [region["value"]["brushlabels"] for region in found["result"]]
            assert labels == [["Elephant"], ["Man"]][-len(predictions) :]
            for region, prediction in zip(found["result"], predictions, strict=True):
                mask = np.array(decode_rle(region["value"]["rle"])).reshape(40, 60, 4)[..., 3] == 255
                np.testing.assert_array_equal(mask, prediction.mask)


def test_photos_are_fetched_from_label_studio_alone(label_studio: str, picture: bytes) -> None:
    photos = TaskPhotos(label_studio, LEGACY)
    for address in ("/data/upload/1/photo.png", f"{label_studio}/data/upload/1/photo.png"):
        assert photos.read(address) == picture
    for address, sentence in {
        "/data/upload/none.png": "Label Studio answered 404",
        "/elsewhere": "it lies in another place",
        "http://127.0.0.1:1/photo.png": "does not lie in",
        "file:///etc/passwd": "does not lie in",
    }.items():
        with pytest.raises(UserError, match=sentence):
            photos.read(address)


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        (None, "start this server with LABEL_STUDIO_API_KEY set"),
        ("wrong", "refuses the token of LABEL_STUDIO_API_KEY"),
        ("another.personal.token", "refuses the token of LABEL_STUDIO_API_KEY"),
    ],
)
def test_refused_token_is_told(token: str | None, sentence: str, label_studio: str) -> None:
    with pytest.raises(UserError, match=sentence):
        TaskPhotos(label_studio, token).read("/data/upload/1/photo.png")


def test_address_in_the_environment_is_checked_like_the_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "localhost:8080")
    assert main(["serve", "--device", "cpu"]) == 2
    assert "LABEL_STUDIO_URL is one such as http://localhost:8080, not 'localhost:8080'." in capsys.readouterr().err
