"""Whether anything in the image fits the expression. Not in the paper, which takes for granted that something does."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Presence(nn.Module):
    """Looks at the fused map as a whole, and where it answers most, with the sentence in mind."""

    def __init__(self, *, channels: int, sentence_channels: int, hidden_channels: int) -> None:
        """
        Args:
            channels: of the fused map.
            sentence_channels: of the sentence's feature.
            hidden_channels: of the layer between.
        """
        super().__init__()
        self.attend = nn.Linear(channels, 1)
        self.sentence = nn.Linear(sentence_channels, hidden_channels)
        self.found = nn.Linear(2 * channels, hidden_channels)
        self.tell = nn.Linear(hidden_channels, 1)

    def forward(self, fused: Tensor, sentence: Tensor) -> Tensor:
        """
        Args:
            fused: map of E expressions, (E, S, F).
            sentence: their features, (E, W).

        Returns:
            Logits, (E,): positive where something fits.
        """
        attention = self.attend(fused).softmax(dim=1).mT  # (E, 1, S)
        looked_at = torch.cat([(attention @ fused)[:, 0], fused.mean(dim=1)], dim=1)
        told: Tensor = self.tell(F.relu(self.found(looked_at) + self.sentence(sentence)))
        return told[:, 0].float()
