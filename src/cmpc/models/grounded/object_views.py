"""What words are told of objects: how they lie to those that they speak about, which is the second or the nearest."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.grounded.objects import DIRECTIONS, LIES, ObjectFeatures
from cmpc.models.paper.word_types import ExpressionFeatures

RANKS = 4
"""The first to the fourth."""
COUNTED = DIRECTIONS * RANKS + 2
"""Ranks from each side, and the middle one across and away."""
OBJECT_VIEWS = LIES + COUNTED + 3
"""What a word is told of an object: how it lies, which it is when counted from each side, whether it is the nearest or
the farthest, and whether it is meant itself."""
PARTNER_CHANNELS = 32
"""Channels by which a word finds the word for the objects among which it takes the nearest or the farthest."""
NEARNESS = 2.0
"""Factor of distances before the softmax that takes the nearest."""
OBJECT_SCALE = 3.0
"""Factor of what is told of objects, by which it is learned sooner."""


class ObjectViews(nn.Module):
    """Directions, gaps, ranks and extremes among the objects of an image, as each word needs them.

    A word means the objects that it attends to. Those are counted from every side: "second from the left" is a view of
    its own, so that a word has to weigh it and not to find side and number apart. "Nearest" and "farthest" are seen
    from the objects that the word itself means, among those that a partner means: "the cube nearest to the sphere".
    """

    def __init__(self, word_channels: int) -> None:
        super().__init__()
        self.seek_partner = nn.Linear(word_channels, PARTNER_CHANNELS)
        self.be_partner = nn.Linear(word_channels, PARTNER_CHANNELS)

    def forward(
        self, expressions: ExpressionFeatures, attention: Tensor, objects: ObjectFeatures, positions: Tensor
    ) -> Tensor:
        """What the relation words are told of each object: (E, R, object views, K), from 0 to ``OBJECT_SCALE``.

        Args:
            expressions: words of E expressions.
            attention: of the words to the cells, (E, N, S), rows sum to 1.
            objects: of the expressions' images.
            positions: of the relation words, (E, R).
        """
        words = expressions.words
        relating = of_words(words, positions)
        attended = attention @ objects.belonging.mT  # (E, N, K)
        a_cell = attended / objects.belonging.sum(dim=2)[:, None].clamp_min(1.0)  # attention to one of its cells
        usual = (attended * a_cell).sum(dim=2, keepdim=True) / attended.sum(dim=2, keepdim=True).clamp_min(1e-6)
        meant = (a_cell / (usual / 2).clamp_min(1e-6)).clamp(max=1) * objects.existence[:, None]  # (E, N, K)
        attended, meant_here = of_words(attended, positions), of_words(meant, positions)  # (E, R, K) each

        lying = (attended[:, None] @ objects.lying).transpose(1, 2)  # (E, R, ways, K)

        before = (meant_here[:, None] @ objects.before).transpose(1, 2)  # (E, R, directions, K), how many
        numbers = torch.arange(RANKS, device=words.device)[:, None]
        ranks = before[:, :, :, None] - numbers  # zero where it is the one, (E, R, directions, ranks, K)
        middles = before[:, :, 0::2] - before[:, :, 1::2]  # as many on both sides, (E, R, 2, K)
        counted = F.relu(1 - torch.cat([ranks.flatten(2, 3), middles], dim=2).abs()) * meant_here[:, :, None]

        likeness = (self.seek_partner(relating) @ self.be_partner(words).mT).float() / PARTNER_CHANNELS**0.5
        lowest = torch.finfo(likeness.dtype).min
        partner = likeness.masked_fill(~expressions.is_word[:, None], lowest).softmax(dim=2)  # (E, R, N)
        among = (partner @ meant).clamp_min(1e-6).log()  # (E, R, K)
        distance = (attended @ objects.distance) / attended.sum(dim=2, keepdim=True).clamp_min(1e-6)
        extremes = [(among + sign * NEARNESS * distance).softmax(dim=2) for sign in (-1, 1)]

        alone = torch.stack([*extremes, meant_here], dim=2)
        return torch.cat([lying, counted, alone], dim=2) * OBJECT_SCALE


def of_words(values: Tensor, positions: Tensor) -> Tensor:
    """Rows of the relation words: (E, N, D), (E, R) -> (E, R, D)."""
    return values.gather(1, positions[:, :, None].expand(-1, -1, values.shape[2]))
