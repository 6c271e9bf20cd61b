"""The yardstick of the benchmarks computes what the network computes."""

from __future__ import annotations

import pytest
import torch

from benchmarks.naive_network import NaiveNetwork
from benchmarks.naive_training import NaiveTraining
from cmpc.data.dataset import Batch
from cmpc.models.config import ModelConfig
from cmpc.models.paper.cmpc import CMPC
from cmpc.training.losses import PaperLoss
from cmpc.training.objective import Objective
from cmpc.training.optimizers import freeze_backbone
from networks import tiny_config


def random_network(config: ModelConfig) -> CMPC:
    """A network none of whose values is a zero or a one that would hide a mistake."""
    torch.manual_seed(0)
    network = CMPC(config).eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.ndim == 1 and value.is_floating_point() and "bias_hh" not in name:
                value.copy_(torch.rand(len(value)) + (0.5 if "var" in name or "norm" in name else 0.0))
    return network


def test_naive_network_gives_the_same_logits(config: ModelConfig) -> None:
    network = random_network(config)
    naive = NaiveNetwork.of(network)
    images = torch.randn(2, 3, 64, 64)
    tokens = torch.tensor([[4, 7, 9, 21, 3], [5, 11, 0, 0, 0]])
    with torch.inference_mode():
        output = network(images, tokens, torch.tensor([0, 1]))
        for number, length in enumerate((5, 2)):
            alone = naive(images[number : number + 1], tokens[number : number + 1, :length])
            torch.testing.assert_close(alone.logits[0], output.logits[number], rtol=1e-4, atol=1e-5)
            for level, logits in network.side_logits(output).items():
                torch.testing.assert_close(alone.side_logits[level][0], logits[number], rtol=1e-4, atol=1e-5)


def test_naive_training_step_minimises_the_same_loss(config: ModelConfig) -> None:
    network = random_network(config)
    network.language.lstm.get_parameter("bias_hh_l0").requires_grad_(False)
    freeze_backbone(network, tune=False)
    training = NaiveTraining(network)
    objective = Objective(network, PaperLoss(), weight_decay=5e-4, device_count=1)
    pixels = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    tokens, mask = torch.tensor([[4, 7, 9]]), torch.rand(1, 64, 64) > 0.7
    ours = objective(Batch(pixels, tokens, torch.tensor([0]), mask, None, 1))["loss"]
    loss = training.loss(objective.normalise(pixels), tokens, mask)
    torch.testing.assert_close(loss, ours, rtol=1e-5, atol=1e-4)
    ours.backward()
    loss.backward()
    for name in ("lateral.c4.weight", "exchange.0.levels.c3.gate.c4.weight", "levels.c5.fusion.project.bias"):
        gradient = training.network.get_parameter(name).grad
        torch.testing.assert_close(gradient.flatten(), network.get_parameter(name).grad.flatten(), rtol=1e-3, atol=1e-3)


def test_naive_network_refuses_a_network_with_parts_switched_off() -> None:
    with pytest.raises(ValueError, match="the parts of the paper and no others"):
        NaiveNetwork(tiny_config(30, conv_lstm=False))
