"""What is published about each benchmark: its title, licence and counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cmpc.data.schema import ReferredObject

COCO_LICENCE = (
    "photos: COCO, under the licence that Flickr names for each; annotations: COCO, CC BY 4.0; "
    "expressions: as the benchmark's authors say"
)


@dataclass(frozen=True)
class Counts:
    """Numbers of expressions, by what they refer to."""

    expressions: int
    """All of them."""
    several: int | None = None
    """Those that refer to several objects; None where nobody says it."""
    none: int | None = None
    """Those that refer to nothing in their photo; None where nobody says it."""

    @staticmethod
    def of(rows: Iterable[ReferredObject]) -> Counts:
        """Counts the expressions of rows."""
        expressions = several = none = 0
        for row in rows:
            expressions += len(row.expressions)
            several += len(row.expressions) if row.instances else 0
            none += len(row.expressions) if row.is_empty else 0
        return Counts(expressions, several, none)

    def told(self) -> str:
        """As text: "278,232 expressions, 80,022 of several objects, 32,202 of none"."""
        parts = [f"{self.expressions:,} expressions"]
        parts += [f"{self.several:,} of several objects"] if self.several is not None else []
        parts += [f"{self.none:,} of none"] if self.none is not None else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Published:
    """Facts of a benchmark."""

    title: str
    """Name in the literature."""
    licence: str
    """Terms of the photos, masks and expressions."""
    expressions: dict[str, int] = field(default_factory=dict)
    """Split -> number of expressions."""
    whole: Counts | None = None
    """All splits together, where that is published."""
    splits: tuple[str, ...] = ()
    """The splits that make up the whole."""


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
    "grefcoco": Published(
        "gRefCOCO",
        COCO_LICENCE,
        whole=Counts(278_232, several=80_022, none=32_202),
        splits=("train", "val", "testA", "testB"),
    ),
    "ref-zom": Published("Ref-ZOM", COCO_LICENCE),
    "phrasecut": Published(
        "PhraseCut",
        "photos: Visual Genome, CC BY 4.0; phrases and masks: as the benchmark's authors say",
        {"train": 310_816, "test": 14_354, "miniv": 821},
        whole=Counts(345_486),
        splits=("train", "val", "test", "miniv"),
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


def compare_whole(benchmark: str, rows: Mapping[str, Sequence[ReferredObject]]) -> str:
    """How all splits together compare with what is published of the whole; empty where nothing is, or splits are
    missing."""
    published = PUBLISHED.get(benchmark)
    if published is None or published.whole is None or not set(published.splits) <= set(rows):
        return ""
    found = Counts.of(row for split in published.splits for row in rows[split])
    expected = published.whole
    found = Counts(
        found.expressions,
        None if expected.several is None else found.several,
        None if expected.none is None else found.none,
    )
    if found == expected:
        return f"the whole has {found.told()}, as published"
    return f"the whole has {found.told()}; published are {expected.told()}: another release, or a part of it"
