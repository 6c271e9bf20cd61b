"""Runs that any number of processes make alike, each named: ``torchrun ... -m training.alike DATA OUT`` makes them all.

One pair of processes makes all of them, for starting one takes longer than a run.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cmpc.processes import is_first_of_run
from cmpc.training.interruption import Interruption
from cmpc.training.options import TrainingOptions
from cmpc.training.recipe import train
from networks import CONFIGURATIONS, SMALL

STEPS = 20
FEW_STEPS = 5
"""Steps of runs that are shared, or trained otherwise."""
STOPPED_AT = 3
"""Steps of runs that are stopped and continued."""
SLOW = {"learning_rate": 1e-4}
"""Small steps, so that rounding does not grow."""


def options_of(network: str) -> dict[str, Any]:
    """How a network of ``CONFIGURATIONS`` is trained."""
    config = CONFIGURATIONS[network]
    pretrained = config.backbone.kind != "compact"
    published = config.backbone.kind == "deeplab_resnet101"
    return {
        "model": config,
        "recipe": "paper" if published else "modern",
        "backbone_weights": "random" if pretrained else None,
    }


NETWORKS = (
    *("small", "paper", "without entity perception", "without relation-aware reasoning", "without word-type gating"),
    *("without exchange", "sum instead of ConvLSTM", "recurrent refinement network"),
)
PARTS: dict[str, dict[str, Any]] = {name: {**options_of(name), "steps": STEPS} for name in NETWORKS}
"""The networks with every part off in turn."""
WAYS: dict[str, dict[str, Any]] = {
    "selection": options_of("selection"),
    "ungated words without labels": {"model": CONFIGURATIONS["without word-type gating"], "word_types": "none"},
    "published recipe, backbone that trains": {"model": SMALL, "recipe": "paper"},
    "published recipe, last stages of the backbone": {**options_of("paper"), "tune_backbone": True},
    "micro batches": {**options_of("paper"), "batch_images": 4, "accumulate": 2},
    "micro batches, statistics": {"model": SMALL, "batch_images": 4, "accumulate": 2},
}
"""Ways to train."""
SHARED: dict[str, dict[str, Any]] = {
    "shared small": {"model": SMALL},
    "shared paper": options_of("paper"),
    "shared last stages of the backbone": {**options_of("paper"), "tune_backbone": True},
    "shared grounded": {**options_of("parts of the model for photos"), "steps": 3},
    "shared micro batches": {"model": SMALL, "batch_images": 4, "accumulate": 2},
    "shared ungated": {"model": CONFIGURATIONS["without word-type gating"], "word_types": "none"},
}
"""With FSDP where there are several processes."""
STOPPED = {name: {"model": SMALL, "steps": 6, "log_every": 5} for name in ("stopped", "stopped shared")}
"""Made once without a stop (``never <name>``), and once stopped after ``STOPPED_AT`` steps, copied (``copy of <name>``)
and continued."""


def run(data: Path, out: Path, **options: Any) -> None:
    """Trains on processors."""
    defaults: dict[str, Any] = {
        "batch_images": 2,
        "expressions_per_image": 4,
        "log_every": 1,
        "steps": FEW_STEPS,
        "workers": 0,
        "precision": "32",
        "accelerator": "cpu",
        "validate_every": 0,
        **SLOW,
    }
    train(TrainingOptions(data=data, out=out, **{**defaults, **options}))


@contextmanager
def stopping_after(steps: int) -> Iterator[None]:
    """Has a run stop after so many steps, as Ctrl-C does."""
    stops = iter([False] * (steps - 1) + [True])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Interruption, "wanted", lambda *_, **__: next(stops))
        yield


def run_all(data: Path, out: Path, *, several: bool) -> None:
    """Makes all runs in folders of their names."""
    for name, options in {**PARTS, **WAYS}.items():
        run(data, out / name, **options)
    for name, options in SHARED.items():
        run(data, out / name, **options, strategy="fsdp" if several else "auto", validate_every=1)
    for name, options in STOPPED.items():
        strategy = "fsdp" if several and "shared" in name else "auto"
        run(data, out / f"never {name}", **options, strategy=strategy)
        with stopping_after(STOPPED_AT):
            run(data, out / name, **options, strategy=strategy)
        if is_first_of_run():
            shutil.copytree(out / name, out / f"copy of {name}")
        run(data, out / name, **options, strategy=strategy, resume=True)


def main(arguments: Sequence[str]) -> None:
    data, out = map(Path, arguments)
    run_all(data, out, several=True)


if __name__ == "__main__":
    main(sys.argv[1:])
