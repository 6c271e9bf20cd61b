"""What Label Studio asks of an ML backend, and gets; read back by its SDK."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.converter.brush import decode_rle
from label_studio_sdk.label_interface import LabelInterface
from starlette.testclient import TestClient

from cmpc import Segmenter, UserError
from cmpc.serving.app import make_app
from cmpc.serving.batching import BatchingWorker
from cmpc.serving.label_studio.brush import brush_rle
from cmpc.serving.label_studio.task_photos import TaskPhotos

BRUSH = """<View>
  <Image name="image" value="$photo"/>
  <TextArea name="prompt" toName="image"/>
  <BrushLabels name="tag" toName="image"><Label value="Man" hint="the left man"/><Label value="dog"/></BrushLabels>
</View>"""
POLYGON = BRUSH.replace("BrushLabels", "PolygonLabels")


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


def test_nothing_found_is_no_region(client: TestClient, picture: bytes) -> None:
    black = {"result": [{"value": {"text": "dog"}}]}
    answer = predict(client, BRUSH, as_address(picture), black)
    assert answer.status_code == 200


def test_messages_about_annotations_are_taken(client: TestClient) -> None:
    assert client.post("/webhook", json={"action": "ANNOTATION_CREATED", "project": {"id": 1}}).status_code == 201


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
    """Gives a photo to whoever has the token, and sends elsewhere at one address."""

    picture = b""

    def do_GET(self) -> None:
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.2:9/photo.png")
            self.end_headers()
            return
        known = self.headers.get("Authorization") == "Token secret" and self.path == "/data/upload/photo.png"
        self.send_response(200 if known else 404)
        self.end_headers()
        if known:
            self.wfile.write(self.picture)

    def log_message(self, *_: object) -> None:
        pass


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


def test_photos_are_fetched_from_label_studio_alone(label_studio: str, segmenter: Segmenter, picture: bytes) -> None:
    photos = TaskPhotos(label_studio, "secret")
    with BatchingWorker(segmenter) as worker:
        client = TestClient(make_app(worker, model_name="tiny", label_studio=photos))
        expected = predict(client, BRUSH, as_address(picture)).json()["results"][0]["result"]
        for address in ("/data/upload/photo.png", f"{label_studio}/data/upload/photo.png"):
            found = predict(client, BRUSH, address).json()["results"][0]["result"]
            assert [region["value"] for region in found] == [region["value"] for region in expected]
    for address, sentence in {
        "/data/upload/none.png": "Label Studio answered 404",
        "/elsewhere": "it lies in another place",
        "http://127.0.0.1:1/photo.png": "does not lie in",
        "file:///etc/passwd": "does not lie in",
    }.items():
        with pytest.raises(UserError, match=sentence):
            photos.read(address)
