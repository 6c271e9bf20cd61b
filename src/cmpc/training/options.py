"""What a training run can be told, what each recipe takes by default, and which of it decides the result."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cmpc.errors import UsageError
from cmpc.model_folder import read_model_config
from cmpc.models import ModelConfig, preset
from cmpc.training.precision import Precision


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
    preset: Literal["small", "paper", "rrn"] = "small"
    """The network: small (trains on a laptop), paper (the published one) or rrn (the one that it derives from)."""
    recipe: Literal["modern", "paper"] | None = None
    """How to train. modern: AdamW, warm-up and cosine, cross entropy and Dice, augmentation. paper: the published
    recipe. By default modern for small, paper for paper and rrn."""
    resume: bool = False
    """Continue the run in --out, bit for bit. Give the same options again."""

    images: Path | None = None
    """Where the photos are now, if they were moved since the preparation."""
    train_split: str = "train"
    """Split to learn from (ReferIt: trainval)."""
    validation_split: str | None = None
    """Split that tells the best model; by default val where the data have it. Without one there is no best model, only
    the last."""
    vocabulary: Path | None = None
    """Vocabulary file, one word per line; by default it is made from the training split."""
    embeddings: Path | None = None
    """Word embeddings to begin with: a .npy file with a row for each word of the vocabulary, as cmpc vocabulary makes
    it and as the original's are, or GloVe's text file."""
    initial_model: Path | None = None
    """Model folder to begin from, all of it: network, weights and vocabulary (fine-tuning). By default the weights
    begin at random."""
    backbone_weights: str | None = None
    """Pre-trained weights for what sees, without the words: a model folder (its backbone, and what grounded reasoning
    reads from it, if it has that: aspects and objects), or for the paper's backbone a file or an id of the hub;
    "random" to try the paper's out without."""
    tune_backbone: bool = False
    """Train the last three stages of the paper's backbone too (-conv5 of the original); otherwise it is frozen."""
    freeze_backbone: bool = False
    """Keep the small backbone as it is too, with the statistics of its batch norms, and what grounded reasoning
    reads from it; otherwise they train."""

    epochs: int | None = None
    """Length of the run in passes over the training split (modern: 40)."""
    steps: int | None = None
    """Length of the run in steps, instead of --epochs (paper: 700,000)."""
    batch_images: int | None = None
    """Images in a step, on all devices together (modern: 8, paper: 1)."""
    expressions_per_image: int | None = None
    """Most expressions that are asked of an image in a step (modern: 4, paper: 1)."""
    learning_rate: float | None = None
    """Highest learning rate (modern: 1.5e-3, paper: 2.5e-4)."""
    augmentation: bool | None = None
    """Mirror (with the words), scale and recolour the photos at random; by default as the recipe says (modern: yes,
    paper: no)."""
    image_size: int | None = None
    """Side of the network's square input in pixels; by default the preset's (small: 192, paper: 320)."""
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

    both_directions: bool = False
    """Not in the paper: read expressions from their end too, so that a relation knows what follows it."""
    grounded_reasoning: bool = False
    """Not in the paper: words are grounded in cells, from labels where the data say what words speak about, and
    relations know where cells lie to each other; in the place of the published graph."""
    second_look: bool = False
    """Not in the paper: words look again, at what grounded reasoning found, and reason once more: "left of the cube
    next to the ball" needs that cube. It goes with --grounded-reasoning."""
    selection: bool = False
    """Not in the paper: things compete for the one place of what is referred to, so that two which answer about equally
    well are not both in the mask. It goes with --grounded-reasoning."""
    entity_perception: bool = True
    """Ablation: entity perception, else plain concatenation."""
    relation_reasoning: bool = True
    """Ablation: relation-aware reasoning (the graph)."""
    word_type_gating: bool = True
    """Ablation: words count by their type, else all alike."""
    exchange_rounds: Literal[0, 1, 2] = 2
    """Ablation: rounds of text-guided feature exchange between the levels."""
    conv_lstm: bool = True
    """Ablation: fusion of the levels by the ConvLSTM, else by a sum."""
    network: Literal["cmpc", "rrn"] | None = None
    """Ablation: rrn builds the recurrent refinement network at the sizes of --preset; by default the preset's own."""

    precision: Precision = "auto"
    """Numbers to compute with. auto: the modern recipe takes bf16 where the device computes in it and is faster for it;
    32 otherwise."""
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Kind of device."""
    devices: str = "auto"
    """How many devices on each node; auto: all GPUs, or what torchrun says."""
    nodes: int = 1
    """How many machines (under torchrun they are counted by themselves)."""
    strategy: Literal["auto", "ddp"] = "auto"
    """How several devices work together: ddp, which auto chooses by itself."""
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


MAY_CHANGE = frozenset(
    (
        *("data", "out", "resume", "images", "vocabulary", "embeddings", "initial_model", "backbone_weights"),
        *("accelerator", "devices", "nodes", "strategy", "workers", "save_every", "log_every"),
        *("compile", "deterministic"),
    )
)
"""Options that may be other ones when a run is resumed: where things are, and what computes. The data, the vocabulary
and the network are compared by what they hold."""


@dataclass(frozen=True)
class Plan:
    """The options with every default filled in."""

    recipe: Literal["modern", "paper"]
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
        recipe = options.recipe or ("modern" if options.preset == "small" else "paper")
        values = dataclasses.asdict(RECIPES[recipe])
        if options.epochs is not None or options.steps is not None:
            values |= {"epochs": None, "steps": None}
        given = {name: getattr(options, name) for name in values if getattr(options, name) is not None}
        return Plan(recipe=recipe, **(values | given))

    def total_steps(self, visits: int) -> int:
        """Steps of the run, for a training split with so many visits in an epoch."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return -(-self.epochs * visits // self.batch_images)


