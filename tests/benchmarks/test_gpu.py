"""The benchmark of GPUs runs as a whole on a CPU with a tiny network."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.__main__ import Options, add_runs, measure, run
from benchmarks.gpu.clock import Measurement, matrix_speed
from benchmarks.gpu.report import SCHEDULE, GpuResults, tables
from benchmarks.gpu.steps import training_steps
from benchmarks.gpu.training_runs import KINDS, TrainingRun
from benchmarks.material import Material
from benchmarks.report import write_places
from cmpc.errors import UsageError, UserError
from cmpc.models.config import preset
from cmpc.models.paper.cmpc import CMPC
from compiling import compiled_by
from networks import tiny_config

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
OPTIONS = Options(device="cpu", precisions=("fp32",), rounds=2, images=(1, 2), expressions=2, matrix=64, steps=10)


@pytest.fixture(scope="module")
def results() -> GpuResults:
    """Without a compiler: what a step computes is the same."""
    with compiled_by("eager"):
        return measure(OPTIONS, tiny_config(30), torch.device("cpu"), lambda text: None)


def test_every_work_is_measured_in_every_way(results: GpuResults) -> None:
    found = [(one.work, one.by, one.images, one.expressions) for one in results.measurements]
    ours = ("ours", "ours, without CUDA graphs")
    assert found == [
        *(("first expression", by, 1, 1) for by in (*ours, "naive", "naive, torch.compile")),
        *(("further expression", by, 1, 1) for by in ours),
        *(("training step", by, images, 2 * images) for images in (1, 2) for by in ("plain", "compiled")),
        *(("new images", by, images, 2 * images) for images in (1, 2) for by in ours),
    ]
    assert all(len(one.seconds) == OPTIONS.rounds for one in results.measurements)


def test_operations_are_counted(results: GpuResults) -> None:
    def of(work: str, images: int) -> Measurement:
        return next(one for one in results.measurements if (one.work, one.images) == (work, images))

    naive = next(one for one in results.measurements if one.by == "naive")
    one_image, two_images = of("training step", 1), of("training step", 2)
    assert naive.operations > 1e6
    # Backward costs about twice the forward pass; the image is seen once for both expressions.
    assert naive.operations < one_image.operations < 2 * 3 * naive.operations
    assert two_images.operations == pytest.approx(2 * one_image.operations, rel=0.01)
    for one in results.measurements:
        assert one.share == pytest.approx(one.operations / one.median / results.matrix_speed["fp32"])


def test_schedule_is_projected_from_the_fastest_training() -> None:
    def measurement(work: str, expressions: int) -> Measurement:
        return Measurement(work, "plain", "fp32", 1, expressions, [1.0, 2.0, 3.0], 0.0, 0.0, None)

    measured = [measurement("new images", 1000), measurement("training step", 10), measurement("training step", 2000)]
    runs = [TrainingRun("one", 2, 8, [50.0, 100.0, 150.0]), TrainingRun("other", 2, 8, [10.0])]
    text = tables(GpuResults("card", "2", {}, measured, runs))
    assert f"{700_000 / 1000 / 60:.0f} min by the fastest training step" in text
    assert f"{700_000 / 400 / 60:.0f} min by the fastest `cmpc train`" in text


def test_tables_hold_every_measurement_and_the_profile(results: GpuResults) -> None:
    text = tables(results)
    for one in results.measurements:
        assert f"| {one.work} | {one.by} | fp32 |" in text
    assert "700,000" in text
    assert "aten::" in text


def test_what_there_is_no_time_for_is_named_and_the_rest_was_kept() -> None:
    kept: list[str] = []
    options = dataclasses.replace(OPTIONS, minutes=0.0)
    found = measure(options, tiny_config(30), torch.device("cpu"), kept.append, keep=lambda results: None)
    assert (kept, found.measurements) == ([], [])
    assert "Not measured, for lack of time: first expression, fp32; " in tables(found)
    assert "runs of cmpc train" in tables(found)
    counts: list[int] = []
    with compiled_by("eager"):
        options = dataclasses.replace(OPTIONS, images=(1,), steps=0)
        measure(
            options,
            tiny_config(30),
            torch.device("cpu"),
            kept.append,
            keep=lambda all_: counts.append(len(all_.measurements)),
        )
    assert counts == sorted(counts)
    assert counts[:2] == [4, 6]


@pytest.mark.slow
def test_runs_of_cmpc_train_are_measured(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "the same, compiled", ("--render-on", "device"))  # compiling is tested elsewhere
    results = GpuResults("cpu", "2", {})
    add_runs(results, dataclasses.replace(OPTIONS, steps=15), material, "cpu")
    assert [one.kind for one in results.runs] == list(KINDS)
    for one in results.runs:
        assert len(one.images_per_second) == 2
        assert one.expressions_per_second > 0
    assert tables(results).count("| 1 x 2 |") == len(KINDS)


def test_options_and_devices_that_are_not_there_are_named() -> None:
    with pytest.raises(UsageError, match="--steps must be 0 or at least 10, got 3"):
        run(dataclasses.replace(OPTIONS, steps=3))
    with pytest.raises(UserError, match="there is no device 'nothing' here"):
        run(dataclasses.replace(OPTIONS, device="nothing"))


def test_page_of_the_documentation_has_a_place_for_a_gpu(tmp_path: Path, results: GpuResults) -> None:
    page = tmp_path / "performance.md"
    page.write_bytes(PAGE.read_bytes())
    write_places(page, {"gpu": tables(results)})
    inside = re.search(r"<!-- begin gpu -->\n(.*)<!-- end gpu -->", page.read_text(), re.DOTALL)
    assert inside is not None
    assert inside[1] == tables(results)


@pytest.mark.parametrize(("expressions", "operations"), [(1, 440), (4, 210)])
def test_page_says_what_an_expression_takes(expressions: int, operations: int) -> None:
    """10^9 operations of a training step for each expression; counted, without computing anything."""
    device = torch.device("meta")
    with device:
        model = CMPC(preset("paper"))
    step = training_steps(model, device, "fp32", 2, expressions)[0]
    assert round(step.operations / step.expressions / 1e9) == operations
    per_second = operations * 1e9 * SCHEDULE / (45 * 60)
    assert f"{operations} GFLOP" in PAGE.read_text()
    assert f"{per_second / 1e12:.0f} TFLOP/s" in PAGE.read_text()


def test_matrix_product_has_a_speed() -> None:
    assert matrix_speed(torch.device("cpu"), 64, "fp32", 2) > 1e6
