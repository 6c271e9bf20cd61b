"""A training step as the original makes it: one expression, its image through the backbone, then Adam."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.naive_network import NaiveNetwork
from cmpc.models.paper.cmpc import CMPC


class NaiveTraining:
    """The naive network with the published loss and optimiser."""

    def __init__(self, network: CMPC) -> None:
        """
        Args:
            network: whose weights to begin from; what of it does not train does not train here either.
        """
        self.network = NaiveNetwork.of(network)
        if network.config.backbone.kind != "compact":
            self.network.backbone.requires_grad_(False)
        self.network.language.lstm.bias_hh.requires_grad_(False)
        self.network.train(network.training)
        recurrent = set(self.network.conv_lstm.modules())
        self.kernels = [
            module.weight
            for module in self.network.modules()
            if isinstance(module, nn.Conv2d) and module not in recurrent and module.weight.requires_grad
        ]
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=2.5e-4)

    def loss(self, image: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """The published loss of one expression.

        Args:
            image: normalised, (1, 3, H, W).
            tokens: word ids without padding, (1, N).
            mask: what the expression refers to, bool, (1, H, W).
        """
        output = self.network(image, tokens)
        target = mask.float()
        loss = 0.7 * F.binary_cross_entropy_with_logits(output.logits, target, reduction="sum")
        for logits in output.side_logits.values():
            loss = loss + 0.1 * F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
        for kernel in self.kernels:
            loss = loss + 0.0005 * kernel.square().sum() / 2
        return loss

    def step(self, image: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """One step of training; arguments as ``loss``, which it gives as it was before the step."""
        self.optimizer.zero_grad()
        loss = self.loss(image, tokens, mask)
        loss.backward()
        self.optimizer.step()
        return loss.detach()
