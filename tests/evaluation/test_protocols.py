"""From logits to masks."""

from __future__ import annotations

import numpy as np
import pytest

from cmpc.evaluation.protocols import mask_from_logits, mask_from_marginals


def test_paper_protocol_dilates_and_standard_protocol_does_not() -> None:
    logits = np.full((32, 32), -1, np.float32)
    logits[8:24, 8:24] = 1
    paper = mask_from_logits(logits, 64, 64, "paper")
    standard = mask_from_logits(logits, 64, 64, "standard")
    true = np.zeros((64, 64), bool)
    true[16:48, 16:48] = True
    assert (standard == true).all()
    assert (paper & true).sum() == true.sum()
    assert paper.sum() == 34**2  # a pixel more on each side


def test_the_thresholds_are_the_protocols_own() -> None:
    assert mask_from_logits(np.zeros((8, 8), np.float32), 8, 8, "standard").all()
    assert not mask_from_logits(np.zeros((8, 8), np.float32), 8, 8, "paper").any()
    assert mask_from_logits(np.full((8, 8), 2e-9, np.float32), 8, 8, "paper").all()


@pytest.mark.parametrize("protocol", ["paper", "standard"])
def test_marginals_give_the_mask_where_the_foreground_is_likelier(protocol: str) -> None:
    foreground = np.zeros((16, 16), np.float32)
    foreground[:, :8] = 0.9
    mask = mask_from_marginals(np.stack([1 - foreground, foreground]), 16, 16, protocol)
    assert (mask == (foreground > 0.5)).all()
