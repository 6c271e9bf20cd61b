"""Configurations: by parts, in JSON, of earlier versions, and what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cmpc.models.config import (
    PRESETS,
    CMPCConfig,
    CompactConfig,
    DeepLabResNetConfig,
    EfficientNetLiteConfig,
    GroundedConfig,
    ModelConfig,
    RRNConfig,
    preset,
    with_network,
)
from cmpc.models.config_upgrade import upgrade

FORMAT_1 = json.loads((Path(__file__).parent / "fixtures" / "config_format_1.json").read_text())
"""``config.json`` of the model of Blocks as the first version of the format wrote it."""


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name: str) -> None:
    assert ModelConfig.from_dict(json.loads(json.dumps(PRESETS[name].to_dict()))) == PRESETS[name]


def test_first_format_becomes_parts() -> None:
    config = ModelConfig.from_dict(upgrade(FORMAT_1))
    assert config.backbone == CompactConfig(channels=(32, 64, 128, 192), blocks=(2, 2, 2, 2))
    assert (config.text.vocabulary_size, config.text.both_directions) == (162, True)
    assert isinstance(config.network, GroundedConfig)
    assert (config.network.second_look, config.network.selection, config.network.exchange_rounds) == (True, True, 0)
    assert ModelConfig.from_dict(upgrade({"format_version": 2, "model": config.to_dict()})) == config


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, DeepLabResNetConfig()),
        (
            {"stride_in": "3x3", "tensorflow_padding": False, "norm_epsilon": 1e-5},
            DeepLabResNetConfig(convention="torchvision"),
        ),
    ],
)
def test_first_format_of_the_published_network(fields: dict[str, Any], expected: DeepLabResNetConfig) -> None:
    values = {"network": "cmpc", "exchange_rounds": 1, "backbone": {"kind": "deeplab_resnet101", **fields}}
    config = ModelConfig.from_dict(upgrade({"format_version": 1, "network": values}))
    assert config == preset("paper", network={"exchange_rounds": 1}, backbone=vars(expected))


def test_first_format_of_the_recurrent_network() -> None:
    values = {"network": "rrn", "embedding_channels": 1000, "fusion_heads": 5, "second_look": False}
    config = ModelConfig.from_dict(upgrade({"format_version": 1, "network": values}))
    assert config == PRESETS["rrn"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"wormhole": 1}, "unknown fields: wormhole"),
        ({"backbone": {"stride_in": "3x3"}}, "not supported any more"),
        ({"exchange_rounds": 5}, "exchange_rounds must be 0, 1 or 2, got 5"),
    ],
)
def test_impossible_values_of_the_first_format_are_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ModelConfig.from_dict(upgrade({"format_version": 1, "network": values}))


def test_parts_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="map of stride 4, which deeplab_resnet101 does not give"):
        with_network(PRESETS["paper"], GroundedConfig)
    with pytest.raises(ValueError, match="refinement_channels needs a map of stride 4"):
        preset("paper", network={"refinement_channels": 8})
    with pytest.raises(ValueError, match="one direction"):
        preset("rrn", text={"both_directions": True})
    with pytest.raises(ValueError, match="there is no preset 'huge'; the presets are paper, small, grounded, photos"):
        preset("huge")


def test_network_of_another_kind_keeps_the_sizes_that_it_has() -> None:
    recurrent = with_network(PRESETS["small"], RRNConfig).network
    assert recurrent == RRNConfig(
        128, 64, feature_scale=4.0, peephole_grid=None, refinement_channels=32, upsampling="bilinear"
    )
    assert isinstance(with_network(PRESETS["grounded"], CMPCConfig).network, CMPCConfig)


@pytest.mark.parametrize("size", [64, 75, 192])
@pytest.mark.parametrize("backbone", [DeepLabResNetConfig(), CompactConfig(), EfficientNetLiteConfig()])
def test_grid_follows_the_stride_of_the_finest_level(size: int, backbone: Any) -> None:
    config = ModelConfig(image=preset("small", image={"size": size}).image, backbone=backbone)
    assert config.grid == (-(-size // 8), -(-size // 8))
