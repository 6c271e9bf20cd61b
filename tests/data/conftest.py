"""What the tests of data share. ``ATTRIBUTION.md`` says where the photos come from."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).parent


@pytest.fixture
def refer(tmp_path: Path) -> Path:
    """A copy of a small part of REFER's ``data`` folder, with the photos in ``train2014``."""
    return shutil.copytree(HERE / "refer", tmp_path / "refer")


@pytest.fixture
def referit(tmp_path: Path) -> Path:
    """A copy of a small part of ReferIt."""
    return shutil.copytree(HERE / "referit", tmp_path / "referit")


@pytest.fixture
def phrasecut(tmp_path: Path) -> Path:
    """A copy of a few phrases in the form of PhraseCut, with the photos in ``images``."""
    folder = shutil.copytree(HERE / "phrasecut", tmp_path / "phrasecut")
    (folder / "images").mkdir()
    for number in (72, 86):
        shutil.copy(
            HERE / "refer" / "train2014" / f"COCO_train2014_{number:012d}.jpg", folder / "images" / f"{number}.jpg"
        )
    return folder


@pytest.fixture
def edit_refs(refer: Path) -> Callable[[Callable[[list[dict[str, Any]]], object]], Path]:
    """Changes the referred objects of UNC in the copy."""
    path = refer / "refcoco" / "refs(unc).p"

    def edit(change: Callable[[list[dict[str, Any]]], object]) -> Path:
        refs = pickle.loads(path.read_bytes(), encoding="latin1")
        change(refs)
        path.write_bytes(pickle.dumps(refs, protocol=2))
        return path

    return edit


@pytest.fixture
def edit_instances(refer: Path) -> Callable[[Callable[[dict[str, Any]], object]], Path]:
    """Changes the instances of UNC in the copy."""
    path = refer / "refcoco" / "instances.json"

    def edit(change: Callable[[dict[str, Any]], object]) -> Path:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        return path

    return edit


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with ``images/a.jpg`` (40 x 60 pixels), ``images/sub/b.png`` and ``masks/a.png``."""
    (tmp_path / "images" / "sub").mkdir(parents=True)
    (tmp_path / "masks").mkdir()
    colours = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "images" / "a.jpg")
    Image.fromarray(colours).save(tmp_path / "images" / "sub" / "b.png")
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 5:30] = 1
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    return tmp_path
