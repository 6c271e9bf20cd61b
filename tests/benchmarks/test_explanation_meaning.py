"""The test of meaning on Blocks, tested with models of which the truth is known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from benchmarks.explanation_meaning import Margins, measure
from cmpc.blocks.dataset import SceneRecord, Settings, make_blocks, read_scenes
from cmpc.blocks.grammar import NOUNS
from cmpc.data.vocabulary import Vocabulary, tokenize
from cmpc.errors import UserError
from cmpc.explanation import Explanation
from cmpc.segmenter import EncodedImage, Segmenter
from networks import build, tiny_config


@pytest.fixture(scope="session")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three Blocks images."""
    folder = tmp_path_factory.mktemp("blocks") / "blocks"
    make_blocks(folder, Settings(seed=5, size=64, splits={"test": 3}))
    return folder


@pytest.fixture
def segmenter(blocks: Path) -> Segmenter:
    """Knows the words of Blocks and takes all of them for entities."""
    words = Vocabulary.from_expressions(
        expression.text for scene in read_scenes(blocks, "test") for expression in scene.expressions
    )
    return Segmenter(build(tiny_config(len(words), word_type_gating=False)), words)


class Oracle:
    """Answers a word with the objects that it names, and a whole expression with its target."""

    def __init__(self, segmenter: Segmenter, scenes: list[SceneRecord]) -> None:
        self.segmenter = segmenter
        self.scenes = {scene.image: scene for scene in scenes}

    def set_image(self, image: Path) -> EncodedImage:
        return self.segmenter.set_image(image)

    def explain(self, expression: str, *, image: Path, seen: EncodedImage) -> Explanation:
        scene = self.scenes[f"test/{image.name}"]
        masks = scene.decode_masks()
        target = next(one.target for one in scene.expressions if one.text == expression)
        words = {}
        for position, word in enumerate(tokenize(expression)):
            named = [word in NOUNS[block.shape] for block in scene.scene.blocks]
            words[position] = (0.1 + 0.8 * masks[np.array(named)].any(axis=0)).astype(np.float32)
        plain = self.segmenter.explain(expression, image=image, seen=seen)
        stages = dataclasses.replace(
            plain.network,
            words=words,
            entities=(0.1 + 0.8 * masks.any(axis=0)).astype(np.float32),
            result=(0.1 + 0.8 * masks[target]).astype(np.float32),
        )
        return dataclasses.replace(plain, network=stages)


def test_perfect_stages_give_perfect_figures(segmenter: Segmenter, blocks: Path) -> None:
    scenes = list(read_scenes(blocks, "test"))
    oracle = cast(Segmenter, Oracle(segmenter, scenes))
    figures = measure(oracle, blocks, "test").to_dict()
    nouns, reasoning = figures["nouns"], figures["reasoning"]
    assert figures["images"] == 3
    assert nouns["cases"] > 10
    assert nouns["inside"] == pytest.approx(0.9, abs=1e-3)
    assert nouns["other_objects"] == pytest.approx(0.1, abs=1e-3)
    assert nouns["ground"] == pytest.approx(0.1, abs=1e-3)
    assert nouns["inside_above_other_objects"] == nouns["inside_above_ground"] == 1
    assert reasoning["cases"] == sum(len(one.targets) == 1 for scene in scenes for one in scene.expressions)
    assert reasoning["result"]["margin"] == pytest.approx(2 * np.log(9), abs=1e-2)  # from odds of 1 : 9 to 9 : 1
    assert reasoning["result"]["target_first"] == 1
    assert reasoning["entities"]["margin"] == pytest.approx(0, abs=1e-2)
    assert reasoning["raised_over_entities"] == 1
    families = figures["reasoning_by_family"]
    assert sum(family["cases"] for family in families.values()) == reasoning["cases"]


def test_random_network_is_measured_over_a_split(segmenter: Segmenter, blocks: Path) -> None:
    figures = measure(segmenter, blocks, "test", limit=2).to_dict()
    assert figures["images"] == 2
    assert set(figures["reasoning_by_level"]) == {"c3", "c4", "c5"}
    assert 0 < figures["nouns"]["inside"] < 1
    json.dumps(figures, allow_nan=False)


def test_folder_that_is_no_blocks_dataset_is_refused(segmenter: Segmenter, blocks: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no prepared dataset"):
        measure(segmenter, tmp_path / "nothing", "test")
    with pytest.raises(UserError, match="no scenes of split val"):
        measure(segmenter, blocks, "val")


def test_margin_is_to_the_best_distractor() -> None:
    masks = np.zeros((3, 2, 6), bool)
    for number in range(3):
        masks[number, :, 2 * number : 2 * number + 2] = True
    values = np.repeat(np.array([[0.5, 0.5, 0.9, 0.9, 0.2, 0.2]], np.float32), 2, axis=0)
    margins = Margins()
    margins.add(0, masks, {"named": values, "entities": values, "result": 1 - values})
    figures = margins.to_dict()
    assert figures["entities"] == {"margin": round(-float(np.log(9)), 4), "target_first": 0}
    assert figures["result"]["margin"] == pytest.approx(-np.log(4), abs=1e-3)
    assert figures["raised_over_entities"] == 1
