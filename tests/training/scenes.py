"""Drawn scenes with expressions, a network that trains in seconds, training in a process of its own, what it logged."""

from __future__ import annotations

import csv
import dataclasses
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from cmpc.data.schema import DatasetInfo, ReferredObject, write_dataset
from cmpc.models.config import PRESETS, ModelConfig
from networks import tiny_config

QUICK_RUN = (
    *("--image.size", "64", "--batch-images", "2", "--expressions-per-image", "2", "--log-every", "1"),
    *("--precision", "32", "--accelerator", "cpu"),
)


def tiny_preset() -> ModelConfig:
    """``small`` with few channels."""
    tiny = tiny_config(PRESETS["small"].text.vocabulary_size)
    return dataclasses.replace(tiny, image=PRESETS["small"].image).changed(backbone={"channels": (8, 12, 16, 16)})


def main_with_tiny_preset() -> int:
    """The ``cmpc`` command with ``small`` made tiny."""
    from cmpc.cli import main

    PRESETS["small"] = tiny_preset()
    return main()


def train_process(arguments: Sequence[str | Path], *, launcher: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Starts ``cmpc train`` with a tiny network in a process of its own, or through a launcher such as ``torchrun``."""
    return module_process("training.scenes", ["train", *arguments], launcher=launcher)


def module_process(
    module: str, arguments: Sequence[str | Path], *, launcher: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Starts a module of the tests as a program in a process of its own, or through a launcher."""
    path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, *(launcher or ("-m",)), module, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def losses(run: Path) -> list[list[float]]:
    """Loss, its parts and IoU of each logged step."""
    with (run / "training.csv").open() as file:
        return [
            [float(value) for name, value in row.items() if name not in ("images_per_second", "seconds")]
            for row in csv.DictReader(file)
        ]


def write_scenes(folder: Path, photos: int = 8) -> Path:
    """Prepares a dataset with 6 photos to train on and the others to validate; returns its folder."""
    (folder / "photos").mkdir()
    rows = [row for number in range(photos) for row in scene(folder / "photos", number)]
    splits = {
        "train": [row for row in rows if int(row.image_id) < 6],
        "val": [row for row in rows if int(row.image_id) >= 6],
    }
    write_dataset(folder / "data", DatasetInfo(name="scenes", images="../photos"), splits)
    return folder / "data"


def scene(folder: Path, number: int) -> list[ReferredObject]:
    """A photo with a red box on the left and a blue box on the right, and what is said about them."""
    random = np.random.default_rng(number)
    pixels = random.integers(90, 160, (60, 80, 3)).astype(np.uint8)
    rows = []
    for side, (colour, paint, place) in enumerate([("red", (220, 30, 30), "left"), ("blue", (30, 30, 220), "right")]):
        x, y = int(random.integers(4, 16)) + 40 * side, int(random.integers(5, 25))
        mask = np.zeros((60, 80), np.uint8, order="F")
        mask[y : y + 25, x : x + 18] = 1
        pixels[mask > 0] = paint
        said = {
            f"{colour} box": ("attribute", "entity"),
            f"the box on the {place}": ("unnecessary", "entity", "relation", "unnecessary", "relation"),
            f"{place} one": ("relation", "entity"),
        }
        count = 2 + number % 2
        rows.append(
            ReferredObject(
                ref_id=f"{number}-{side}",
                image_id=str(number),
                image=f"{number}.png",
                height=60,
                width=80,
                rle=coco_mask.encode(mask)["counts"].decode(),
                box=(x, y, 18, 25),
                category="box",
                expressions=tuple(said)[:count],
                word_types=tuple(said.values())[:count],
            )
        )
    Image.fromarray(pixels).save(folder / f"{number}.png")
    return rows


if __name__ == "__main__":
    sys.exit(main_with_tiny_preset())
