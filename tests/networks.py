"""Networks small enough for tests."""

from __future__ import annotations

import dataclasses
from typing import Any

from cmpc.models import ModelConfig, preset


def tiny_config(vocabulary_size: int, **changes: Any) -> ModelConfig:
    """``small`` with few channels and 64 x 64 pixels, so that a test takes milliseconds, with other fields changed."""
    config = preset(
        "small",
        vocabulary_size=vocabulary_size,
        embedding_channels=12,
        word_channels=16,
        word_type_channels=8,
        multimodal_channels=12,
        fusion_channels=10,
        refinement_channels=8,
    )
    return dataclasses.replace(
        config,
        image=dataclasses.replace(config.image, size=64),
        backbone=dataclasses.replace(config.backbone, channels=(16, 16, 24, 32), blocks=(1, 1, 1, 1)),
        **changes,
    )
