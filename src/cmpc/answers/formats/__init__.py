"""Answers about many photos in the formats of other programs, a file for each format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from cmpc.answers.formats.results_format import ResultsFormat

FormatName = Literal["files", "coco", "yolo", "labelme", "png", "jsonl"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)


def results_format(name: FormatName, out: Path, expressions: Sequence[str], *, polygons: bool = False) -> ResultsFormat:
    """What writes answers in a format.

    Args:
        name: one of ``FORMATS``.
        out: folder for the files.
        expressions: all that are asked, of whichever photo, without repetition: the classes of formats that have some.
        polygons: whether COCO's masks are polygons in the place of run lengths.
    """
    from cmpc.answers.formats.coco import CocoFormat
    from cmpc.answers.formats.indexed_png import IndexedPNGFormat
    from cmpc.answers.formats.json_lines import JSONLinesFormat
    from cmpc.answers.formats.labelme import LabelmeFormat
    from cmpc.answers.formats.mask_files import MaskFilesFormat
    from cmpc.answers.formats.yolo import YOLOFormat

    if name == "coco":
        return CocoFormat(out, expressions, polygons=polygons)
    if name == "yolo":
        return YOLOFormat(out, expressions)
    if name == "labelme":
        return LabelmeFormat(out)
    if name == "png":
        return IndexedPNGFormat(out)
    return JSONLinesFormat(out) if name == "jsonl" else MaskFilesFormat(out)
