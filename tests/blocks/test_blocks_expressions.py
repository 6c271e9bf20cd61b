"""Every expression about one block says exactly that block, and only the whole expression does."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_blocks_solver import PlainSolver

from cmpc.blocks.expressions import FEWEST, MOST, Describer
from cmpc.blocks.generate import SEEN
from cmpc.blocks.grammar import ADJECTIVES, NOUNS
from cmpc.blocks.meaning import OF_ONE, About, Expression, Meaning, Relation
from cmpc.blocks.placement import MINIMUM_BLOCKS, Palette, sample_scene
from cmpc.blocks.relations import NO, YES
from cmpc.blocks.scene import SHAPES, VALUES, Scene
from cmpc.blocks.solver import Solver, anchors_of, without_relations
from cmpc.conventions import WORD_TYPES
from cmpc.data.vocabulary import tokenize

SCENES = 160


@pytest.fixture(scope="module")
def described() -> list[tuple[Scene, list[Expression]]]:
    found = []
    for number in range(SCENES):
        scene = sample_scene(np.random.default_rng([77, number]), Palette(SEEN))
        if len(scene.blocks) >= MINIMUM_BLOCKS:
            found.append((scene, Describer(scene, Random(number)).expressions(range(len(scene.blocks)))))
    return found


solver_of = lru_cache(maxsize=None)(Solver)


def each(described):
    return ((scene, expression) for scene, expressions in described for expression in expressions)


def test_exactly_one_block_satisfies_each_expression(described) -> None:
    for scene, expression in each(described):
        fits = solver_of(scene).fits(expression.meaning).tolist()
        assert fits.count(YES) == 1, expression
        assert fits.index(YES) == expression.target, expression
        assert set(fits) <= {NO, YES}, f"{expression} is unclear for some block"


def test_an_independent_solver_without_margins_agrees(described) -> None:
    for scene, expression in each(described):
        assert PlainSolver(scene).answers(expression.meaning) == [expression.target], expression


def test_without_the_relational_part_at_least_two_blocks_remain(described) -> None:
    relational = [(s, e) for s, e in each(described) if e.family in ("relation", "chain", "comparison", "location")]
    assert len(relational) > 400
    for scene, expression in relational:
        solver = solver_of(scene)
        remaining = set(np.flatnonzero(solver.fits(without_relations(expression.meaning)) == YES).tolist())
        direct = [a for c in expression.meaning.conditions if isinstance(c, Relation) for a in c.anchors]
        if expression.meaning.choice is not None and expression.meaning.choice.anchor is not None:
            direct.append(expression.meaning.choice.anchor)
        remaining -= {solver.refers_to(anchor) for anchor in direct}
        assert expression.target in remaining, expression
        assert len(remaining) >= 2, expression


def test_each_half_of_a_double_condition_is_needed(described) -> None:
    double = [(s, e) for s, e in each(described) if e.family == "chain" and len(e.meaning.conditions) == 2]
    assert len(double) > 20
    for scene, expression in double:
        for condition in expression.meaning.conditions:
            fits = solver_of(scene).fits(Meaning(expression.meaning.about, (condition,)))
            assert (fits == YES).sum() >= 2, expression


def test_the_inner_relation_of_a_chain_is_needed(described) -> None:
    nested = [(s, e) for s, e in each(described) if e.family == "chain" and len(e.meaning.conditions) < 2]
    assert len(nested) > 20
    for scene, expression in nested:
        anchor = anchors_of(expression.meaning)[0]
        alone = solver_of(scene).fits(Meaning(anchor.about)).tolist()
        assert alone.count(YES) >= 2, expression


def test_anchors_are_phrases_for_one_block(described) -> None:
    for scene, expression in each(described):
        for anchor in anchors_of(expression.meaning):
            assert solver_of(scene).refers_to(anchor) is not None, expression


def test_every_token_has_a_type_and_length_is_2_to_20(described) -> None:
    for _, expression in each(described):
        tokens = tokenize(expression.text)
        assert len(tokens) == len(expression.word_types)
        assert 2 <= len(tokens) <= 20
        assert set(expression.word_types) <= set(WORD_TYPES)


def test_words_name_the_attributes_of_the_meaning_and_no_others(described) -> None:
    words_of = {value: set(words) for value, words in ADJECTIVES.items()}
    words_of |= {shape: set(words) for shape, words in NOUNS.items() if shape is not None}
    for _, expression in each(described):
        said = said_values(expression.meaning)
        text = f" {expression.text} "
        for values in VALUES.values():
            for value in values:
                named = any(f" {word} " in text for word in words_of[value])
                if value in said:
                    assert named, f"{expression.text!r} does not say {value}"
                elif value not in ("medium", "large", "small"):  # "middle" and "big" have other uses
                    assert not named, f"{expression.text!r} says {value}"


def said_values(meaning: Meaning) -> set[str]:
    values = set(meaning.about.said().values())
    for condition in meaning.conditions:
        values |= set() if isinstance(condition, Relation) else set(condition.values)
    return values.union(*(said_values(anchor) for anchor in anchors_of(meaning))) if anchors_of(meaning) else values


def test_entities_attributes_and_relations_are_typed_as_such(described) -> None:
    nouns = {word for words in NOUNS.values() for word in words} - {"shape"}
    adjectives = {word for words in ADJECTIVES.values() for phrase in words for word in phrase.split()}
    adjectives -= {"middle", "big", "sized"}
    for _, expression in each(described):
        for word, kind in zip(tokenize(expression.text), expression.word_types, strict=True):
            if word in nouns:
                assert kind == "entity", (word, expression.text)
            if word in adjectives:
                assert kind == "attribute", (word, expression.text)
            if word in ("the", "please", "is"):
                assert kind == "unnecessary" or expression.family == "chain", (word, expression.text)
        if expression.family in ("relation", "chain"):
            assert "relation" in expression.word_types, expression.text
        if expression.family in ("entity", "attribute"):
            assert "relation" not in expression.word_types, expression.text


def test_all_families_occur_and_images_have_six_to_eight_expressions(described) -> None:
    counts = Counter(expression.family for _, expression in each(described))
    assert set(counts) == set(OF_ONE)
    assert min(counts.values()) > 0.05 * counts.total()
    per_image = [len(expressions) for _, expressions in described]
    assert max(per_image) <= MOST
    assert np.mean([count >= FEWEST for count in per_image]) > 0.95


def test_targets_are_spread_over_shapes_as_blocks_are(described) -> None:
    blocks = Counter(block.shape for scene, _ in described for block in scene.blocks)
    targets = Counter(scene.blocks[expression.target].shape for scene, expression in each(described))
    for shape in SHAPES:
        share, expected = targets[shape] / targets.total(), blocks[shape] / blocks.total()
        assert 0.8 < share / expected < 1.25, shape
        assert 0.06 < share < 0.15, shape


def test_targets_are_spread_over_places_as_blocks_are(described) -> None:
    blocks, targets = Counter(), Counter()
    for scene, expressions in described:
        places = scene.camera.project([block.position for block in scene.blocks])[:, :2]
        cells = [tuple(np.clip(place * 3, 0, 2).astype(int).tolist()) for place in places]
        blocks.update(cells)
        targets.update(cells[expression.target] for expression in expressions)
    assert len(blocks) == 9
    for cell in blocks:
        assert 0.75 < targets[cell] / targets.total() / (blocks[cell] / blocks.total()) < 1.33, cell


def test_the_direction_alone_often_misleads(described) -> None:
    """For "the cube left of the ball" the leftmost cube is the answer in no more than four of five cases."""
    hits = []
    for scene, expression in each(described):
        conditions = expression.meaning.conditions
        if expression.family == "relation" and conditions[0].name in ("left", "right", "front", "behind"):
            solver = solver_of(scene)
            fitting = np.flatnonzero(solver.described(expression.meaning.about))
            order = solver.facts.order[conditions[0].name]
            hits.append(fitting[order[fitting].argmax()] == expression.target)
    assert len(hits) > 40
    assert np.mean(hits) < 0.8


def test_a_scene_gives_the_same_expressions_again(described) -> None:
    scene, expressions = described[3]
    number = next(n for n in range(SCENES) if sample_scene(np.random.default_rng([77, n]), Palette(SEEN)) == scene)
    assert Describer(scene, Random(number)).expressions(range(len(scene.blocks))) == expressions


def test_meanings_survive_a_trip_through_json(described) -> None:
    for _, expression in each(described):
        assert Meaning.from_dict(json.loads(json.dumps(expression.meaning.to_dict()))) == expression.meaning


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_directions_are_never_true_both_ways(seed: int) -> None:
    scene = sample_scene(np.random.default_rng(seed), Palette(SEEN))
    related = Solver(scene).facts.related
    for one, other in (("left", "right"), ("front", "behind"), ("on", "under"), ("larger", "smaller")):
        assert not ((related[one] == YES) & (related[one].T == YES)).any()
        assert not ((related[one] == YES) & (related[other] == YES)).any()
        assert not ((related[one] == YES) & (related[other].T == NO)).any()
    assert not (solver_of(scene).fits(Meaning(About())) != YES).any()
