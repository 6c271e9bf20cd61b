"""Expressions that fit several blocks of a scene, and such that fit none."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from random import Random

import numpy as np
import pytest
from plain_blocks_solver import PlainSolver

from cmpc.blocks.absent import describe_absent
from cmpc.blocks.expressions import Describer
from cmpc.blocks.generate import SEEN, UNSEEN
from cmpc.blocks.grammar import ADJECTIVES, NOUNS, NUMBERS, plural
from cmpc.blocks.grounding import ground_words
from cmpc.blocks.meaning import ABSENT, SEVERAL, Expression, Meaning, Relation
from cmpc.blocks.placement import MINIMUM_BLOCKS, Palette, sample_scene
from cmpc.blocks.relations import NO, UNCLEAR, YES
from cmpc.blocks.scene import Scene
from cmpc.blocks.several import describe_several
from cmpc.blocks.solver import Solver, anchors_of, without_relations
from cmpc.conventions import WORD_TYPES
from cmpc.data.vocabulary import tokenize

SCENES = 400

Described = list[tuple[Scene, Expression]]


def describe(number: int) -> tuple[Scene, list[Expression]]:
    scene = sample_scene(np.random.default_rng([79, number]), Palette(SEEN))
    if len(scene.blocks) < MINIMUM_BLOCKS:
        return scene, []
    describer = Describer(scene, Random(number))
    several = describe_several(describer, range(len(scene.blocks)))
    return scene, several + describe_absent(describer, unsaid=UNSEEN)


@pytest.fixture(scope="module")
def described() -> Described:
    return [(scene, one) for scene, found in map(describe, range(SCENES)) for one in found]


def of(described: Described, *families: str) -> Described:
    return [(scene, one) for scene, one in described if one.family in families]


solver_of = lru_cache(maxsize=None)(Solver)


def test_shares_are_about_one_and_one_and_a_half_to_a_scene(described: Described) -> None:
    scenes = sum(len(describe(number)[1]) > 0 for number in range(0, SCENES, 10)) * 10
    counts = Counter(one.family for _, one in described)
    assert set(counts) == {SEVERAL, *ABSENT}
    assert 0.9 < counts[SEVERAL] / scenes < 1.15
    assert 1.25 < sum(counts[family] for family in ABSENT) / scenes < 1.65
    for family in ABSENT:
        assert 0.28 < counts[family] / sum(counts[one] for one in ABSENT) < 0.39, counts


def test_both_solvers_agree_on_every_set(described: Described) -> None:
    for scene, one in described:
        truth = solver_of(scene).fits(one.meaning).tolist()
        assert UNCLEAR not in truth, one
        assert tuple(np.flatnonzero(np.array(truth) == YES)) == one.targets, one
        assert PlainSolver(scene).answers(one.meaning) == list(one.targets), one
        assert len(one.targets) >= 2 if one.family == SEVERAL else not one.targets


def test_numbers_are_true(described: Described) -> None:
    seen = Counter()
    value_of = {"both": 2, **{word: number for number, word in NUMBERS.items()}}
    for _, one in described:
        for word in set(tokenize(one.text)) & set(value_of):
            seen[word] += 1
            assert len(one.targets) == value_of[word], one
    assert min(seen[word] for word in ("both", "two", "three")) > 5, seen


def test_nouns_are_plural_where_several_are_meant_and_singular_in_anchors(described: Described) -> None:
    singular = {noun for nouns in NOUNS.values() for noun in nouns}
    for _, one in of(described, SEVERAL):
        nouns = [word for word, kind in zip(tokenize(one.text), one.word_types, strict=True) if kind == "entity"]
        assert nouns[0] in set(map(plural, singular)), one
        anchors = len(anchors_of(one.meaning))
        assert set(nouns[len(nouns) - anchors :] if anchors else []) <= singular, one


def test_more_than_noun_and_looks_tells_several_where_more_is_said(described: Described) -> None:
    told = [(scene, one) for scene, one in of(described, SEVERAL) if one.meaning.conditions or one.meaning.choice]
    assert len(told) > len(of(described, SEVERAL)) / 3
    for scene, one in told:
        assert set(one.targets) < set(np.flatnonzero(solver_of(scene).described(one.meaning.about)).tolist()), one


def test_plurals_do_not_tell_that_something_is_there(described: Described) -> None:
    plurals = {plural(noun) for nouns in NOUNS.values() for noun in nouns}
    absent = of(described, *ABSENT)
    share = np.mean([bool(plurals & set(tokenize(one.text))) for _, one in absent])
    assert 0.06 < share < 0.2


def phrases(meaning: Meaning) -> list[Meaning]:
    return [meaning, *anchors_of(meaning)]


def test_a_noun_is_missing(described: Described) -> None:
    for scene, one in of(described, "absent noun"):
        shapes = {block.shape for block in scene.blocks}
        assert any(phrase.about.shape not in {None, *shapes} for phrase in phrases(one.meaning)), one


def test_looks_are_missing_of_nouns_that_are_there(described: Described) -> None:
    for scene, one in of(described, "absent looks"):
        shapes = {None, *(block.shape for block in scene.blocks)}
        assert all(phrase.about.shape in shapes for phrase in phrases(one.meaning)), one
        assert any(not solver_of(scene).described(phrase.about).any() for phrase in phrases(one.meaning)), one


def test_every_noun_phrase_is_there_where_only_the_relation_fails(described: Described) -> None:
    negated = 0
    for scene, one in of(described, "absent relation"):
        solver = solver_of(scene)
        anchors = {solver.refers_to(anchor) for anchor in anchors_of(one.meaning)}
        assert anchors, one
        assert None not in anchors, one
        alike = set(np.flatnonzero(solver.fits(without_relations(one.meaning)) == YES).tolist())
        assert alike - anchors, one
        conditions = one.meaning.conditions
        assert conditions, one
        assert all(isinstance(condition, Relation) for condition in conditions), one
        negated += conditions[0].negated
        assert (solver.fits(one.meaning) == NO).all(), one
    assert negated


def test_relations_that_fail_are_said_like_those_that_hold(described: Described) -> None:
    """No relation is a sign of its own that nothing fits."""
    names = Counter()
    for _, one in of(described, "absent relation"):
        names.update(condition.name for condition in one.meaning.conditions)
    for name in ("left", "right", "front", "behind"):
        assert 0.08 < names[name] / names.total() < 0.35, names


def test_pairs_that_are_kept_from_training_are_not_said_to_be_absent(described: Described) -> None:
    for _, one in of(described, *ABSENT):
        assert not {(phrase.about.shape, phrase.about.colour) for phrase in phrases(one.meaning)} & UNSEEN, one


def test_words_have_types_and_speak_about_what_is_there(described: Described) -> None:
    for scene, one in described:
        tokens = tokenize(one.text)
        assert len(tokens) == len(one.word_types)
        assert 2 <= len(tokens) <= 20
        assert set(one.word_types) <= set(WORD_TYPES)
        spoken_of = ground_words(one.text, one.word_types, one.meaning, solver_of(scene))
        kinds = list(zip(tokens, one.word_types, spoken_of, strict=True))
        first = next(blocks for _, kind, blocks in kinds if kind == "entity")
        assert list(first) == np.flatnonzero(solver_of(scene).described(one.meaning.about)).tolist(), one
        assert set(one.targets) <= set(first), one
        assert not any(blocks for _, kind, blocks in kinds if kind == "unnecessary"), one
        for word, kind, blocks in kinds:
            if word in ("both", "all", *NUMBERS.values()):
                assert (kind, blocks) == ("attribute", first), one


def test_words_name_the_colours_of_the_meaning(described: Described) -> None:
    for _, one in described:
        said = {phrase.about.colour for phrase in phrases(one.meaning)} - {None}
        for condition in one.meaning.conditions:
            said |= set() if isinstance(condition, Relation) else set(condition.values)
        tokens = set(tokenize(one.text))
        for colour in ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white"):
            assert bool(tokens & set(ADJECTIVES[colour])) == (colour in said), one


def test_the_same_scene_gives_the_same_again_and_meanings_survive_json(described: Described) -> None:
    assert [one for number in range(20) for one in describe(number)[1]] == [one for _, one in described][
        : sum(len(describe(number)[1]) for number in range(20))
    ]
    for _, one in described:
        assert Meaning.from_dict(json.loads(json.dumps(one.meaning.to_dict()))) == one.meaning


def test_plural_of_every_noun() -> None:
    assert [plural(noun) for noun in ("box", "cross", "arch", "plus", "torus", "cube", "pyramid")] == [
        "boxes", "crosses", "arches", "pluses", "toruses", "cubes", "pyramids",
    ]  # fmt: skip
