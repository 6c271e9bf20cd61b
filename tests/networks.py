"""Networks of every kind, small enough for tests."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from cmpc.models.build import build_network
from cmpc.models.config import (
    DeepLabResNetConfig,
    EfficientNetLiteConfig,
    GroundedConfig,
    ModelConfig,
    RRNConfig,
    preset,
    with_network,
)
from cmpc.models.network import ReferringNetwork


def tiny_config(vocabulary_size: int, preset_name: str = "small", **network: Any) -> ModelConfig:
    """A preset of the compact backbone with few channels and 64 x 64 pixels, so that a test takes milliseconds.

    Args:
        vocabulary_size: number of words.
        preset_name: ``small`` or ``grounded``.
        network: other fields of the network.
    """
    sizes = {"multimodal_channels": 12, "fusion_channels": 10, "refinement_channels": 8, "word_type_channels": 8}
    return preset(
        preset_name,
        image={"size": 64},
        backbone={"channels": (16, 16, 24, 32), "blocks": (1, 1, 1, 1)},
        text={"vocabulary_size": vocabulary_size, "embedding_channels": 12, "word_channels": 16},
        network={**sizes, **network},
    )


SMALL = tiny_config(50)
PAPER = dataclasses.replace(
    SMALL.changed(
        network={"peephole_grid": (8, 8), "refinement_channels": 0, "upsampling": "tensorflow", "feature_scale": 1.0}
    ),
    backbone=DeepLabResNetConfig(channels=(16, 16, 24, 32), blocks=(1, 1, 2, 1)),
)
BARE = {
    "entity_perception": False,
    "relation_reasoning": False,
    "exchange_rounds": 0,
    "conv_lstm": False,
    "refinement_channels": 0,
}
CONFIGURATIONS: dict[str, ModelConfig] = {
    "small": SMALL,
    "paper": PAPER,
    "peepholes of another grid": PAPER.changed(network={"peephole_grid": (5, 5)}),
    "cells at the border": PAPER.changed(image={"size": 75}),
    "without entity perception": PAPER.changed(network={"entity_perception": False}),
    "without relation-aware reasoning": SMALL.changed(network={"relation_reasoning": False}),
    "without word-type gating": SMALL.changed(network={"word_type_gating": False}),
    "one round of exchange": PAPER.changed(network={"exchange_rounds": 1}),
    "without exchange": SMALL.changed(network={"exchange_rounds": 0}),
    "sum instead of ConvLSTM": PAPER.changed(network={"conv_lstm": False}),
    "bare": SMALL.changed(network=BARE),
    "words read from both ends": SMALL.changed(text={"both_directions": True}),
    "grounded reasoning": with_network(SMALL, GroundedConfig),
    "a second look": with_network(SMALL, GroundedConfig, second_look=True),
    "selection": with_network(SMALL, GroundedConfig, selection=True),
    "parts of the model that ships": tiny_config(50, "grounded", exchange_rounds=0, conv_lstm=False),
    "parts of the model for photos": dataclasses.replace(
        with_network(
            SMALL,
            GroundedConfig,
            selection=True,
            grid_level="c4",
            refinement_stride=8,
            middle_error=0.06,
            presence_channels=8,
        ),
        image=dataclasses.replace(SMALL.image, **EfficientNetLiteConfig().image_conventions),
        backbone=EfficientNetLiteConfig(),
    ),
    "recurrent refinement network": with_network(PAPER, RRNConfig),
    "recurrent refinement network on the compact backbone": with_network(SMALL, RRNConfig),
    "small, telling presence": SMALL.changed(network={"presence_channels": 8}),
    "recurrent refinement network, telling presence": with_network(PAPER, RRNConfig, presence_channels=8),
}


def build(config: ModelConfig) -> ReferringNetwork:
    """A network with random weights and statistics, in evaluation mode."""
    torch.manual_seed(0)
    model = build_network(config)
    for name, values in model.named_buffers():
        if name.endswith("running_mean"):
            values.normal_(std=0.1)
        elif name.endswith("running_var"):
            values.uniform_(0.5, 2.0)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 and "bias_hh" not in name:
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()
