"""Every variant of every case does its work on tiny networks; no seconds are asserted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.cases import CASES
from benchmarks.cases.evaluation import WITH_CRF
from benchmarks.cases.inference import EXPRESSIONS, NAIVE, NAIVE_COMPILED, load_segmenter
from benchmarks.material import Material
from benchmarks.naive_segmenter import difference_from_ours
from benchmarks.timing import Case, Variant, run_case
from cmpc.answers.prediction import Prediction
from cmpc.data.images import read_image
from cmpc.data.schema import PreparedDataset
from cmpc.errors import UserError
from compiling import compiled_by

NEITHER_EXPORT_NOR_PROGRAM = [
    (case, variant)
    for case in CASES.values()
    for variant in case.variants
    if not case.in_processes and (case.baseline != NAIVE or variant.name in (NAIVE, NAIVE_COMPILED, "torch, fp32"))
]
"""Engines other than PyTorch have tests of their own; programs are tested below."""
TRAINING_SAMPLES = ("training samples with 4 expressions, rule `area`", "the same, augmented")
"""Variants of loading that begin anew with the photos until they have as many as the case counts."""


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    """Cases that measure one core set the threads of their process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("case", "variant"),
    NEITHER_EXPORT_NOR_PROGRAM,
    ids=[f"{case.name}-{variant.name}" for case, variant in NEITHER_EXPORT_NOR_PROGRAM],
)
def test_variant_does_the_same_work_again_and_again(case: Case, variant: Variant, material: Material) -> None:
    with compiled_by("eager"):
        operation = variant.start(material)
    first, second = operation(), operation()
    if case.name.startswith("train"):
        assert isinstance(first, torch.Tensor)
        assert isinstance(second, torch.Tensor)
        assert 0 < second.item() < first.item()  # it learns
    elif case is CASES["loading"]:
        assert first == second == (variant.units if variant.name in TRAINING_SAMPLES else len(material.photo_files()))
    else:
        for answers in (masks_of(first), masks_of(second)):
            assert [mask.shape for mask in answers] == [(480, 640)] * variant.units
        np.testing.assert_array_equal(masks_of(first), masks_of(second))


def masks_of(answers: object) -> list[np.ndarray]:
    """The masks of what a case of inference gives: predictions, also of several images, or a map of probabilities."""
    if isinstance(answers, np.ndarray):
        return [answers >= 0.5]
    if isinstance(answers, Prediction):
        return [answers.mask]
    assert isinstance(answers, list)
    return [mask for answer in answers for mask in masks_of(answer)]


def test_missing_export_is_named_with_its_reason(material: Material) -> None:
    problem = material.export_problem("onnx", "int8")
    problem.parent.mkdir()
    problem.write_text("onnxruntime is not installed.")
    with pytest.raises(UserError, match="onnxruntime is not installed"):
        load_segmenter(material, "onnx", "int8")


def test_naive_network_of_the_material_answers_as_ours(material: Material) -> None:
    photo = read_image(material.photo_files()[0])
    for preset in ("paper", "small"):
        assert difference_from_ours(material.model(preset), photo, EXPRESSIONS) < 1e-4


def test_synthetic_dataset_has_as_many_expressions_as_the_cases_count(material: Material) -> None:
    rows = PreparedDataset.open(material.dataset).read("val")
    images = {row.image for row in rows}
    assert len(images) == 8
    assert sum(len(row.expressions) for row in rows) == 7 * 8
    assert all(row.decode_mask().any() for row in rows)


def test_photos_are_as_large_as_those_of_coco(material: Material) -> None:
    sizes = [path.stat().st_size for path in material.photo_files()]
    assert 100_000 < np.mean(sizes) < 250_000
    assert read_image(material.photo_files()[0]).shape == (480, 640, 3)


@pytest.mark.slow
def test_programs_are_measured_as_processes(material: Material) -> None:
    case = CASES["prepare"]
    result = run_case(case, material, 1, say=lambda text: None)
    assert result.variants[0].problem is None
    assert result.variants[0].peak_bytes > 50e6
    assert result.facts["expressions"] == "140"
    assert result.facts["tables on disk"].endswith(" MB")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_evaluation_programs_take_as_many_expressions_as_the_case_counts(number: int, material: Material) -> None:
    variant = CASES["evaluate"].variants[number]
    printed = variant.start(material)()
    assert isinstance(printed, str)
    rows = [line.split() for line in printed.splitlines()]
    counted = [row for row in rows if row[:1] in (["all"], [str(variant.units)])]
    assert all(str(variant.units) in row for row in counted), printed
    assert len(counted) == (2 if variant.name == WITH_CRF else 1), printed


@pytest.mark.slow
def test_evaluation_finds_what_the_naive_loop_finds(material: Material) -> None:
    naive, ours = (CASES["evaluate"].variants[number].start(material)() for number in (0, 1))
    assert isinstance(naive, str)
    assert isinstance(ours, str)
    expected = float(naive.split("overall IoU")[1])
    found = next(line.split() for line in ours.splitlines() if line.split()[:1] == ["all"])
    assert float(found[2]) == pytest.approx(100 * expected, abs=0.02)  # printed with two decimals


def writer(_: Material, *, log: Path, name: str) -> Callable[[], object]:
    """Writes its name when it is run."""

    def run() -> None:
        with log.open("a") as file:
            file.write(name)

    return run


def unavailable(_: Material) -> Callable[[], object]:
    """Cannot be started here."""
    raise UserError("there is no such engine.")


def broken(_: Material) -> Callable[[], object]:
    """Has a mistake."""
    raise ZeroDivisionError("mistake")


def test_variants_take_turns_and_ratios_refer_to_the_baseline(material: Material, tmp_path: Path) -> None:
    log = tmp_path / "log"
    variants = tuple(Variant(name, partial(writer, log=log, name=name), units) for name, units in (("a", 1), ("b", 4)))
    result = run_case(Case("turns", "Turns", "turn", variants, baseline="a"), material, 3, say=lambda text: None)
    assert log.read_text() == "ab" + "ab" * 3  # each warms up, then the rounds
    a, b = result.variants
    assert a.ratio == 1
    assert b.ratio == pytest.approx(np.median([x / (y / 4) for x, y in zip(a.seconds, b.seconds, strict=True)]))
    assert len(a.seconds) == len(b.seconds) == 3
    assert a.peak_bytes > 1e6


def sleeper(_: Material, *, seconds: float) -> Callable[[], object]:
    """Waits when it is run."""
    return partial(time.sleep, seconds)


def test_variant_that_is_far_slower_than_the_baseline_is_not_repeated(material: Material) -> None:
    variants = (Variant("fast", partial(sleeper, seconds=0.0)), Variant("slow", partial(sleeper, seconds=2.0)))
    result = run_case(Case("slow", "Slow", "nap", variants, baseline="fast"), material, 3, say=lambda text: None)
    fast, slow = result.variants
    assert len(fast.seconds) == 3
    assert "only round" in slow.problem
    assert not slow.seconds


def test_variant_that_cannot_run_is_named_with_its_reason(
    material: Material, capfd: pytest.CaptureFixture[str]
) -> None:
    variants = (Variant("gone", unavailable), Variant("bad", broken))
    result = run_case(Case("none", "None", "turn", variants, baseline="gone"), material, 1, say=lambda text: None)
    assert [one.problem for one in result.variants] == [
        "there is no such engine.",
        "failed: ZeroDivisionError: mistake",
    ]
    assert "Traceback" in capfd.readouterr().err
