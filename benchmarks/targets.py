"""What the project set out to reach, and what was recorded of the original program.

The recorded seconds come from the project's reference run of the published program (CMPC-Refseg) on two virtual cores
of an AMD EPYC with AVX-512, medians of at least five: its graph at 320 x 320, one image and one expression, on
TensorFlow 2.15.1, and on TensorFlow 1.5.0, which it was written for and whose wheels use SSE2 only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.cases import training
from benchmarks.cases.inference import ENGINES, NAIVE, ours
from benchmarks.material import Material
from benchmarks.timing import CaseResult, VariantResult


@dataclass(frozen=True)
class Recorded:
    """What was recorded of the original."""

    what: str
    case: str
    """The case whose naive variant does the same work."""
    naive: str
    """That variant."""
    tensorflow_2: float
    """Seconds on TensorFlow 2.15.1."""
    tensorflow_1: float
    """Seconds on TensorFlow 1.5.0."""
    gigabytes: float
    """Peak memory on TensorFlow 2.15.1."""


EXPRESSION = Recorded("an expression", "first", NAIVE, 1.87, 5.07, 1.37)
STEP = Recorded("a training step of one expression", "train-paper", training.NAIVE, 3.30, 10.46, 3.60)
RECORDED = (EXPRESSION, STEP)


@dataclass(frozen=True)
class SpeedTarget:
    """So many times faster than the original does the same."""

    what: str
    case: str
    variants: tuple[str, ...]
    """The fastest of these counts."""
    wanted: float
    recorded: Recorded | None


@dataclass(frozen=True)
class MemoryTarget:
    """Less memory than that, at a speed that is wanted too."""

    what: str
    speed: SpeedTarget
    """Of the variants that reach this, the one with the least memory counts."""
    gigabytes: float


@dataclass(frozen=True)
class Verdict:
    """How a target stands."""

    what: str
    wanted: str
    variant: str
    """What counts; empty when nothing was measured."""
    reached: str
    """The figure."""
    against_recorded: str
    """The same against the recorded seconds; empty where there are none."""
    is_reached: bool | None
    """None when it was not measured."""


def _with(*precisions: str) -> tuple[str, ...]:
    return tuple(ours(engine, precision) for engine, precision in ENGINES if precision in precisions)


ALL = _with("fp32", "bf16", "int8")
SHARED = ("1 image, 4 expressions", "1 image, 7 expressions")
ANSWERING = (
    SpeedTarget("first expression, fp32", "first", _with("fp32"), 1.3, EXPRESSION),
    SpeedTarget("first expression, bf16", "first", _with("bf16"), 2.5, EXPRESSION),
    SpeedTarget("first expression, int8", "first", _with("int8"), 4.0, EXPRESSION),
    SpeedTarget("each further expression, fp32", "further", _with("fp32"), 5.0, EXPRESSION),
    SpeedTarget("each further expression, fastest", "further", ALL, 10.0, EXPRESSION),
)
TRAINING = SpeedTarget("training of `paper`, an image's expressions share a batch", "train-paper", SHARED, 2.0, STEP)
SPEED_TARGETS = (
    *ANSWERING,
    TRAINING,
    SpeedTarget("training of `small`, likewise", "train-small", ("8 images, 4 expressions each",), 2.0, None),
)
MEMORY_TARGETS = (
    *(MemoryTarget(f"memory at that speed: {target.what}", target, 1.0) for target in ANSWERING),
    MemoryTarget("memory at that speed: training of `paper`", TRAINING, 3.0),
)
PREPARE_SECONDS, PREPARE_MEGABYTES = 60, 100
LOADER_IMAGES = 400


def verdicts(cases: Mapping[str, CaseResult]) -> list[Verdict]:
    """How every target stands whose case was run; that of preparation only at its full size."""
    found = [_speed(target, cases[target.case]) for target in SPEED_TARGETS if target.case in cases]
    found += [_memory(target, cases[target.speed.case]) for target in MEMORY_TARGETS if target.speed.case in cases]
    if "prepare" in cases and cases["prepare"].facts.get("images") == f"{Material.benchmark_images:,}":
        found += _preparation(cases["prepare"])
    if "loading" in cases:
        found.append(_loading(cases["loading"]))
    return found


def fastest(case: CaseResult, names: tuple[str, ...]) -> VariantResult | None:
    """The measured variant with the smallest median."""
    measured = [found for name in names if (found := case.variant(name)) is not None]
    return min(measured, key=lambda one: one.median, default=None)


def _speed(target: SpeedTarget, case: CaseResult) -> Verdict:
    wanted = f"{target.wanted:g} x"
    best = fastest(case, target.variants)
    if best is None or best.ratio is None:
        return Verdict(target.what, wanted, "", "not measured", "", None)
    recorded = f"{target.recorded.tensorflow_2 / best.median:.1f} x" if target.recorded else ""
    return Verdict(target.what, wanted, best.name, f"{best.ratio:.1f} x", recorded, best.ratio >= target.wanted)


def _memory(target: MemoryTarget, case: CaseResult) -> Verdict:
    wanted = f"{target.gigabytes:g} GB"
    found = [one for name in target.speed.variants if (one := case.variant(name)) is not None]
    fast = [one for one in found if one.ratio is not None and one.ratio >= target.speed.wanted]
    peaks = {one.name: one.peak_bytes / 1e9 for one in fast if one.peak_bytes is not None}
    if not found:
        return Verdict(target.what, wanted, "", "not measured", "", None)
    if not peaks:
        return Verdict(target.what, wanted, "", "none is so fast", "", False)
    best = min(peaks, key=lambda name: peaks[name])
    return Verdict(target.what, wanted, best, f"{peaks[best]:.2f} GB", "", peaks[best] <= target.gigabytes)


def _preparation(case: CaseResult) -> list[Verdict]:
    result = fastest(case, tuple(one.name for one in case.variants))
    what = "preparation of a benchmark as large as UNC"
    if result is None:
        return [Verdict(what, f"{PREPARE_SECONDS} s", "", "not measured", "", None)]
    megabytes = int(case.facts["tables on disk"].removesuffix(" MB"))
    return [
        Verdict(
            what,
            f"{PREPARE_SECONDS} s",
            result.name,
            f"{result.median:.1f} s",
            "",
            result.median < PREPARE_SECONDS,
        ),
        Verdict(
            "its tables on disk",
            f"{PREPARE_MEGABYTES} MB",
            result.name,
            f"{megabytes} MB",
            "",
            megabytes < PREPARE_MEGABYTES,
        ),
    ]


def _loading(case: CaseResult) -> Verdict:
    best = fastest(case, tuple(one.name for one in case.variants if one.name.startswith("JPEG")))
    what, wanted = "loading on one core", f"{LOADER_IMAGES} images/s"
    if best is None:
        return Verdict(what, wanted, "", "not measured", "", None)
    return Verdict(what, wanted, best.name, f"{1 / best.median:.0f} images/s", "", 1 / best.median >= LOADER_IMAGES)
