"""From a photo to the square that the network sees, and back from the network's square to the photo.

Two rules of resizing: ``original`` is the published program's (scikit-image 0.13: bilinear in float64, no antialiasing,
the outside of the image counts as zero); ``area`` averages when shrinking, as is usual today.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from cmpc.models.config import ImageConfig

Resize = Literal["original", "area"]


@dataclass(frozen=True)
class Letterbox:
    """Where a photo lies in the network's square: scaled to fit, centred, zeros around it."""

    height: int
    """Height of the photo in pixels."""
    width: int
    """Width of the photo in pixels."""
    size: int
    """Side of the square in pixels."""
    scale: float
    """Pixels of the square for one pixel of the photo."""
    resized_height: int
    """Height of the photo inside the square."""
    resized_width: int
    """Width of the photo inside the square."""
    top: int
    """First row of the photo inside the square."""
    left: int
    """First column of the photo inside the square."""

    @staticmethod
    def of(height: int, width: int, size: int) -> Letterbox:
        """The letterbox of a ``height`` x ``width`` photo in a square of ``size`` pixels.

        The rounding is that of the original's ``resize_and_pad``; a very thin photo keeps at least one row or column.
        """
        if min(height, width, size) < 1:
            raise ValueError(f"height, width and size must be positive, got {height} x {width} in {size}")
        scale = min(size / height, size / width)
        resized_height = max(1, round(height * scale))
        resized_width = max(1, round(width * scale))
        top = (size - resized_height) // 2
        left = (size - resized_width) // 2
        return Letterbox(height, width, size, scale, resized_height, resized_width, top, left)

    @property
    def rows(self) -> slice:
        """The rows of the square that show the photo."""
        return slice(self.top, self.top + self.resized_height)

    @property
    def columns(self) -> slice:
        """The columns of the square that show the photo."""
        return slice(self.left, self.left + self.resized_width)


def letterbox_image(image: NDArray[np.uint8], size: int, resize: Resize) -> NDArray[np.uint8]:
    """The photo in the network's square.

    Args:
        image: RGB, uint8, (H, W, 3).
        size: side of the square in pixels.
        resize: the rule of resizing (see the module).

    Returns:
        RGB, uint8, (size, size, 3); zeros around the photo.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}")
    box = Letterbox.of(image.shape[0], image.shape[1], size)
    if resize == "original":
        resized = np.rint(_bilinear_with_zero_border(image, box.resized_height, box.resized_width)).astype(np.uint8)
    else:
        resized = _area(image, box)
    square = np.zeros((size, size, 3), np.uint8)
    square[box.rows, box.columns] = resized
    return square


def letterbox_mask(mask: NDArray[np.bool_], size: int, resize: Resize) -> NDArray[np.bool_]:
    """A mask of the photo in the network's square.

    Args:
        mask: bool, (H, W).
        size: side of the square in pixels.
        resize: ``original``: a pixel belongs to the mask when any of its four neighbours in the photo does (the
            published training targets, slightly dilated); ``area``: when at least half of it is covered.

    Returns:
        bool, (size, size).
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"mask must be (H, W) bool, got {mask.shape} {mask.dtype}")
    box = Letterbox.of(mask.shape[0], mask.shape[1], size)
    square = np.zeros((size, size), np.bool_)
    if resize == "original":
        square[box.rows, box.columns] = _bilinear_with_zero_border(mask, box.resized_height, box.resized_width) > 0
    else:
        square[box.rows, box.columns] = _area(mask.astype(np.float32), box) >= 0.5
    return square


def undo_letterbox(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Logits or probabilities of the network's square, resized bilinearly to the photo they belong to.

    Args:
        values: float, (size, size).
        height: height of the photo in pixels.
        width: width of the photo in pixels.

    Returns:
        float32, (height, width).
    """
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"values must be (size, size), got {values.shape}")
    box = Letterbox.of(height, width, values.shape[0])
    content = np.ascontiguousarray(values[box.rows, box.columns], dtype=np.float32)
    return cv2.resize(content, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)


def resize_and_crop(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """A binary prediction taken back to the photo by the published rule, which dilates it slightly.

    The binary map is resized bilinearly until it covers the photo, its centre is cut out, and every value above zero
    counts as foreground (the original's ``resize_and_crop``, then ``compute_mask_IU`` on float values).

    Args:
        mask: bool, (size, size).
        height: height of the photo in pixels.
        width: width of the photo in pixels.

    Returns:
        bool, (height, width).
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"mask must be (size, size) bool, got {mask.shape} {mask.dtype}")
    scale = max(height / mask.shape[0], width / mask.shape[1])
    resized_height = round(mask.shape[0] * scale)
    resized_width = round(mask.shape[1] * scale)
    top = (resized_height - height) // 2
    left = (resized_width - width) // 2
    rows, columns = slice(top, top + height), slice(left, left + width)
    return _bilinear_with_zero_border(mask, resized_height, resized_width, rows, columns) > 0


def images_to_tensor(
    images: Sequence[NDArray[np.uint8]], config: ImageConfig, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """The network's input from letterboxed photos.

    The bytes travel to the device and are normalised there: a quarter of the transfer.

    Args:
        images: RGB, uint8, each (S, S, 3), all of the same size.
        config: channel order, mean and standard deviation that the network expects.
        device: where the tensor shall live.

    Returns:
        float32, (B, 3, S, S), channels in ``config.channel_order``.
    """
    import torch

    from cmpc.data.pixels import PixelNormalisation

    pixels = torch.from_numpy(np.stack(images)).to(device)  # (B, S, S, 3) uint8
    normalised: torch.Tensor = PixelNormalisation(config).to(device)(pixels)
    return normalised


def _area(values: NDArray, box: Letterbox) -> NDArray:
    interpolation = cv2.INTER_AREA if box.scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(values, (box.resized_width, box.resized_height), interpolation=interpolation)


def _bilinear_with_zero_border(
    values: NDArray, height: int, width: int, rows: slice = slice(None), columns: slice = slice(None)
) -> NDArray[np.float64]:
    """scikit-image 0.13's ``resize(values, (height, width))[rows, columns]``: order 1, mode ``constant``.

    Bilinear interpolation is separable, so rows are mixed first and columns after them. The result is clipped to the
    range of the input, as there.
    """
    mixed = _mix(_mix(values, height, rows, axis=0), width, columns, axis=1)
    return np.clip(mixed, values.min(), values.max())


def _mix(values: NDArray, count: int, wanted: slice, axis: int) -> NDArray[np.float64]:
    """Resizes one axis to ``count`` samples and gives the wanted ones: mixtures of two neighbours, zero outside."""
    length = values.shape[axis]
    # Sample i lies at (i + 1/2) * length / count - 1/2. Integers keep a position that hits a pixel exactly there: a
    # rounding error would spread a mask by a rim of 1e-16.
    numerator = (2 * np.arange(count)[wanted] + 1) * length - count
    lower = numerator // (2 * count)
    weight = (numerator % (2 * count)) / (2 * count)
    shape = [1] * values.ndim
    shape[axis] = len(weight)
    lower_weight = np.where(lower >= 0, 1 - weight, 0).reshape(shape)
    upper_weight = np.where(lower + 1 < length, weight, 0).reshape(shape)
    result: NDArray[np.float64] = values.take(np.maximum(lower, 0), axis) * lower_weight
    result += values.take(np.minimum(lower + 1, length - 1), axis) * upper_weight
    return result
