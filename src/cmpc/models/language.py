"""From words to features: embedding, LSTM, the type of each word, and the sentence vectors (paper, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.config import WORD_TYPES
from cmpc.models.normalisation import unit_norm


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
    drawing: Tensor
    """How much each word draws in grounded reasoning: its probability to be a relation or an attribute, (E, N)."""
    entity_attribute: Tensor
    """Sentence vector of the entity and attribute words, unit norm: (E, D). ``valid_lang`` of the original."""
    necessary: Tensor
    """Sentence vector of all but the unnecessary words, unit norm: (E, D). ``nec_lang`` of the original."""

    def select(self, index: Tensor) -> ExpressionFeatures:
        """The expressions at ``index``, (K,) int64."""
        return ExpressionFeatures(**{name: value[index] for name, value in vars(self).items()})


class WordEncoder(nn.Module):
    """Embedding and one LSTM: a feature for each word, in the light of the words before it.

    Where both directions are read, a second LSTM comes from the end, and half of a feature's channels know of the words
    after it: a relation then knows the entity that it leads to.

    The LSTM has the forget bias of TensorFlow's ``BasicLSTMCell`` folded into its bias. Its second bias, which PyTorch
    adds to the first, stays zero: trained, it would double every step of the bias.
    """

    reverse_lstm: nn.LSTM | None

    def __init__(
        self,
        *,
        vocabulary_size: int,
        embedding_channels: int,
        word_channels: int,
        both_directions: bool,
        feature_scale: float,
    ) -> None:
        super().__init__()
        self.feature_scale = feature_scale
        self.embedding = nn.Embedding(vocabulary_size, embedding_channels)
        units = word_channels // 2 if both_directions else word_channels
        self.lstm = nn.LSTM(embedding_channels, units, batch_first=True)
        self.reverse_lstm = nn.LSTM(embedding_channels, units, batch_first=True) if both_directions else None
        for lstm in self.lstms:
            lstm.get_parameter("bias_hh_l0").requires_grad_(False)

    @property
    def lstms(self) -> list[nn.LSTM]:
        """The one LSTM, or those of both directions."""
        return [self.lstm] if self.reverse_lstm is None else [self.lstm, self.reverse_lstm]

    def encode_words(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """
        Args:
            tokens: word ids, (E, N) int64, padded with 0 at the end. What stands after the words changes nothing.

        Returns:
            Features of the words, unit norm, zero at padding, (E, N, D), and which are words, (E, N).
        """
        is_word = tokens != 0
        states, _ = self.lstm(self.embedding(tokens))  # (E, N, D), or half of D where both directions are read
        if self.reverse_lstm is not None:
            last = is_word.sum(dim=1, keepdim=True) - 1
            mirrored = (last - torch.arange(tokens.shape[1], device=tokens.device)).clamp_min(0)  # (E, N)
            reverse, _ = self.reverse_lstm(self.embedding(tokens.gather(1, mirrored)))
            reverse = reverse.gather(1, mirrored[:, :, None].expand(-1, -1, reverse.shape[2]))
            states = torch.cat([states, reverse], dim=2)
        return unit_norm(states, dim=2, scale=self.feature_scale) * is_word[:, :, None], is_word

    def reset_parameters(self) -> None:
        """Initial values of the original: Xavier-uniform kernels, zero biases, forget bias 1."""
        nn.init.normal_(self.embedding.weight, std=0.3)
        for lstm in self.lstms:
            units = lstm.hidden_size
            for name, parameter in lstm.named_parameters():
                if name.startswith("weight"):
                    nn.init.xavier_uniform_(parameter)
                else:
                    nn.init.zeros_(parameter)
                if name == "bias_ih_l0":
                    nn.init.ones_(parameter.data[units : 2 * units])


class LanguageEncoder(WordEncoder):
    """The words, the type of each, and the sentence vectors that the types make of them."""

    def __init__(
        self,
        *,
        vocabulary_size: int,
        embedding_channels: int,
        word_channels: int,
        word_type_channels: int,
        word_type_gating: bool,
        both_directions: bool,
        feature_scale: float,
    ) -> None:
        super().__init__(
            vocabulary_size=vocabulary_size,
            embedding_channels=embedding_channels,
            word_channels=word_channels,
            both_directions=both_directions,
            feature_scale=feature_scale,
        )
        self.word_type_gating = word_type_gating
        self.word_type_hidden = nn.Linear(word_channels, word_type_channels)
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
            drawing=relation + attribute,
            entity_attribute=unit_norm(entity_attribute[:, 0], dim=1, scale=self.feature_scale),
            necessary=unit_norm(necessary[:, 0], dim=1, scale=self.feature_scale),
        )
