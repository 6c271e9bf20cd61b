"""Letterbox and augmentation on the device that trains, which leaves the processors to decoding.

Bytes of photos travel as they are and become squares there. Both rules of resizing are linear and separable, so that a
photo is resized by two products with the weights of its rows and columns. The result is that of ``PhotoView.render`` up
to rounding: by one grey level where a value lies about halfway between two (OpenCV enlarges with weights of 11 bits),
by two where its colours change as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cmpc.conventions import ImageConfig
from cmpc.data.augmentation import GREY, ColourChange
from cmpc.data.dataset import Batch, PhotoView, TrainingSample, collate_without_squares
from cmpc.data.transforms import Letterbox, Resize


class PhotoBatch(NamedTuple):
    """A batch whose photos are still to become squares."""

    photos: list[Tensor]
    """RGB, uint8, each (H, W, 3) of its own size."""
    views: list[PhotoView]
    """How each becomes a square."""
    image: ImageConfig
    """Size and resize rule of the squares."""
    rest: Batch
    """The batch without its squares."""

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device, its photos rendered there; pinned tensors are copied without waiting."""
        squares = [
            render_on_device(photo.to(device, non_blocking=True), view, self.image)
            for photo, view in zip(self.photos, self.views, strict=True)
        ]
        return self.rest._replace(squares=torch.stack(squares)).to(device)


class CollatePhotos:
    """Joins samples whose photos are not rendered (``ReferringImages(..., render=False)``)."""

    def __init__(self, image: ImageConfig) -> None:
        """
        Args:
            image: size and resize rule of the squares.
        """
        self.image = image

    def __call__(self, samples: Sequence[TrainingSample]) -> PhotoBatch:
        """The batch on the CPU."""
        photos = [torch.from_numpy(sample.pixels) for sample in samples]
        views = [sample.view for sample in samples]
        return PhotoBatch(photos, views, self.image, collate_without_squares(samples))


def render_on_device(pixels: Tensor, view: PhotoView, image: ImageConfig) -> Tensor:
    """``PhotoView.render`` on the photo's device, without a wait for it.

    Args:
        pixels: of the photo, RGB, uint8, (H, W, 3).
        view: part, direction and colours.
        image: size and resize rule of the square.

    Returns:
        RGB, uint8, (S, S, 3).
    """
    top, left, height, width = view.window or (0, 0, pixels.shape[0], pixels.shape[1])
    box = Letterbox.of(height, width, image.size)
    values = pixels.permute(2, 0, 1).float()  # (3, H, W)
    rows = _weights(pixels.shape[0], top, height, box.resized_height, box, image.resize, pixels.device)
    columns = _weights(pixels.shape[1], left, width, box.resized_width, box, image.resize, pixels.device)
    values = rows @ values @ columns.mT  # (3, h, w)
    if image.resize == "original" and box.scale > 1:
        values = _clip_to_range(values, pixels, top, left, height, width)
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
    positions = torch.arange(length, dtype=torch.float64, device=device)[None, :] - start
    if resize == "area" and box.scale < 1:  # how much of the pixel lies in the sample's stretch
        common = torch.minimum(positions + 1, (samples + 1) * step) - torch.maximum(positions, samples * step)
        return (common.clamp_min(0) / step).float()
    centres = (samples + 0.5) * step - 0.5
    if resize == "area":  # bilinear; the border goes on beyond the window
        centres = centres.clamp(0, window - 1)
    weights = (1 - (centres - positions).abs()).clamp_min(0)
    inside = (positions >= 0) & (positions < window)
    return (weights * inside).float()


def _clip_to_range(values: Tensor, pixels: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """The values within the range of what the window shows: the square's border mixes with the zeros around it."""
    part = pixels[max(top, 0) : top + height, max(left, 0) : left + width]
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
