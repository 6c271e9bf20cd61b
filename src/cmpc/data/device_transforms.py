"""Letterbox and augmentation on the device that trains, which leaves the processors to decoding.

Bytes of photos travel as they are and become squares there. Both rules of resizing are linear and separable, so that a
photo is resized by two products with the weights of its rows and columns. The result is that of ``View.render`` up to
rounding: by one grey level where a value lies about halfway between two (OpenCV enlarges with weights of 11 bits), by
two where its colours change as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cmpc.data.augmentation import GREY, ColourChange
from cmpc.data.dataset import Batch, Sample, View, collate_expressions
from cmpc.data.transforms import Letterbox, Resize
from cmpc.models.config import ImageConfig


class PhotoBatch(NamedTuple):
    """A batch whose photos are still to become squares; the other fields are those of ``Batch``."""

    photos: list[Tensor]
    """RGB, uint8, each (H, W, 3) of its own size."""
    views: list[View]
    """How each becomes a square."""
    image: ImageConfig
    """Size and resize rule of the squares."""
    tokens: Tensor
    image_index: Tensor
    masks: Tensor
    word_types: Tensor | None
    step_expressions: int
    grounding_masks: Tensor | None = None
    grounding_index: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device, its photos rendered there; pinned tensors are copied without waiting."""
        squares = [
            render(photo.to(device, non_blocking=True), view, self.image)
            for photo, view in zip(self.photos, self.views, strict=True)
        ]
        return Batch(torch.stack(squares), *self[3:]).to(device)


class CollatePhotos:
    """Joins samples whose photos are not rendered (``ReferringImages(..., render=False)``)."""

    def __init__(self, image: ImageConfig) -> None:
        """
        Args:
            image: size and resize rule of the squares.
        """
        self.image = image

    def __call__(self, samples: Sequence[Sample]) -> PhotoBatch:
        """The batch on the CPU."""
        photos = [torch.from_numpy(sample.image) for sample in samples]
        return PhotoBatch(photos, [sample.view for sample in samples], self.image, *collate_expressions(samples))


def render(photo: Tensor, view: View, image: ImageConfig) -> Tensor:
    """``View.render`` on the photo's device, without a wait for it.

    Args:
        photo: RGB, uint8, (H, W, 3).
        view: part, direction and colours.
        image: size and resize rule of the square.

    Returns:
        RGB, uint8, (S, S, 3).
    """
    top, left, height, width = view.window or (0, 0, photo.shape[0], photo.shape[1])
    box = Letterbox.of(height, width, image.size)
    values = photo.permute(2, 0, 1).float()  # (3, H, W)
    rows = _weights(photo.shape[0], top, height, box.resized_height, box, image.resize, photo.device)
    columns = _weights(photo.shape[1], left, width, box.resized_width, box, image.resize, photo.device)
    values = rows @ values @ columns.mT  # (3, h, w)
    if image.resize == "original" and box.scale > 1:
        values = _clip_to_range(values, photo, top, left, height, width)
    # OpenCV rounds a half up where four pixels become one, and to the even neighbour elsewhere.
    half_size = (height, width) == (2 * box.resized_height, 2 * box.resized_width)
    values = (values + 0.5).floor() if image.resize == "area" and half_size else values.round()
    square = values.new_zeros(3, image.size, image.size)
    square[:, box.rows, box.columns] = values.clamp(0, 255)
    if view.mirrored:
        square = square.flip(2)
    if view.colours is not None:
        square = _change_colours(square, view.colours)
    return square.permute(1, 2, 0).to(torch.uint8).contiguous()


def _weights(
    length: int, start: int, window: int, count: int, box: Letterbox, resize: Resize, device: torch.device
) -> Tensor:
    """Weight of each of the ``length`` pixels of an axis of the photo in each of ``count`` samples, (count, length).

    The samples share the ``window`` pixels that begin at ``start``; what the window shows beyond the photo is zero.
    """
    step = window / count  # pixels of the photo for one of the square
    samples = torch.arange(count, dtype=torch.float64, device=device)[:, None]
    pixels = torch.arange(length, dtype=torch.float64, device=device)[None, :] - start
    if resize == "area" and box.scale < 1:  # how much of the pixel lies in the sample's stretch
        common = torch.minimum(pixels + 1, (samples + 1) * step) - torch.maximum(pixels, samples * step)
        return (common.clamp_min(0) / step).float()
    centres = (samples + 0.5) * step - 0.5
    if resize == "area":  # bilinear; the border goes on beyond the window
        centres = centres.clamp(0, window - 1)
    weights = (1 - (centres - pixels).abs()).clamp_min(0)
    inside = (pixels >= 0) & (pixels < window)
    return (weights * inside).float()


def _clip_to_range(values: Tensor, photo: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """The values within the range of what the window shows: the square's border mixes with the zeros around it."""
    part = photo[max(top, 0) : top + height, max(left, 0) : left + width]
    lowest, highest = part.amin().float(), part.amax().float()
    if part.shape[:2] != (height, width):  # it shows zeros beyond the photo
        lowest = torch.zeros_like(lowest)
    return torch.maximum(torch.minimum(values, highest), lowest)


def _change_colours(square: Tensor, change: ColourChange) -> Tensor:
    """``ColourChange.apply`` on whole numbers as float, (3, S, S)."""
    content = square.amax(dim=0) > 0  # (S, S)
    grey = sum(weight * plane for weight, plane in zip(GREY, square, strict=True))
    assert isinstance(grey, Tensor)
    middle = (grey * content).sum() / content.sum().clamp_min(1)
    values = (square * change.saturation + (1 - change.saturation) * grey) * change.contrast
    values = values + (1 - change.contrast) * middle
    changed = torch.stack([plane * float(gain) for plane, gain in zip(values, change.gains, strict=True)])
    return changed.round().clamp(0, 255) * content
