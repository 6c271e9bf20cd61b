"""The networks, one file for each part of the paper."""

from cmpc.models.build import build_network
from cmpc.models.cmpc import CMPC
from cmpc.models.config import LEVELS, PRESETS, WORD_TYPES, BackboneConfig, ImageConfig, ModelConfig, preset
from cmpc.models.language import ExpressionFeatures
from cmpc.models.network import ImageFeatures, ReferringNetwork, SegmentationOutput
from cmpc.models.rrn import RRN

__all__ = [
    "CMPC",
    "LEVELS",
    "PRESETS",
    "RRN",
    "WORD_TYPES",
    "BackboneConfig",
    "ExpressionFeatures",
    "ImageConfig",
    "ImageFeatures",
    "ModelConfig",
    "ReferringNetwork",
    "SegmentationOutput",
    "build_network",
    "preset",
]
