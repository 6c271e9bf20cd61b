"""Every command in the README and in docs/ is one that the program understands; those of the README do what it says."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from cmpc.cli import COMMANDS, main, parse
from cmpc.models.config import PRESETS
from networks import tiny_config

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
REFER = ROOT / "tests" / "data" / "refer"


def commands(page: Path) -> list[str]:
    """The ``cmpc`` commands in a page's blocks of code, and those that prepare data in its tables."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    in_blocks = [line for line in lines if line.startswith("cmpc ") and "..." not in line]
    in_table = re.findall(r"\| `(cmpc prepare [^`]* --out [^`]*)`", text)
    return [*in_blocks, *in_table]


ALL = [
    pytest.param(command, id=f"{page.stem}-{number}") for page in PAGES for number, command in enumerate(commands(page))
]


@pytest.mark.parametrize("command", ALL)
def test_documented_command_is_understood(command: str) -> None:
    _, name, *arguments = shlex.split(command, comments=True)
    parse(name, arguments)


def test_every_command_is_documented() -> None:
    shown = {shlex.split(parameter.values[0], comments=True)[1] for parameter in ALL}
    assert shown == set(COMMANDS)


def test_the_page_on_the_original_names_every_flag() -> None:
    page = ROOT / "docs" / "from-the-original.md"
    rows = [line.split("|")[1] for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    named = {word for row in rows for code in re.findall(r"`([^`]*)`", row) for word in code.split()}
    assert named >= {"-m", "-d", "-t", "-n", "-i", "-s", "-st", "-f", "-lr", "-bs", "-v", "-c", "-emb", "-conv5", "-g"}


@pytest.mark.slow
def test_readme_works_from_a_benchmark_to_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the README's commands on a small part of UNC and a tiny network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(PRESETS, "small", tiny_config(100))
    shutil.copytree(REFER, tmp_path / "refer" / "data")
    (tmp_path / "coco").mkdir()
    shutil.move(tmp_path / "refer" / "data" / "train2014", tmp_path / "coco")
    photo = next((tmp_path / "coco" / "train2014").iterdir())
    shutil.copy(photo, tmp_path / "photo.jpg")
    quick = ["--steps", "2", "--workers", "0", "--image-size", "64"]
    shown = [shlex.split(command)[1:] for command in commands(ROOT / "README.md")]

    def run(name: str, about: str, *extra: str) -> None:
        arguments = next(arguments for arguments in shown if arguments[0] == name and about in arguments)
        assert main([argument.replace("MODEL", "runs/unc/best") for argument in arguments] + [*extra]) == 0

    run("prepare", "unc")
    run("train", "data/unc", *quick)
    run("evaluate", "data/unc")
    run("segment", "photo.jpg")
    scene = "src/cmpc/weights/examples/scene-4.jpg"
    (tmp_path / scene).parent.mkdir(parents=True)
    shutil.copy(ROOT / scene, tmp_path / scene)
    run("explain", scene)  # with the model that ships
    assert (tmp_path / "results" / "photo.overlay.png").exists()
    assert (tmp_path / "picture.png").exists()
