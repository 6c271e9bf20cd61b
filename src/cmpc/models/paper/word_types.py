"""The type of each word, and the sentence vectors that the types make of the words (paper, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.conventions import WORD_TYPES
from cmpc.models.config import LSTMConfig
from cmpc.models.normalisation import unit_norm
from cmpc.models.text.lstm import LSTMEncoder


@dataclass(frozen=True)
class ExpressionFeatures:
    """What the network knows of E expressions of at most N words, before it looks at an image."""

    words: Tensor
    """Feature of each word, unit norm, zero at padding: (E, N, D)."""
    is_word: Tensor
    """False where an expression is padded: (E, N)."""
    word_type_logits: Tensor
    """Scores of the word types, in the order of ``WORD_TYPES``: (E, N, 4)."""
    word_types: Tensor
    """Probability of each type for each word, zero at padding: (E, N, 4)."""
    relation: Tensor
    """How much each word counts as a relation in the graph: its probability, or 1 without word-type gating: (E, N)."""
    entity_attribute: Tensor
    """Sentence vector of the entity and attribute words, unit norm: (E, D). ``valid_lang`` of the original."""
    necessary: Tensor
    """Sentence vector of all but the unnecessary words, unit norm: (E, D). ``nec_lang`` of the original."""

    def select(self, index: Tensor) -> ExpressionFeatures:
        """The expressions at ``index``, (K,) int64."""
        return ExpressionFeatures(**{name: value[index] for name, value in vars(self).items()})


class LanguageEncoder(LSTMEncoder):
    """The words, the type of each, and the sentence vectors that the types make of them.

    It extends the text encoder, and does not hold it, for the names of its weights in checkpoints.
    """

    def __init__(
        self, config: LSTMConfig, *, word_type_channels: int, word_type_gating: bool, feature_scale: float
    ) -> None:
        super().__init__(config, feature_scale=feature_scale)
        self.word_type_gating = word_type_gating
        self.word_type_hidden = nn.Linear(self.width, word_type_channels)
        self.word_type = nn.Linear(word_type_channels, len(WORD_TYPES))

    def forward(self, tokens: Tensor) -> ExpressionFeatures:
        """Word ids, (E, N) int64, padded with 0 at the end."""
        words, is_word = self.encode_words(tokens)  # (E, N, D), (E, N)
        logits = self.word_type(F.relu(self.word_type_hidden(words)))  # (E, N, 4)
        types = logits.float().softmax(dim=2) * is_word[:, :, None]
        entity, attribute, relation, unnecessary = types.unbind(dim=2)
        if self.word_type_gating:
            entity_attribute = (entity + attribute)[:, None, :] @ words.float()  # (E, 1, D)
            necessary = (types.sum(dim=2) - unnecessary)[:, None, :] @ words.float()
        else:
            relation = is_word.to(types.dtype)
            entity_attribute = necessary = words.float().sum(dim=1, keepdim=True)
        return ExpressionFeatures(
            words=words,
            is_word=is_word,
            word_type_logits=logits,
            word_types=types,
            relation=relation,
            entity_attribute=unit_norm(entity_attribute[:, 0], self.feature_scale),
            necessary=unit_norm(necessary[:, 0], self.feature_scale),
        )
