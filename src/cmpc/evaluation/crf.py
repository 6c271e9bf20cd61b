"""The paper's post-processing: the DenseCRF with the settings of the published program."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmpc.refining.dense_crf import CRFSettings, marginals, require_dense_crf

PUBLISHED = CRFSettings()


def require_crf() -> None:
    """Checks that the DenseCRF can be used.

    Raises:
        UserError: the package that computes it is not installed.
    """
    require_dense_crf("--crf")


def refine(probabilities: NDArray[np.float32], square: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Marginals of background and foreground after mean-field inference.

    Args:
        probabilities: of the foreground, float32, (S, S), 0..1.
        square: the letterboxed photo that the network saw, RGB, uint8, (S, S, 3).

    Returns:
        float32, (2, S, S): background, foreground; they sum to 1.
    """
    height, width = probabilities.shape
    if square.shape != (height, width, 3) or square.dtype != np.uint8:
        raise ValueError(f"square must be ({height}, {width}, 3) uint8 RGB, got {square.shape} {square.dtype}")
    return marginals(probabilities, square, PUBLISHED)
