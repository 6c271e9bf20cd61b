"""Who is let in: requests of other pages, other names and other shapes are refused with a sentence."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file

from cmpc.errors import UsageError
from cmpc.web.limits import Limits
from cmpc.web.models import Models
from cmpc.web.names import Names
from cmpc.web.server import served
from cmpc.web.service import Service

LIMITS = Limits(file_megabytes=1, megapixels=1, seconds=600)


@pytest.fixture(scope="module")
def address(tiny_model_folder: Path, outside: list[str]) -> Iterator[str]:
    """Address of a served page; at the end nothing may have left the machine."""
    with served(Service(Models({"tiny": tiny_model_folder}), LIMITS)) as found:
        yield found
    assert not outside


def sentence(answer: httpx.Response) -> str:
    """What a refused request is told."""
    assert answer.headers["content-type"] == "application/json"
    return str(answer.json()["detail"])


def ask(address: str, data: Any) -> str:
    """What ``/segment`` answers to these arguments: an event and its JSON."""
    endpoint = f"{address}gradio_api/call/segment"
    event = httpx.post(endpoint, json={"data": data}).json()["event_id"]
    return httpx.get(f"{endpoint}/{event}").text


@pytest.mark.parametrize(
    "named",
    [
        "http://192.0.2.1/photo.jpg",
        "https://example.org/",
        "http://127.0.0.1:1/",
        "HTTP://example.org/",
        "ftp://example.org/photo.jpg",
        "//example.org/photo.jpg",
        "http:/example.org/photo.jpg",
        "http%3A%2F%2Fexample.org%2F",
        "\\\\example.org\\photo.jpg",
        "example.org/photo.jpg",
    ],
)
def test_nothing_is_fetched_for_whoever_asks(address: str, named: str, outside: list[str]) -> None:
    answer = httpx.get(f"{address}gradio_api/file={named}")
    assert answer.status_code == 403
    assert sentence(answer) == "this page fetches nothing from elsewhere: give the file itself."
    assert not outside


def test_files_of_the_machine_are_not_served(address: str, photo: Path) -> None:
    for file in (photo, Path("/etc/passwd"), Path(__file__)):
        assert httpx.get(f"{address}gradio_api/file={file}").status_code == 403


@pytest.mark.parametrize("path", ["", "config", "gradio_api/info", "gradio_api/queue/join"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "0.0.0.0", "192.168.1.7", "localhost.evil.example"]
)
def test_other_names_are_refused(address: str, host: str, path: str) -> None:
    method = "POST" if path.endswith("join") else "GET"
    for headers in ({"host": host}, {"x-forwarded-host": host}):
        answer = httpx.request(method, address + path, headers=headers)
        assert answer.status_code == 403
        assert f"does not go by the name '{host}'" in sentence(answer)
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:7860", "[::1]:7860", "LOCALHOST:1", "127.0.0.2"])
def test_names_of_this_machine_are_let_in(address: str, host: str) -> None:
    assert httpx.get(address, headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:3000", "https://127.0.0.1", "file://", ""]
)
def test_other_pages_may_send_nothing(address: str, origin: str) -> None:
    for method, path in (
        ("POST", "gradio_api/call/segment"),
        ("POST", "gradio_api/upload"),
        ("POST", "gradio_api/queue/join"),
        ("POST", "gradio_api/cancel"),
        ("GET", "config"),
        ("OPTIONS", "gradio_api/call/segment"),
    ):
        headers = {"origin": origin, "access-control-request-method": "POST"}
        answer = httpx.request(method, address + path, headers=headers)
        assert answer.status_code == 403
        assert "may not use this page" in sentence(answer)
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_page_itself_may_send(address: str) -> None:
    origin = {"origin": address.rstrip("/")}
    assert httpx.post(f"{address}gradio_api/call/segment", json={"data": []}, headers=origin).status_code == 200
    assert not any(name.startswith("access-control") for name in httpx.get(address, headers=origin).headers)


def test_only_what_the_page_is_made_of_is_there(address: str) -> None:
    for method, path in [
        ("GET", "gradio_api/proxy=https://example.hf.space/"),
        ("GET", "gradio_api/file/etc/passwd"),
        ("GET", "gradio_api/deep_link"),
        ("GET", "gradio_api/mcp/sse"),
        ("GET", "monitoring"),
        ("GET", "docs"),
        ("POST", "login"),
        ("POST", "gradio_api/vibe-edit"),
        ("POST", "gradio_api/process_recording"),
        ("POST", "gradio_api/component_server"),
        ("POST", "gradio_api/call/other"),
    ]:
        answer = httpx.request(method, address + path)
        assert answer.status_code == 404, path
        assert "there is nothing here" in sentence(answer)
    assert httpx.put(address).status_code == 405


@pytest.mark.parametrize("says_its_length", [True, False])
@pytest.mark.parametrize(("path", "size"), [("gradio_api/upload", 1_200_000), ("gradio_api/queue/join", 1_100_000)])
def test_bodies_are_bounded_before_they_are_read(address: str, path: str, size: int, says_its_length: bool) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'--x\r\ncontent-disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
        yield from (bytes(100_000) for _ in range(size // 100_000))

    content = b"".join(pieces()) if says_its_length else pieces()
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = httpx.post(address + path, content=content, headers=headers)
    assert answer.status_code == 413
    assert "this is too much at once" in sentence(answer)


def test_uploads_that_never_end_are_ended(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmpc.web.guard.UPLOAD_SECONDS", 0.3)

    def pieces() -> Iterator[bytes]:
        yield b'--x\r\ncontent-disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
        time.sleep(1)
        yield b"\r\n--x--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = httpx.post(f"{address}gradio_api/upload", content=pieces(), headers=headers)
    assert answer.status_code == 408
    assert "did not come within" in sentence(answer)


def test_requests_that_are_no_requests_are_answered_with_sentences(
    address: str, capfd: pytest.CaptureFixture[str]
) -> None:
    join = f"{address}gradio_api/queue/join"
    for body in (b"", b"{", b"[]", b'{"data": 5}', b'{"data": [], "fn_index": 999, "session_hash": "a"}', b"\xff\xfe"):
        answer = httpx.post(join, content=body, headers={"content-type": "application/json"})
        assert 400 <= answer.status_code < 500
        assert sentence(answer).endswith((".", "found"))
    assert "Traceback" not in capfd.readouterr().err


def uploaded(address: str, photo: Path) -> dict[str, Any]:
    """An uploaded photo as an argument."""
    with photo.open("rb") as file:
        [path] = httpx.post(f"{address}gradio_api/upload", files={"files": file}).json()
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([..., "man", "abc", ""], "'threshold' must be a number, got 'abc'"),
        ([..., "man", None, ""], "'threshold' must be a number, got None"),
        ([..., "man", True, ""], "'threshold' must be a number, got True"),
        ([..., "man", [0.5], ""], "'threshold' must be a number, got a value of the type list"),
        ([..., "man", 1e300, ""], "between 0 and 1"),
        ([..., 5, 0.5, ""], "'expressions' must be a text, got 5"),
        ([..., ["man"], 0.5, ""], "'expressions' must be a text, got a value of the type list"),
        ([..., None, 0.5, ""], "say what to look for"),
        ([..., "man", 0.5, 7], "'name of the model' must be a text, got 7"),
        ([..., "man", 0.5, {}], "'name of the model' must be a text, got a value of the type dict"),
        (["photo.jpg", "man", 0.5, ""], "'photo' must be a file that was uploaded before"),
        ([5, "man", 0.5, ""], "'photo' must be a file that was uploaded before"),
        ([{}, "man", 0.5, ""], "'photo' must be a file that was uploaded before"),
        ([{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, "man", 0.5, ""], "uploaded before"),
        ([{"path": "/etc/passwd"}, "man", 0.5, ""], "uploaded before"),
        ([{"path": "a\0b"}, "man", 0.5, ""], "uploaded before"),
        ([None, "man", 0.5, ""], "there is no photo"),
        ([...], "this takes 4 arguments but got 1"),
    ],
)
def test_wrong_arguments_are_answered_with_sentences(
    address: str, photo: Path, arguments: list[Any], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = [uploaded(address, photo) if value is ... else value for value in arguments]
    answer = ask(address, data)
    assert answer.startswith("event: error")
    assert said in json.loads(answer.partition("data: ")[2])["error"]
    assert "Traceback" not in capfd.readouterr().err


def test_photo_that_is_gone_is_asked_for_anew(address: str, photo: Path) -> None:
    given = uploaded(address, photo)
    Path(given["path"]).unlink()
    assert "the photo is no longer here: give it again" in ask(address, [given, "man", 0.5, ""])


def test_deployments_are_let_in_by_their_name(tiny_model_folder: Path, photo: Path) -> None:
    service = Service(Models({"tiny": tiny_model_folder}), LIMITS)
    with served(service, allowed_hosts=["page.example.org"], root_path="/find/") as address:
        through = {"host": "page.example.org", "origin": "https://page.example.org", "x-forwarded-proto": "https"}
        assert httpx.get(f"{address}find", headers=through).headers["location"] == "/find/"
        for prefix in ("find/", ""):  # proxies leave it there, or take it away
            html = httpx.get(address + prefix, headers=through)
            assert html.status_code == 200
            assert '"root":"https://page.example.org/find"' in html.text.replace(": ", ":")
            config = httpx.get(f"{address}{prefix}config", headers=through).json()
            assert config["root"] == "https://page.example.org/find"
            answer = httpx.post(f"{address}{prefix}gradio_api/upload", files={"files": b"1"}, headers=through)
            assert answer.status_code == 200
        refused = httpx.get(f"{address}find/gradio_api/file=http://example.org/", headers=through)
        assert refused.status_code == 403
        assert httpx.get(address, headers={"host": "example.org"}).status_code == 403
        client = Client(f"{address}find/", verbose=False)
        answer, files = client.predict(handle_file(str(photo)), "man", 0.5, "", api_name="/segment")
        assert answer["predictions"][0]["expression"] == "man"
        assert len(files) == 3


@pytest.mark.parametrize(
    "name", ["", "https://page.example.org", "page.example.org:443", "a b", "page.example.org/find"]
)
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="--allow-host takes names such as"):
        Names("127.0.0.1", (name,))


@pytest.mark.parametrize("root_path", ["find", "https://page.example.org/find", "//find", "/a b"])
def test_root_paths_that_are_none_are_refused(service: Service, root_path: str) -> None:
    sentence = "--root-path must be a path that begins with a slash"
    with pytest.raises(UsageError, match=sentence), served(service, root_path=root_path):
        pass


def test_page_of_a_network_goes_by_addresses_and_the_names_that_it_was_given() -> None:
    names = Names("0.0.0.0", ("page.example.org",))
    for host in ("192.168.1.7:7860", "[2001:db8::1]", "localhost", "PAGE.example.org:443", socket.gethostname()):
        assert names.know(host)
    for host in ("evil.example", "", "a@localhost", "page.example.org.evil.example"):
        assert not names.know(host)
