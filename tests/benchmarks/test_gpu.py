"""The benchmark of GPUs runs as a whole on a CPU with a tiny network."""

from __future__ import annotations

import pytest
import torch

from benchmarks.gpu import GpuResults, Measurement, measure, tables
from networks import tiny_config


@pytest.fixture(scope="module")
def results() -> GpuResults:
    return measure(
        tiny_config(30), torch.device("cpu"), rounds=2, images=(1, 2), expressions=2, matrix=64, precisions=("fp32",)
    )


def test_inference_and_training_are_measured_for_every_batch(results: GpuResults) -> None:
    found = [(one.work, one.images, one.expressions) for one in results.measurements]
    assert found == [("inference", 1, 2), ("training", 1, 2), ("inference", 2, 4), ("training", 2, 4)]


def test_operations_are_counted(results: GpuResults) -> None:
    inference, training, two_images, _ = results.measurements
    assert inference.operations > 1e6
    assert 2 < training.operations / inference.operations < 4  # backward costs about twice the forward pass
    assert two_images.operations == pytest.approx(2 * inference.operations, rel=0.01)
    for one in results.measurements:
        assert one.share == pytest.approx(one.operations / one.seconds / results.matrix_speed["fp32"])


def test_schedule_is_projected_from_the_fastest_training() -> None:
    def measurement(work: str, expressions: int) -> Measurement:
        return Measurement(work, "fp32", 1, expressions, 2.0, 1.0, 3.0, 0.0, 0.0, None)

    measured = [measurement("inference", 1000), measurement("training", 10), measurement("training", 20)]
    assert GpuResults("card", "2", {}, measured, "").schedule_hours() == pytest.approx(700_000 / 10 / 3600)


def test_tables_hold_every_measurement_and_the_profile(results: GpuResults) -> None:
    text = tables(results)
    assert text.count("| inference |") == text.count("| training |") == 2
    assert "700,000" in text
    assert "aten::" in text
