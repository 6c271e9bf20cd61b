"""What the page offers: models, examples, and the command that starts it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import httpx
import pytest
import tyro
from PIL import Image

from cmpc.cli.web import Options, make_service, run
from cmpc.errors import UsageError, UserError
from cmpc.web.cache import Cache
from cmpc.web.examples import read_examples
from cmpc.web.models import KEPT, Models, models_in


def test_models_of_a_folder_are_named_by_their_place(tmp_path: Path, tiny_model_folder: Path) -> None:
    for name in ("b", "runs/first/best", "a"):
        shutil.copytree(tiny_model_folder, tmp_path / name)
    (tmp_path / "no-model").mkdir()
    assert list(models_in(tmp_path)) == ["a", "b", "runs/first/best"]


def test_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no model"):
        models_in(tmp_path)


def test_few_models_are_held_at_once(tiny_model_folder: Path) -> None:
    models = Models({str(number): tiny_model_folder for number in range(KEPT + 1)})
    first = models.load("0")
    assert models.load("0") is first
    for number in range(1, KEPT + 1):
        models.load(str(number))
    assert models.load("0") is not first


def test_examples_are_pictures_with_lines_beside_them(tmp_path: Path) -> None:
    for name in ("two_cups.png", "a-dog.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "two_cups.txt").write_text("left cup\n\n  right cup \n", encoding="utf-8")
    dog, cups = read_examples(tmp_path)
    assert (dog.name, dog.expressions) == ("a dog", ())
    assert (cups.name, cups.expressions) == ("two cups", ("left cup", "right cup"))


@pytest.mark.parametrize("broken", ["photo", "text", "nothing"])
def test_broken_examples_are_refused(tmp_path: Path, broken: str) -> None:
    if broken == "photo":
        (tmp_path / "one.png").write_bytes(b"no photo")
    elif broken == "text":
        Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
        (tmp_path / "one.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UserError, match=r"one|no example"):
        read_examples(tmp_path)


def test_values_used_longest_ago_are_forgotten() -> None:
    memory = Cache(10)
    memory.put("a", 1, 4)
    memory.put("b", 2, 4)
    assert memory.get("a") == 1
    memory.put("c", 3, 4)
    assert [memory.get(key) for key in "abc"] == [1, None, 3]
    memory.put("huge", 4, 11)
    assert [memory.get(key) for key in ("a", "c", "huge")] == [1, 3, None]
    memory.put("a", 5, 6)
    assert [memory.get(key) for key in "ac"] == [5, 3]


def test_command_takes_one_model_or_a_folder_of_them(tmp_path: Path, tiny_model_folder: Path) -> None:
    with pytest.raises(UsageError, match="either --model MODEL or --models FOLDER"):
        run(Options(model=str(tiny_model_folder), models=tmp_path))
    with pytest.raises(UsageError, match="the name of the model is empty"):
        make_service(Options(model=""))
    service = make_service(Options(model=str(tiny_model_folder), device="cpu"))
    assert service.models.names == ["tiny"]


def test_damaged_model_is_named_before_the_page_is_served(tmp_path: Path, tiny_model_folder: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model_folder, broken)
    (broken / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="damaged"):
        run(Options(model=str(broken), device="cpu"))


def test_limits_are_options_of_the_command() -> None:
    options = tyro.cli(Options, args=["--model", "m", "--limits.megapixels", "3"])
    assert options.limits.megapixels == 3
    with pytest.raises(UsageError, match="limit expressions must be at least 1"):
        tyro.cli(Options, args=["--limits.expressions", "0"])


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_command_serves_until_it_is_ended_and_leaves_nothing(
    tmp_path: Path, tiny_model_folder: Path, end: signal.Signals
) -> None:
    program = (
        "import signal, sys; from cmpc.cli import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # ignored where tests run in the background
        "sys.exit(main(sys.argv[1:]))"
    )
    page = subprocess.Popen(
        [sys.executable, "-c", program, "web", "--model", str(tiny_model_folder), "--device", "cpu"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert page.stderr is not None
        line = next(line for line in page.stderr if line.startswith("The page is at"))
        assert list(tmp_path.glob("cmpc-web-*"))
        with urllib.request.urlopen(line.split()[4]) as answer:
            assert answer.status == 200
        page.send_signal(end)
        page.communicate()
    finally:
        page.kill()
    assert page.returncode == (130 if end == signal.SIGINT else 0)
    assert not list(tmp_path.glob("cmpc-web-*"))


ANSWERING = """
import sys, time
import torch
import cmpc.web.server as server
from cmpc.cli import main
from cmpc.segmenter import Segmenter

answer = Segmenter.predict
seconds, server.STOP_SECONDS = map(float, sys.argv[1:3])

def answer_later(*arguments, **options):
    print("answering", file=sys.stderr, flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:  # as networks do: Python is aborted where it ends in the middle of that
        torch.ones(400, 400) @ torch.ones(400, 400)
    return answer(*arguments, **options)

Segmenter.predict = answer_later
sys.exit(main(sys.argv[3:]))
"""
"""The command with answers that take a while: how long, and how long the end waits for them."""


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "waits"), [(2, 30), (1000, 1)], ids=["which ends", "without end"])
def test_command_ends_in_order_while_it_answers(
    tmp_path: Path, photo: Path, tiny_model_folder: Path, seconds: float, waits: float
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    arguments = [str(seconds), str(waits), "web", "--model", str(tiny_model_folder), "--device", "cpu"]
    page = subprocess.Popen(
        [sys.executable, "-c", ANSWERING, *arguments],
        env={**os.environ, "TMPDIR": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert page.stderr is not None
        address = next(line for line in page.stderr if line.startswith("The page is at")).split()[4]
        with photo.open("rb") as file:
            [path] = httpx.post(f"{address}gradio_api/upload", files={"files": file}).json()
        given = {"path": path, "meta": {"_type": "gradio.FileData"}}
        refused = httpx.post(f"{address}gradio_api/call/segment", json={"data": [given, "dog", "half", ""]}).json()
        told = httpx.get(f"{address}gradio_api/call/segment/{refused['event_id']}").text
        assert "must be a number" in told  # after this answer the server no longer waits for others
        for expression in ("the left man", "white frisbee", "dog"):  # one is answered, others wait
            data = {"data": [given, expression, 0.5, ""]}
            assert httpx.post(f"{address}gradio_api/call/segment", json=data).status_code == 200
        assert next(page.stderr).strip() == "answering"
        page.terminate()
        said = page.communicate(timeout=30)[1]
    finally:
        page.kill()
    assert page.returncode == 0, said
    assert "Traceback" not in said
    assert not list(folder.iterdir())
