"""The stages of an answer, from a network: what it answers to the whole expression and to parts of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from itertools import chain
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmpc.answers.prediction import Prediction
from cmpc.conventions import LEVELS
from cmpc.data.transforms import Letterbox
from cmpc.devices import expressions_at_once
from cmpc.engines.engine import Answer
from cmpc.errors import UserError
from cmpc.explanation.explanation import NAMING, Explanation, Stages, Typing
from cmpc.explanation.graph import Attention, make_graph
from cmpc.explanation.regions import principal_components
from cmpc.models.cells import to_map
from cmpc.models.config import CMPCConfig, ModelConfig
from cmpc.models.network import ImageFeatures, ReferringNetwork, SegmentationOutput
from cmpc.models.paper.relation_reasoning import Reasoning
from cmpc.models.paper.word_types import ExpressionFeatures

COMPONENTS = 16
"""Directions of a level's entity features that regions are grown by."""

MakePrediction = Callable[[Answer], Prediction]
"""Makes the prediction of what the network answers to the expression."""


def check_explainable(config: ModelConfig) -> None:
    """Refuses networks without the stages of the paper.

    Raises:
        UserError: the model is of another kind.
    """
    if not isinstance(config.network, CMPCConfig):
        raise UserError(f"a model of the kind {config.network.kind} has no stages to explain: give a CMPC model.")


@torch.inference_mode()
def explain(
    network: ReferringNetwork,
    features: ImageFeatures,
    tokens: Tensor,
    pixels: NDArray[np.uint8],
    make_prediction: MakePrediction,
) -> Explanation:
    """The stages of one answer.

    Args:
        network: in evaluation mode; its numbers may be bf16.
        features: the image as the network sees it, a batch of one.
        tokens: the words of the expression, (1, N) int64.
        pixels: the photo, RGB, uint8, (H, W, 3).
        make_prediction: makes the answer, once, of what the network gives for the whole expression.

    Raises:
        UserError: the network has no stages.
    """
    check_explainable(network.config)
    parts = cast(CMPCConfig, network.config.network)
    typing = Typing(supervised=parts.word_type_supervision, used=parts.word_type_gating)
    expression = network.encode_expression(tokens)
    whole = _comprehend(network, features, expression)
    presence = None if whole.presence is None else float(whole.presence[0])
    prediction = make_prediction(Answer(_numbers(whole.logits)[0], _numbers(whole.word_types)[0], presence))
    naming = [position for position, types in enumerate(prediction.word_types) if typing.kind(types) in NAMING]

    asked = [without_relations(expression)]
    if naming:
        at_once = expressions_at_once(network.config, tokens.device) or len(naming)
        asked += [words_alone(network, words) for words in tokens[0, naming].split(at_once)]
    responses = [_responses(network, whole)]
    responses += [_responses(network, _comprehend(network, features, expressions)) for expressions in asked]
    steps, entities = _attentions(network, whole), _entities(whole)
    letterbox = Letterbox.of(pixels.shape[0], pixels.shape[1], network.config.image.size)

    def stages(name: str) -> Stages:
        result, together, *alone = np.concatenate([some[name] for some in responses])
        words = dict(zip(naming, alone, strict=True))
        without_graph = Stages(words=words, entities=together, result=result, graph=None)
        if not steps[name]:
            return without_graph
        graph = make_graph(steps[name], entities[name], without_graph.named, letterbox)
        return dataclasses.replace(without_graph, graph=graph)

    return Explanation(
        pixels=pixels,
        prediction=prediction,
        typing=typing,
        network=stages("network"),
        levels={level: stages(level) for level in LEVELS},
        letterbox=letterbox,
        upsampling=network.config.network.upsampling,
    )


def without_relations(expressions: ExpressionFeatures) -> ExpressionFeatures:
    """Expressions reduced to their entity and attribute words.

    The sentence vector of the necessary words is replaced by the one of the entity and attribute words, and no word is
    relational: all affinities are zero and every cell of the graph receives the mean of all cells; with grounded
    reasoning no word draws a heat map.
    """
    return dataclasses.replace(
        expressions,
        relation=torch.zeros_like(expressions.relation),
        word_types=torch.zeros_like(expressions.word_types),
        necessary=expressions.entity_attribute,
    )


def words_alone(network: ReferringNetwork, words: Tensor) -> ExpressionFeatures:
    """Each word as an expression of its own, as if it were an entity: ids (K,) -> K expressions of one word."""
    alone = network.encode_expression(words[:, None])
    sentence = alone.words[:, 0]  # (K, D), of the norm that sentence vectors have
    return dataclasses.replace(without_relations(alone), entity_attribute=sentence, necessary=sentence)


def _comprehend(
    network: ReferringNetwork, features: ImageFeatures, expressions: ExpressionFeatures
) -> SegmentationOutput:
    first = torch.zeros(len(expressions.words), dtype=torch.int64, device=expressions.words.device)
    return network.comprehend(features, expressions, first)


def _responses(network: ReferringNetwork, output: SegmentationOutput) -> dict[str, NDArray[np.float32]]:
    """Probabilities, (E, h, w), as the whole network (``network``) and each level alone score E expressions."""
    scores = {"network": output.decoded.scores, **network.side_scores(output)}
    return {name: _numbers(values.float().sigmoid()) for name, values in scores.items()}


def _attentions(network: ReferringNetwork, output: SegmentationOutput) -> dict[str, list[Attention]]:
    """What each level reasons by for one expression, and the whole ``network``; empty lists without reasoning.

    The network's is that of its last step, where it reasons once more after the levels, and else that of all levels.
    """
    found = {
        level: [] if maps.reasoned is None else [_attention(maps.reasoned, output.grid)]
        for level, maps in output.levels.items()
    }
    last = network.last_reasoned(output)
    of_network: Iterable[Attention] = chain(*found.values()) if last is None else [_attention(last, output.grid)]
    return {"network": list(of_network), **found}


def _attention(reasoned: Reasoning, grid: tuple[int, int]) -> Attention:
    return Attention(
        cell_to_words=_numbers(to_map(reasoned.cell_to_words, grid))[0],
        word_to_cells=_numbers(to_map(reasoned.word_to_cells, grid))[0],
    )


def _entities(output: SegmentationOutput) -> dict[str, NDArray[np.float32]]:
    """What tells cells apart in the entity features of each level, and in those of all (``network``): (C, h, w)."""
    found = {
        level: principal_components(_numbers(to_map(maps.entities, output.grid))[0], COMPONENTS)
        for level, maps in output.levels.items()
    }
    return {"network": np.concatenate([*found.values()]), **found}


def _numbers(values: Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy()
