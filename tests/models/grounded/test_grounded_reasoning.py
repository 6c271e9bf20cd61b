"""Words that are grounded in cells, and relations that know where cells lie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cmpc.models.build import build_network
from cmpc.models.config import GroundedConfig, ModelConfig, with_network
from cmpc.models.grounded.aspects import ASPECTS, CLASSES, Aspects
from cmpc.models.grounded.reasoning import EDGES, PLACES, GroundedReasoned, place_classes, spread_over_places
from networks import tiny_config

GRID = (3, 5)


def test_places_are_those_of_a_loop_over_pairs_of_cells() -> None:
    generator = torch.Generator().manual_seed(0)
    sources = torch.rand(2, 4, 15, generator=generator).softmax(dim=2)
    spread = spread_over_places(sources, GRID)
    assert spread.shape == (2, 4, PLACES, 15)
    down, across = place_classes(3, like=sources), place_classes(5, like=sources)
    expected = torch.zeros(2, 4, PLACES, 15)
    for to in range(15):
        for of in range(15):
            pair = across[of % 5, to % 5, :, None] * down[of // 5, to // 5, None, :]
            expected[..., to] += sources[..., of, None] * pair.flatten()
    torch.testing.assert_close(spread, expected)
    torch.testing.assert_close(spread.sum(dim=2), torch.ones(2, 4, 15))


def test_classes_tell_left_from_right_and_near_from_far() -> None:
    classes = place_classes(20, like=torch.zeros(()))  # cells 0.1 apart
    assert classes[19, 0].argmax() == 0  # cell 0 lies far to the left of cell 19
    assert classes[0, 19].argmax() == len(EDGES)
    assert classes[10, 7].argmax() == 1
    assert classes[7, 10].argmax() == len(EDGES) - 1
    np.testing.assert_allclose(classes.flip(0, 1, 2), classes, atol=1e-6)  # mirrored


@torch.inference_mode()
def test_cells_hear_the_words_that_draw() -> None:
    torch.manual_seed(3)
    model = build_network(grounded_config()).eval()
    tokens = torch.tensor([[4, 9, 13, 7], [5, 6, 0, 0]])
    output = model(torch.randn(1, 3, 64, 64), tokens, torch.zeros(2, dtype=torch.int64))
    for maps in output.levels.values():
        reasoning = maps.reasoned
        assert isinstance(reasoning, GroundedReasoned)
        torch.testing.assert_close(reasoning.word_to_cells.sum(dim=1), torch.ones(2, 4))
        heard = reasoning.cell_to_words
        assert heard.shape == (2, 64, 4)
        assert (heard >= 0).all()
        sums = heard.sum(dim=2)
        assert ((sums - 1).abs() < 1e-5).logical_or(sums == 0).all()
        assert sums.any()
        assert not heard[1, :, 2:].any()  # padding draws nothing


@torch.inference_mode()
def test_aspects_are_shares_of_classes_on_the_finest_grid() -> None:
    torch.manual_seed(0)
    aspects = Aspects({"c3": 5, "c4": 7})
    shares = aspects({"c3": torch.randn(2, 5, 8, 6), "c4": torch.randn(2, 7, 4, 3)}, (8, 6))
    assert shares.shape == (2, ASPECTS, CLASSES, 48)
    torch.testing.assert_close(shares.sum(dim=2), torch.ones(2, ASPECTS, 48))


@torch.inference_mode()
def test_cells_are_compared_with_what_words_look_at_as_in_a_loop() -> None:
    torch.manual_seed(1)
    model = build_network(grounded_config()).eval()
    tokens = torch.tensor([[4, 9, 13], [5, 6, 0]])
    features = model.encode_image(torch.randn(2, 3, 64, 64))
    index = torch.tensor([1, 0])
    output = model.comprehend(features, model.encode_expression(tokens), index)
    classes = features.maps["aspects"]
    for level, maps in output.levels.items():
        reasoning = maps.reasoned
        assert isinstance(reasoning, GroundedReasoned)
        table = model.get_parameter(f"levels.{level}.relation_reasoning.pairs.weight").view(ASPECTS, CLASSES, CLASSES)
        for expression, aspect in ((0, 0), (1, 3)):
            word = int(reasoning.relation_words[expression, 0])
            looked_at = reasoning.word_to_cells[expression, :, word]
            shares = classes[index[expression], aspect]  # (classes, S)
            views = reasoning.views[expression, 0, PLACES:]
            torch.testing.assert_close(views[aspect], (shares @ looked_at) @ shares)
            torch.testing.assert_close(views[ASPECTS + aspect], (shares @ looked_at) @ table[aspect] @ shares)


def grounded_config(**changes: Any) -> ModelConfig:
    return with_network(tiny_config(20), GroundedConfig, **changes)


@pytest.mark.parametrize("part", ["entity_perception", "word_type_gating", "relation_reasoning"])
def test_parts_that_it_needs_cannot_be_switched_off(part: str) -> None:
    with pytest.raises(ValueError, match=f"grounded reasoning needs {part}"):
        grounded_config(**{part: False})


@torch.inference_mode()
def test_words_look_again_at_what_was_found() -> None:
    """At first a word looks at the image alone; then the other words have changed what it sees."""
    torch.manual_seed(3)
    model = build_network(grounded_config(second_look=True)).eval()
    images, expressions = model.encode_image(torch.randn(1, 3, 64, 64)), model.encode_expression(torch.tensor([[4, 9]]))
    changed = replace(expressions, entity_attribute=expressions.entity_attribute.flip(1))
    index = torch.zeros(1, dtype=torch.int64)
    before, after = (model.comprehend(images, features, index) for features in (expressions, changed))
    for level, maps in before.levels.items():
        first, other = maps.reasoned, after.levels[level].reasoned
        assert first is not None
        assert other is not None
        torch.testing.assert_close(first.word_to_cells, other.word_to_cells)
    first, other = model.last_reasoned(before), model.last_reasoned(after)
    assert first is not None
    assert other is not None
    assert (first.word_to_cells - other.word_to_cells).abs().max() > 1e-4
