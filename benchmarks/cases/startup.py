"""How long a command needs before it has done anything, and to its first answer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.cases.programs import run_python
from benchmarks.material import EXPRESSION, Material
from benchmarks.timing import Case, Variant

HELP = "`cmpc --help`"


def program(_: Material, *, arguments: tuple[str, ...]) -> Callable[[], object]:
    """Any program that needs nothing."""
    return partial(run_python, arguments)


def segment(material: Material, *, preset: str) -> Callable[[], object]:
    """``cmpc segment`` on one photo: start, load the model, answer, write the results."""
    photo, model = str(material.photo_files()[0]), str(material.model(preset))

    def run() -> None:
        with tempfile.TemporaryDirectory() as out:
            run_python(("-m", "cmpc", "segment", photo, EXPRESSION, "--model", model, "--out", str(Path(out) / "out")))

    return run


CASE = Case(
    "startup",
    "Start-up",
    "start",
    (
        Variant("Python alone", partial(program, arguments=("-c", "pass"))),
        Variant("`import torch`", partial(program, arguments=("-c", "import torch"))),
        Variant(HELP, partial(program, arguments=("-m", "cmpc", "--help"))),
        Variant("`cmpc segment --help`", partial(program, arguments=("-m", "cmpc", "segment", "--help"))),
        Variant("`cmpc segment` with `small`", partial(segment, preset="small")),
        Variant("`cmpc segment` with `paper`", partial(segment, preset="paper")),
    ),
    in_processes=True,
    needs=("models", "photos"),
)
