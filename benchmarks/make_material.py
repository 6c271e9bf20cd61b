"""Makes what the benchmarks work on, from fixed seeds."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.annotations import WORDS, write_annotations
from benchmarks.cases.programs import run_python
from benchmarks.material import EXPRESSIONS_PER_IMAGE, Material
from cmpc.data.schema import DatasetInfo, write_dataset
from cmpc.data.sources.refer_api import BENCHMARKS, collect
from cmpc.data.vocabulary import EOS, GO, PAD, UNKNOWN, Vocabulary
from cmpc.errors import UserError
from cmpc.files import atomic_folder
from cmpc.model_folder import save_model_folder
from cmpc.models.config import ModelConfig, preset
from cmpc.models.paper.cmpc import CMPC

PHOTOS = 64
HEIGHT, WIDTH = 480, 640
CALIBRATION_IMAGES = 4
"""Photos that int8 takes its ranges from: the speed does not depend on them."""


def make_material(
    material: Material, pieces: Collection[str], *, configs: Mapping[str, ModelConfig] | None = None
) -> None:
    """Makes the pieces that are not there yet.

    Args:
        material: where.
        pieces: which of ``material.PIECES``.
        configs: other networks than the presets ``paper`` and ``small``.
    """
    configs = configs or {name: preset(name) for name in ("paper", "small")}
    if "models" in pieces and not material.models.exists():
        with atomic_folder(material.models) as folder:
            for name, config in configs.items():
                make_model(folder / name, config)
    if {"photos", "dataset", "benchmark"} & {*pieces} and not material.photos.exists():
        with atomic_folder(material.photos) as folder:
            make_photos(folder)
    if "dataset" in pieces and not material.dataset.exists():
        make_dataset(material)
    if "benchmark" in pieces and not material.benchmark.exists():
        with atomic_folder(material.benchmark) as folder:
            write_annotations(
                folder,
                material.photo_files(),
                images=material.benchmark_images,
                expressions=material.benchmark_expressions,
                split="train",
            )
    if "exports" in pieces and not material.exports.exists():
        make_exports(material)


def make_exports(material: Material) -> None:
    """Exports ``paper`` by ``cmpc export``; where that fails, its reason is kept.

    int8 may lose any amount: random weights have no accuracy to keep.
    """
    with atomic_folder(material.exports) as folder:
        for engine in ("onnx", "openvino"):
            for precision in ("fp32", "int8"):
                arguments = ["--model", str(material.model("paper")), "--format", engine, "--precision", precision]
                if precision == "int8":
                    arguments += ["--calibration", str(material.dataset)]
                    arguments += ["--calibration-split", "few", "--test-split", "few", "--greatest-loss", "100"]
                name = folder / material.export(engine, precision).name
                try:
                    run_python(("-m", "cmpc", "export", *arguments, "--out", str(name)))
                except UserError as error:
                    problem = re.sub(r"\S*/", "", str(error))  # without folders of this machine
                    (folder / material.export_problem(engine, precision).name).write_text(problem, encoding="utf-8")


def make_model(folder: Path, config: ModelConfig) -> None:
    """A model folder with random weights; its vocabulary begins with the words of the synthetic expressions."""
    torch.manual_seed(0)
    model = CMPC(config).eval()
    with torch.no_grad():
        for name, value in model.backbone.state_dict().items():
            if name.endswith("bn3.weight"):  # else each of the 33 blocks doubles the variance
                value.fill_(0.2)
    words = [PAD, GO, EOS, UNKNOWN, *WORDS]
    words += [f"word{number}" for number in range(config.text.vocabulary_size - len(words))]
    save_model_folder(folder, model, Vocabulary(tuple(words[: config.text.vocabulary_size])))


def make_photos(folder: Path) -> None:
    """``PHOTOS`` textured JPEGs, about as large as those of COCO (some 160 kB)."""
    for number in range(PHOTOS):
        pixels = textured_photo(np.random.default_rng(number))
        cv2.imwrite(str(folder / f"{number:04d}.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])


def textured_photo(random: np.random.Generator) -> NDArray[np.uint8]:
    """Noise of many scales with a few plain shapes before it, BGR, (HEIGHT, WIDTH, 3)."""
    pixels = np.full((HEIGHT, WIDTH, 3), 120, np.float32)
    for step in (2, 4, 8, 16, 32, 64, 128):
        noise = random.normal(size=(HEIGHT // step + 2, WIDTH // step + 2, 3)).astype(np.float32)
        pixels += 4.0 * step**0.4 * cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    for _ in range(6):
        centre = (int(random.integers(WIDTH)), int(random.integers(HEIGHT)))
        axes = (int(random.integers(20, 120)), int(random.integers(20, 120)))
        cv2.ellipse(pixels, centre, axes, 0, 0, 360, random.integers(0, 255, 3).tolist(), thickness=-1)
    return np.clip(pixels + random.normal(size=pixels.shape) * 10, 0, 255).astype(np.uint8)


def make_dataset(material: Material) -> None:
    """A prepared dataset.

    Split ``val`` has every photo with ``EXPRESSIONS_PER_IMAGE`` expressions, ``few`` the first photos of them.
    """
    photos = material.photo_files()
    annotations = material.folder / "dataset-annotations"
    with atomic_folder(annotations) as folder:
        write_annotations(
            folder, photos, images=len(photos), expressions=EXPRESSIONS_PER_IMAGE * len(photos), split="val"
        )
    collection = collect(BENCHMARKS["unc"], annotations, annotations)
    rows = collection.rows["val"]
    few = [row for row in rows if int(row.image_id) < CALIBRATION_IMAGES]
    info = DatasetInfo("synthetic", images=str(collection.image_folder))
    write_dataset(material.dataset, info, {"val": rows, "few": few})
