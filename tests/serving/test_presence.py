"""What programs are told where nothing fits."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import anyio
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from answers.conftest import SIDE, telling_segmenter
from cmpc import Segmenter
from cmpc.data.vocabulary import Vocabulary
from cmpc.integrations.cvat import CVATFunction
from cmpc.serving.app import make_app
from cmpc.serving.batching import BatchingWorker
from cmpc.serving.mcp_server import make_mcp_server
from serving.conftest import LIMITS, picture_of
from serving.test_label_studio import as_address, predict

PICTURE = picture_of(SIDE, SIDE)


@pytest.fixture
def telling(vocabulary: Vocabulary) -> Segmenter:
    """Tells that men and frisbees are there, and dogs are not."""
    return telling_segmenter(vocabulary)


@pytest.fixture
def client(telling: Segmenter) -> Iterator[TestClient]:
    with BatchingWorker(telling) as worker:
        yield TestClient(make_app(worker, model_name="telling", limits=LIMITS), base_url="http://localhost")


def test_server_tells_presence_and_instances(client: TestClient) -> None:
    body = {"photo": base64.b64encode(PICTURE).decode(), "expressions": ["frisbee", "dog"]}
    frisbee, dog = client.post("/segment", json=body).json()["predictions"]
    assert (frisbee["present"], dog["present"]) == (pytest.approx(0.95, abs=1e-3), pytest.approx(0.05, abs=1e-3))
    assert (dog["box"], dog["area"], dog["instances"]) == (None, 0, [])
    assert [instance["box"] for instance in frisbee["instances"]] == [[40, 30, 20, 20], [5, 30, 15, 20]]
    assert frisbee["instances"][0]["rle"]["size"] == [SIDE, SIDE]
    body |= {"presence_threshold": 0.0, "masks": "polygons"}
    frisbee, dog = client.post("/segment", json=body).json()["predictions"]
    assert dog["area"] == SIDE * SIDE
    assert frisbee["instances"][0]["rle"] is None
    refused = client.post("/segment", json={**body, "presence_threshold": 2})
    assert refused.status_code == 422
    assert refused.json()["error"].startswith("presence_threshold: input should be less than or equal to 1")


def test_what_is_absent_is_no_region_of_label_studio(client: TestClient) -> None:
    config = """<View><Image name="image" value="$photo"/>
      <BrushLabels name="tag" toName="image"><Label value="man"/><Label value="dog"/></BrushLabels></View>"""
    [found] = predict(client, config, as_address(PICTURE)).json()["results"]
    assert [region["value"]["brushlabels"] for region in found["result"]] == [["man"]]


def test_what_is_absent_is_no_shape_of_cvat(telling: Segmenter) -> None:
    function = CVATFunction(telling, {"man": "man", "dog": "dog"})
    for polygons in (False, True):
        context = SimpleNamespace(frame_name="photo.png", conf_threshold=None, conv_mask_to_poly=polygons)
        shapes = function.detect(context, Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8)))
        assert {shape.label_id for shape in shapes} == {0}


def test_agents_are_told_presence(telling: Segmenter, tmp_path: Path) -> None:
    photo = str(tmp_path / "photo.png")
    Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8)).save(photo)
    server = make_mcp_server(telling)

    async def ask() -> list[object]:
        return list(await server.call_tool("segment", {"photo": photo, "expressions": ["man", "dog"]}))

    told, _ = anyio.run(ask)
    man, dog = json.loads(told.text)["predictions"]
    assert (man["present"], dog["present"]) == (pytest.approx(0.95, abs=1e-3), pytest.approx(0.05, abs=1e-3))
    assert dog["box"] is None
