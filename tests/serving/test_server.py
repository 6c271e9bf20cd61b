"""The server as programs use it."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from pycocotools import mask as coco_mask
from starlette.testclient import TestClient

from cmpc import Segmenter, UserError
from cmpc.cli import main
from cmpc.serving.app import make_app
from cmpc.serving.batching import BatchingWorker, BusyError, Question
from cmpc.serving.server import listening
from serving.conftest import picture_of

ROOT = Path(__file__).parents[2]


def send(client: TestClient, picture: bytes, path: str = "/segment", **fields: Any) -> Any:
    """A form with the photo as a file."""
    return client.post(path, files={"photo": ("photo.png", picture)}, data=fields)


def test_form_and_json_give_the_masks_that_the_segmenter_gives(
    client: TestClient, picture: bytes, segmenter: Segmenter
) -> None:
    expected = segmenter.predict(["the left man", "dog"], image=picture, threshold=0.4)
    form = send(client, picture, expressions=["the left man", "dog"], threshold="0.4")
    encoded = base64.b64encode(picture).decode()
    body = client.post("/segment", json={"photo": encoded, "expressions": ["the left man", "dog"], "threshold": 0.4})
    lines = send(client, picture, expressions="the left man\ndog", threshold="0.4")
    assert form.status_code == body.status_code == 200
    assert form.json() == body.json() == lines.json()
    answer = form.json()
    assert (answer["height"], answer["width"]) == (40, 60)
    for found, prediction in zip(answer["predictions"], expected, strict=True):
        np.testing.assert_array_equal(coco_mask.decode(found["rle"]).astype(bool), prediction.mask)
        assert found["expression"] == prediction.expression
        assert found["area"] == prediction.mask.sum()
        assert found["polygons"] is None


def test_masks_come_as_png_and_polygons_too(client: TestClient, picture: bytes, segmenter: Segmenter) -> None:
    [prediction] = segmenter.predict("dog", image=picture)
    [found] = send(client, picture, expressions="dog", masks="png").json()["predictions"]
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["png"]))))
    np.testing.assert_array_equal(mask == 255, prediction.mask)
    [found] = send(client, picture, expressions="dog", masks="polygons").json()["predictions"]
    assert found["polygons"] == prediction.to_polygons()
    alone = send(client, picture, expressions="dog", answer="png")
    assert alone.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(alone.content))) == 255, prediction.mask)


@pytest.mark.parametrize("refine", ["guided", "crf"])
def test_masks_are_refined_on_request(client: TestClient, picture: bytes, segmenter: Segmenter, refine: Any) -> None:
    [prediction] = segmenter.predict("dog", image=picture, refine=refine)
    [found] = send(client, picture, expressions="dog", refine=refine).json()["predictions"]
    np.testing.assert_array_equal(coco_mask.decode(found["rle"]).astype(bool), prediction.mask)


def test_nothing_found_is_an_answer_in_every_form(client: TestClient, picture: bytes) -> None:
    for masks in ("rle", "polygons", "png"):
        [found] = send(client, picture, expressions="dog", threshold="1", masks=masks).json()["predictions"]
        assert found["box"] is None
        assert found["area"] == found["score"] == 0
    assert send(client, picture, expressions="dog", threshold="1", answer="png").status_code == 200


def test_explanation_comes_as_picture_or_numbers(client: TestClient, picture: bytes) -> None:
    png = send(client, picture, "/explain", expression="the left man")
    assert Image.open(io.BytesIO(png.content)).format == "PNG"
    assert b"<svg" in send(client, picture, "/explain", expression="the left man", answer="svg").content
    assert "expression" in send(client, picture, "/explain", expression="dog", answer="json").json()


def test_health_and_metrics_tell_how_the_server_is(client: TestClient, picture: bytes) -> None:
    assert send(client, picture, expressions="dog").status_code == 200
    assert client.get("/health").json() == {"status": "UP", "model": "tiny", "model_class": "CMPC", "waiting": 0}
    samples = {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }
    assert samples["cmpc_requests_total", ("/segment", "200")] >= 1
    assert samples["cmpc_batch_photos_count", ()] >= 1


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"expressions": "?!"}, 422, "holds no word"),
        ({"expressions": "  "}, 422, "expressions: "),
        ({"expressions": ["man", "dog", "shirt", "box"]}, 422, "at most 3 are answered at once"),
        ({"expressions": "man " * 30}, 422, "at most 60 are read"),
        ({"expressions": "dog", "threshold": "1.5"}, 422, "threshold: input should be less than or equal to 1"),
        ({"expressions": "dog", "threshold": "high"}, 422, "threshold: input should be a valid number"),
        ({"expressions": "dog", "refine": "magic"}, 422, "refine: "),
        ({"expressions": "dog", "colour": "red"}, 422, "colour: "),
        ({"expressions": ["dog", "man"], "answer": "png"}, 422, "png holds one mask"),
        ({}, 422, "expressions: "),
    ],
)
def test_wrong_field_is_answered_with_a_sentence(
    fields: dict[str, Any], status: int, sentence: str, client: TestClient, picture: bytes
) -> None:
    answer = send(client, picture, **fields)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        (b"no photo", 422, "not an image"),
        (b"", 422, "not an image"),
        (picture_of(40, 60)[:400], 422, "damaged"),
        (picture_of(1200, 1200)[:900_000], 422, "at most 1 megapixels"),
        (bytes(1_200_000), 422, "at most 1 MB"),
        (bytes(3_000_000), 413, "at most 1,500,000 bytes"),
    ],
)
def test_wrong_photo_is_answered_with_a_sentence(
    content: bytes, status: int, sentence: str, client: TestClient
) -> None:
    answer = send(client, content, expressions="dog")
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


@pytest.mark.parametrize(
    ("kind", "content", "status", "sentence"),
    [
        ("application/json", b"{", 400, "is not JSON"),
        ("application/json", b"[" * 100_000, 400, "is not JSON"),
        ("application/json", b"[1]", 422, "not a JSON object"),
        ("application/json", b'{"photo": "***", "expressions": ["dog"]}', 422, "photo: it is not base64"),
        ("application/json", b'{"expressions": ["dog"]}', 422, "photo: field required"),
        ("text/plain", b"dog", 415, "multipart/form-data"),
        ("multipart/form-data", b"dog", 400, "boundary"),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 422, "photo: give the photo as a file"),
    ],
)
def test_wrong_body_is_answered_with_a_sentence(
    kind: str, content: bytes, status: int, sentence: str, client: TestClient
) -> None:
    answer = client.post("/segment", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


def test_body_of_untold_length_is_cut_off(client: TestClient) -> None:
    pieces = (bytes(100_000) for _ in range(50))
    answer = client.post("/segment", content=pieces, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert "at most" in answer.json()["error"]


def test_foreign_name_and_unknown_address_are_refused(client: TestClient, picture: bytes) -> None:
    answer = client.get("/health", headers={"host": "evil.example:80"})
    assert answer.status_code == 400
    assert "--allow-host" in answer.json()["error"]
    assert client.get("/health", headers={"host": "LOCALHOST:8000"}).status_code == 200
    assert "nothing at this address" in client.get("/etc/passwd").json()["error"]
    assert client.get("/segment").status_code == 405
    foreign = client.post("/segment", files={"photo": picture}, headers={"origin": "http://evil.example:80"})
    assert foreign.status_code == 400
    assert "no pages of other places" in foreign.json()["error"]
    assert "access-control-allow-origin" not in foreign.headers
    assert client.get("/health", headers={"origin": "http://localhost:3000"}).status_code == 200


def test_requests_that_wait_are_answered_together_and_as_alone(segmenter: Segmenter, picture: bytes) -> None:
    sizes: list[int] = []
    photos = [np.full((30 + number, 40, 3), 20 * number, np.uint8) for number in range(6)]
    expressions = [("dog",), ("the left man", "shirt")] * 3
    started = threading.Event()
    with BatchingWorker(segmenter, batch=4, on_batch=sizes.append) as worker:
        first = worker.run(lambda: started.wait(10))  # holds the thread until all others are there
        futures = [
            worker.ask(Question(photo, some, threshold=0.4)) for photo, some in zip(photos, expressions, strict=True)
        ]
        started.set()
        assert first.result(10)
        for photo, some, future in zip(photos, expressions, futures, strict=True):
            for found, alone in zip(
                future.result(10), segmenter.predict(some, image=photo, threshold=0.4), strict=True
            ):
                assert found.threshold == 0.4
                np.testing.assert_allclose(found.probability, alone.probability, atol=1e-5)
    assert sum(sizes) == 6
    assert 2 <= max(sizes) <= 4


def test_one_fault_is_not_everybody_s(segmenter: Segmenter) -> None:
    started = threading.Event()
    good, bad = np.zeros((30, 40, 3), np.uint8), np.zeros((0, 0, 3), np.uint8)
    with BatchingWorker(segmenter) as worker:
        worker.run(lambda: started.wait(10))
        futures = [worker.ask(Question(pixels, ("dog",))) for pixels in (good, bad, good)]
        started.set()
        assert futures[0].result(10)[0].mask.shape == (30, 40)
        assert futures[1].exception(10) is not None
        assert futures[2].result(10)[0].expression == "dog"


def test_full_queue_is_told_and_does_not_stop_those_who_wait(segmenter: Segmenter, picture: bytes) -> None:
    started = threading.Event()
    with BatchingWorker(segmenter, waiting=2) as worker:
        worker.run(lambda: started.wait(10))
        while worker.waiting:
            time.sleep(0.001)
        client = TestClient(make_app(worker, model_name="tiny"))
        with ThreadPoolExecutor(2) as pool:
            patient = [pool.submit(send, client, picture, expressions="dog") for _ in range(2)]
            while worker.waiting < 2:
                time.sleep(0.001)
            refused = send(client, picture, expressions="dog")
            assert refused.status_code == 503
            assert "2 requests wait already" in refused.json()["error"]
            assert refused.headers["retry-after"] == "1"
            with pytest.raises(BusyError):
                worker.run(lambda: None)
            started.set()
            assert [future.result().status_code for future in patient] == [200, 200]


def test_description_names_both_forms_of_a_request(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    content = described["paths"]["/segment"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data"}
    assert json.dumps(described).count("#/$defs") == 0  # which are not known in this document
    assert client.get("/docs").status_code == 200


def test_documented_client_gets_masks(
    client: TestClient, photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Python of docs/serving.md, against a server that listens."""
    page = (ROOT / "docs/serving.md").read_text(encoding="utf-8")
    [program] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(photo.parent)
    with listening("127.0.0.1", 0) as place:
        server = uvicorn.Server(uvicorn.Config(client.app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
        thread.start()
        port = place.getsockname()[1]
        exec(program.replace("127.0.0.1:8000", f"127.0.0.1:{port}"), {})
        server.should_exit = True
        thread.join()
    assert capsys.readouterr().out.startswith("the left man ")


def test_address_that_is_taken_is_told() -> None:
    taken = pytest.raises(UserError, match="it is taken or not allowed here; choose another --port")
    with listening("127.0.0.1", 0) as place, taken, listening("127.0.0.1", place.getsockname()[1]):
        pass


@pytest.mark.parametrize("path", ["/segment", "/explain", "/predict", "/setup", "/webhook"])
@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b"\xff", b""], ids=["cut", "deep", "bytes", "empty"])
def test_body_that_is_no_json_is_told_at_every_address(path: str, content: bytes, client: TestClient) -> None:
    answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
    empty = not content and path not in ("/segment", "/explain")
    assert (answer.status_code, answer.json()) == (
        (422, {"error": "the body: field required."}) if empty else (400, {"error": "the body is not JSON."})
    )


def test_other_methods_are_refused_with_a_sentence(client: TestClient) -> None:
    answer = client.delete("/segment")
    assert answer.status_code == 405
    assert answer.json() == {"error": "this address is not asked by DELETE: /docs describes what it is asked."}
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [(("--batch", "0"), "--batch must be at least 1"), (("--port", "99999"), "--port must lie between 0 and 65535")],
)
def test_mistakes_on_the_command_line_are_told(
    options: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *options]) == 2
    assert sentence in capsys.readouterr().err
