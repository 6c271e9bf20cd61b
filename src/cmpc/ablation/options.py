"""What an ablation can be told, and what that means for each of its runs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cmpc.ablation.variants import VARIANTS, VariantName
from cmpc.data.schema import PreparedDataset
from cmpc.errors import UsageError
from cmpc.models import preset
from cmpc.training.options import Plan, TrainingOptions

VOCABULARY = "vocabulary.txt"
"""The words of the data, in the folder of an ablation whose runs learn from other data first."""


@dataclass(frozen=True)
class Run:
    """One training and its test."""

    variant: VariantName
    """Which network."""
    seed: int
    """Its initial weights, order of the data and augmentation."""

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.variant}-seed{self.seed}"


@dataclass
class AblationOptions:
    """What an ablation can be told."""

    data: Path
    """Folder of the prepared dataset (from cmpc prepare or cmpc blocks)."""
    out: Path
    """Folder of the ablation: ablation.json, ablation.md and a folder for each run. It must be new, unless --resume is
    given."""
    variants: tuple[VariantName, ...] = tuple(VARIANTS)
    """Networks to compare; by default all."""
    seeds: int = 2
    """Runs of each network, with the seeds 0, 1, ..."""
    resume: bool = False
    """Continue the ablation in --out: finished runs are kept, interrupted ones go on. --variants and --seeds may be
    others than before."""
    parallel: int = 1
    """Runs at once, each in a process with one thread. Two such runs on two cores are faster than one on both."""

    images: Path | None = None
    """Where the photos are now, if they were moved since the preparation."""
    train_split: str = "train"
    """Split to learn from (ReferIt: trainval)."""
    split: str = "test"
    """Split to test on."""
    limit: int | None = None
    """Test only on the first images of the split, with all their expressions."""

    preset: Literal["small", "paper"] = "small"
    """The full network's sizes, which all variants share."""
    backbone_weights: str | None = None
    """Pre-trained weights for the backbone (see cmpc train)."""
    recipe: Literal["modern", "paper"] | None = None
    """How to train (see cmpc train). By default modern for small, paper for paper."""
    steps: int = 3000
    """Steps of each run."""
    first_data: Path | None = None
    """Folder of an easier dataset of the same kind of photos, which each run learns from first: for Blocks, phrases
    that may fit several blocks (cmpc.blocks.phrases)."""
    first_steps: int = 1000
    """Steps of each run on --first-data."""
    image_size: int | None = None
    """Side of the network's square input in pixels; by default the preset's (small: 192, paper: 320)."""
    batch_images: int | None = None
    """Images in a step (modern: 8, paper: 1)."""
    expressions_per_image: int | None = None
    """Most expressions that are asked of an image in a step (modern: 4, paper: 1)."""
    learning_rate: float | None = None
    """Highest learning rate (modern: 1.5e-3, paper: 2.5e-4)."""
    augmentation: bool | None = None
    """Mirror, scale and recolour the photos at random; by default as the recipe says (modern: yes, paper: no)."""
    word_types: Literal["data", "none"] = "data"
    """Labels for the loss on word types. data: those of the prepared data, if it has any; none: as published."""
    precision: Literal["32", "bf16"] = "32"
    """Numbers to train with, the same for all runs."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    workers: int | None = None
    """Processes that load data, for each run; 0 loads in the training process. By default up to 4."""

    @property
    def runs(self) -> list[Run]:
        """All runs. Each seed is done with all variants before the next, so that there is a whole table early."""
        return [Run(variant, seed) for seed in range(self.seeds) for variant in dict.fromkeys(self.variants)]

    def trainings(self, run: Run) -> list[TrainingOptions]:
        """Options of a run's training: one, or two where it learns from other data first. It is not validated: the
        last model is tested."""
        mine = {field.name for field in dataclasses.fields(TrainingOptions)} & set(vars(self))
        values: dict[str, Any] = {name: getattr(self, name) for name in mine}
        values |= {"out": self.out / run.name, "seed": run.seed, "validate_every": 0}
        values |= {"accelerator": self.device, "devices": "1"}
        changes = dict(VARIANTS[run.variant].changes)
        whole = TrainingOptions(**(values | changes))
        if self.first_data is None:
            return [whole]
        first = dataclasses.replace(
            whole,
            data=self.first_data,
            out=self.out / f"{run.name}-first",
            steps=self.first_steps,
            vocabulary=self.out / VOCABULARY,
        )
        # The model of the first training brings its network and weights.
        network = {name: getattr(TrainingOptions, name) for name in changes if name != "word_types"}
        network |= {"preset": TrainingOptions.preset, "backbone_weights": None, "recipe": Plan.of(whole).recipe}
        return [first, dataclasses.replace(whole, **network, initial_model=first.out / "last")]

    def settings(self) -> dict[str, Any]:
        """What all runs have in common and decides their results, with every default filled in.

        Raises:
            UsageError: options contradict each other or are out of range.
            UserError: the first data are missing or damaged.
        """
        for name in ("seeds", "parallel", "limit", "first_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} must be 1 or more, got {value}.")
        if self.first_data is None and self.first_steps != AblationOptions.first_steps:
            raise UsageError("--first-steps goes with --first-data.")
        if not self.variants:
            raise UsageError("--variants names no network: leave it out to compare all.")
        plans = [Plan.of(self.trainings(run)[-1]) for run in self.runs]
        return {
            "preset": self.preset,
            **{name: value for name, value in vars(plans[0]).items() if name != "epochs"},
            "image_size": self.image_size or preset(self.preset).image.size,
            "first_data": None if self.first_data is None else PreparedDataset.open(self.first_data).info.name,
            "first_steps": None if self.first_data is None else self.first_steps,
            "word_types": self.word_types,
            "precision": self.precision,
            "train_split": self.train_split,
            "split": self.split,
            "limit": self.limit,
            "protocol": "standard",
        }
