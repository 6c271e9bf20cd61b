"""What words are told of objects: how they lie to those that they speak about, which is the second or the nearest."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.language import ExpressionFeatures
from cmpc.models.objects import DIRECTIONS, LIES, ObjectFeatures

OBJECT_VIEWS = LIES + 4
"""What a word is told of an object: how it lies, whether it is the one counted to, the nearest or the farthest, and
whether it is meant itself."""
RANKS = 4
"""The first to the fourth; one more is the middle one."""
PARTNER_CHANNELS = 32
"""Channels by which a word finds the word for the objects among which it takes the nearest or the farthest."""
NEARNESS = 2.0
"""Factor of distances before the softmax that takes the nearest."""
OBJECT_SCALE = 3.0
"""Factor of what is told of objects, by which it is learned sooner."""


class ObjectViews(nn.Module):
    """Directions, gaps, ranks and extremes among the objects of an image, as each word needs them.

    A word means the objects that it attends to. Of those it counts along a direction that it chooses, to a number that
    it chooses: "second from the left". "Nearest" and "farthest" are seen from the objects that the word itself means,
    among those that a partner means: "the cube nearest to the sphere".
    """

    def __init__(self, word_channels: int) -> None:
        super().__init__()
        self.rank_direction = nn.Linear(word_channels, DIRECTIONS)
        self.rank = nn.Linear(word_channels, RANKS + 1)
        self.seek_partner = nn.Linear(word_channels, PARTNER_CHANNELS)
        self.be_partner = nn.Linear(word_channels, PARTNER_CHANNELS)

    def forward(
        self, expressions: ExpressionFeatures, attention: Tensor, objects: ObjectFeatures, speakers: Tensor
    ) -> Tensor:
        """What the words that draw are told of each object: (E, R, object views, K), from 0 to ``OBJECT_SCALE``.

        Args:
            expressions: words of E expressions.
            attention: of the words to the cells, (E, N, S), rows sum to 1.
            objects: of the expressions' images.
            speakers: positions of the words that draw, (E, R).
        """
        words = expressions.words
        speaking = of_speakers(words, speakers)
        attended = attention @ objects.belonging.mT  # (E, N, K)
        a_cell = attended / objects.belonging.sum(dim=2)[:, None].clamp_min(1.0)  # attention to one of its cells
        usual = (attended * a_cell).sum(dim=2, keepdim=True) / attended.sum(dim=2, keepdim=True).clamp_min(1e-6)
        meant = (a_cell / (usual / 2).clamp_min(1e-6)).clamp(max=1) * objects.existence[:, None]  # (E, N, K)
        attended, meant_here = of_speakers(attended, speakers), of_speakers(meant, speakers)  # (E, R, K) each

        lying = (attended[:, None] @ objects.lying).transpose(1, 2)  # (E, R, ways, K)

        counts = (meant_here[:, None] @ objects.before).transpose(1, 2)  # (E, R, directions, K)
        direction = self.rank_direction(speaking).float().softmax(dim=2)[:, :, :, None]
        rank = self.rank(speaking).float().softmax(dim=2)[:, :, :, None]
        before = (direction * counts).sum(dim=2)
        after = (direction * counts.unflatten(2, (2, 2)).flip(3).flatten(2, 3)).sum(dim=2)
        steps = torch.arange(RANKS, device=words.device)[:, None]
        chances = torch.cat([before[:, :, None] - steps, (before - after)[:, :, None]], dim=2)  # (E, R, ranks + 1, K)
        counted_to = (rank * F.relu(1 - chances.abs())).sum(dim=2) * meant_here

        likeness = (self.seek_partner(speaking) @ self.be_partner(words).mT).float() / PARTNER_CHANNELS**0.5
        lowest = torch.finfo(likeness.dtype).min
        partner = likeness.masked_fill(~expressions.is_word[:, None], lowest).softmax(dim=2)  # (E, R, N)
        among = (partner @ meant).clamp_min(1e-6).log()  # (E, R, K)
        distance = (attended @ objects.distance) / attended.sum(dim=2, keepdim=True).clamp_min(1e-6)
        extremes = [(among + sign * NEARNESS * distance).softmax(dim=2) for sign in (-1, 1)]

        alone = torch.stack([counted_to, *extremes, meant_here], dim=2)
        return torch.cat([lying, alone], dim=2) * OBJECT_SCALE


def of_speakers(values: Tensor, speakers: Tensor) -> Tensor:
    """Rows of the words that draw: (E, N, D), (E, R) -> (E, R, D)."""
    return values.gather(1, speakers[:, :, None].expand(-1, -1, values.shape[2]))
