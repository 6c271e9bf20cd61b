"""A fully connected CRF that draws a mask's edge to the colours of a photo.

Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials", NIPS 2011.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmpc.errors import UserError


@dataclass(frozen=True)
class CRFSettings:
    """How strongly pixels hold together."""

    iterations: int = 5
    """Of mean-field inference."""
    smoothness_pixels: float = 3
    """Standard deviation of the kernel of places alone."""
    smoothness_weight: float = 3
    """What it costs that neighbours differ."""
    appearance_pixels: float = 20
    """Standard deviation of the kernel of places and colours: places."""
    appearance_colours: float = 3
    """Standard deviation of the kernel of places and colours: RGB, 0..255."""
    appearance_weight: float = 10
    """What it costs that pixels of like colour differ."""


def require_dense_crf(option: str) -> None:
    """Checks that the DenseCRF can be used.

    Args:
        option: what asked for it, to be named in the error.

    Raises:
        UserError: the package that computes it is not installed.
    """
    try:
        import pydensecrf.densecrf  # noqa: F401
    except ImportError:
        if sys.version_info >= (3, 13):
            mend = "it does not build on Python 3.13: use Python 3.11 or 3.12"
        else:
            mend = "install it with: pip install 'cmpc[crf]'"
        raise UserError(f"{option} needs the package pydensecrf2; {mend}, or leave out {option}.") from None


def marginals(
    probabilities: NDArray[np.float32], pixels: NDArray[np.uint8], settings: CRFSettings
) -> NDArray[np.float32]:
    """Marginals of background and foreground.

    Args:
        probabilities: of the foreground, float32, (H, W), 0..1.
        pixels: RGB, uint8, (H, W, 3).
        settings: how strongly pixels hold together.

    Returns:
        float32, (2, H, W): background, foreground; they sum to 1.
    """
    from pydensecrf.densecrf import DenseCRF2D

    height, width = probabilities.shape
    # A logit above 17 is a probability of exactly 1 in float32; its energy would be infinite and the marginals nan.
    tiny = np.finfo(np.float32).tiny
    energies = -np.log(np.stack([1 - probabilities, probabilities]).astype(np.float32).clip(min=tiny))
    field = DenseCRF2D(width, height, 2)
    field.setUnaryEnergy(np.ascontiguousarray(energies.reshape(2, -1)))
    field.addPairwiseGaussian(sxy=settings.smoothness_pixels, compat=settings.smoothness_weight)
    field.addPairwiseBilateral(
        sxy=settings.appearance_pixels,
        srgb=settings.appearance_colours,
        rgbim=np.ascontiguousarray(pixels),
        compat=settings.appearance_weight,
    )
    return np.array(field.inference(settings.iterations), dtype=np.float32).reshape(2, height, width)