def model_config(options: TrainingOptions, *, vocabulary_size: int, embedding_channels: int | None) -> ModelConfig:
    """The network of ``--initial-model``, or the preset with the changes that the options ask for."""
    if options.initial_model is not None:
        return _with_image_size(read_model_config(options.initial_model), options.image_size)
    config = preset(
        options.preset,
        vocabulary_size=vocabulary_size,
        both_directions=options.both_directions,
        grounded_reasoning=options.grounded_reasoning,
        second_look=options.second_look,
        selection=options.selection,
        entity_perception=options.entity_perception,
        relation_reasoning=options.relation_reasoning,
        word_type_gating=options.word_type_gating,
        exchange_rounds=options.exchange_rounds,
        conv_lstm=options.conv_lstm,
    )
    if options.network is not None:
        config = dataclasses.replace(config, network=options.network)
    if embedding_channels is not None:
        config = dataclasses.replace(config, embedding_channels=embedding_channels)
    return _with_image_size(config, options.image_size)


def _with_image_size(config: ModelConfig, size: int | None) -> ModelConfig:
    return config if size is None else dataclasses.replace(config, image=dataclasses.replace(config.image, size=size))


def run_settings(
    options: TrainingOptions, plan: Plan, *, precision: str, network: ModelConfig, fingerprint: str
) -> dict[str, Any]:
    """What decides the result of a run, as JSON values: compared when it is resumed."""
    chosen = {name: value for name, value in vars(options).items() if name not in MAY_CHANGE}
    settings = {
        "options": {**chosen, **vars(plan), "precision": precision},
        "network": network.to_dict(),
        "fingerprint": fingerprint,
    }
    return dict(json.loads(json.dumps(settings)))


