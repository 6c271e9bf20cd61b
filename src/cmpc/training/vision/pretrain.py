"""The training without words, from top to bottom."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from rich.console import Console
from torch import nn

from cmpc.data.sampler import PassSampler, StepSampler
from cmpc.data.vocabulary import Vocabulary
from cmpc.errors import UsageError
from cmpc.model_folder import load_model_folder
from cmpc.models.build import build_network
from cmpc.models.config import GroundedConfig, preset
from cmpc.models.network import ReferringNetwork
from cmpc.training.checkpoints import RunFolder
from cmpc.training.fabric import make_fabric, use_deterministic_algorithms
from cmpc.training.inputs import adapted_to_backbone_weights, like_initial_model
from cmpc.training.loading import loading, make_loader
from cmpc.training.progress import Meters
from cmpc.training.recipe import TrainingResult, learn
from cmpc.training.run import Run
from cmpc.training.run_settings import check_same_run, run_settings
from cmpc.training.schedule import WarmupCosine
from cmpc.training.vision.losses import AttributeHeads, are_told_apart
from cmpc.training.vision.objective import VISION_PARTS, VisionObjective, cells_of
from cmpc.training.vision.options import PretrainingOptions
from cmpc.training.vision.photos import LabelledPhotos
from cmpc.training.vision.scenes import LabelledScenes, SceneBatch, collate_scenes

WARMUP = 0.05
WEIGHT_DECAY = 0.02
PRETRAINED_SCALE = 0.1
TESTED_IMAGES = 300
"""Images of ``val`` in which it is tested whether blocks are told apart."""


def pretrain(options: PretrainingOptions, console: Console | None = None) -> TrainingResult:
    """Teaches a network to see, or continues to; its last model is for ``backbone_weights`` or ``initial_model`` of a
    training with words.

    Args:
        options: what to do; see ``PretrainingOptions``.
        console: where progress is shown; by default the terminal's standard error.

    Raises:
        UsageError: options contradict each other, or the run's folder does not fit them.
        UserError: data are missing or damaged, or the loss is no longer a number.
    """
    console = console or Console(stderr=True)
    run = prepare_pretraining(options)
    result = learn(run, console)
    if result.finished and "middle_error" in run.meters.names and (options.data / "scenes" / "val.jsonl.gz").exists():
        told_apart = _told_apart(run.objective.module, options)
        console.print(
            f"In {sum(told_apart) / len(told_apart):.1%} of {len(told_apart)} images of val every block is one object, "
            "and nothing else is one.",
            highlight=False,
            soft_wrap=True,
        )
    return result


def prepare_pretraining(options: PretrainingOptions) -> Run:
    """Gets a training without words ready, to begin or to go on. Nothing is written before everything is known to be in
    order.

    Raises:
        UsageError: options contradict each other, or the run's folder does not fit them.
        UserError: data are missing or damaged.
    """
    options.check()
    folder = RunFolder(options.out)
    before = folder.check(resume=options.resume)
    if before is not None and options.precision == "auto":
        options = replace(options, precision=before.get("options", {}).get("precision", "auto"))
    model, vocabulary = _network(options)
    parts = _parts(options, model)
    scenes = _scenes(options, model)
    steps = options.steps or max(1, round(options.epochs * len(scenes) / options.batch_images))
    fabric, precision = make_fabric(
        accelerator=options.accelerator, precision=options.precision, batch_images=options.batch_images
    )
    if options.deterministic and fabric.device.type == "cuda":
        use_deterministic_algorithms()
    described = options.data if options.data.is_file() else options.data / "blocks.json"
    fingerprint = hashlib.sha256(described.read_bytes()).hexdigest()
    settings = run_settings(
        options, network=model.config, fingerprint=fingerprint, parts=sorted(parts), precision=precision
    )
    if before is not None:
        check_same_run(before, settings, options, options.out)
    fabric.launch()
    heads = AttributeHeads(model.backbone.stages, scenes.classes) if "backbone" in parts else None
    sizes = [model.config.image.size, *([options.second_size] if options.second_size else [])]
    objective = VisionObjective(
        model, heads, parts, attributes=len(scenes.classes), sizes=sizes, recolour=options.recolour
    )
    learning = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    optimizer = _optimizer(model, learning, options)
    state = folder.load_last(model, optimizer, heads=heads)
    wrapped, wrapped_optimizer = fabric.setup(objective, optimizer)
    meters = Meters(objective.terms, fabric.device)
    meters.restore(state.sums, fabric)
    sampler = StepSampler(scenes.order, batch=options.batch_images, start=state.step, stop=steps)
    loader = make_loader(scenes, sampler, collate=collate_scenes, workers=options.workers)
    parameters = sum(parameter.numel() for parameter in learning)
    run = Run(
        folder=folder,
        is_new=before is None,
        model=model,
        vocabulary=vocabulary,
        fabric=fabric,
        objective=wrapped,
        optimizer=optimizer,
        wrapped_optimizer=wrapped_optimizer,
        schedule=WarmupCosine(options.learning_rate, steps=steps, warmup=max(1, round(WARMUP * steps))),
        clip_norm=None,
        state=state,
        meters=meters,
        batches=partial(loading, loader),
        validate=None,
        steps=steps,
        batch_images=options.batch_images,
        epoch_images=len(scenes),
        seed=options.seed,
        validate_every=0,
        save_every=options.save_every,
        log_every=options.log_every,
        notes=[
            f"{parameters / 1e6:.1f} M parameters ({', '.join(sorted(parts))}) learn from {len(scenes):,} images: "
            f"{steps:,} steps of {options.batch_images} images, {fabric.device.type}, {precision}"
        ],
        measure=("right", "attributes right") if "right" in objective.terms else ("middle_error", "middle off by"),
        heads=heads,
    )
    if run.is_new:
        folder.begin(settings)
    return run


def _network(options: PretrainingOptions) -> tuple[ReferringNetwork, Vocabulary]:
    """The network with the weights that it begins with, and its words."""
    if options.initial_model is not None:
        loaded = load_model_folder(options.initial_model)
        config, vocabulary = like_initial_model(loaded.model.config, options.model), loaded.vocabulary
    else:
        vocabulary = Vocabulary.from_expressions([])
        config = (options.model or preset("grounded")).changed(text={"vocabulary_size": len(vocabulary)})
        config = adapted_to_backbone_weights(config, options.backbone_weights)
    torch.manual_seed(options.seed)
    model = build_network(config)
    if options.initial_model is not None:
        model.load_state_dict(loaded.model.state_dict())
    elif options.backbone_weights not in (None, "random"):
        from cmpc.interop.backbone_weights import load_backbone_weights

        load_backbone_weights(model, str(options.backbone_weights))
    return model, vocabulary


def _scenes(options: PretrainingOptions, model: ReferringNetwork) -> LabelledScenes | LabelledPhotos:
    """What there is to learn to see from."""
    if options.data.is_file():
        return LabelledPhotos(
            options.data, options.images or options.data.parent / "images", model.config.image, seed=options.seed
        )
    return LabelledScenes(options.data, "train", seed=options.seed)


def _optimizer(
    model: ReferringNetwork, learning: Sequence[nn.Parameter], options: PretrainingOptions
) -> torch.optim.AdamW:
    """AdamW; a backbone that has learned to see elsewhere learns at a tenth of the rate."""
    slow = set(model.backbone.parameters()) if model.backbone.is_pretrained else set()
    groups = [
        {"params": [one for one in learning if one not in slow], "learning_rate_scale": 1.0},
        {"params": [one for one in learning if one in slow], "learning_rate_scale": PRETRAINED_SCALE},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=options.learning_rate, weight_decay=WEIGHT_DECAY
    )


def _parts(options: PretrainingOptions, model: ReferringNetwork) -> Collection[str]:
    """What learns, of which alone the parameters ask for gradients."""
    there = [part for part, name in VISION_PARTS.items() if name in model.vision_parts]
    if options.data.is_file():
        there = [part for part in there if part != "aspects"]
        if "aspects" in (options.parts or ()):
            raise UsageError("photos do not teach aspects, whose classes are too few for kinds: leave aspects out.")
    parts = there if options.parts is None else list(dict.fromkeys(options.parts))
    if missing := [part for part in parts if part not in there]:
        raise UsageError(
            f"the network has no {missing[0]} to learn: take --preset grounded, or --parts {' '.join(there)}."
        )
    model.requires_grad_(False)
    for part in parts:
        module = model.vision_parts[VISION_PARTS[part]]
        for parameter in model.backbone.trainable(True) if part == "backbone" else module.parameters():
            parameter.requires_grad_(True)
    return parts


@torch.inference_mode()
def _told_apart(objective: VisionObjective, options: PretrainingOptions) -> list[bool]:
    """For each of the first images of ``val``, whether its blocks are told apart."""
    scenes = LabelledScenes(options.data, "val", most=TESTED_IMAGES)
    sampler = PassSampler(scenes.order, batch=options.batch_images)
    model = objective.eval().model
    answers: list[bool] = []
    middle_error = cast(GroundedConfig, model.config.network).middle_error
    with loading(make_loader(scenes, sampler, collate=collate_scenes, workers=options.workers)) as batches:
        for loaded in batches:
            batch: SceneBatch = loaded.to(objective.normalise.mean.device)
            pixels = objective.resized(batch.images, objective.sizes[0])
            of_cells = model.vision_parts["object_reader"](model.backbone(objective.normalise(pixels)))
            shown = cells_of(batch.blocks, (of_cells.shape[2], of_cells.shape[3]))
            answers += are_told_apart(of_cells, shown, middle_error=middle_error)
    return answers
