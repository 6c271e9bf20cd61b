"""Gets a training ready: data, devices, network, loss and optimiser, and where the last run stopped."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader, Sampler

from cmpc.data.dataset import ReferringImages, collate
from cmpc.data.device_transforms import CollatePhotos
from cmpc.data.sampler import PassSampler, StepSampler, Visit
from cmpc.devices import channels_last_pays, expressions_at_once
from cmpc.errors import UsageError
from cmpc.models.build import build_network
from cmpc.models.config import CMPCConfig, GroundedConfig, ModelConfig, preset
from cmpc.models.network import ReferringNetwork
from cmpc.models.paper.word_types import LanguageEncoder
from cmpc.processes import naming_lost_processes
from cmpc.training.checkpoints import RunFolder
from cmpc.training.compilation import check_compiler, compile_parts
from cmpc.training.fabric import is_sharded, make_fabric, use_deterministic_algorithms
from cmpc.training.inputs import VALIDATION_SPLITS, Inputs, load_initial_weights, read_inputs
from cmpc.training.loading import loading, make_loader
from cmpc.training.losses import Loss, ModernLoss, PaperLoss
from cmpc.training.objective import Objective
from cmpc.training.optimizers import freeze_backbone, modern_optimizer, paper_optimizer
from cmpc.training.options import Plan, TrainingOptions
from cmpc.training.progress import Meters
from cmpc.training.run import Run
from cmpc.training.run_settings import check_same_run, run_settings, says_splitting
from cmpc.training.schedule import PolynomialDecay, Schedule, WarmupCosine
from cmpc.training.synchronised_norm import learns_statistics, synchronise_batch_norms
from cmpc.training.validation import ValidationScores, validate
from cmpc.training.word_noise import add_word_noise

PAPER_WEIGHT_DECAY = 5e-4
WARMUP = 0.05
GROUNDING_WEIGHT = 0.2
PRESENCE_WEIGHT = 0.3
CLIP_NORM = 5.0
GIVEN_EMBEDDINGS_SCALE = 0.02
"""Given embeddings hardly learn, so that a word which no expression says stays close to those that mean the same."""


def prepare(options: TrainingOptions) -> Run:
    """Gets a training ready, to begin or to go on. Nothing is written before everything is known to be in order.

    Raises:
        UsageError: options contradict each other, or the run's folder does not fit them.
        UserError: data are missing or damaged.
    """
    plan = Plan.of(options)
    folder = RunFolder(options.out)
    before = folder.check(resume=options.resume)
    if before is not None and options.precision == "auto":  # it may go on where devices have other instructions
        options = replace(options, precision=before.get("options", {}).get("precision", "auto"))
    if before is not None and options.initial_model is None and not says_splitting(before):
        config = options.model or preset("small")
        options = replace(options, model=config.changed(text={"splitting": "original"}))
    inputs = read_inputs(options, plan)
    steps = plan.total_steps(len(inputs.training_set.order))
    fabric, precision = _devices(options, plan, inputs.config)
    model = _network(options, inputs)
    decided: dict[str, Any] = {**vars(plan), "precision": precision}
    if learns_statistics(model):  # which are those of a micro batch
        decided["accumulate"] = options.accumulate
    settings = run_settings(options, network=inputs.config, fingerprint=inputs.fingerprint, **decided)
    if before is not None:
        check_same_run(before, settings, options, options.out)
    fabric.launch()
    if not folder.last.exists():
        load_initial_weights(model, options)
    _ready_for_devices(model, options, fabric)
    loss, schedule, optimizer = _recipe(options, plan, model, steps)
    objective = _objective(options, model, loss, fabric)
    state = folder.load_last(model, optimizer)
    notes = _notes(options, plan, inputs, model, steps, fabric, precision)
    with naming_lost_processes(fabric.global_rank, fabric.world_size):
        wrapped, wrapped_optimizer = fabric.setup(objective, optimizer)
    meters = Meters(objective.terms, fabric.device)
    meters.restore(state.sums, fabric)
    run = Run(
        folder=folder,
        is_new=before is None,
        model=model,
        vocabulary=inputs.vocabulary,
        fabric=fabric,
        objective=wrapped,
        optimizer=optimizer,
        wrapped_optimizer=wrapped_optimizer,
        schedule=schedule,
        clip_norm=CLIP_NORM if options.recipe == "modern" else None,
        state=state,
        meters=meters,
        batches=_batches(options, plan, inputs, fabric, range(state.step, steps)),
        validate=_validation(options, plan, inputs, fabric, wrapped),
        steps=steps,
        batch_images=plan.batch_images,
        epoch_images=len(inputs.training_set.order),
        seed=options.seed,
        validate_every=options.validate_every,
        save_every=options.save_every,
        log_every=options.log_every,
        notes=notes,
        accumulate=options.accumulate,
    )
    if run.is_new and fabric.is_global_zero:
        folder.begin(settings)
    return run


def _devices(options: TrainingOptions, plan: Plan, config: ModelConfig) -> tuple[Fabric, str]:
    """Devices and precision; nothing is started yet."""
    if options.recipe == "paper" and config.network.presence_channels:
        raise UsageError(
            "--recipe paper does not teach a network to tell whether anything fits: leave out "
            "--network.presence-channels, or take --recipe modern."
        )
    # Without word-type gating nothing reaches the classifier of word types.
    all_train = not isinstance(config.network, CMPCConfig) or config.network.word_type_gating
    fabric, precision = make_fabric(
        accelerator=options.accelerator,
        devices=options.devices,
        nodes=options.nodes,
        strategy=options.strategy,
        precision="32" if options.precision == "auto" and options.recipe == "paper" else options.precision,
        batch_images=plan.batch_images,
        accumulate=options.accumulate,
        all_train=all_train,
    )
    if options.deterministic and fabric.device.type == "cuda":
        use_deterministic_algorithms()
    if options.compile:
        if is_sharded(fabric):
            raise UsageError("--compile does not go with --strategy fsdp: leave one of them out.")
        check_compiler(fabric.device)
    return fabric, precision


def _network(options: TrainingOptions, inputs: Inputs) -> ReferringNetwork:
    """The network with random weights and the given embeddings; what is not to train does not."""
    torch.manual_seed(options.seed)
    model = build_network(inputs.config)
    if inputs.embeddings is not None:
        with torch.no_grad():
            model.language.embedding.weight.copy_(torch.from_numpy(inputs.embeddings))
    if options.word_noise:
        add_word_noise(model.language.embedding, options.word_noise)
    freeze_backbone(model, tune=options.tune_backbone, freeze=options.freeze_backbone)
    network = inputs.config.network
    if options.recipe == "modern" and isinstance(network, CMPCConfig):
        language = cast(LanguageEncoder, model.language)
        for layer in (language.word_type_hidden, language.word_type):  # which nothing may reach, nor decay
            layer.requires_grad_(network.word_type_gating or network.word_type_supervision)
    return model


def _ready_for_devices(model: ReferringNetwork, options: TrainingOptions, fabric: Fabric) -> None:
    if fabric.world_size > 1:
        synchronise_batch_norms(model)
    if channels_last_pays(fabric.device):
        model.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if options.compile:
        compile_parts(model)


def _recipe(
    options: TrainingOptions, plan: Plan, model: ReferringNetwork, steps: int
) -> tuple[Loss, Schedule, torch.optim.Optimizer]:
    """Loss, learning rates and optimiser of ``--recipe``."""
    rate = plan.learning_rate
    if options.recipe == "paper":
        return PaperLoss(model.side_names), PolynomialDecay(rate), paper_optimizer(model, learning_rate=rate)
    grounding_weight = GROUNDING_WEIGHT if isinstance(model.config.network, GroundedConfig) else 0.0
    return (
        ModernLoss(
            model.side_names,
            grounding_weight=grounding_weight,
            presence_weight=PRESENCE_WEIGHT if model.config.network.presence_channels else 0.0,
        ),
        WarmupCosine(rate, steps=steps, warmup=max(1, round(WARMUP * steps))),
        modern_optimizer(
            model,
            learning_rate=rate,
            embeddings_scale=_embeddings_scale(options),
        ),
    )


def _embeddings_scale(options: TrainingOptions) -> float:
    if options.embeddings_scale is not None:
        return options.embeddings_scale
    return GIVEN_EMBEDDINGS_SCALE if options.embeddings is not None else 1.0


def _objective(options: TrainingOptions, model: ReferringNetwork, loss: Loss, fabric: Fabric) -> Objective:
    # Pieces form their gradients where DDP does not expect them.
    alone = fabric.world_size == 1 and options.strategy != "ddp"
    return Objective(
        model,
        loss,
        weight_decay=PAPER_WEIGHT_DECAY if options.recipe == "paper" else 0.0,
        device_count=fabric.world_size,
        micro_batches=options.accumulate,
        expressions_at_once=expressions_at_once(model.config, fabric.device) if alone else None,
    )


def _batches(
    options: TrainingOptions, plan: Plan, inputs: Inputs, fabric: Fabric, steps: range
) -> Callable[[], AbstractContextManager[Any]]:
    sampler = StepSampler(
        inputs.training_set.order,
        batch=plan.batch_images,
        start=steps.start,
        stop=steps.stop,
        device_rank=fabric.global_rank,
        device_count=fabric.world_size,
        micro_batches=options.accumulate,
    )
    return partial(loading, _loader(inputs.training_set, sampler, options))


def _loader(dataset: ReferringImages, sampler: Sampler[list[Visit]], options: TrainingOptions) -> DataLoader[Any]:
    join = collate if dataset.render else CollatePhotos(dataset.image)
    return make_loader(dataset, sampler, collate=join, workers=options.workers)


def _validation(
    options: TrainingOptions, plan: Plan, inputs: Inputs, fabric: Fabric, objective: nn.Module
) -> Callable[[], ValidationScores] | None:
    if inputs.validation_set is None:
        return None
    sampler = PassSampler(
        inputs.validation_set.order,
        batch=max(1, plan.batch_images // (fabric.world_size * options.accumulate)),
        device_rank=fabric.global_rank,
        device_count=fabric.world_size,
    )
    batches = _loader(inputs.validation_set, sampler, options)

    def scores() -> ValidationScores:
        with loading(batches) as loaded:
            return validate(objective, loaded, fabric)

    return scores


def _notes(
    options: TrainingOptions,
    plan: Plan,
    inputs: Inputs,
    model: ReferringNetwork,
    steps: int,
    fabric: Fabric,
    precision: str,
) -> list[str]:
    parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    expressions = sum(inputs.training_set.order.expressions)
    computing = f"{precision} (chosen by --precision auto)" if options.precision == "auto" else precision
    computing += ", compiled" if options.compile else ""
    notes = [
        f"{parameters / 1e6:.1f} M parameters learn from {expressions:,} expressions on "
        f"{len(inputs.training_set):,} images: {steps:,} steps of {plan.batch_images} images, recipe {options.recipe}, "
        f"{fabric.world_size} x {fabric.device.type}, {computing}"
    ]
    if options.accumulate > 1 and learns_statistics(model):
        notes.append(
            f"Batch norms see {plan.batch_images // options.accumulate} images at a time, for a step is made of "
            f"{options.accumulate} micro batches."
        )
    if isinstance(inputs.config.network, GroundedConfig) and not inputs.training_set.has_grounding:
        notes.append("Nothing says what words speak about, so where they look is learned from the masks alone.")
    if options.absent_per_image:
        borrowing = sum(map(bool, inputs.training_set.order.absent))
        notes.append(
            f"{borrowing:,} images are asked expressions of other images too, up to {options.absent_per_image}, which "
            "fit nothing in them."
        )
    if cut := inputs.training_set.cut_expressions:
        most = inputs.config.text.max_words
        notes.append(f"{cut:,} expressions have more than {most} words; what follows is not read.")
    if inputs.validation_set is not None and inputs.validation_set.split != "val":
        notes.append(f"The best model is told by the split {inputs.validation_set.split}.")
    if inputs.validation_set is None and options.validate_every:
        names = ", ".join(VALIDATION_SPLITS)
        notes.append(
            f"The data have no split to tell the best model by (one called {names}), so there is only the last one: "
            f"name one of {', '.join(inputs.training_set.data.splits)} with --validation-split."
        )
    return notes
