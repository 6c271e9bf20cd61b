"""What is measured on a GPU. Random weights, pixels and words: the time of a step does not depend on them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.gpu.clock import Precision, Step, count_operations
from benchmarks.naive_network import NaiveNetwork
from benchmarks.training_step import autocast, training_step
from cmpc.data.dataset import Batch
from cmpc.data.pixels import PixelNormalisation
from cmpc.engines.cuda_graphs import Record
from cmpc.engines.torch_engine import TorchEngine
from cmpc.models.config import ModelConfig
from cmpc.models.paper.cmpc import CMPC

WORDS = 9

TRAINING = "training step"
SEGMENTING = "new images"
FIRST = "first expression"
FURTHER = "further expression"

PLAIN, COMPILED = "plain", "compiled"
GRAPHS, NO_GRAPHS = "ours", "ours, without CUDA graphs"
NAIVE, NAIVE_COMPILED = "naive", "naive, torch.compile"


def random_batch(config: ModelConfig, images: int, expressions: int) -> Batch:
    """Random pixels, words and masks: ``expressions`` for each image."""
    count, size = images * expressions, config.image.size
    return Batch(
        squares=torch.from_numpy(random_images(config, images)),
        tokens=torch.from_numpy(random_tokens(config, count)),
        image_index=torch.arange(images).repeat_interleave(expressions),
        masks=torch.rand(count, size, size) > 0.8,
        word_types=None,
        step_expressions=count,
    )


def random_images(config: ModelConfig, count: int) -> NDArray[np.uint8]:
    """(B, S, S, 3)."""
    size = config.image.size
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def random_tokens(config: ModelConfig, count: int) -> NDArray[np.int64]:
    """(E, N)."""
    return np.random.default_rng(1).integers(1, config.text.vocabulary_size, (count, min(WORDS, config.text.max_words)))


def training_steps(
    model: CMPC, device: torch.device, precision: Precision, images: int, expressions: int
) -> list[Step]:
    """Forward, backward and Adam with the published loss, as ``cmpc train --recipe paper`` does it, plain and compiled.

    The backbone of ``paper`` is frozen.
    """
    batch = random_batch(model.config, images, expressions).to(device)
    plain, compiled = (
        training_step(copy.deepcopy(model), batch, bf16=precision == "bf16", compiled=compiled)
        for compiled in (False, True)
    )
    operations = count_operations(plain)
    described = (precision, images, images * expressions)
    return [
        Step(TRAINING, PLAIN, *described, plain, operations),
        Step(TRAINING, COMPILED, *described, compiled, operations),
    ]


def segmenting_steps(model: CMPC, precision: Precision, images: int, expressions: int) -> list[Step]:
    """New images with some expressions each, as ``cmpc evaluate`` asks: bytes in, logits out, both on the processor."""
    engine, plain = TorchEngine(model, precision=precision), TorchEngine(model, precision=precision, record=None)
    pixels, tokens = random_images(model.config, images), random_tokens(model.config, expressions)

    def segment(engine: TorchEngine) -> None:
        for features in engine.encode_image(pixels):
            engine.comprehend(features, tokens)

    operations = count_operations(lambda: segment(plain))
    described = (precision, images, images * expressions)
    return [
        Step(SEGMENTING, GRAPHS, *described, lambda: segment(engine), operations),
        Step(SEGMENTING, NO_GRAPHS, *described, lambda: segment(plain), operations),
    ]


def first_steps(model: CMPC, device: torch.device, precision: Precision) -> list[Step]:
    """A new image with one expression; the naive network too."""
    steps = [
        Step(FIRST, step.by, precision, 1, 1, step.run, step.operations)
        for step in segmenting_steps(model, precision, 1, 1)
    ]
    pixels, tokens = random_images(model.config, 1), random_tokens(model.config, 1)
    for by, network in ((NAIVE, NaiveNetwork.of(model)), (NAIVE_COMPILED, NaiveNetwork.of(model))):
        ask = _naive(network.to(device).eval(), pixels, tokens, device, precision)
        operations = count_operations(ask)
        if by == NAIVE_COMPILED:
            network.compile()
        steps.append(Step(FIRST, by, precision, 1, 1, ask, operations))
    return steps


def _naive(
    network: NaiveNetwork,
    pixels: NDArray[np.uint8],
    tokens: NDArray[np.int64],
    device: torch.device,
    precision: Precision,
) -> Callable[[], object]:
    normalise = PixelNormalisation(network.config.image).to(device)

    @torch.inference_mode()
    def ask() -> object:
        images = normalise(torch.from_numpy(pixels).to(device))
        with autocast(device, bf16=precision == "bf16"):
            return network(images, torch.from_numpy(tokens).to(device)).logits.float().cpu().numpy()

    return ask


def further_steps(model: CMPC, precision: Precision) -> list[Step]:
    """One more expression about an image that was seen before."""
    tokens = random_tokens(model.config, 1)

    def asking(record: Record | Literal["auto"] | None) -> Callable[[], object]:
        engine = TorchEngine(model, precision=precision, record=record)
        features = engine.encode_image(random_images(model.config, 1))[0]
        return lambda: engine.comprehend(features, tokens)

    graphs, plain = asking("auto"), asking(None)
    operations = count_operations(plain)
    return [
        Step(FURTHER, GRAPHS, precision, 1, 1, graphs, operations),
        Step(FURTHER, NO_GRAPHS, precision, 1, 1, plain, operations),
    ]
