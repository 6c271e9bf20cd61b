"""The published network at sizes of a few channels, and checkpoints of the original program for it."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from cmpc.data.vocabulary import Vocabulary
from cmpc.interop.tensorflow.names import variables
from cmpc.models.config import CMPCConfig, DeepLabResNetConfig, LSTMConfig, ModelConfig
from interop.tables import write_float_bundle

WORDS = Vocabulary(("<pad>", "<go>", "<eos>", "<unk>", "man", "left"))
TINY = ModelConfig(
    backbone=DeepLabResNetConfig(channels=(8, 12, 16, 20), blocks=(1, 2, 2, 1)),
    text=LSTMConfig(vocabulary_size=len(WORDS), embedding_channels=3, word_channels=4),
    network=CMPCConfig(
        word_type_channels=2, multimodal_channels=5, fusion_channels=3, fusion_heads=2, peephole_grid=(2, 2)
    ),
)
TINY_TORCHVISION = TINY.changed(backbone={"convention": "torchvision"})


def values_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Random values that belong to the name."""
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)


def training_checkpoint(config: ModelConfig = TINY) -> dict[str, np.ndarray]:
    """The variables of a training checkpoint, with Adam's slots and the step."""
    tensors = {variable.name: values_of(variable.name, variable.shape) for variable in variables(config)}
    for name in [name for name in tensors if name.startswith("text_objseg/")]:
        for slot in ("Adam", "Adam_1"):
            tensors[f"text_objseg/{name}/{slot}"] = np.zeros_like(tensors[name])
    scalars = {"Variable_1": 700000.0, "beta1_power": 0.9, "beta2_power": 0.999}
    return tensors | {f"text_objseg/{name}": np.array(value, np.float32) for name, value in scalars.items()}


def write_training_checkpoint(prefix: Path, config: ModelConfig = TINY) -> Path:
    """Writes ``training_checkpoint`` in version 2; returns the prefix."""
    write_float_bundle(prefix, sorted(training_checkpoint(config).items()))
    return prefix
