"""Preparing a benchmark of UNC's size: ``cmpc prepare unc`` as a process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.cases.programs import run_python
from benchmarks.material import Material
from benchmarks.timing import Case, Variant

PREPARE = "`cmpc prepare unc`"


def prepare(material: Material) -> Callable[[], object]:
    """Reads both annotation files and the header of every photo, writes the tables."""
    folder = str(material.benchmark)

    def run() -> None:
        out = prepared(material)
        shutil.rmtree(out, ignore_errors=True)
        run_python(("-m", "cmpc", "prepare", "unc", "--images", folder, "--annotations", folder, "--out", str(out)))

    return run


def prepared(material: Material) -> Path:
    """Where the tables are written."""
    return material.folder / "prepared"


def facts(material: Material) -> dict[str, str]:
    """Sizes of what went in and came out; the tables are removed."""
    out = prepared(material)
    if not out.exists():
        return {}
    annotations = material.benchmark / "refcoco"
    told = {
        "images": f"{material.benchmark_images:,}",
        "expressions": f"{material.benchmark_expressions:,}",
        "annotation files": megabytes(annotations),
        "tables on disk": megabytes(out),
    }
    shutil.rmtree(out)
    return told


def megabytes(folder: Path) -> str:
    """Size of all files of a folder."""
    return f"{sum(file.stat().st_size for file in folder.iterdir()) / 1e6:.0f} MB"


CASE = Case(
    "prepare",
    "Preparation of a benchmark as large as UNC",
    "benchmark",
    (Variant(PREPARE, prepare, warm_up=False),),
    in_processes=True,
    needs=("photos", "benchmark"),
    facts=facts,
)
