"""How a prediction for the network's square becomes a mask of the photo.

Numbers of different protocols must not be compared.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cmpc.conventions import PRESENCE_THRESHOLD
from cmpc.data.transforms import resize_and_crop, undo_letterbox
from cmpc.engines.engine import probability_of

Protocol = Literal["paper", "standard", "gres"]

DESCRIPTIONS: dict[Protocol, str] = {
    "gres": "as standard, but a mask of fewer than 50 pixels counts as empty; the measures are gRefCOCO's",
    "paper": "the logits are cut at 1e-9 at the network's size, the binary map is resized bilinearly and every value "
    "above zero counts (the published program's rule, which dilates masks slightly)",
    "standard": "the logits are resized bilinearly to the photo and cut at zero; nothing is predicted where the model "
    "tells whether anything fits and finds that less likely than "
    f"{PRESENCE_THRESHOLD:g}",
}
"""What to print beside the numbers."""

PAPER_THRESHOLD = 1e-9
"""The original's threshold on logits."""
LEAST_PIXELS = 50
"""Masks with fewer pixels are cleared by gRefCOCO's authors, so that networks without a judgement of whether anything
fits can be compared (Liu, Ding and Jiang, GRES, CVPR 2023, section 5)."""


def predicts_nothing(presence: float | None, protocol: Protocol) -> bool:
    """Whether the prediction is an empty mask, whatever its logits are.

    Args:
        presence: the network's logit of whether anything in the photo fits; None where it does not tell.
        protocol: the rule; the published program knows no such thing.
    """
    return protocol != "paper" and presence is not None and probability_of(presence) < PRESENCE_THRESHOLD


def mask_from_logits(logits: NDArray[np.float32], height: int, width: int, protocol: Protocol) -> NDArray[np.bool_]:
    """The photo's mask.

    Args:
        logits: float32, (S, S), the network's output for the letterboxed photo.
        height: height of the photo in pixels.
        width: width of the photo in pixels.
        protocol: the rule.

    Returns:
        bool, (height, width).
    """
    if protocol == "paper":
        return resize_and_crop(logits >= np.float32(PAPER_THRESHOLD), height, width)
    return _cleared(undo_letterbox(logits, height, width) >= 0, protocol)


def mask_from_marginals(
    marginals: NDArray[np.float32], height: int, width: int, protocol: Protocol
) -> NDArray[np.bool_]:
    """The photo's mask after the DenseCRF.

    Args:
        marginals: float32, (2, S, S), background and foreground, as ``crf.refine`` gives them.
        height: height of the photo in pixels.
        width: width of the photo in pixels.
        protocol: the rule; all but ``paper`` resize the difference of the two marginals, then cut it at zero.

    Returns:
        bool, (height, width).
    """
    background, foreground = marginals
    if protocol == "paper":
        return resize_and_crop(foreground > background, height, width)
    return _cleared(undo_letterbox(foreground - background, height, width) > 0, protocol)


def _cleared(mask: NDArray[np.bool_], protocol: Protocol) -> NDArray[np.bool_]:
    """The mask, emptied where the protocol takes it for empty."""
    return np.zeros_like(mask) if protocol == "gres" and np.count_nonzero(mask) < LEAST_PIXELS else mask
