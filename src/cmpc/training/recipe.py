"""The whole training, from top to bottom."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from rich.console import Console

from cmpc.data.augmentation import Augmentation
from cmpc.data.dataset import ReferringImages
from cmpc.data.sampler import PassSampler, StepSampler
from cmpc.data.schema import PreparedDataset
from cmpc.devices import channels_last_pays, expressions_at_once
from cmpc.models import LEVELS, ReferringNetwork, build_network
from cmpc.training.checkpoints import RunFolder
from cmpc.training.compilation import check_compiler, compile_parts
from cmpc.training.fabric import make_fabric, naming_lost_processes, use_deterministic_algorithms
from cmpc.training.inputs import (
    fingerprint_of,
    load_initial_weights,
    run_config,
    run_vocabulary,
    validation_set_of,
    word_embeddings,
    word_labels,
)
from cmpc.training.interruption import Interruption
from cmpc.training.loading import loading, make_loader
from cmpc.training.losses import Loss, ModernLoss, PaperLoss
from cmpc.training.objective import Objective
from cmpc.training.optimizers import freeze_backbone, modern_optimizer, paper_optimizer, set_learning_rate
from cmpc.training.options import Plan, TrainingOptions, check_same_run, run_settings
from cmpc.training.progress import Meters, RunLog, not_finite
from cmpc.training.schedule import PolynomialDecay, Schedule, WarmupCosine
from cmpc.training.synchronised_norm import synchronise_batch_norms
from cmpc.training.validation import validate

PAPER_WEIGHT_DECAY = 5e-4
WARMUP = 0.05
GROUNDING_WEIGHT = 0.2
CLIP_NORM = 5.0


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended."""

    step: int
    """Steps made in all."""
    finished: bool
    """False when it was stopped before its end."""
    interrupted: bool
    """Whether it was asked to stop, be it in its last step."""
    best: float | None
    """Overall IoU of the best model on the validation split; None without validation."""


