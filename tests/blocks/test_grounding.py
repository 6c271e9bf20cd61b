"""What the words of an expression speak about."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from cmpc.blocks.dataset import Settings, make_blocks, read_scenes
from cmpc.blocks.expressions import Describer
from cmpc.blocks.generate import SEEN
from cmpc.blocks.grammar import ADJECTIVES, NOUNS
from cmpc.blocks.grounding import ground_words
from cmpc.blocks.meaning import About, Choice, Expression, Lacks, Meaning, Relation
from cmpc.blocks.placement import MINIMUM_BLOCKS, Palette, sample_scene
from cmpc.blocks.scene import Scene
from cmpc.blocks.solver import Solver, anchors_of
from cmpc.data.schema import PreparedDataset
from cmpc.data.vocabulary import tokenize

VALUE_OF = {word: value for value, wordings in ADJECTIVES.items() for words in wordings for word in words.split()}
SHAPE_OF = {noun: shape for shape, nouns in NOUNS.items() if shape for noun in nouns}


@pytest.fixture(scope="module")
def described() -> list[tuple[Scene, Expression]]:
    found = []
    for number in range(80):
        scene = sample_scene(np.random.default_rng([78, number]), Palette(SEEN))
        if len(scene.blocks) >= MINIMUM_BLOCKS:
            expressions = Describer(scene, Random(number)).expressions(range(len(scene.blocks)))
            found += [(scene, expression) for expression in expressions]
    return found


def words_of(scene: Scene, expression: Expression) -> list[tuple[str, str, tuple[int, ...]]]:
    blocks = ground_words(expression.text, expression.word_types, expression.meaning, Solver(scene))
    return list(zip(expression.text.split(), expression.word_types, blocks, strict=True))


def test_looks_are_true_of_what_they_speak_about(described: list[tuple[Scene, Expression]]) -> None:
    for scene, expression in described:
        for word, kind, blocks in words_of(scene, expression):
            for block in (scene.blocks[number] for number in blocks):
                if kind == "entity" and word in SHAPE_OF:
                    assert block.shape == SHAPE_OF[word], expression
                elif kind == "attribute" and word in VALUE_OF and word != "middle":
                    assert VALUE_OF[word] in (block.colour, block.material, block.size), expression


def test_first_phrase_speaks_about_all_that_it_fits_and_relations_about_anchors(
    described: list[tuple[Scene, Expression]],
) -> None:
    families = set()
    for scene, expression in described:
        words, solver = words_of(scene, expression), Solver(scene)
        families.add(expression.family)
        first = next(blocks for _, kind, blocks in words if kind == "entity")
        assert list(first) == np.flatnonzero(solver.described(expression.meaning.about)).tolist(), expression
        anchors = {solver.refers_to(anchor) for anchor in anchors_of(expression.meaning)}
        related = [blocks for _, kind, blocks in words if kind == "relation"]
        assert {number for blocks in related for number in blocks} == anchors, expression
        assert all(related), expression
    assert families == {"entity", "attribute", "location", "relation", "chain", "comparison", "negation"}


def test_words_without_a_block_speak_about_none(described: list[tuple[Scene, Expression]]) -> None:
    for scene, expression in described:
        words = words_of(scene, expression)
        assert not any(blocks for _, kind, blocks in words if kind == "unnecessary"), expression
        if any(isinstance(condition, Lacks) for condition in expression.meaning.conditions):
            denial = next(
                i for i, (word, kind, _) in enumerate(words) if kind == "attribute" and word in ("not", "neither")
            )
            assert words[denial][2] == words[denial + 1][2] == (), expression


def test_two_relations_in_either_order(described: list[tuple[Scene, Expression]]) -> None:
    """Which anchor is which is told by the words, not by the order of the meaning."""
    seen = 0
    for scene, expression in described:
        conditions = expression.meaning.conditions
        if len(conditions) == 2 and all(isinstance(condition, Relation) for condition in conditions):
            swapped = Meaning(expression.meaning.about, conditions[::-1], expression.meaning.choice)
            again = ground_words(expression.text, expression.word_types, swapped, Solver(scene))
            assert [blocks for _, _, blocks in words_of(scene, expression)] == again
            seen += 1
    assert seen > 5


def test_another_meaning_is_refused(described: list[tuple[Scene, Expression]]) -> None:
    scene, _ = described[0]
    types = ("unnecessary", "attribute", "entity")
    with pytest.raises(ValueError, match="'the red cube' does not say its meaning"):
        ground_words("the red cube", types, Meaning(About(shape="cone"), choice=Choice("left")), Solver(scene))


def test_table_holds_what_words_speak_about(tmp_path: Path) -> None:
    make_blocks(tmp_path / "blocks", Settings(seed=3, size=64, splits={"train": 4}))
    scenes = {record.image: record for record in read_scenes(tmp_path / "blocks", "train")}
    for row in PreparedDataset.open(tmp_path / "blocks").read("train"):
        record = scenes[row.image]
        masks, solver = record.decode_masks(), Solver(record.scene)
        meanings = {expression.text: expression.meaning for expression in record.expressions}
        for text, types, grounding in zip(row.expressions, row.word_types, row.grounding, strict=True):
            of_words: dict[int, np.ndarray] = {word: row.decode(one.rle) for one in grounding for word in one.words}
            expected = ground_words(text, types, meanings[text], solver)
            assert sorted(of_words) == [word for word, blocks in enumerate(expected) if blocks]
            assert max(of_words, default=0) < len(tokenize(text))
            for word, mask in of_words.items():
                np.testing.assert_array_equal(mask, masks[list(expected[word])].any(axis=0))
