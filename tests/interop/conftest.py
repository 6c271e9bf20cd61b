"""The small checkpoints that TensorFlow 1.5 wrote (``tests/interop/checkpoints``), unpacked."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest

FILES = Path(__file__).parent / "checkpoints"


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all checkpoints; tests must not change it."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for file in FILES.iterdir():
        if file.suffix == ".gz":
            (folder / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        else:
            shutil.copy(file, folder)
    return folder
