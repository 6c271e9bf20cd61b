"""The stages of an answer, from a model: the same network asked again with parts of the expression unheard."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmpc.data.transforms import Letterbox
from cmpc.errors import UserError
from cmpc.explanation.explanation import Explanation, Graph, Stages, Typing
from cmpc.explanation.regions import OUTSIDE, find_regions, principal_components
from cmpc.models import LEVELS, ExpressionFeatures, ImageFeatures, ModelConfig, ReferringNetwork, SegmentationOutput
from cmpc.models.grounded_reasoning import GroundedMaps
from cmpc.models.network import LevelMaps
from cmpc.models.relation_reasoning import Reasoning
from cmpc.prediction import Prediction

THING = 0.5
"""A thing is where a word is answered at least this part as strongly as anywhere."""
FAINTEST = 0.1
"""Answers below this are no things."""
COMPONENTS = 16
"""Directions of a level's entity features that regions are grown by."""
WORDS_AT_ONCE = 8
"""Words that are asked together, which bounds the memory."""


def check_explainable(config: ModelConfig) -> None:
    """Refuses networks without the stages of the paper.

    Raises:
        UserError: the model is of another kind.
    """
    if config.network != "cmpc":
        raise UserError(f"a model of the kind {config.network} has no stages to explain: give a CMPC model.")


@torch.inference_mode()
def explain(
    model: ReferringNetwork,
    features: ImageFeatures,
    tokens: Tensor,
    image: NDArray[np.uint8],
    prediction: Prediction,
) -> Explanation:
    """The stages of one answer.

    Args:
        model: the network, in evaluation mode.
        features: the image as the network sees it, a batch of one.
        tokens: the words of the expression, (1, N) int64.
        image: the photo, RGB, uint8, (H, W, 3).
        prediction: what the network answers.

    Raises:
        UserError: the network has no stages.
    """
    heard, whole = responses(model, features, tokens, image, prediction)

    def with_graph(stages: Stages, levels: Sequence[str], second_look: GroundedMaps | None = None) -> Stages:
        maps = [whole.maps[level] for level in levels]
        reasoned = [level.reasoning for level in maps] if second_look is None else [second_look]
        graph = _graph(maps, [one for one in reasoned if one is not None], stages.named, heard.square)
        return dataclasses.replace(stages, graph=graph)

    return dataclasses.replace(
        heard,
        network=with_graph(heard.network, LEVELS, whole.second_look),
        levels={level: with_graph(stages, [level]) for level, stages in heard.levels.items()},
    )


@torch.inference_mode()
def responses(
    model: ReferringNetwork,
    features: ImageFeatures,
    tokens: Tensor,
    image: NDArray[np.uint8],
    prediction: Prediction,
) -> tuple[Explanation, SegmentationOutput]:
    """``explain`` without the graphs, whose regions take half of its time; and the answer to the whole expression."""
    check_explainable(model.config)
    typing = Typing(supervised=model.config.word_type_supervision, used=model.config.word_type_gating)
    described = [
        position
        for position, types in enumerate(prediction.word_types)
        if typing.kind(types) in ("entity", "attribute", "described", "word")
    ]
    expression = model.encode_expression(tokens)
    whole = _comprehend(model, features, expression)
    outputs = [whole, _comprehend(model, features, without_relations(expression))]
    for start in range(0, len(described), WORDS_AT_ONCE):
        some = torch.tensor(described[start : start + WORDS_AT_ONCE], device=tokens.device)
        outputs.append(_comprehend(model, features, words_alone(model, tokens[0, some])))
    stages: dict[str, Stages] = {}
    for name in ("network", *LEVELS):
        result, entities, *alone = [values for output in outputs for values in _probabilities(output, name)]
        stages[name] = Stages(dict(zip(described, alone, strict=True)), entities, result, graph=None)
    explanation = Explanation(
        image=image,
        prediction=prediction,
        typing=typing,
        network=stages["network"],
        levels={level: stages[level] for level in LEVELS},
        square=Letterbox.of(image.shape[0], image.shape[1], model.config.image.size),
        upsampling=model.config.upsampling,
    )
    return explanation, whole


