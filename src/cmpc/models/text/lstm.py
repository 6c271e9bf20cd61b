"""From words to features: embedding and LSTM (paper, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cmpc.models.config import LSTMConfig
from cmpc.models.normalisation import unit_norm


class LSTMEncoder(nn.Module):
    """Embedding and one LSTM: a feature for each word, in the light of the words before it.

    Where both directions are read, a second LSTM comes from the end, and half of a feature's channels know of the words
    after it: a relation then knows the entity that it leads to.

    The LSTM has the forget bias of TensorFlow's ``BasicLSTMCell`` folded into its bias. Its second bias, which PyTorch
    adds to the first, stays zero: trained, it would double every step of the bias.
    """

    reverse_lstm: nn.LSTM | None

    def __init__(self, config: LSTMConfig, *, feature_scale: float) -> None:
        super().__init__()
        self.width = config.word_channels
        self.feature_scale = feature_scale
        self.embedding = nn.Embedding(config.vocabulary_size, config.embedding_channels)
        units = config.word_channels // 2 if config.both_directions else config.word_channels
        self.lstm = nn.LSTM(config.embedding_channels, units, batch_first=True)
        self.reverse_lstm = None
        if config.both_directions:
            self.reverse_lstm = nn.LSTM(config.embedding_channels, units, batch_first=True)
        for lstm in self.lstms:
            lstm.get_parameter("bias_hh_l0").requires_grad_(False)

    @property
    def lstms(self) -> list[nn.LSTM]:
        """The one LSTM, or those of both directions."""
        return [self.lstm] if self.reverse_lstm is None else [self.lstm, self.reverse_lstm]

    def encode_words(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """As ``TextEncoder.encode_words``; a token is a word."""
        is_word = tokens != 0
        states, _ = self.lstm(self.embedding(tokens))  # (E, N, D), or half of D where both directions are read
        if self.reverse_lstm is not None:
            last = is_word.sum(dim=1, keepdim=True) - 1
            mirrored = (last - torch.arange(tokens.shape[1], device=tokens.device)).clamp_min(0)  # (E, N)
            reverse, _ = self.reverse_lstm(self.embedding(tokens.gather(1, mirrored)))
            reverse = reverse.gather(1, mirrored[:, :, None].expand(-1, -1, reverse.shape[2]))
            states = torch.cat([states, reverse], dim=2)
        return unit_norm(states, self.feature_scale) * is_word[:, :, None], is_word

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
