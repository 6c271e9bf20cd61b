"""Renews the pictures of the documentation that show what the model that ships answers.

python examples/documentation_pictures.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import cmpc
from cmpc.answers.overlay import overlay, with_legend
from cmpc.explanation import save
from cmpc.files import atomic_file

EXAMPLES = Path(cmpc.__file__).parent / "weights" / "examples"
IMAGES = Path(__file__).parents[1] / "docs" / "images"
ASKED = {
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
EXPLAINED = ("scene-4", "the purple cylinder next to the rubber cross")
GAP = 12
"""White pixels between scenes."""


def main() -> int:
    """Writes ``shipped-model.jpg`` and ``explanation.png``."""
    segmenter = cmpc.load()
    scenes: list[np.ndarray] = []
    for name, expressions in ASKED.items():
        image = np.asarray(Image.open(EXAMPLES / f"{name}.jpg").convert("RGB"))
        predictions = segmenter.predict(expressions, image=image)
        legend = [f"{prediction.expression} ({prediction.score:.2f})" for prediction in predictions]
        scenes += [
            with_legend(overlay(image, [prediction.mask for prediction in predictions]), legend),
            np.full((1, GAP, 3), 255, np.uint8),
        ]
    height = max(len(scene) for scene in scenes)
    columns = [np.pad(scene, ((0, height - len(scene)), (0, 0), (0, 0)), constant_values=255) for scene in scenes[:-1]]
    with atomic_file(IMAGES / "shipped-model.jpg") as file:
        Image.fromarray(np.concatenate(columns, axis=1)).save(file, quality=88)
    name, expression = EXPLAINED
    save(segmenter.explain(expression, image=EXAMPLES / f"{name}.jpg"), IMAGES / "explanation.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
