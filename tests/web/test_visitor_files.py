"""The folder of visitors' files stays small."""

from __future__ import annotations

import os
import time
from pathlib import Path

import httpx

from cmpc.web.limits import Limits
from cmpc.web.models import Models
from cmpc.web.server import served
from cmpc.web.service import Service
from cmpc.web.visitor_files import KEPT_SECONDS, VisitorFiles


def write(path: Path, size: int, age: float) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_oldest_files_go_first(tmp_path: Path) -> None:
    example = write(tmp_path / "example", 1000, 9 * KEPT_SECONDS)
    files = VisitorFiles(tmp_path, 100)
    files.keep_present()
    old = write(tmp_path / "a" / "old", 10, KEPT_SECONDS + 1)
    first, second, third = (write(tmp_path / "b" / str(number), 40, 10 - number) for number in range(3))
    files.make_room()
    assert [file.exists() for file in (example, old, first, second, third)] == [True, False, False, True, True]
    files.make_room(60)
    assert [file.exists() for file in (second, third)] == [False, True]
    files.make_room(1000)
    assert not third.exists()
    assert example.exists()


def test_uploads_are_bounded(tiny_model_folder: Path) -> None:
    service = Service(Models({"tiny": tiny_model_folder}), Limits(file_megabytes=1, folder_megabytes=3))
    with served(service) as address:
        paths = []
        for number in range(6):
            content = bytes([number]) * 900_000
            [path] = httpx.post(f"{address}gradio_api/upload", files={"files": ("a.jpg", content)}).json()
            paths.append(Path(path))
        there = [path for path in paths if path.exists()]
        assert paths[-1] in there
        assert sum(path.stat().st_size for path in there) <= 3_000_000
