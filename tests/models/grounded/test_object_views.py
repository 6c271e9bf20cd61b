"""What words are told of objects: ranks, extremes, and how objects lie to those that they look at."""

from __future__ import annotations

import pytest
import torch

from cmpc.models.grounded.object_views import COUNTED, OBJECT_SCALE, OBJECT_VIEWS, RANKS, ObjectViews
from cmpc.models.grounded.objects import DIRECTIONS, LIES, OBJECTS, ObjectFeatures, find_objects
from cmpc.models.paper.word_types import ExpressionFeatures

CHANNELS = 4
PLACES = [(0.15, 0.2, -3.0, 4.0), (0.4, 0.4, -1.0, 2.0), (0.6, 0.6, 1.5, 0.0), (0.9, 0.8, 3.0, -2.0)]
"""Four blocks from the left behind to the right in front: middle in the image, place on the ground."""


@pytest.fixture
def objects() -> ObjectFeatures:
    """Each block is a cell of the first row, the rest is background."""
    of_cells = torch.zeros(1, 6, 2, 4)
    of_cells[:, 0] = -20
    for column, (across, down, right, away) in enumerate(PLACES):
        of_cells[0, :, 0, column] = torch.tensor([20 - column, across, down, right, away, 0.4])
    return find_objects(of_cells, (2, 4), middle_error=0.025)


def expression_of(words: int) -> ExpressionFeatures:
    features = torch.zeros(1, words, CHANNELS)
    features[0, torch.arange(words), torch.arange(words)] = 1.0
    ones = torch.ones(1, words)
    of_sentence = torch.zeros(1, CHANNELS)
    return ExpressionFeatures(
        features, ones > 0, ones[:, :, None].repeat(1, 1, 4), ones[:, :, None].repeat(1, 1, 4), ones,
        of_sentence, of_sentence,
    )  # fmt: skip


def looking_at(*blocks: list[int]) -> torch.Tensor:
    """Attention of words that look evenly at blocks, (1, N, S)."""
    attention = torch.zeros(1, len(blocks), 8)
    for word, some in enumerate(blocks):
        attention[0, word, some] = 1 / len(some)
    return attention


def tell(views: ObjectViews, objects: ObjectFeatures, attention: torch.Tensor) -> torch.Tensor:
    words = attention.shape[1]
    with torch.inference_mode():
        told = views(expression_of(words), attention, objects, torch.arange(words)[None])
    assert told.shape == (1, words, OBJECT_VIEWS, OBJECTS)
    return told[0] / OBJECT_SCALE


def of_blocks(values: torch.Tensor, objects: ObjectFeatures) -> torch.Tensor:
    """Values of objects, (K,), in the order of the blocks."""
    return (values @ objects.belonging[0])[:4]


@pytest.mark.parametrize(
    ("direction", "rank", "expected"), [(0, 0, 0), (0, 1, 1), (1, 0, 3), (1, 2, 0), (2, 0, 3), (3, 1, 1)]
)
def test_those_that_a_word_looks_at_are_counted_from_every_side(
    objects: ObjectFeatures, direction: int, rank: int, expected: int
) -> None:
    told = tell(ObjectViews(CHANNELS), objects, looking_at([0, 1, 3]))  # the third block is not meant
    counted = of_blocks(told[0, LIES + direction * RANKS + rank], objects)
    assert counted.argmax() == expected
    assert counted[expected] > 0.9
    assert counted.sum() < 1.2
    torch.testing.assert_close(of_blocks(told[0, -1], objects), torch.tensor([1.0, 1, 0, 1]), atol=0.05, rtol=0)


def test_the_middle_one_of_those_that_a_word_looks_at(objects: ObjectFeatures) -> None:
    told = tell(ObjectViews(CHANNELS), objects, looking_at([0, 1, 3]))
    for middle in told[0, LIES + COUNTED - 2 : LIES + COUNTED]:
        torch.testing.assert_close(of_blocks(middle, objects), torch.tensor([0.0, 1, 0, 0]), atol=0.1, rtol=0)


def test_the_nearest_and_the_farthest_of_what_another_word_looks_at(objects: ObjectFeatures) -> None:
    views = ObjectViews(CHANNELS)
    for layer in (views.seek_partner, views.be_partner):
        torch.nn.init.zeros_(layer.weight)
    views.seek_partner.weight.data[0, 0] = views.be_partner.weight.data[0, 1] = 50.0  # the first seeks the second
    told = tell(views, objects, looking_at([0], [1, 2, 3]))
    nearest, farthest = of_blocks(told[0, -3], objects), of_blocks(told[0, -2], objects)
    assert nearest.argmax() == 1
    assert farthest.argmax() == 3
    assert min(nearest[1], farthest[3]) > 0.9


def test_how_objects_lie_to_what_a_word_looks_at(objects: ObjectFeatures) -> None:
    told = tell(ObjectViews(CHANNELS), objects, looking_at([1]))
    right_of = of_blocks(told[0, 1], objects) + of_blocks(told[0, 2], objects)  # or in front of
    torch.testing.assert_close(right_of, torch.tensor([0.0, 0, 1, 1]), atol=0.05, rtol=0)
    torch.testing.assert_close(
        of_blocks(told[0, :DIRECTIONS].sum(dim=0), objects), torch.tensor([1.0, 0, 1, 1]), atol=0.05, rtol=0
    )
    assert of_blocks(told[0, LIES - 1], objects).argmax() == 1
