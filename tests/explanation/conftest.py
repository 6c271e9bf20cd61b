"""What the tests of explanations share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import cmpc
from cmpc.models.build import build_network
from cmpc.models.paper.relation_reasoning import RelationAwareReasoning
from cmpc.segmenter import Segmenter

MakeSegmenter = Callable[..., Segmenter]


@pytest.fixture
def make_segmenter(tiny_model_folder: Path) -> MakeSegmenter:
    """Gives a segmenter of the tiny model with fields of its network changed, and random weights.

    ``word_type`` makes every word of that type: 0 entity, 1 attribute, 2 relation, 3 unnecessary.
    """

    def make(*, word_type: int | None = None, **changes: Any) -> Segmenter:
        plain = cmpc.load(tiny_model_folder)
        torch.manual_seed(11)
        model = build_network(plain.model.config.changed(network=changes))
        with torch.no_grad():
            for level in model.levels.values():  # strong affinities, so that a graph has something to say
                if isinstance(level.relation_reasoning, RelationAwareReasoning):
                    level.relation_reasoning.project_words.weight.mul_(8)
            if word_type is not None:
                model.language.word_type.weight.zero_()
                # Not more for relations: the rest of the probability makes the entity vector, which must not vanish.
                model.language.word_type.bias[word_type] = 8.0 if word_type == 2 else 60.0
        return Segmenter(model, plain.vocabulary)

    return make
