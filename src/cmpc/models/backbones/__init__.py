"""The networks that see the image, one file each, behind ``Backbone``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cmpc.models.backbones.backbone import Backbone
from cmpc.models.backbones.compact import CompactBackbone
from cmpc.models.backbones.deeplab_resnet import DeepLabResNet
from cmpc.models.backbones.efficientnet_lite import EfficientNetLite
from cmpc.models.config import BackboneConfig, CompactConfig, DeepLabResNetConfig, EfficientNetLiteConfig

__all__ = ["Backbone", "CompactBackbone", "DeepLabResNet", "EfficientNetLite", "build_backbone"]

BUILDERS: dict[str, Callable[[Any], Backbone]] = {
    DeepLabResNetConfig.kind: DeepLabResNet,
    CompactConfig.kind: CompactBackbone,
    EfficientNetLiteConfig.kind: EfficientNetLite,
}
"""What builds each kind of backbone from its configuration."""


def build_backbone(config: BackboneConfig) -> Backbone:
    """The backbone that the configuration describes, with random weights."""
    return BUILDERS[config.kind](config)
