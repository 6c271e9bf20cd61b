"""Sound files that cases spoil."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WORDS = ("<pad>", "<go>", "<eos>", "<unk>", "the", "left", "man", "red", "box", "blue", "on", "right", "one", "place")


def write_photo(path: Path, width: int = 80, height: int = 60) -> Path:
    """A photo with a red block on grey, in the format that its name says."""
    pixels = np.full((height, width, 3), 120, np.uint8)
    pixels[height // 4 : height // 2, width // 4 : width // 2] = (220, 30, 30)
    Image.fromarray(pixels).save(path)
    return path


def write_model(folder: Path) -> Path:
    """A model folder with random weights for 64 x 64 pixels."""
    shutil.copytree(_model(), folder)
    return folder


def write_config(folder: Path, change: Mapping[str, Mapping[str, Any]]) -> Path:
    """A model folder whose ``config.json`` has other values in some parts: ``{"image": {"size": -1}}``."""
    write_model(folder)
    path = folder / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    for part, fields in change.items():
        values["model"][part].update(fields)
    path.write_text(json.dumps(values), encoding="utf-8")
    return folder


def write_prepared(folder: Path) -> Path:
    """A prepared dataset: the splits train (6 photos) and val (2 photos); the photos lie beside it."""
    shutil.copytree(_scenes(), folder.parent, dirs_exist_ok=True)
    if folder.name != "data":
        (folder.parent / "data").rename(folder)
    return folder


@functools.cache
def _kept() -> Path:
    keep = tempfile.TemporaryDirectory(prefix="cmpc-robustness-")
    _KEPT.append(keep)  # it lasts as long as this process
    return Path(keep.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


@functools.cache
def _model() -> Path:
    import torch

    from cmpc.data.vocabulary import Vocabulary
    from cmpc.model_folder import save_model_folder
    from cmpc.models.build import build_network
    from networks import tiny_config

    torch.manual_seed(3)
    folder = _kept() / "model"
    save_model_folder(folder, build_network(tiny_config(len(WORDS))), Vocabulary(WORDS))
    return folder


@functools.cache
def _scenes() -> Path:
    from training.scenes import write_scenes

    folder = _kept() / "scenes"
    folder.mkdir()
    write_scenes(folder)
    return folder
