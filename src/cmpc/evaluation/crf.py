"""The paper's post-processing: a fully connected CRF that draws a mask's edge to the colours of the photo.

Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials", NIPS 2011, with the
settings of the published program.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from cmpc.errors import UserError

ITERATIONS = 5
SMOOTHNESS = {"sxy": 3, "compat": 3}
APPEARANCE = {"sxy": 20, "srgb": 3, "compat": 10}


def require_crf() -> None:
    """Checks that the DenseCRF can be used.

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
        raise UserError(f"--crf needs the package pydensecrf2; {mend}, or leave out --crf.") from None


def refine(probabilities: NDArray[np.float32], square: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Marginals of background and foreground after ``ITERATIONS`` of mean-field inference.

    Args:
        probabilities: of the foreground, float32, (S, S), 0..1.
        square: the letterboxed photo that the network saw, RGB, uint8, (S, S, 3).

    Returns:
        float32, (2, S, S): background, foreground; they sum to 1.
    """
    from pydensecrf.densecrf import DenseCRF2D

    height, width = probabilities.shape
    if square.shape != (height, width, 3) or square.dtype != np.uint8:
        raise ValueError(f"square must be ({height}, {width}, 3) uint8 RGB, got {square.shape} {square.dtype}")
    # A logit above 17 is a probability of exactly 1 in float32; its energy would be infinite and the marginals nan.
    tiny = np.finfo(np.float32).tiny
    energies = -np.log(np.stack([1 - probabilities, probabilities]).astype(np.float32).clip(min=tiny))
    field = DenseCRF2D(width, height, 2)
    field.setUnaryEnergy(np.ascontiguousarray(energies.reshape(2, -1)))
    field.addPairwiseGaussian(**SMOOTHNESS)
    field.addPairwiseBilateral(rgbim=np.ascontiguousarray(square), **APPEARANCE)
    return np.array(field.inference(ITERATIONS), dtype=np.float32).reshape(2, height, width)
