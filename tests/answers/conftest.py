"""A segmenter that answers known masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cmpc import Segmenter
from cmpc.cli import main
from cmpc.data.vocabulary import Vocabulary
from evaluation.toy import ScriptedEngine
from networks import tiny_config

SIDE = 64
"""Height and width of the photos: that of the network's square, so that masks are what the script says."""


def known_masks() -> dict[str, np.ndarray]:
    """A mask for each expression: with a hole, of two parts, of a single pixel, of nothing; the first two overlap."""
    masks = {name: np.zeros((SIDE, SIDE), bool) for name in ("man", "frisbee", "shirt", "dog")}
    masks["man"][8:40, 10:50] = True
    masks["man"][16:24, 20:30] = False
    masks["frisbee"][30:50, 5:20] = True
    masks["frisbee"][30:50, 40:60] = True
    masks["shirt"][3, 60] = True
    return masks


@pytest.fixture(scope="session")
def scripted(vocabulary: Vocabulary) -> Segmenter:
    """Answers ``known_masks``; the probability inside is that of a logit of 6."""
    config = tiny_config(len(vocabulary))
    masks = {vocabulary.query(name, 20).ids: mask for name, mask in known_masks().items()}

    def answer(_: torch.Tensor, words: list[int]) -> np.ndarray:
        return np.where(masks[tuple(words)], 6.0, -6.0)

    return Segmenter(ScriptedEngine(config, answer), vocabulary)


@pytest.fixture(scope="session")
def telling(vocabulary: Vocabulary) -> Segmenter:
    """As ``telling_segmenter``."""
    return telling_segmenter(vocabulary)


def telling_segmenter(vocabulary: Vocabulary) -> Segmenter:
    """Answers ``known_masks`` and a mask for every other expression, and tells that only the known ones fit: with a
    probability of 0.95, the others with 0.05."""
    masks = {vocabulary.query(name, 20).ids: mask for name, mask in known_masks().items() if mask.any()}
    everywhere = np.ones((SIDE, SIDE), bool)

    def answer(_: torch.Tensor, words: list[int]) -> np.ndarray:
        return np.where(masks.get(tuple(words), everywhere), 6.0, -6.0)

    def tell(words: list[int]) -> float:
        return 2.944 if tuple(words) in masks else -2.944

    return Segmenter(ScriptedEngine(tiny_config(len(vocabulary)), answer, tell), vocabulary)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("first.jpg", "second.png")):
        pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


@pytest.fixture
def segment(scripted: Segmenter, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``cmpc segment`` with these masks."""
    monkeypatch.setattr(Segmenter, "load", lambda *_, **__: scripted)
    return lambda *arguments: main(["segment", *map(str, arguments)])
