"""What every network that sees the image offers to the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from cmpc.models.config import BackboneConfig


class Backbone(nn.Module, ABC):
    """A network from images to maps of features, one for each stage."""

    is_pretrained: ClassVar[bool]
    """Whether its weights usually come from elsewhere, so that it learns more slowly than what is new."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.stages = config.stages
        """Channels and stride of each map, by its name, finest first."""

    @abstractmethod
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The maps named in ``stages``.

        Args:
            images: (B, 3, H, W), by the ``image_conventions`` of the configuration.

        Returns:
            For each stage (B, channels, H / stride, W / stride); sizes are rounded up.
        """

    def trainable(self, tune: bool) -> list[nn.Parameter]:
        """The parameters that train.

        Args:
            tune: whether a backbone that is usually kept as it is trains too.
        """
        return list(self.parameters())
