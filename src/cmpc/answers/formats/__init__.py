"""Answers about many photos in the formats of other programs, a file for each format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from cmpc.answers.formats.results_format import ResultsFormat

FormatName = Literal["files", "coco", "yolo", "labelme", "png", "jsonl"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)
WITH_INSTANCES: tuple[FormatName, ...] = ("coco", "yolo", "labelme")
"""Formats that hold several objects for one expression; the JSON of ``files`` and ``jsonl`` tells the parts anyway."""


def results_format(
    name: FormatName, out: Path, expressions: Sequence[str], *, polygons: bool = False, instances: bool = False
) -> ResultsFormat:
    """What writes answers in a format.

    Args:
        name: one of ``FORMATS``.
        out: folder for the files.
        expressions: all that are asked, of whichever photo, without repetition: the classes of formats that have some.
        polygons: whether COCO's masks are polygons in the place of run lengths.
        instances: whether each part of a mask is an object of its own, in the formats of ``WITH_INSTANCES``.
    """
    from cmpc.answers.formats.coco import CocoFormat
    from cmpc.answers.formats.indexed_png import IndexedPNGFormat
    from cmpc.answers.formats.json_lines import JSONLinesFormat
    from cmpc.answers.formats.labelme import LabelmeFormat
    from cmpc.answers.formats.mask_files import MaskFilesFormat
    from cmpc.answers.formats.yolo import YOLOFormat

    if name == "coco":
        return CocoFormat(out, expressions, polygons=polygons, instances=instances)
    if name == "yolo":
        return YOLOFormat(out, expressions, instances=instances)
    if name == "labelme":
        return LabelmeFormat(out, instances=instances)
    if name == "png":
        return IndexedPNGFormat(out)
    return JSONLinesFormat(out) if name == "jsonl" else MaskFilesFormat(out)
