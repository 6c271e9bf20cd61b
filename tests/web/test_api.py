"""Programs that ask the page: the example of docs/web.md, and what they are told when something is wrong."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from pycocotools import mask as coco_mask

from cmpc.data.images import read_image
from cmpc.errors import UserError
from cmpc.segmenter import Segmenter
from cmpc.web.server import served
from cmpc.web.service import Service

PAGE = Path(__file__).parents[2] / "docs" / "web.md"


@pytest.fixture
def api_address(service: Service, outside: list[str]) -> Iterator[str]:
    """Address of a served page; at the end nothing may have left the machine."""
    with served(service) as found:
        yield found
    assert not outside


def test_documented_example_runs(
    api_address: str, photo: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(photo.parent)
    found: dict[str, Any] = {}
    exec(example.replace("http://127.0.0.1:7860/", api_address), found)
    assert (found["answer"]["height"], found["answer"]["width"]) == (90, 140)
    expected = Segmenter.load(tiny_model_folder).predict(["the left man", "white frisbee"], image=photo)
    for prediction, wanted in zip(found["answer"]["predictions"], expected, strict=True):
        assert prediction["expression"] == wanted.expression
        np.testing.assert_array_equal(coco_mask.decode(prediction["rle"]) > 0, wanted.mask)
    assert [Path(file).suffixes[-2:] for file in found["files"][:2]] == [[".mask", ".png"]] * 2
    np.testing.assert_array_equal(read_image(found["files"][0])[:, :, 0] > 0, expected[0].mask)
    assert read_image(found["picture"]).shape[1] > 1000


def test_programs_are_told_what_is_wrong(api_address: str, photo: Path, tmp_path: Path) -> None:
    client = Client(api_address, verbose=False)
    text = tmp_path / "notes.jpg"
    text.write_text("no photo", encoding="utf-8")
    for file, expressions, threshold, sentence in [
        (text, "man", 0.5, "not an image"),
        (photo, "", 0.5, "say what to look for"),
        (photo, "man", 2, "between 0 and 1"),
    ]:
        with pytest.raises(AppError, match=sentence):
            client.predict(handle_file(str(file)), expressions, threshold, "", api_name="/segment")
    with pytest.raises(AppError, match="no model 'huge'"):
        client.predict(handle_file(str(photo)), "man", 0.5, "huge", api_name="/explain")


def test_programs_see_the_documented_endpoints_only(api_address: str) -> None:
    endpoints = Client(api_address, verbose=False).view_api(return_format="dict", print_info=False)
    assert set(endpoints["named_endpoints"]) == {"/segment", "/explain"}
    assert not endpoints["unnamed_endpoints"]


def test_files_of_the_machine_cannot_be_asked_for(api_address: str, photo: Path) -> None:
    named = {"path": str(photo), "meta": {"_type": "gradio.FileData"}}  # not uploaded, only named
    endpoint = f"{api_address}gradio_api/call/segment"
    event = httpx.post(endpoint, json={"data": [named, "man", 0.5, ""]}).json()["event_id"]
    answer = httpx.get(f"{endpoint}/{event}").text
    assert answer.startswith("event: error")
    assert "man" not in answer


@pytest.mark.parametrize("place", ["photo", "expressions"])
def test_web_addresses_are_not_fetched(
    api_address: str, photo: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    async def fetch(address: str, **_: Any) -> str:
        fetched.append(address)
        return str(photo)

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", fetch)
    named = {"path": "https://example.org/photo.jpg", "meta": {"_type": "gradio.FileData"}}
    arguments = [named, "man"] if place == "photo" else [None, [named]]
    endpoint = f"{api_address}gradio_api/call/segment"
    event = httpx.post(endpoint, json={"data": [*arguments, 0.5, ""]}).json()["event_id"]
    assert "fetches no photos from the web" in httpx.get(f"{endpoint}/{event}").text
    assert not fetched


def test_port_that_is_taken_is_named(service: Service) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen at 127.0.0.1, port {port}"), served(service, port=port):
            pass


def test_nothing_is_left_when_the_page_ends(service: Service, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photo.parent / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with served(service) as address:
        Client(address, verbose=False).predict(handle_file(str(photo)), "man", 0.5, "", api_name="/segment")
        assert list(folder.glob("cmpc-web-*/results/*/*.mask.png"))
    assert not list(folder.glob("cmpc-web-*"))
