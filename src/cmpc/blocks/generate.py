"""Samples of the benchmark: a scene, its picture and its expressions, each made from (seed, split, index) alone."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np

from cmpc.blocks.absent import describe_absent
from cmpc.blocks.expressions import FEWEST, Describer
from cmpc.blocks.meaning import Expression
from cmpc.blocks.placement import MINIMUM_BLOCKS, Palette, sample_scene
from cmpc.blocks.renderer import CameraView, Rendering
from cmpc.blocks.scene import COLOURS, SHAPES, Scene
from cmpc.blocks.several import describe_several

VERSION = 2
"""Raised whenever the same seed would give other samples."""
_SCENES = 1
"""The version that the scenes, and their expressions about one block, have been the same since."""

SPLITS: dict[str, int] = {"train": 40_000, "val": 2_000, "test": 2_000, "test_unseen": 2_000}
"""Images of each split of the full benchmark."""

UNSEEN = frozenset((shape, COLOURS[(3 * number + 1) % len(COLOURS)]) for number, shape in enumerate(SHAPES))
"""One shape-colour pair for each shape, never shown in train, val and test. All targets of ``test_unseen`` are such."""
SEEN = frozenset((shape, colour) for shape in SHAPES for colour in COLOURS) - UNSEEN

LEAST_AREA = 0.0020
"""Visible part of the image that every block covers at least (74 pixels at 192 x 192)."""
LEAST_VISIBLE = 0.40
"""Share of a block that others leave visible at least."""


@dataclass(frozen=True, slots=True)
class SceneSample:
    """One image of the benchmark."""

    split: str
    index: int
    scene: Scene
    rendering: Rendering
    expressions: tuple[Expression, ...]


def make_sample(seed: int, split: str, index: int, size: int) -> SceneSample:
    """The sample of a split at an index; the same on every call, in every process.

    Scenes in which a block is hidden or tiny, or which give fewer than six expressions about one block, are drawn anew.
    Whether a scene is taken depends on its picture, so other sizes are other benchmarks.
    """
    rng = np.random.default_rng([_SCENES, seed, list(SPLITS).index(split), index])
    palette = Palette(SEEN, UNSEEN) if split == "test_unseen" else Palette(SEEN)
    while True:
        scene = sample_scene(rng, palette)
        targets = [
            number
            for number, block in enumerate(scene.blocks)
            if not palette.featured or (block.shape, block.colour) in palette.featured
        ]
        if len(scene.blocks) < MINIMUM_BLOCKS or len(targets) < 2:
            continue
        describer = Describer(scene, Random(int(rng.integers(2**62))))
        expressions = describer.expressions(targets)
        if len(expressions) < FEWEST:
            continue
        view = CameraView(scene, size)
        seen_enough = view.areas >= LEAST_VISIBLE * view.whole_areas
        if seen_enough.all() and (view.areas >= LEAST_AREA * size * size).all():
            expressions += describe_several(describer, targets)
            # What is never shown is not said to be absent either: that would teach what test_unseen asks for.
            expressions += describe_absent(describer, unsaid=frozenset() if palette.featured else UNSEEN)
            return SceneSample(split, index, scene, view.draw(), tuple(expressions))
