"""How long a command needs before it has done anything, and to its first answer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.cases.programs import run_python
from benchmarks.material import EXPRESSION, Material
from benchmarks.timing import Case, Variant
from cmpc.errors import UserError

HELP = "`cmpc --help`"


def program(_: Material, *, arguments: tuple[str, ...]) -> Callable[[], object]:
    """Any program that needs nothing."""
    return partial(run_python, arguments)


def segment(material: Material, *, preset: str) -> Callable[[], object]:
    """``cmpc segment`` on one photo: start, load the model, answer, write the results."""
    return _segment_with(material, material.model(preset))


def segment_with_export(material: Material) -> Callable[[], object]:
    """The same with ``paper`` exported for ONNX Runtime, for which PyTorch need not start.

    Raises:
        UserError: the export could not be made here.
    """
    problem = material.export_problem("onnx", "fp32")
    if problem.exists():
        raise UserError(problem.read_text(encoding="utf-8"))
    return _segment_with(material, material.export("onnx", "fp32"))


def _segment_with(material: Material, folder: Path) -> Callable[[], object]:
    photo, model = str(material.photo_files()[0]), str(folder)

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
        Variant("`cmpc segment` with `paper`, onnx folder", segment_with_export, needs=("dataset", "exports")),
    ),
    in_processes=True,
    needs=("models", "photos"),
)
