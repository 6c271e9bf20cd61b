"""Relation-aware reasoning for scenes where places matter: words are grounded in cells, relations know where cells lie.

Not in the paper. Its graph lets the cells that answer to a relational word hear each other, all alike. Here a word
first looks for what it speaks about, "left of the cube" for the cube, and then says of every cell and every object how
it lies to that and how alike it is, and of objects their rank ("the second from the left"). Where data say
what words speak about, as Blocks does, this look is learned from them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.aspects import ASPECTS, CLASSES
from cmpc.models.language import ExpressionFeatures
from cmpc.models.normalisation import joint_layer_norm, unit_norm
from cmpc.models.object_views import OBJECT_VIEWS, ObjectViews, of_speakers
from cmpc.models.objects import ObjectFeatures

EDGES = (-0.5, -0.15, 0.0, 0.15, 0.5)
"""Where one class of distances along an axis ends and the next begins; the map is 2 wide and 2 high."""
EDGE_WIDTH = 0.06
"""How softly a class ends."""
PLACES = (len(EDGES) + 1) ** 2
"""Classes of how a cell lies to another one: those of both axes."""
VIEWS = PLACES + 2 * ASPECTS
"""What a word is told of a cell: its places, and in each aspect how alike it is and how it compares otherwise."""
FIELDS = 32
"""Maps that words draw around what they speak about."""
ECHOES = 8
"""Maps of where what words speak about is itself."""
SPEAKERS = 10
"""Most words of an expression that draw fields: the surest relations and attributes."""
ECHO_SCALE = 0.125
"""Factor that brings the echoes, which are not bounded as attention is, to the size of the fields."""
SHARPNESS = 0.75
"""Factor of the products between words and cells before the softmax."""


@dataclass(frozen=True)
class GroundedMaps:
    """Result of grounded reasoning on one level; S = H * W cells, N words, R of which draw F fields."""

    features: Tensor
    """Features after the messages, unit norm over C: (E, C, H, W)."""
    word_to_cells: Tensor
    """How each word spreads over the cells that it speaks about, columns sum to 1: (E, S, N)."""
    speakers: Tensor
    """Positions of the words that draw fields, (E, R)."""
    weights: Tensor
    """How each of them weighs places and comparisons, (E, R, views, F)."""
    views: Tensor
    """How each cell lies to, and how alike it is to, what they speak about, (E, R, views, S)."""
    object_weights: Tensor
    """How each of them weighs what it is told of objects, (E, R, object views, F)."""
    object_views: Tensor
    """What it is told of each object, (E, R, object views, K)."""
    belonging: Tensor
    """How much each cell shows each object, (E, K, S)."""

    @property
    def cell_to_words(self) -> Tensor:
        """How each cell spreads over the words that it hears, by the size of what they draw: (E, S, N)."""
        of_objects = self.object_weights.mT @ self.object_views @ self.belonging[:, None]  # (E, R, F, S)
        drawn = F.relu(self.weights.mT @ self.views + of_objects).sum(dim=2)  # (E, R, S)
        heard = drawn.new_zeros(len(drawn), self.word_to_cells.shape[2], drawn.shape[2])
        heard = heard.scatter_add(1, self.speakers[:, :, None].expand_as(drawn), drawn).mT  # (E, S, N)
        return heard / heard.sum(dim=2, keepdim=True).clamp_min(torch.finfo(heard.dtype).tiny)


class GroundedReasoning(nn.Module):
    """Messages that know where they come from: each word attends to cells and draws fields around them.

    The adjacency of a word w is ``A_w(v, u) = attention_w(u) * k_w(v, u)``: what cell v takes from cell u depends on
    how v lies to u and on how they compare, as the word says. Products of classes of distances along both axes describe
    the places, so that they cost two small products a word. In each aspect u and v are alike as far as they share a
    class ("the same colour as"), and compare otherwise by a learned table of pairs of classes ("larger than").

    What an image is made of is gathered from cells into objects, among which directions, gaps, numbers and extremes are
    told exactly; what is told of an object holds for all its cells.
    """

    def __init__(
        self, *, channels: int, seen_channels: int, key_channels: int, word_channels: int, feature_scale: float
    ) -> None:
        """
        Args:
            channels: of the features of a cell.
            seen_channels: of what words look at.
            key_channels: of the codes by which words find cells.
            word_channels: of the features of a word.
            feature_scale: norm of the features of a cell.
        """
        super().__init__()
        self.feature_scale = feature_scale
        self.ground_cells = nn.Conv2d(seen_channels, key_channels, 1)
        self.ground_words = nn.Linear(word_channels, key_channels)
        self.pairs = nn.Conv2d(ASPECTS * CLASSES, ASPECTS * CLASSES, 1, groups=ASPECTS, bias=False)
        self.field_weights = nn.Linear(word_channels, VIEWS * FIELDS)
        self.object_weights = nn.Linear(word_channels, OBJECT_VIEWS * FIELDS)
        self.objects = ObjectViews(word_channels)
        self.echo_weights = nn.Linear(word_channels, ECHOES)
        self.spread = nn.Conv2d(FIELDS + ECHOES, channels, 1)
        self.update = nn.Conv2d(channels, channels, 1)
        self.update_norm = joint_layer_norm(channels)

    def keys(self, seen: Tensor) -> Tensor:
        """The codes by which words find cells: (B, C', H, W) -> (B, G, S)."""
        return self.ground_cells(seen).flatten(2)

    def forward(
        self,
        entities: Tensor,
        expressions: ExpressionFeatures,
        keys: Tensor,
        aspects: Tensor,
        objects: ObjectFeatures,
        image_index: Tensor,
    ) -> GroundedMaps:
        """
        Args:
            entities: multimodal features from entity perception, (E, C, H, W).
            expressions: words of E expressions and their types.
            keys: codes of what words look at for each expression, (E, G, S).
            aspects: shares of the classes of their cells, (B, aspects, classes, H, W).
            objects: of the B images.
            image_index: the image of each expression, (E,) int64.
        """
        height, width = entities.shape[2:]
        words, objects = expressions.words, objects.select(image_index)
        affinity = (self.ground_words(words) @ keys).float() * SHARPNESS  # (E, N, S)
        attention = affinity.softmax(dim=2)

        gate, speakers = drawing_words(expressions)  # (E, R) twice
        gate = gate[:, :, None, None].to(words.dtype)
        speaking = of_speakers(words, speakers)  # (E, R, D)
        sources = of_speakers(attention, speakers).to(words.dtype)  # (E, R, S)
        weights = self.field_weights(speaking).unflatten(2, (VIEWS, FIELDS)) * gate  # (E, R, views, fields)
        places = spread_over_places(sources, (height, width))  # (E, R, places, S)
        views = torch.cat([places, self._compare(sources, aspects, image_index)], dim=2)  # (E, R, views, S)
        fields = weights.flatten(1, 2).mT @ views.flatten(1, 2)  # (E, fields, S)

        object_weights = self.object_weights(speaking).unflatten(2, (OBJECT_VIEWS, FIELDS)) * gate
        object_views = self.objects(expressions, attention, objects, speakers).to(words.dtype)
        of_objects = object_weights.flatten(1, 2).mT @ object_views.flatten(1, 2)  # (E, fields, K)
        belonging = objects.belonging.to(words.dtype)
        fields = F.relu(fields + of_objects @ belonging)

        weights_of_echoes = self.echo_weights(words) * expressions.is_word[:, :, None]  # (E, N, echoes)
        echoes = F.relu(weights_of_echoes.mT @ affinity.to(words.dtype)) * ECHO_SCALE  # (E, echoes, S)
        drawn = torch.cat([fields, echoes], dim=1).unflatten(2, (height, width))
        features = F.relu(entities + self.spread(drawn))
        features = F.relu(self.update_norm(self.update(features)))  # (E, C, H, W)
        features = unit_norm(features, dim=1, scale=self.feature_scale)
        return GroundedMaps(features, attention.mT, speakers, weights, views, object_weights, object_views, belonging)

    def _compare(self, sources: Tensor, aspects: Tensor, image_index: Tensor) -> Tensor:
        """How each cell compares to what words attend to: (E, R, S) -> (E, R, 2 * aspects, S)."""
        classes = aspects.flatten(3)  # (B, aspects, classes, S)
        paired = self.pairs(aspects.flatten(1, 2)).view_as(classes)
        sent = sources[:, None] @ classes[image_index].mT  # (E, aspects, R, classes)
        compared = [sent @ received[image_index] for received in (classes, paired)]  # (E, aspects, R, S) twice
        return torch.cat(compared, dim=1).transpose(1, 2)


def drawing_words(expressions: ExpressionFeatures) -> tuple[Tensor, Tensor]:
    """The words that draw fields: how much each is a relation or an attribute, and its position, (E, R) each."""
    filled = F.pad(expressions.drawing, (0, SPEAKERS))  # a short expression has zeros in the place of words
    gate, positions = filled.topk(SPEAKERS, dim=1)
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
