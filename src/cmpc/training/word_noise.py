"""Noise on the embeddings of words, so that words which mean about the same are answered alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def add_word_noise(embedding: nn.Embedding, share: float) -> None:
    """Adds noise to what an embedding gives while it trains.

    A word's noise has any direction; its length is a share of the embedding's, drawn from 0 to ``share``. Vectors such
    as GloVe's have near each word those that are used like it: a network that learned from a neighbourhood knows them.

    Args:
        embedding: of a network's words.
        share: the most, such as 1.
    """

    def with_noise(module: nn.Module, _: tuple[Tensor, ...], embedded: Tensor) -> Tensor:
        if not module.training:
            return embedded
        direction = torch.nn.functional.normalize(torch.randn_like(embedded), dim=-1)
        length = embedded.norm(dim=-1, keepdim=True) * share * torch.rand_like(embedded[..., :1])
        return embedded + (direction * length).detach()

    embedding.register_forward_hook(with_noise)
