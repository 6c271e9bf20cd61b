"""What tests of several folders share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import spacy
import torch
from PIL import Image

from cmpc.data.vocabulary import Vocabulary
from cmpc.model_folder import save_model_folder
from cmpc.models.paper.cmpc import CMPC
from networks import tiny_config

if TYPE_CHECKING:
    from object_storage import Bucket

os.environ["HF_HUB_OFFLINE"] = "1"  # no test may wait for a hub


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """A few words."""
    return Vocabulary.from_expressions(["the left man in a red shirt", "white frisbee , behind dog on right"])


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> Path:
    """A model folder with random weights."""
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model_folder(folder, CMPC(tiny_config(len(vocabulary))), vocabulary)
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A colourful JPEG of 90 x 140 pixels."""
    rows, columns = np.mgrid[:90, :140]
    pixels = np.stack([rows * 2, columns, (rows + columns) % 255], axis=2).astype(np.uint8)
    pixels[30:60, 20:70] = (200, 30, 30)
    path = tmp_path / "photo.jpg"
    Image.fromarray(pixels).save(path, quality=95)
    return path


@pytest.fixture(scope="session")
def spacy_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spaCy pipeline on disk that knows the parts of speech of a few words."""
    words = {
        "NOUN": ["man", "frisbee", "box", "one"],
        "ADJ": ["white", "left"],
        "VERB": ["holding"],
        "ADP": ["on"],
        "DET": ["the", "a"],
        "PUNCT": [",", "."],
    }
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("attribute_ruler")
    for part, some in words.items():
        ruler.add(patterns=[[{"LOWER": word}] for word in some], attrs={"POS": part})
    folder = tmp_path_factory.mktemp("pipelines") / "few_words"
    nlp.to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def storage_endpoint() -> Iterator[str]:
    """The address of a server of S3, of which the environment tells."""
    from object_storage import storage_server

    with pytest.MonkeyPatch.context() as patch, storage_server(patch) as endpoint:
        yield endpoint


@pytest.fixture
def bucket(storage_endpoint: str) -> Bucket:
    """A new bucket."""
    from object_storage import Bucket

    return Bucket(storage_endpoint)
