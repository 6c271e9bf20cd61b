"""Relation-aware reasoning for scenes where places matter: words are grounded in cells, relations know where cells lie.

Not in the paper. Its graph lets the cells that answer to a relational word hear each other, all alike. Here a word
first attends to what it speaks about, "left of the cube" to the cube, and then says of every cell and every object how
it lies to that and how alike it is, and of objects their rank ("the second from the left"). Where data say
what words speak about, as Blocks does, this attention is learned from them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.conventions import WORD_TYPES
from cmpc.models.cells import CellProduct
from cmpc.models.grounded.aspects import ASPECTS, CLASSES
from cmpc.models.grounded.object_views import OBJECT_VIEWS, ObjectViews, of_words
from cmpc.models.grounded.objects import ObjectFeatures
from cmpc.models.normalisation import JointLayerNorm, unit_norm_
from cmpc.models.paper.word_types import ExpressionFeatures

EDGES = (-0.5, -0.15, 0.0, 0.15, 0.5)
"""Where one class of distances along an axis ends and the next begins; the map is 2 wide and 2 high."""
EDGE_WIDTH = 0.06
"""How softly a class ends."""
PLACES = (len(EDGES) + 1) ** 2
"""Classes of how a cell lies to another one: those of both axes."""
VIEWS = PLACES + 2 * ASPECTS
"""What a word is told of a cell: its places, and in each aspect how alike it is and how it compares otherwise."""
HEAT_MAPS = 32
"""Maps that relation words draw around what they speak about."""
AFFINITY_MAPS = 8
"""Maps of where what words speak about is itself."""
RELATION_WORDS = 10
"""Most words of an expression that draw heat maps: the surest relations and attributes."""
AFFINITY_SCALE = 0.125
"""Factor that brings affinities, which are not bounded as attention is, to the size of the heat maps."""
SHARPNESS = 0.75
"""Factor of the products between words and cells before the softmax."""


@dataclass(frozen=True)
class GroundedReasoned:
    """Result of grounded reasoning on one map; S cells, N words, R of which draw M heat maps."""

    features: Tensor
    """Features after the messages, unit norm over C: (E, S, C)."""
    word_to_cells: Tensor
    """Attention of each word over the cells that it speaks about, columns sum to 1: (E, S, N)."""
    relation_words: Tensor
    """Positions of the words that draw heat maps, (E, R)."""
    weights: Tensor
    """How each of them weighs places and comparisons, (E, R, views, M)."""
    views: Tensor
    """How each cell lies to, and how alike it is to, what they speak about, (E, R, views, S)."""
    object_weights: Tensor
    """How each of them weighs what it is told of objects, (E, R, object views, M)."""
    object_views: Tensor
    """What it is told of each object, (E, R, object views, K)."""
    belonging: Tensor
    """How much each cell shows each object, (E, K, S)."""

    @property
    def cell_to_words(self) -> Tensor:
        """Attention of each cell over the words, by the size of what they draw there: (E, S, N)."""
        of_objects = self.object_weights.mT @ self.object_views @ self.belonging[:, None]  # (E, R, M, S)
        drawn = F.relu(self.weights.mT @ self.views + of_objects).sum(dim=2)  # (E, R, S)
        attention = drawn.new_zeros(len(drawn), self.word_to_cells.shape[2], drawn.shape[2])
        attention = attention.scatter_add(1, self.relation_words[:, :, None].expand_as(drawn), drawn).mT  # (E, S, N)
        return attention / attention.sum(dim=2, keepdim=True).clamp_min(torch.finfo(attention.dtype).tiny)


class GroundedReasoning(nn.Module):
    """Messages that know where they come from: each word attends to cells and draws heat maps around them.

    The adjacency of a word w is ``A_w(v, u) = attention_w(u) * k_w(v, u)``: what cell v takes from cell u depends on
    how v lies to u and on how they compare, as the word says. Products of classes of distances along both axes describe
    the places, so that they cost two small products a word. In each aspect u and v are alike as far as they share a
    class ("the same colour as"), and compare otherwise by a learned table of pairs of classes ("larger than").

    What an image is made of is gathered from cells into objects, among which directions, gaps, numbers and extremes are
    told exactly; what is told of an object holds for all its cells.
    """

    def __init__(
        self,
        *,
        channels: int,
        attended_channels: tuple[int, ...],
        key_channels: int,
        word_channels: int,
        feature_scale: float,
    ) -> None:
        """
        Args:
            channels: of the features of a cell.
            attended_channels: of the maps that words attend to.
            key_channels: of the codes by which words find cells.
            word_channels: of the features of a word.
            feature_scale: norm of the features of a cell.
        """
        super().__init__()
        self.feature_scale = feature_scale
        self.ground_cells = CellProduct(*attended_channels, outputs=key_channels)
        self.ground_words = nn.Linear(word_channels, key_channels)
        self.pairs = nn.Conv2d(ASPECTS * CLASSES, ASPECTS * CLASSES, 1, groups=ASPECTS, bias=False)
        self.field_weights = nn.Linear(word_channels, VIEWS * HEAT_MAPS)  # layers have the names of checkpoints
        self.object_weights = nn.Linear(word_channels, OBJECT_VIEWS * HEAT_MAPS)
        self.objects = ObjectViews(word_channels)
        self.echo_weights = nn.Linear(word_channels, AFFINITY_MAPS)
        self.spread = CellProduct(HEAT_MAPS + AFFINITY_MAPS, outputs=channels)
        self.update = CellProduct(channels, outputs=channels)
        self.update_norm = JointLayerNorm(channels)

    def keys(self, *attended: Tensor) -> Tensor:
        """The codes by which words find cells, of the maps that they attend to: (B, S, C') each -> (B, S, G)."""
        keys: Tensor = self.ground_cells(*attended)
        return keys

    def paired(self, aspects: Tensor) -> Tensor:
        """The classes that each cell is compared with: (B, aspects, classes, S) -> (B, aspects, classes, S)."""
        table = self.pairs.weight.view(ASPECTS, CLASSES, CLASSES)
        return table.to(aspects.dtype) @ aspects

    def forward(
        self,
        entities: Tensor,
        expressions: ExpressionFeatures,
        keys: Tensor,
        aspects: tuple[Tensor, Tensor],
        objects: ObjectFeatures,
        grid: tuple[int, int],
    ) -> GroundedReasoned:
        """
        Args:
            entities: multimodal features from entity perception, (E, S, C).
            expressions: words of E expressions and their types.
            keys: codes of what words attend to, (E, S, G).
            aspects: shares of the classes of the cells and what ``paired`` gave of them, (E, aspects, classes, S) each.
            objects: of the images of the expressions.
            grid: rows and columns of the cells.
        """
        words = expressions.words
        affinity = (self.ground_words(words) @ keys.mT).float() * SHARPNESS  # (E, N, S)
        attention = affinity.softmax(dim=2)

        gate, positions = relation_words(expressions)  # (E, R) twice
        gate = gate[:, :, None, None].to(words.dtype)
        relating = of_words(words, positions)  # (E, R, D)
        sources = of_words(attention, positions).to(words.dtype)  # (E, R, S)
        weights = self.field_weights(relating).unflatten(2, (VIEWS, HEAT_MAPS)) * gate  # (E, R, views, maps)
        views = torch.cat([spread_over_places(sources, grid), _compare(sources, *aspects)], dim=2)  # (E, R, views, S)
        object_weights = self.object_weights(relating).unflatten(2, (OBJECT_VIEWS, HEAT_MAPS)) * gate
        object_views = self.objects(expressions, attention, objects, positions).to(words.dtype)
        of_objects = object_views.flatten(1, 2).mT @ object_weights.flatten(1, 2)  # (E, K, maps)
        belonging = objects.belonging.to(words.dtype)
        heat = views.flatten(1, 2).mT @ weights.flatten(1, 2) + belonging.mT @ of_objects  # (E, S, maps)

        echo_weights = self.echo_weights(words) * expressions.is_word[:, :, None]  # (E, N, affinity maps)
        itself = affinity.mT.to(words.dtype) @ echo_weights * AFFINITY_SCALE  # (E, S, affinity maps)
        features = (entities + self.spread(torch.cat([heat, itself], dim=2).relu_())).relu_()
        features = self.update_norm(self.update(features)).relu_()  # (E, S, C)
        features = unit_norm_(features, self.feature_scale)
        return GroundedReasoned(
            features, attention.mT, positions, weights, views, object_weights, object_views, belonging
        )


def _compare(sources: Tensor, aspects: Tensor, paired: Tensor) -> Tensor:
    """How each cell compares to what words attend to: (E, R, S) -> (E, R, 2 * aspects, S)."""
    sent = sources[:, None] @ aspects.mT  # (E, aspects, R, classes)
    compared = [sent @ received for received in (aspects, paired)]  # (E, aspects, R, S) twice
    return torch.cat(compared, dim=1).transpose(1, 2)


def relation_words(expressions: ExpressionFeatures) -> tuple[Tensor, Tensor]:
    """The words that draw heat maps: how much each is a relation or an attribute, and its position, (E, R) each."""
    types = expressions.word_types
    relating = types[..., WORD_TYPES.index("relation")] + types[..., WORD_TYPES.index("attribute")]  # (E, N)
    filled = F.pad(relating, (0, RELATION_WORDS))  # a short expression has zeros in the place of words
    gate, positions = filled.topk(RELATION_WORDS, dim=1)
    return gate, positions.clamp(max=expressions.words.shape[1] - 1)


def spread_over_places(sources: Tensor, grid: tuple[int, int]) -> Tensor:
    """How much of each map lies in each class of places as seen from a cell: (E, R, S) -> (E, R, places, S)."""
    height, width = grid
    across = place_classes(width, like=sources)  # (W, W, classes)
    down = place_classes(height, like=sources)  # (H, H, classes)
    classes = across.shape[2]
    rows = sources.unflatten(2, grid) @ across.flatten(1)  # (E, R, H, W * classes)
    cells = rows.mT @ down.flatten(1)  # (E, R, W * classes, H * classes)
    cells = cells.unflatten(3, (height, classes)).unflatten(2, (width, classes))  # (E, R, W, across, H, down)
    return cells.permute(0, 1, 3, 5, 4, 2).flatten(4).flatten(2, 3)


def place_classes(cells: int, *, like: Tensor) -> Tensor:
    """Membership of each pair of cells along an axis in each class of distances, (from, to, classes); sums to 1."""
    centres = (torch.arange(cells, device=like.device) * 2 + 1) / cells - 1
    distance = centres[None, :] - centres[:, None]
    beyond = [torch.sigmoid((distance - edge) / EDGE_WIDTH) for edge in EDGES]
    steps = torch.stack([torch.ones_like(distance), *beyond, torch.zeros_like(distance)], dim=2)
    return (steps[:, :, :-1] - steps[:, :, 1:]).to(like.dtype)
