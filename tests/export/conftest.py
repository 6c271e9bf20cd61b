"""Exported folders, made once by the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmpc.cli import main
from cmpc.data.vocabulary import Vocabulary
from cmpc.model_folder import save_model_folder
from networks import CONFIGURATIONS, build

KINDS = [
    ("small", "onnx"),
    ("small", "openvino"),
    ("paper", "onnx"),
    ("recurrent refinement network", "openvino"),
    ("parts of the model that ships", "onnx"),
    ("parts of the model that ships", "openvino"),
    ("parts of the model for photos", "onnx"),
    ("parts of the model for photos", "openvino"),
]
"""Network and format of the exports that are tested."""


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model folders of several kinds of network."""
    words = (f"word{number}" for number in range(40))
    vocabulary = Vocabulary(("<pad>", "<unk>", "the", "left", "man", "dog", "red", "cube", "of", ",", *words))
    folders: dict[str, Path] = {}
    for name in dict.fromkeys(name for name, _ in KINDS):
        folders[name] = tmp_path_factory.mktemp("models") / name.replace(" ", "-")
        save_model_folder(folders[name], build(CONFIGURATIONS[name]), vocabulary)
    return folders


@pytest.fixture(scope="session")
def exports(model_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Exports by network and format."""
    folders: dict[tuple[str, str], Path] = {}
    for name, format in KINDS:
        out = folders[name, format] = tmp_path_factory.mktemp("exports") / format
        assert main(["export", "--model", str(model_folders[name]), "--format", format, "--out", str(out)]) == 0
    return folders


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few scenes of Blocks."""
    folder = tmp_path_factory.mktemp("data") / "blocks"
    assert main(["blocks", "--out", str(folder), "--images", "4", "--size", "96"]) == 0
    return folder
