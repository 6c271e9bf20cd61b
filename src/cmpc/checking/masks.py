"""Checks of masks: tiny ones, and those that hold nearly all of a photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cmpc.checking.finding import Finding, finding
from cmpc.data.masks import decode_runs
from cmpc.data.schema import ReferredObject

TINY = 0.0005
"""Part of the photo: an object of 15 x 10 pixels in a photo of 640 x 480."""
NEARLY_ALL = 0.95


def check_masks(splits: Mapping[str, Sequence[ReferredObject]]) -> list[Finding]:
    """What is wrong with the masks of a dataset."""
    tiny, nearly_all = [], []
    for split, rows in splits.items():
        for row in rows:
            if row.is_empty:  # as it should be
                continue
            part = int(decode_runs(row.rle)[1::2].sum()) / (row.height * row.width)
            if part < TINY:
                tiny.append(f"{split}: {row.image}, {row.expressions[0]!r}")
            elif part > NEARLY_ALL:
                nearly_all.append(f"{split}: {row.image}, {row.expressions[0]!r}")
    return [
        *finding(
            tiny,
            f"a mask covers less than {TINY:.2%} of its photo",
            f"{{}} masks cover less than {TINY:.2%} of their photos each",
            "look whether they are slips of the mouse, or fractions given as pixels",
        ),
        *finding(
            nearly_all,
            f"a mask covers more than {NEARLY_ALL:.0%} of its photo",
            f"{{}} masks cover more than {NEARLY_ALL:.0%} of their photos each",
            "look whether inside and outside are exchanged",
        ),
    ]