def train(options: TrainingOptions, console: Console | None = None) -> TrainingResult:
    """Trains a network, or continues to.

    Args:
        options: what to do; see ``TrainingOptions``.
        console: where progress is shown; by default the terminal's standard error.

    Raises:
        UsageError: options contradict each other, or the run's folder does not fit them.
        UserError: data are missing or damaged, or the loss is no longer a number.
    """
    # What to do, and with what ---------------------------------------------------------------------------------------
    plan = Plan.of(options)
    run = RunFolder(options.out)
    before = run.check(resume=options.resume)
    if before is not None and options.precision == "auto":  # trying the device out again might end otherwise
        options = replace(options, precision=before.get("options", {}).get("precision", "auto"))
    data = PreparedDataset.open(options.data, options.images)
    vocabulary = run_vocabulary(options, data)
    embeddings = word_embeddings(options, vocabulary)
    config = run_config(options, vocabulary, embeddings)
    training_set = ReferringImages(
        data,
        options.train_split,
        vocabulary,
        config.image,
        max_words=config.max_words,
        expressions_per_image=plan.expressions_per_image,
        seed=options.seed,
        augmentation=Augmentation() if plan.augmentation else None,
        label_words=word_labels(options, config),
        grounding=plan.recipe == "modern" and config.grounded_reasoning,
        render=options.render_on == "cpu",
    )
    supervised = training_set.has_word_types and plan.recipe == "modern" and config.network == "cmpc"
    config = replace(config, word_type_supervision=supervised or config.word_type_supervision)
    validation_set = validation_set_of(options, data, vocabulary, config)
    visits = len(training_set.order)
    steps = plan.total_steps(visits)

    # Devices ---------------------------------------------------------------------------------------------------------
    fabric, precision = make_fabric(options, recipe=plan.recipe, batch_images=plan.batch_images)
    fingerprint = fingerprint_of(vocabulary, training_set, validation_set)
    settings = run_settings(options, plan, precision=precision, network=config, fingerprint=fingerprint)
    if before is not None:
        check_same_run(before, settings, options.out)
    if options.deterministic and fabric.device.type == "cuda":
        use_deterministic_algorithms()
    if options.compile:
        check_compiler(fabric.device)
    fabric.launch()
    if fabric.is_global_zero:
        if before is None:
            run.begin(settings)
        run.recover()
    fabric.barrier()

    # Network, loss, optimiser ----------------------------------------------------------------------------------------
    torch.manual_seed(options.seed)
    model = build_network(config)
    if embeddings is not None:
        with torch.no_grad():
            model.language.embedding.weight.copy_(torch.from_numpy(embeddings))
    if not run.last.exists():
        load_initial_weights(model, options)
    freeze_backbone(model, tune=options.tune_backbone, freeze=options.freeze_backbone)
    if fabric.world_size > 1:
        synchronise_batch_norms(model)
    if channels_last_pays(fabric.device):
        model.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if options.compile:
        compile_parts(model)
    sides = () if config.network == "rrn" else (*LEVELS, *(("selection",) if config.selection else ()))
    loss: Loss
    schedule: Schedule
    optimizer: torch.optim.Optimizer
    if plan.recipe == "paper":
        loss = PaperLoss(sides)
        schedule = PolynomialDecay(plan.learning_rate)
        optimizer = paper_optimizer(model, learning_rate=plan.learning_rate)
    else:
        loss = ModernLoss(sides, grounding_weight=GROUNDING_WEIGHT if config.grounded_reasoning else 0.0)
        schedule = WarmupCosine(plan.learning_rate, steps=steps, warmup=max(1, round(WARMUP * steps)))
        optimizer = modern_optimizer(model, learning_rate=plan.learning_rate)
    weight_decay = PAPER_WEIGHT_DECAY if plan.recipe == "paper" else 0.0
    # Pieces form their gradients where DDP does not expect them.
    alone = fabric.world_size == 1 and options.strategy != "ddp"
    at_once = expressions_at_once(config, fabric.device) if alone else None
    objective = Objective(
        model, loss, weight_decay=weight_decay, device_count=fabric.world_size, expressions_at_once=at_once
    )
    state = run.load_last(model, optimizer)
    wrapped, wrapped_optimizer = fabric.setup(objective, optimizer)
    meters = Meters(objective.terms, fabric.device)
    meters.restore(state.sums)

    # The loop --------------------------------------------------------------------------------------------------------
    batches = make_loader(
        training_set,
        StepSampler(
            training_set.order,
            batch=plan.batch_images,
            start=state.step,
            stop=steps,
            device_rank=fabric.global_rank,
            device_count=fabric.world_size,
        ),
        workers=options.workers,
    )
    validation_batches = None
    if validation_set is not None:
        sampler = PassSampler(
            validation_set.order,
            batch=max(1, plan.batch_images // fabric.world_size),
            device_rank=fabric.global_rank,
            device_count=fabric.world_size,
        )
        validation_batches = make_loader(validation_set, sampler, workers=options.workers)

    log = None
    if fabric.is_global_zero:
        console = console or Console(stderr=True)
        log = RunLog(options.out, objective.terms, step=state.step, steps=steps, console=console)
        computing = f"{precision}, compiled" if options.compile else precision
        log.say(_summary(model, training_set, steps, plan, fabric.world_size, fabric.device, computing))
        if config.grounded_reasoning and not training_set.has_grounding:
            log.say("Nothing says what words speak about, so where they look is learned from the masks alone.")

    def save_last() -> None:
        meters.read(fabric)  # raises when a loss was not finite
        if not all(torch.stack([parameter.isfinite().all() for parameter in model.parameters()]).tolist()):
            raise not_finite(state.step)
        state.sums, state.seconds = meters.state(), seconds_before + time.monotonic() - began
        if fabric.is_global_zero:
            run.save_last(model, vocabulary, optimizer, state)

    wrapped.train()
    began, seconds_before = time.monotonic(), state.seconds
    mark, mark_step, saved_step = began, state.step, state.step
    stop = False
    with (
        naming_lost_processes(fabric),
        log or nullcontext(),
        Interruption() as interruption,
        loading(batches) as loaded,
    ):
        for batch in loaded:
            # Whatever a step draws at random depends on seed, step and device alone: there is no random state to
            # restore.
            torch.manual_seed(
                int(np.random.SeedSequence((options.seed, state.step, fabric.global_rank)).generate_state(1)[0])
            )
            learning_rate = schedule(state.step)
            set_learning_rate(optimizer, learning_rate)
            terms = wrapped(batch.to(fabric.device))
            fabric.backward(terms["loss"] * fabric.world_size)  # DDP averages over the devices; shares are to be added
            if plan.recipe == "modern":
                fabric.clip_gradients(wrapped, wrapped_optimizer, max_norm=CLIP_NORM, error_if_nonfinite=False)
            wrapped_optimizer.step()
            wrapped_optimizer.zero_grad()
            state.step += 1
            meters.add(state.step, terms)

            last_step = state.step == steps
            log_now = state.step % options.log_every == 0 or last_step
            if log_now:
                means = meters.read(fabric)
                meters.clear()
                now = time.monotonic()
                row = {
                    "step": state.step,
                    "epoch": state.step * plan.batch_images / visits,
                    "learning_rate": learning_rate,
                    **means,
                    "images_per_second": (state.step - mark_step) * plan.batch_images / max(now - mark, 1e-9),
                    "seconds": seconds_before + now - began,
                }
                mark, mark_step = now, state.step
                if log:
                    log.add_training(row)

            stop = interruption.wanted(fabric, ask_others=log_now)
            validated = False
            if (
                validation_batches is not None
                and (last_step or _ends_epochs(state.step, options, plan, visits))
                and not stop
            ):
                with loading(validation_batches) as loaded_validation:
                    scores = validate(objective, loaded_validation, fabric)
                row = {"step": state.step, "epoch": state.step * plan.batch_images / visits, **asdict(scores)}
                row["seconds"] = seconds_before + time.monotonic() - began
                meters.read(fabric)
                if log:
                    log.add_validation(row)
                if state.best is None or scores.overall_iou > state.best:
                    state.best = scores.overall_iou
                    if fabric.is_global_zero:
                        run.save_best(model, vocabulary, row)
                validated = True
                mark, mark_step = time.monotonic(), state.step
            if validated or last_step or stop or state.step - saved_step >= options.save_every:
                save_last()
                saved_step = state.step
            if stop:
                break
    fabric.barrier()
    if log and state.step < steps:
        log.say(f"Stopped at step {state.step:,} with a checkpoint: the same command with --resume continues.")
    elif log:
        best = "" if state.best is None else f", the best one (overall IoU {state.best:.4f}) in {run.best}"
        log.say(f"Done: the last model is in {run.last}{best}.")
    return TrainingResult(state.step, state.step == steps, stop, state.best)


def _ends_epochs(step: int, options: TrainingOptions, plan: Plan, visits: int) -> bool:
    """Whether the step completed another ``validate_every`` epochs."""
    if not options.validate_every:
        return False
    images = options.validate_every * visits
    return step * plan.batch_images // images > (step - 1) * plan.batch_images // images


def _summary(
    model: ReferringNetwork,
    training_set: ReferringImages,
    steps: int,
    plan: Plan,
    devices: int,
    device: torch.device,
    computing: str,
) -> str:
    parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    expressions = sum(training_set.order.expressions)
    return (
        f"{parameters / 1e6:.1f} M parameters learn from {expressions:,} expressions on {len(training_set):,} images: "
        f"{steps:,} steps of {plan.batch_images} images, recipe {plan.recipe}, {devices} x {device.type}, {computing}"
    )
