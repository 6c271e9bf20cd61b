"""What the tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmpc.models.config import PRESETS
from training.scenes import tiny_preset, write_scenes


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared dataset of drawn scenes."""
    return write_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """``--preset small`` is tiny."""
    monkeypatch.setitem(PRESETS, "small", tiny_preset())
