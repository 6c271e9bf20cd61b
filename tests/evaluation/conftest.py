"""What the tests of the evaluation share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cmpc.data.schema import PreparedDataset
from cmpc.engines.torch_engine import TorchEngine
from cmpc.model_folder import load_model_folder
from evaluation.toy import toy_dataset

# The DenseCRF does not build on Python 3.13.
collect_ignore = ["test_crf.py"] if sys.version_info >= (3, 13) else []


@pytest.fixture
def dataset(tmp_path: Path) -> PreparedDataset:
    """The toy dataset."""
    return toy_dataset(tmp_path / "toy")


@pytest.fixture
def tiny_engine(tiny_model_folder: Path) -> TorchEngine:
    """A small network with random weights."""
    return TorchEngine(load_model_folder(tiny_model_folder).model)
