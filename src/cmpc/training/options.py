"""What a training run can be told, what each recipe takes by default, and which of it decides the result."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from cmpc.errors import UsageError
from cmpc.models.config import ModelConfig, RRNConfig

Recipe = Literal["modern", "paper"]
Precision = Literal["auto", "bf16", "32"]
MOST = {
    "workers": 1_000,
    "batch_images": 1_000_000,
    "accumulate": 1_000_000,
    "expressions_per_image": 1_000_000,
    "absent_per_image": 1_000_000,
    "nodes": 100_000,
}
"""Numbers above which memory or processes end before the work begins."""


@dataclass(frozen=True)
class RecipeDefaults:
    """Values that a recipe takes where none are given."""

    learning_rate: float
    batch_images: int
    expressions_per_image: int
    augmentation: bool
    epochs: int | None
    steps: int | None


RECIPES = {
    "paper": RecipeDefaults(
        learning_rate=2.5e-4, batch_images=1, expressions_per_image=1, augmentation=False, epochs=None, steps=700_000
    ),
    "modern": RecipeDefaults(
        learning_rate=1.5e-3, batch_images=8, expressions_per_image=4, augmentation=True, epochs=40, steps=None
    ),
}


@dataclass
class TrainingOptions:
    """What a training run can be told."""

    data: Path
    """Folder of the prepared dataset (from cmpc prepare)."""
    out: Path
    """Folder of the run: checkpoints, logs. It must be new, unless --resume is given."""
    model: Annotated[ModelConfig | None, tyro.conf.arg(name=""), tyro.conf.AvoidSubcommands] = None
    """The network, but for what follows from words, embeddings and backbone weights; by default that of initial_model,
    or the preset small."""
    recipe: Recipe = "modern"
    """How to train. modern: AdamW, warm-up and cosine, cross entropy and Dice, augmentation. paper: the published
    recipe, and the default of the presets paper and rrn."""
    resume: bool = False
    """Continue the run in --out, bit for bit. Give the same options again."""

    images: Path | None = None
    """Where the photos are now, if they were moved since the preparation."""
    train_split: str = "train"
    """Split to learn from (ReferIt: trainval)."""
    validation_split: str | None = None
    """Split that tells the best model; by default val, valid, validation or dev, where the data have one. Without one
    there is no best model, only the last."""
    vocabulary: Path | None = None
    """Vocabulary file, one word per line; by default it is made from the training split. With --initial-model it gives
    words to learn beside those that the model knows."""
    embeddings: Path | None = None
    """Word embeddings to begin with, whose width the network takes: a .npy file with a row for each word of the
    vocabulary, as cmpc vocabulary makes it and as the original's are, or GloVe's text file. With --initial-model the
    words that it knows keep their own."""
    initial_model: Path | None = None
    """Model folder to begin from, all of it: network, weights and vocabulary (fine-tuning). By default the weights
    begin at random."""
    backbone_weights: str | None = None
    """Pre-trained weights for what sees, without the words: a model folder (its backbone, and what grounded reasoning
    reads from it, if it has that: aspects and objects), or for a backbone that usually comes with weights, a file or an
    id of the hub; "random" to try such a backbone out without. The network sees images as these weights expect."""
    tune_backbone: bool = False
    """Train more of the backbone: the last three stages of the paper's (-conv5 of the original), which is frozen
    otherwise; the first blocks of efficientnet_lite too."""
    freeze_backbone: bool = False
    """Keep every backbone as it is, with the statistics of its batch norms, and what grounded reasoning reads from it;
    otherwise all but the paper's train."""

    epochs: int | None = None
    """Length of the run in passes over the training split (modern: 40)."""
    steps: int | None = None
    """Length of the run in steps, instead of --epochs (paper: 700,000)."""
    batch_images: int | None = None
    """Images in a step, on all devices together (modern: 8, paper: 1)."""
    accumulate: int = 1
    """Micro batches that a step is made of, one after the other: a device holds batch_images / (devices * accumulate)
    images at a time, so that a small machine can make the steps of a large one. The same result up to rounding, but
    where batch norms learn statistics (the backbone compact): those are of a micro batch."""
    expressions_per_image: int | None = None
    """Most expressions that are asked of an image in a step (modern: 4, paper: 1)."""
    absent_per_image: int = 0
    """Most expressions of other images that each visit to an image adds, about kinds that are known to be absent from
    it (modern): they teach a network with --network.presence-channels that nothing fits. For data that say which kinds
    are in an image, as cmpc prepare makes them of COCO's benchmarks."""
    learning_rate: float | None = None
    """Highest learning rate (modern: 1.5e-3, paper: 2.5e-4)."""
    embeddings_scale: float | None = None
    """Factor of the learning rate for the word embeddings (modern); by default 0.02 where --embeddings gives them, so
    that words which no expression says stay comparable, else 1."""
    word_noise: float = 0.0
    """Noise on the word embeddings, as a share of their length that is drawn for each word from 0 to this (modern):
    words that no expression says are then taken for those that mean about the same. For embeddings that hardly learn;
    1 is a good value."""
    augmentation: bool | None = None
    """Mirror (with the words), scale and recolour the photos at random; by default as the recipe says (modern: yes,
    paper: no)."""
    render_on: Literal["cpu", "device"] = "cpu"
    """Where photos are resized and recoloured: on the cpu, by the processes that load them, or on the device that
    trains, which leaves them to decoding. The device's may differ by a grey level or two, from rounding, and by more at
    edges where the cpu's come from a large JPEG that was decoded at a part of its size."""
    seed: int = 0
    """Decides everything random: initial weights, order, augmentation."""

    word_types: Literal["data", "spacy", "none"] = "data"
    """Labels for an auxiliary loss on the word types (modern recipe). data: those of the prepared data, if it has any;
    spacy: also weak ones, from parts of speech; none: the types are learned without labels, as published."""
    spacy_pipeline: str | None = None
    """Name or folder of the spaCy pipeline for --word-types spacy; by default the first English one installed."""

    precision: Precision = "auto"
    """Numbers to compute with. auto: the modern recipe takes bf16 where the device has instructions for it; 32
    otherwise. The run says which, and --resume keeps it."""
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Kind of device."""
    devices: str = "auto"
    """How many devices on each node; auto: all GPUs, or what torchrun says."""
    nodes: int = 1
    """How many machines (under torchrun they are counted by themselves)."""
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """How several devices work together. ddp, which auto chooses by itself: each has all weights. fsdp: each has a
    share of the weights, gradients and the optimiser's state, for networks that are too large for one. Checkpoints are
    the same."""
    workers: int | None = None
    """Processes that load data, for each device; 0 loads in the training process. By default up to 4."""
    validate_every: int = 1
    """Epochs between validations; 0 for none."""
    save_every: int = 1000
    """Most steps between checkpoints; one is written after each validation anyway."""
    log_every: int = 20
    """Steps between log entries."""
    compile: bool = False
    """Compile the network by torch.compile: a minute or more when the run starts, faster steps for a large network."""
    deterministic: bool = True
    """On GPUs use algorithms that give the same bits each time, which --resume needs; somewhat slower."""


@dataclass(frozen=True)
class Plan:
    """What the recipe decides unless the options do, with every default filled in."""

    batch_images: int
    expressions_per_image: int
    learning_rate: float
    augmentation: bool
    epochs: int | None
    steps: int | None

    @staticmethod
    def of(options: TrainingOptions) -> Plan:
        """Fills in the defaults.

        Raises:
            UsageError: options contradict each other or are out of range.
        """
        _check(options)
        values = dataclasses.asdict(RECIPES[options.recipe])
        if options.epochs is not None or options.steps is not None:
            values |= {"epochs": None, "steps": None}
        given = {name: getattr(options, name) for name in values if getattr(options, name) is not None}
        return Plan(**(values | given))

    def total_steps(self, visits: int) -> int:
        """Steps of the run, for a training split with so many visits in an epoch."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return -(-self.epochs * visits // self.batch_images)