def check_same_run(before: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """Refuses to continue a run with something else.

    Raises:
        UsageError: names the options that differ, or says that the data or the network do.
    """
    # An option that came after the run began has its default there.
    options = {field.name: field.default for field in dataclasses.fields(TrainingOptions)} | before.get("options", {})
    changed = [
        f"--{name.replace('_', '-')} was {options[name]} and is {value}"
        for name, value in now["options"].items()
        if options[name] != value
    ]
    if changed:
        raise UsageError(
            f"the run in {folder} began with other options ({'; '.join(changed)}): give the same ones to resume it."
        )
    if before.get("fingerprint") != now["fingerprint"]:
        raise UsageError(
            f"the data or the vocabulary are not those that the run in {folder} began with: "
            "give the same ones to resume it."
        )
    if ModelConfig.from_dict(before.get("network", {})) != ModelConfig.from_dict(now["network"]):
        raise UsageError(
            f"embeddings or backbone weights are of another kind than those that the run in {folder} began with: "
            "give the same ones to resume it."
        )


def _check(options: TrainingOptions) -> None:
    if options.epochs is not None and options.steps is not None:
        raise UsageError("give --epochs or --steps, not both.")
    for name in (
        "epochs",
        "steps",
        "batch_images",
        "expressions_per_image",
        "learning_rate",
        "save_every",
        "log_every",
        "nodes",
    ):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise UsageError(f"--{name.replace('_', '-')} must be positive, got {value}.")
    for name in ("seed", "validate_every", "workers"):
        value = getattr(options, name)
        if value is not None and value < 0:
            raise UsageError(f"--{name.replace('_', '-')} must not be negative, got {value}.")
    if options.image_size is not None and options.image_size < 32:
        raise UsageError(f"--image-size must be at least 32, got {options.image_size}.")
    if options.devices != "auto" and not (options.devices.isdigit() and int(options.devices)):
        raise UsageError(f"--devices must be auto or a number, got {options.devices!r}.")
    _check_network(options)


def _check_network(options: TrainingOptions) -> None:
    parts = ("entity_perception", "relation_reasoning", "word_type_gating", "exchange_rounds", "conv_lstm")
    changed = [name for name in parts if getattr(options, name) != getattr(TrainingOptions, name)]
    if options.initial_model is not None:
        given = [
            name
            for name in ("vocabulary", "embeddings", "backbone_weights", "network")
            if getattr(options, name) is not None
        ]
        if options.preset != TrainingOptions.preset:
            given.insert(0, "preset")
        given += [
            name
            for name in ("both_directions", "grounded_reasoning", "second_look", "selection")
            if getattr(options, name)
        ]
        if given := given + changed:
            raise UsageError(
                f"--initial-model brings its own network, words and weights: leave out --{given[0].replace('_', '-')}."
            )
    elif options.preset == "small" and options.tune_backbone:
        raise UsageError(
            "--tune-backbone goes with --preset paper or rrn: the small backbone trains anyway, unless "
            "--freeze-backbone keeps it."
        )
    elif options.preset == "small" and options.backbone_weights == "random":
        raise UsageError("--backbone-weights random goes with --preset paper or rrn: the small backbone needs none.")
    if options.freeze_backbone and options.tune_backbone:
        raise UsageError("give --freeze-backbone or --tune-backbone, not both.")
    if options.freeze_backbone and options.initial_model is None and options.backbone_weights in (None, "random"):
        raise UsageError("--freeze-backbone needs a backbone that can see: --backbone-weights FILE or --initial-model.")
    is_rrn = "rrn" in (options.preset, options.network)
    if options.preset == "rrn" and options.network == "cmpc":
        raise UsageError("--network cmpc goes with --preset small or paper: rrn is the other network.")
    if is_rrn and changed:
        raise UsageError(f"the recurrent refinement network has no {changed[0].replace('_', ' ')} to switch off.")
    needed = ("entity_perception", "relation_reasoning", "word_type_gating")
    if options.grounded_reasoning and (is_rrn or not all(getattr(options, name) for name in needed)):
        raise UsageError(
            "--grounded-reasoning goes with the network cmpc, its entity perception, graph and word types."
        )
    if options.second_look and not options.grounded_reasoning:
        raise UsageError("--second-look goes with --grounded-reasoning: it is a second round of that.")
    if options.selection and not options.grounded_reasoning:
        raise UsageError("--selection goes with --grounded-reasoning, which reads where things are.")
    if options.word_types == "spacy" and (is_rrn or options.recipe == "paper"):
        raise UsageError("--word-types spacy needs a network with word types and the modern recipe.")
    if options.word_types == "spacy" and options.preset == "paper" and options.recipe is None:
        raise UsageError("--word-types spacy needs --recipe modern: the paper's learns the types without labels.")
    if options.spacy_pipeline is not None and options.word_types != "spacy":
        raise UsageError("--spacy-pipeline goes with --word-types spacy.")
    if options.preset != "small" and not options.backbone_weights and not options.tune_backbone:
        raise UsageError(
            "the paper's backbone does not train, so it needs --backbone-weights FILE (or the word random, to try)."
        )