def without_relations(expression: ExpressionFeatures) -> ExpressionFeatures:
    """Expressions of which only the entity and attribute words are heard.

    The sentence vector of the necessary words is replaced by the one of the entity and attribute words, and no word is
    relational: all affinities are zero and every cell of the graph receives the mean of all cells; with grounded
    reasoning no word draws.
    """
    return dataclasses.replace(
        expression,
        relation=torch.zeros_like(expression.relation),
        drawing=torch.zeros_like(expression.drawing),
        necessary=expression.entity_attribute,
    )


def words_alone(model: ReferringNetwork, words: Tensor) -> ExpressionFeatures:
    """Each word as an expression of its own, heard as if it were an entity: ids (K,) -> K expressions of one word."""
    alone = model.encode_expression(words[:, None])
    sentence = alone.words[:, 0]  # (K, D), of the norm that sentence vectors have
    return dataclasses.replace(without_relations(alone), entity_attribute=sentence, necessary=sentence)


def _comprehend(
    model: ReferringNetwork, features: ImageFeatures, expressions: ExpressionFeatures
) -> SegmentationOutput:
    first = torch.zeros(len(expressions.words), dtype=torch.int64, device=expressions.words.device)
    return model.comprehend(features, expressions, first)


def _probabilities(output: SegmentationOutput, name: str) -> list[NDArray[np.float32]]:
    """Of each expression, (h, w), as the whole network (``network``) or one level alone scores it."""
    scores = output.scores if name == "network" else output.maps[name].side_scores
    return list(scores.float().sigmoid().cpu().numpy())


def _graph(
    levels: list[LevelMaps],
    reasoned: list[Reasoning | GroundedMaps],
    named: NDArray[np.float32],
    square: Letterbox,
) -> Graph | None:
    """The mean of some graphs between the regions of some levels, for the first expression; None without a graph."""
    if not reasoned:
        return None
    weights = [_weights(one) for one in reasoned]
    nodes = [principal_components(maps.entities[0].float().cpu().numpy(), COMPONENTS) for maps in levels]
    inside = cells_of_photo(square, *nodes[0].shape[1:])
    on_cells = cv2.resize(named, inside.shape[::-1], interpolation=cv2.INTER_AREA)
    regions, things = find_regions(np.concatenate(nodes), inside, things=on_cells >= max(THING * named.max(), FAINTEST))
    return Graph(
        listening=np.mean([listening for listening, _ in weights], axis=0),
        speaking=np.mean([speaking for _, speaking in weights], axis=0),
        regions=regions,
        things=things,
        shares=np.mean([region_shares(listening, speaking, regions) for listening, speaking in weights], axis=0),
    )


def _weights(reasoned: Reasoning | GroundedMaps) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``listening`` and ``speaking`` of the first expression, (N, h, w) each."""
    grid = reasoned.features.shape[2:]
    listening, speaking = (
        weights[0].mT.unflatten(1, grid).float().cpu().numpy()
        for weights in (reasoned.cell_to_words, reasoned.word_to_cells)
    )
    return listening, speaking


def region_shares(
    listening: NDArray[np.float32], speaking: NDArray[np.float32], regions: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Messages between regions, from the factors of the adjacency, which is never formed.

    Args:
        listening: (N, h, w), sums to 1 over N.
        speaking: (N, h, w), sums to 1 over h x w.
        regions: labels 0..R-1, -1 outside, (h, w).

    Returns:
        ``Graph.shares``, (N, R, R).
    """
    member = np.arange(regions.max() + 1)[:, None] == regions[regions != OUTSIDE]  # (R, cells inside)
    heard = listening[:, regions != OUTSIDE] @ member.T / member.sum(axis=1)  # (N, R): mean over the cells
    sent = speaking[:, regions != OUTSIDE] @ member.T  # (N, R): sum over the cells
    return np.einsum("tr,tq->trq", heard, sent).astype(np.float32)


def cells_of_photo(square: Letterbox, height: int, width: int) -> NDArray[np.bool_]:
    """Which cells of a grid over the network's square have their centre in the photo, (height, width).

    A photo so thin that it holds no centre keeps the row or column next to its middle.
    """
    rows = _centres_within(square.rows, height, square.size)
    columns = _centres_within(square.columns, width, square.size)
    return rows[:, None] & columns[None, :]


def _centres_within(part: slice, cells: int, size: int) -> NDArray[np.bool_]:
    centres = (np.arange(cells) + 0.5) * size / cells
    within = (centres >= part.start) & (centres < part.stop)
    if not within.any():
        within[np.abs(centres - (part.start + part.stop) / 2).argmin()] = True
    return within
