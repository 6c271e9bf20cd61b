"""What the tests of the ablation share."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cmpc.data.schema import DatasetInfo, write_dataset
from cmpc.models.config import PRESETS
from training.scenes import scene, tiny_preset


@pytest.fixture(scope="session")
def grouped_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared dataset with 4 photos to train, 3 to test on; expressions are of the group ``long`` or ``short``."""
    folder = tmp_path_factory.mktemp("grouped")
    (folder / "photos").mkdir()
    rows = [
        dataclasses.replace(row, groups=tuple("long" if len(text.split()) > 2 else "short" for text in row.expressions))
        for number in range(7)
        for row in scene(folder / "photos", number)
    ]
    splits = {
        "train": [row for row in rows if int(row.image_id) < 4],
        "test": [row for row in rows if int(row.image_id) >= 4],
    }
    write_dataset(folder / "data", DatasetInfo(name="scenes", images="../photos"), splits)
    return folder / "data"


@pytest.fixture
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """``--preset small`` is tiny."""
    monkeypatch.setitem(PRESETS, "small", tiny_preset())
