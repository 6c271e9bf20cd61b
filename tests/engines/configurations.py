"""Networks of every kind, small enough for tests, whose batch norms do something."""

from __future__ import annotations

import dataclasses

import torch

from cmpc.models import BackboneConfig, ModelConfig, ReferringNetwork, build_network
from networks import tiny_config

SMALL = tiny_config(50)
PAPER = dataclasses.replace(
    SMALL,
    backbone=BackboneConfig(channels=(16, 16, 24, 32), blocks=(1, 1, 2, 1)),
    peephole_grid=(8, 8),
    refinement_channels=0,
    upsampling="tensorflow",
    feature_scale=1.0,
)
CONFIGURATIONS: dict[str, ModelConfig] = {
    "small": SMALL,
    "paper": PAPER,
    "peepholes of another grid": dataclasses.replace(PAPER, peephole_grid=(5, 5)),
    "cells at the border": dataclasses.replace(PAPER, image=dataclasses.replace(PAPER.image, size=75)),
    "without entity perception": dataclasses.replace(PAPER, entity_perception=False),
    "without relation-aware reasoning": dataclasses.replace(SMALL, relation_reasoning=False),
    "without word-type gating": dataclasses.replace(SMALL, word_type_gating=False),
    "one round of exchange": dataclasses.replace(PAPER, exchange_rounds=1),
    "without exchange": dataclasses.replace(SMALL, exchange_rounds=0),
    "sum instead of ConvLSTM": dataclasses.replace(PAPER, conv_lstm=False),
    "words read from both ends": dataclasses.replace(SMALL, both_directions=True),
    "grounded reasoning": dataclasses.replace(SMALL, grounded_reasoning=True),
    "a second look": dataclasses.replace(SMALL, grounded_reasoning=True, second_look=True),
    "selection": dataclasses.replace(SMALL, grounded_reasoning=True, selection=True),
    "parts of the model that ships": dataclasses.replace(
        SMALL,
        both_directions=True,
        grounded_reasoning=True,
        second_look=True,
        selection=True,
        exchange_rounds=0,
        conv_lstm=False,
    ),
    "recurrent refinement network": dataclasses.replace(PAPER, network="rrn"),
    "recurrent refinement network on the compact backbone": dataclasses.replace(SMALL, network="rrn"),
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
