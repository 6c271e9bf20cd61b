"""Positions of the cells of a feature map, and the way from the map to the pixels."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

POSITION_CHANNELS = 8


def cell_positions(height: int, width: int, *, device: torch.device | str | None = None) -> Tensor:
    """The spatial code of each cell: ``(xmin, ymin, xmax, ymax, xcentre, ycentre, 1/W, 1/H)``, (S, 8).

    Coordinates run from -1 to 1 over the map (``generate_spatial_batch`` of the original).
    """
    x = torch.arange(width, dtype=torch.float32, device=device) * 2 / width - 1
    y = torch.arange(height, dtype=torch.float32, device=device) * 2 / height - 1
    ymin, xmin = torch.meshgrid(y, x, indexing="ij")
    xmax, ymax = xmin + 2 / width, ymin + 2 / height
    ones = torch.ones_like(xmin)
    centre = ((xmin + xmax) / 2, (ymin + ymax) / 2)
    code = torch.stack([xmin, ymin, xmax, ymax, *centre, ones / width, ones / height], dim=2)  # (H, W, 8)
    return code.flatten(0, 1)


def upsample(scores: Tensor, size: tuple[int, int], rule: Literal["tensorflow", "bilinear"]) -> Tensor:
    """Scores of the cells, (E, h, w), at the size ``(H, W)`` in pixels: (E, H, W).

    ``tensorflow`` is the legacy rule of ``tf.image.resize_bilinear``: the source of pixel ``d`` is ``d * h / H``,
    without the half-pixel shift, clamped at the border. ``bilinear`` is PyTorch's rule (half-pixel centres).
    """
    if rule == "bilinear":
        return F.interpolate(scores[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    rows = _legacy_weights(scores.shape[-2], size[0], scores)
    columns = _legacy_weights(scores.shape[-1], size[1], scores)
    return rows @ scores @ columns.mT


def _legacy_weights(cells: int, pixels: int, like: Tensor) -> Tensor:
    """Weight of each cell in each pixel of one axis, (pixels, cells); rows have at most two entries and sum to 1."""
    source = torch.arange(pixels, dtype=torch.float32, device=like.device) * (cells / pixels)
    distance = source.clamp(max=cells - 1)[:, None] - torch.arange(cells, device=like.device)[None, :]
    return (1 - distance.abs()).clamp_min(0).to(like.dtype)
