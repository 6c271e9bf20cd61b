"""Every block of Python in the README and in docs/ runs, on a tiny model, a small photo and a few rows of data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from documented_pages import PAGES, ROOT, code_blocks

from cmpc.cli import main
from cmpc.starter import write_starter

ELSEWHERE = {"serving.md", "web.md", "fiftyone.md"}
"""They need a server, or a large package: ``tests/serving/test_server.py``, ``tests/web/test_api.py`` and
``tests/integrations/test_fiftyone.py`` run them."""


def python_blocks(page: Path) -> list[tuple[int, str]]:
    return [(line, text) for language, line, text in code_blocks(page) if language == "python"]


WITH_PYTHON = [page for page in PAGES if python_blocks(page) and page.name not in ELSEWHERE]


@pytest.fixture
def place(tmp_path: Path, photo: Path, tiny_model_folder: Path) -> Path:
    """A folder where the files lie that the pages speak of."""
    row = {"image": "photo.jpg", "expressions": ["the left man", "a red box"], "box": [20, 30, 50, 30]}
    table = [row, {**row, "split": "val"}]
    (tmp_path / "table.jsonl").write_text("".join(json.dumps(line) + "\n" for line in table), encoding="utf-8")
    data = tmp_path / "data" / "unc"
    arguments = ("prepare", "own", tmp_path / "table.jsonl", "--images", photo.parent, "--out", data)
    assert main([*map(str, arguments), "--name", "mine", "--licence", "mine"]) == 0
    bulk = ("bulk", photo.parent, "the left man", "--model", tiny_model_folder, "--out", tmp_path / "answers")
    assert main([*map(str, bulk)]) == 0
    links = {
        **dict.fromkeys(("MODEL", "models/unc"), tiny_model_folder),
        **dict.fromkeys(("prepared/unc", "blocks"), data),
        **{name: ROOT / name for name in ("src", "examples")},
    }
    for name, target in links.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(target, target_is_directory=True)
    write_starter(tmp_path / "first")
    return tmp_path


@pytest.mark.parametrize("page", WITH_PYTHON, ids=[page.stem for page in WITH_PYTHON])
def test_python_of_a_page_runs_from_top_to_bottom(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    names: dict[str, Any] = {"__name__": page.stem, "MODEL": "MODEL"}
    for line, text in python_blocks(page):
        exec(compile("\n" * (line - 1) + text, page, "exec"), names)  # a traceback tells the line of the page


def test_the_readme_shows_python() -> None:
    assert ROOT / "README.md" in WITH_PYTHON
