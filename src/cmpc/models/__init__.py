"""The network, one file for each part of the paper."""

from cmpc.models.cmpc import CMPC, ImageFeatures, SegmentationOutput
from cmpc.models.config import LEVELS, PRESETS, WORD_TYPES, BackboneConfig, ImageConfig, ModelConfig, preset
from cmpc.models.language import ExpressionFeatures

__all__ = [
    "CMPC",
    "LEVELS",
    "PRESETS",
    "WORD_TYPES",
    "BackboneConfig",
    "ExpressionFeatures",
    "ImageConfig",
    "ImageFeatures",
    "ModelConfig",
    "SegmentationOutput",
    "preset",
]