def flag(name: str, value: object = None) -> str:
    """How the command line spells an option: ``network.conv_lstm`` is ``--network.conv-lstm``, and
    ``--network.no-conv-lstm`` where its value is False."""
    part, dot, last = name.replace("_", "-").rpartition(".")
    return f"--{part}{dot}{'no-' if value is False else ''}{last}"


def _check(options: TrainingOptions) -> None:
    if options.epochs is not None and options.steps is not None:
        raise UsageError("give --epochs or --steps, not both.")
    for name in ("epochs", "steps", "batch_images", "expressions_per_image", "learning_rate"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise UsageError(f"{flag(name)} must be positive, got {value}.")
    if options.embeddings_scale is not None and not 0 <= options.embeddings_scale <= 1:
        raise UsageError(f"--embeddings-scale must be from 0 to 1, got {options.embeddings_scale}.")
    if not 0 <= options.word_noise <= 10:
        raise UsageError(f"--word-noise must be from 0 to 10, got {options.word_noise}.")
    if options.word_noise and options.recipe == "paper":
        raise UsageError("--word-noise is for the modern recipe: leave it out, or take --recipe modern.")
    for name in ("save_every", "log_every", "nodes", "accumulate"):
        if not getattr(options, name) > 0:
            raise UsageError(f"{flag(name)} must be positive, got {getattr(options, name)}.")
    if options.absent_per_image and options.recipe == "paper":
        raise UsageError("--absent-per-image is for the modern recipe: leave it out, or take --recipe modern.")
    for name in ("seed", "validate_every", "workers", "absent_per_image"):
        value = getattr(options, name)
        if value is not None and value < 0:
            raise UsageError(f"{flag(name)} must not be negative, got {value}.")
    for name, most in MOST.items():
        value = getattr(options, name)
        if value is not None and value > most:
            raise UsageError(f"{flag(name)} must be at most {most:,}, got {value:,}.")
    if options.devices != "auto" and not (options.devices.isdigit() and int(options.devices)):
        raise UsageError(f"--devices must be auto or a number, got {options.devices!r}.")
    _check_beginning(options)
    is_rrn = options.model is not None and isinstance(options.model.network, RRNConfig)
    if options.word_types == "spacy" and (is_rrn or options.recipe == "paper"):
        raise UsageError("--word-types spacy needs a network with word types and --recipe modern.")
    if options.spacy_pipeline is not None and options.word_types != "spacy":
        raise UsageError("--spacy-pipeline goes with --word-types spacy.")


def _check_beginning(options: TrainingOptions) -> None:
    if options.initial_model is not None:
        if options.backbone_weights is not None:
            raise UsageError("--initial-model brings its own network, words and weights: leave out --backbone-weights.")
        if options.embeddings is not None and options.vocabulary is None:
            raise UsageError(
                "with --initial-model, --embeddings are those of new words: say which by --vocabulary, or leave them "
                "out."
            )
    if options.freeze_backbone and options.tune_backbone:
        raise UsageError("give --freeze-backbone or --tune-backbone, not both.")
    if options.freeze_backbone and options.initial_model is None and options.backbone_weights in (None, "random"):
        raise UsageError("--freeze-backbone needs a backbone that can see: --backbone-weights FILE or --initial-model.")
