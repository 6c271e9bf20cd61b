"""The forms in which programs hand over an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmpc.data.images import from_array, from_pillow, read_image

ImageSource = str | Path | bytes | NDArray | Image.Image
"""A path, the bytes of a file, an array (H, W) or (H, W, 3 or 4) of uint8 or uint16 in RGB order, or a PIL image."""


def to_pixels(image: ImageSource) -> NDArray[np.uint8]:
    """RGB, uint8, (H, W, 3), upright.

    Raises:
        UserError: the image is missing or broken.
        ValueError: an array or a PIL image of another layout.
    """
    if isinstance(image, np.ndarray):
        return from_array(image)
    if isinstance(image, Image.Image):
        return from_pillow(image)
    return read_image(image, exif_rotation=True)
