"""What an ablation can be told, and what that means for each of its runs."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from cmpc.ablation.variants import FULL, VARIANTS, VariantName
from cmpc.errors import UsageError
from cmpc.models.config import PRESETS, ModelConfig, preset
from cmpc.training.options import Plan, TrainingOptions, flag
from cmpc.training.run_settings import MAY_CHANGE

VOCABULARY = "vocabulary.txt"
"""The words of the data, in the folder of an ablation whose runs learn from other data first."""
STEPS = 3000
"""Of each run, by default."""


@dataclass(frozen=True)
class VariantRun:
    """One training and its test."""

    variant: VariantName
    """Which network."""
    seed: int
    """Its initial weights, order of the data and augmentation."""

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.variant}-seed{self.seed}"


def default_training(**options: Any) -> TrainingOptions:
    """A training as an ablation has it where nothing else is asked for: the last model is tested, all runs compute with
    the same numbers, and none uses several devices.

    Args:
        options: those that are asked for.
    """
    defaults = {"steps": STEPS, "validate_every": 0, "precision": "32", "devices": "1"}
    return TrainingOptions(**{**defaults, **options})


@dataclass
class AblationOptions:
    """What an ablation can be told."""

    variants: tuple[VariantName, ...] | None = None
    """Networks to compare; by default all that can be made of the preset."""
    seeds: int = 2
    """Runs of each network, with the seeds --seed, --seed + 1, ..."""
    parallel: int = 1
    """Runs at once, each in a process with one thread. Two such runs on two cores are faster than one on both."""
    split: str = "test"
    """Split to test on."""
    limit: int | None = None
    """Test only on the first images of the split, with all their expressions."""
    first_data: Path | None = None
    """Folder of an easier dataset of the same kind of photos, which each run learns from first: for Blocks, phrases
    that may fit several blocks (cmpc.blocks.phrases)."""
    first_steps: int = 1000
    """Steps of each run on --first-data."""
    training: Annotated[TrainingOptions, tyro.conf.arg(name="")] = field(kw_only=True)
    """The training of each run. In out are ablation.json, ablation.md and a folder for each run; model gives the sizes
    that all variants share; with resume finished runs are kept and interrupted ones go on, while variants and seeds may
    be others than before."""

    @property
    def runs(self) -> list[VariantRun]:
        """All runs. Each seed is done with all variants before the next, so that there is a whole table early."""
        chosen = self._possible_variants() if self.variants is None else dict.fromkeys(self.variants)
        first = self.training.seed
        return [VariantRun(variant, seed) for seed in range(first, first + self.seeds) for variant in chosen]

    @property
    def model(self) -> ModelConfig:
        """The network whose sizes all variants share."""
        return self.training.model or preset("small")

    def trainings(self, run: VariantRun) -> list[TrainingOptions]:
        """Options of a run's training: one, or two where it learns from other data first.

        Raises:
            UsageError: the variant cannot be made of the network.
        """
        out = self.training.out
        variant = VARIANTS[run.variant]
        try:
            model = variant.of(self.model)
        except ValueError as error:
            raise UsageError(f"the variant {run.variant} cannot be made of that network: {error}.") from None
        whole = dataclasses.replace(
            self.training,
            out=out / run.name,
            seed=run.seed,
            model=model,
            word_types=self.training.word_types if variant.learns_word_types else "none",
        )
        if self.first_data is None:
            return [whole]
        first = dataclasses.replace(
            whole,
            data=self.first_data,
            out=out / f"{run.name}-first",
            steps=self.first_steps,
            vocabulary=out / VOCABULARY,
        )
        # The model of the first training brings its network, words and weights.
        second = dataclasses.replace(
            whole, initial_model=first.out / "last", model=None, embeddings=None, backbone_weights=None
        )
        return [first, second]

    def settings(self) -> dict[str, Any]:
        """What all runs have in common and decides their results, with every default filled in.

        Raises:
            UsageError: options contradict each other or are out of range.
            UserError: the first data are missing or damaged.
        """
        self._check()
        plans = [Plan.of(self.trainings(run)[-1]) for run in self.runs]
        preset_name = _preset_of(self.model)
        return {
            **_unusual(self.training),
            "preset": preset_name,
            **({} if preset_name else {"network": self.model.to_dict()}),
            "recipe": self.training.recipe,
            **{name: value for name, value in vars(plans[0]).items() if name != "epochs"},
            "image_size": self.model.image.size,
            "first_data": None if self.first_data is None else _name_of(self.first_data),
            "first_steps": None if self.first_data is None else self.first_steps,
            "word_types": self.training.word_types,
            "precision": self.training.precision,
            "train_split": self.training.train_split,
            "split": self.split,
            "limit": self.limit,
            "protocol": "standard",
        }

    def _possible_variants(self) -> list[VariantName]:
        networks: dict[VariantName, ModelConfig] = {}
        for name, variant in VARIANTS.items():
            with contextlib.suppress(ValueError):
                network = variant.of(self.model)
                if name != "preset" or network not in networks.values():
                    networks[name] = network
        return list(networks)

    def _check(self) -> None:
        for name in ("seeds", "parallel", "limit", "first_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{flag(name)} must be 1 or more, got {value}.")
        if self.first_data is None and self.first_steps != AblationOptions.first_steps:
            raise UsageError("--first-steps goes with --first-data.")
        if self.variants == ():
            raise UsageError("--variants names no network: leave it out to compare all.")
        parts, usual = _parts(self.model), [_parts(like) for like in _presets_like(self.model)]
        if parts not in usual:
            changed = next(name for name, value in usual[0].items() if parts[name] != value)
            raise UsageError(f"{flag(f'network.{changed}')} is what the variants differ in: leave it out.")
        if self.training.initial_model is not None:
            raise UsageError("--initial-model brings its own network: variants are made of --preset.")
        if self.first_data is not None and self.training.vocabulary is not None:
            raise UsageError("--first-data brings words of its own: leave out --vocabulary.")


def _unusual(training: TrainingOptions) -> dict[str, Any]:
    """The options that decide the result and are not what they are by default."""
    usual = {field.name: field.default for field in dataclasses.fields(training)}
    return {
        name: value
        for name, value in vars(training).items()
        if name not in MAY_CHANGE and name not in ("seed", "validate_every") and value != usual[name]
    }


def _presets_like(model: ModelConfig) -> list[ModelConfig]:
    """The presets that a network may be made of: those of its kind, on its kind of backbone if there is one."""
    same = [config for config in PRESETS.values() if type(config.network) is type(model.network)]
    return [config for config in same if config.backbone.kind == model.backbone.kind] or same


def _parts(model: ModelConfig) -> dict[str, Any]:
    """What the variants differ in, as the network has it."""
    return {name: getattr(model.network, name, value) for name, value in FULL.items()}


def _preset_of(model: ModelConfig) -> str | None:
    """Name of the preset that the network is, at any size of image; None where it is none."""
    same = (name for name, config in PRESETS.items() if config.changed(image={"size": model.image.size}) == model)
    return next(same, None)


def _name_of(data: Path) -> str:
    from cmpc.data.schema import PreparedDataset

    return PreparedDataset.open(data).info.name
