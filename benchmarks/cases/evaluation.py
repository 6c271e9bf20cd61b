"""Testing ``paper`` end to end, as processes: start, load, two photos with seven expressions each, report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.cases.programs import run_python
from benchmarks.material import EXPRESSIONS_PER_IMAGE, Material
from benchmarks.timing import Case, Variant

IMAGES = 2
NAIVE = "naive, one expression after the other"
OURS = "`cmpc evaluate`"
WITH_CRF = "`cmpc evaluate --crf`"
CRF_ALONE = "the DenseCRF alone, one mask after the other"


def evaluate(material: Material, *, crf: bool) -> Callable[[], object]:
    """``cmpc evaluate``; the CRF runs on all cores while the network goes on."""
    data, model = str(material.dataset), str(material.model("paper"))

    def run() -> str:
        with tempfile.TemporaryDirectory() as out:
            return run_python(
                (
                    *("-m", "cmpc", "evaluate", "--data", data, "--split", "val", "--model", model),
                    *("--limit", str(IMAGES), "--out", str(Path(out) / "out"), *(["--crf"] if crf else [])),
                )
            )

    return run


def evaluate_naively(material: Material) -> Callable[[], object]:
    """The naive network in the loop of the original's ``test``."""
    model, data = str(material.model("paper")), str(material.dataset)
    return partial(run_python, ("-m", "benchmarks.naive_evaluation", model, data, "val", str(IMAGES)))


def crf_alone(material: Material) -> Callable[[], object]:
    """The post-processing of as many masks on one core."""
    data = str(material.dataset)
    return partial(run_python, ("-m", "benchmarks.crf_alone", data, "val", str(IMAGES)))


CASE = Case(
    "evaluate",
    "Evaluation end to end, `paper`",
    "expression",
    tuple(
        Variant(name, start, IMAGES * EXPRESSIONS_PER_IMAGE, warm_up=False)
        for name, start in (
            (NAIVE, evaluate_naively),
            (OURS, partial(evaluate, crf=False)),
            (WITH_CRF, partial(evaluate, crf=True)),
            (CRF_ALONE, crf_alone),
        )
    ),
    baseline=NAIVE,
    in_processes=True,
    needs=("models", "photos", "dataset"),
)
