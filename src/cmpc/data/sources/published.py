"""What is published about each benchmark: its title, licence and counts."""

from __future__ import annotations

from dataclasses import dataclass, field

COCO_LICENCE = (
    "photos: COCO, under the licence that Flickr names for each; annotations: COCO, CC BY 4.0; "
    "expressions: as the benchmark's authors say"
)


@dataclass(frozen=True)
class Published:
    """Facts of a benchmark."""

    title: str
    """Name in the literature."""
    licence: str
    """Terms of the photos, masks and expressions."""
    expressions: dict[str, int] = field(default_factory=dict)
    """Split -> number of expressions."""


PUBLISHED = {
    "unc": Published("RefCOCO", COCO_LICENCE, {"train": 120_624, "val": 10_834, "testA": 5_657, "testB": 5_095}),
    "unc+": Published("RefCOCO+", COCO_LICENCE, {"train": 120_191, "val": 10_758, "testA": 5_726, "testB": 4_889}),
    "gref": Published("RefCOCOg, Google split", COCO_LICENCE, {"train": 85_474, "val": 9_536}),
    "refcocog": Published("RefCOCOg, UMD split", COCO_LICENCE, {"train": 80_512, "val": 4_896, "test": 9_602}),
    "referit": Published(
        "ReferIt",
        "photos: IAPR TC-12, free for research; masks: SAIAPR TC-12; expressions: ReferItGame, as its authors say",
        {"trainval": 59_976, "test": 60_105},
    ),
}


def compare_with_published(benchmark: str, split: str, expressions: int) -> str:
    """How a split's number of expressions compares with the published one; empty where none is published."""
    published = PUBLISHED[benchmark].expressions.get(split) if benchmark in PUBLISHED else None
    if published is None:
        return ""
    if expressions == published:
        return "as published"
    if expressions < published:
        return f"{expressions:,} of {published:,}: a part of the benchmark"
    return f"{expressions:,}, published are {published:,}: another release"
