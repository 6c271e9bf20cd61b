"""Renews the pictures of the documentation that show what the models that ship answer.

python examples/documentation_pictures.py
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import cmpc
from cmpc.answers.overlay import overlay, with_legend
from cmpc.explanation import save
from cmpc.files import atomic_file
from cmpc.weights import SHIPPED_EXAMPLES

IMAGES = Path(__file__).parents[1] / "docs" / "images"
PHOTOS = {
    "giraffes": ("the left giraffe", "the right giraffe"),
    "dog": ("the dog",),
    "motorcycle": ("the motorcycle", "the man"),
    "cats": ("the left cat", "the right cat"),
    "elephant": ("the elephant", "the man next to the elephant"),
}
BLOCKS = {
    "scene-1": (
        "the star right of the capsule",
        "the tiny red metallic thing",
        "the torus in front of the small red star",
    ),
    "scene-2": (
        "the cone behind the purple cone",
        "the arch right of the blue arch",
        "the cone in front of the purple cone",
    ),
    "scene-4": (
        "the purple cylinder next to the rubber cross",
        "the cylinder in front of the large green cylinder",
        "the big orange thing",
    ),
}
"""Expressions about some of the examples that come with the page."""
FIRST_MASKS = ("elephant", ("the elephant", "the man"))
"""What the README asks first."""
EXPLAINED = {"photos": ("elephant", "the man next to the elephant"), "blocks": ("scene-4", BLOCKS["scene-4"][0])}
CUT_OUT = (
    "scene-3",
    ("the metal cone next to the white shiny object", "the cone nearest to the blue matte object", "the capsule"),
)
HEIGHT = 320
GAP = 12
"""White pixels between pictures."""


def main() -> int:
    """Writes ``photos.jpg``, ``first-masks.jpg``, ``shipped-model.jpg`` and the explanations, ``cutouts.png``."""
    write_row("photos", PHOTOS, "photos.jpg")
    write_row("photos", dict([FIRST_MASKS]), "first-masks.jpg")
    write_row("blocks", BLOCKS, "shipped-model.jpg")
    for model, (name, expression) in EXPLAINED.items():
        explanation = cmpc.load(model).explain(expression, image=SHIPPED_EXAMPLES[model] / f"{name}.jpg")
        save(explanation, IMAGES / f"explanation-{model}.png")
    with atomic_file(IMAGES / "cutouts.png") as file:
        cutouts().save(file, format="PNG")
    return 0


def write_row(model: str, asked: Mapping[str, Sequence[str]], file_name: str) -> None:
    """A row of pictures with what a model that ships finds in them."""
    segmenter = cmpc.load(model)
    columns: list[np.ndarray] = []
    for name, expressions in asked.items():
        picture = Image.open(SHIPPED_EXAMPLES[model] / f"{name}.jpg").convert("RGB")
        picture = picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT))
        image = np.asarray(picture)
        predictions = segmenter.predict(expressions, image=image)
        legend = [f"{prediction.expression} ({prediction.score:.2f})" for prediction in predictions]
        columns += [
            with_legend(overlay(image, [prediction.mask for prediction in predictions]), legend),
            np.full((1, GAP, 3), 255, np.uint8),
        ]
    height = max(len(column) for column in columns)
    padded = [np.pad(column, ((0, height - len(column)), (0, 0), (0, 0)), constant_values=255) for column in columns]
    with atomic_file(IMAGES / file_name) as file:
        Image.fromarray(np.concatenate(padded[:-1], axis=1)).save(file, quality=88)


def cutouts() -> Image.Image:
    """A scene, its masks, and what they show alone, on the pattern that stands for transparency."""
    name, expressions = CUT_OUT
    scene = Image.open(SHIPPED_EXAMPLES["blocks"] / f"{name}.jpg").convert("RGB")
    predictions = cmpc.load("blocks").predict(expressions, image=scene, refine="guided")
    things = [thing for thing in (prediction.cutout(scene) for prediction in predictions) if thing is not None]
    side, room = max(thing.width for thing in things) + GAP, scene.height // len(things)
    rows, columns = np.mgrid[: scene.height, :side] // 8
    pattern = Image.fromarray(np.where((rows + columns) % 2, 235, 255).astype(np.uint8))
    picture = Image.new("RGB", (2 * scene.width + 2 * GAP + side, scene.height), "white")
    picture.paste(scene, (0, 0))
    drawn = overlay(np.asarray(scene), [prediction.mask for prediction in predictions])
    picture.paste(Image.fromarray(drawn), (scene.width + GAP, 0))
    picture.paste(pattern, (picture.width - side, 0))
    for number, thing in enumerate(things):
        thing.thumbnail((side, room - 8))
        left, top = picture.width - (side + thing.width) // 2, number * room + (room - thing.height) // 2
        picture.paste(thing, (left, top), thing)
    return picture


if __name__ == "__main__":
    sys.exit(main())
