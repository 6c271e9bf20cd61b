"""Which parameter of our network each variable of the original is.

Layouts: convolutions ``[kh, kw, in, out]`` there, ``(out, in, kh, kw)`` here; the five MUTAN heads are one matrix here;
the LSTM's gates stand in the order i, j, f, o there and i, f, j, o here, with the forget bias added at run time there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from cmpc.conventions import LEVELS
from cmpc.models.config import CMPCConfig, DeepLabResNetConfig, ModelConfig

HEAD = "text_objseg/"


@dataclass(frozen=True)
class Variable:
    """A variable of the original and its place in our state dict."""

    name: str
    """Name in the checkpoint."""
    shape: tuple[int, ...]
    """Shape in the checkpoint."""
    parameter: str
    """Key of our state dict."""
    to_parameter: Callable[[np.ndarray], np.ndarray]
    """From the checkpoint's layout to ours."""
    rows: slice | None = None
    """The rows of the parameter that this variable fills, where several variables make one parameter."""


def variables(config: ModelConfig) -> list[Variable]:
    """The variables that hold weights of the published network, in the sizes of ``config`` (the ``paper`` preset)."""
    if not isinstance(config.backbone, DeepLabResNetConfig):
        raise ValueError(f"checkpoints of the original hold the paper's backbone, not {config.backbone.kind}")
    head = (*_language(config), *_levels(config), *_exchange(config), *_output(config))
    return [*backbone_variables(config.backbone), *head]


def is_training_state(name: str) -> bool:
    """Whether a variable belongs to the training and not to the network: Adam's slots and powers, the step."""
    return name.endswith(("/Adam", "/Adam_1", "beta1_power", "beta2_power")) or name == f"{HEAD}Variable_1"


def _same(array: np.ndarray) -> np.ndarray:
    return array


def _convolution(array: np.ndarray) -> np.ndarray:
    return array.transpose(3, 2, 0, 1)


def _linear(array: np.ndarray) -> np.ndarray:
    return array[0, 0].T


def _lstm_rows(array: np.ndarray) -> np.ndarray:
    """Gates i, j, f, o along the last axis -> i, f, j, o along the first."""
    i, j, f, o = np.split(array, 4, axis=-1)
    return np.concatenate([i, f, j, o], axis=-1).T


def _lstm_bias(array: np.ndarray) -> np.ndarray:
    i, j, f, o = np.split(array, 4)
    return np.concatenate([i, f + np.float32(1.0), j, o])


def backbone_variables(backbone: DeepLabResNetConfig) -> Iterator[Variable]:
    """The backbone's variables, and where each of them goes in a network."""

    def convolution(original: str, norm: str, ours: str, our_norm: str, shape: tuple[int, ...]) -> Iterator[Variable]:
        yield Variable(f"{original}/weights", shape, f"backbone.{ours}.weight", _convolution)
        for theirs, name in (
            ("gamma", "weight"),
            ("beta", "bias"),
            ("moving_mean", "running_mean"),
            ("moving_variance", "running_var"),
        ):
            yield Variable(f"{norm}/{theirs}", shape[3:], f"backbone.{our_norm}.{name}", _same)

    yield from convolution("conv1", "bn_conv1", "conv1", "bn1", (7, 7, 3, 64))
    channels = 64
    for stage, (out, blocks) in enumerate(zip(backbone.channels, backbone.blocks, strict=True), start=1):
        width = out // 4
        for block in range(blocks):
            letters = "abc"[block] if stage in (1, 4) else ("a" if block == 0 else f"b{block}")
            theirs, ours = f"{stage + 1}{letters}", f"layer{stage}.{block}"
            if block == 0:
                yield from convolution(
                    f"res{theirs}_branch1",
                    f"bn{theirs}_branch1",
                    f"{ours}.downsample.0",
                    f"{ours}.downsample.1",
                    (1, 1, channels, out),
                )
            shapes = ((1, 1, channels, width), (3, 3, width, width), (1, 1, width, out))
            for number, (letter, shape) in enumerate(zip("abc", shapes, strict=True), start=1):
                branch = f"{theirs}_branch2{letter}"
                yield from convolution(
                    f"res{branch}", f"bn{branch}", f"{ours}.conv{number}", f"{ours}.bn{number}", shape
                )
            channels = out


def _paper(config: ModelConfig) -> CMPCConfig:
    if not isinstance(config.network, CMPCConfig):
        raise ValueError(f"checkpoints of the original hold the paper's network, not {config.network.kind}")
    return config.network


def _layer(
    name: str, parameter: str, shape: tuple[int, ...], *, linear: bool = False, rows: slice | None = None
) -> Iterator[Variable]:
    """The kernel and the bias of a layer of the head."""
    yield Variable(f"{HEAD}{name}/DW", shape, f"{parameter}.weight", _linear if linear else _convolution, rows)
    yield Variable(f"{HEAD}{name}/biases", shape[3:], f"{parameter}.bias", _same, rows)


def _norm(name: str, parameter: str, channels: int) -> Iterator[Variable]:
    yield Variable(f"{HEAD}{name}/gamma", (channels,), f"{parameter}.weight", _same)
    yield Variable(f"{HEAD}{name}/beta", (channels,), f"{parameter}.bias", _same)


def _language(config: ModelConfig) -> Iterator[Variable]:
    embedding, units = config.text.embedding_channels, config.text.word_channels
    hidden = _paper(config).word_type_channels
    yield Variable(f"{HEAD}Variable", (config.text.vocabulary_size, embedding), "language.embedding.weight", _same)
    cell = f"{HEAD}RNN/multi_rnn_cell/cell_0/basic_lstm_cell"
    kernel = (embedding + units, 4 * units)
    yield Variable(f"{cell}/kernel", kernel, "language.lstm.weight_ih_l0", lambda a: _lstm_rows(a[:embedding]))
    yield Variable(f"{cell}/kernel", kernel, "language.lstm.weight_hh_l0", lambda a: _lstm_rows(a[embedding:]))
    yield Variable(f"{cell}/bias", (4 * units,), "language.lstm.bias_ih_l0", _lstm_bias)
    yield from _layer("words_parse_1", "language.word_type_hidden", (1, 1, units, hidden), linear=True)
    yield from _layer("words_parse_2", "language.word_type", (1, 1, hidden, 4), linear=True)


def _levels(config: ModelConfig) -> Iterator[Variable]:
    parts, words = _paper(config), config.text.word_channels
    channels, fused = parts.multimodal_channels, parts.fusion_channels
    for level in LEVELS:
        taps, _ = config.backbone.stages[level]
        ours = f"levels.{level}"
        yield from _layer(f"{level}_lateral", f"lateral.{level}", (1, 1, taps, channels))
        for head in range(parts.fusion_heads):
            rows = slice(head * channels, (head + 1) * channels)
            name = f"{level}_head{head + 1}"
            shape = (1, 1, channels + 8, channels)
            yield from _layer(f"vis_trans_{name}", f"{ours}.entity_perception.visual", shape, rows=rows)
            shape = (1, 1, words, channels)
            yield from _layer(f"lang_trans_{name}", f"{ours}.entity_perception.language", shape, linear=True, rows=rows)
        graph = f"{ours}.relation_reasoning"
        yield from _layer(f"words_trans_{level}", f"{graph}.project_words", (1, 1, words, channels), linear=True)
        yield from _layer(f"spa_graph_trans2_{level}", f"{graph}.project_cells", (1, 1, channels, channels))
        yield from _norm(f"gconv_feat_ln_spa_graph_{level}", f"{graph}.message_norm", channels)
        yield from _layer(f"gconv_update_spa_graph_{level}", f"{graph}.update", (1, 1, channels, channels))
        yield from _norm(f"gconv_update_ln_spa_graph_{level}", f"{graph}.update_norm", channels)
        yield from _layer(f"fusion_{level}", f"{ours}.fusion.project", (1, 1, 2 * channels + words + 8, fused))
        yield from _layer(f"score_{level}", f"{ours}.side_score", (3, 3, fused, 1))


def _exchange(config: ModelConfig) -> Iterator[Variable]:
    words, fused = config.text.word_channels, config.network.fusion_channels
    for number in range(_paper(config).exchange_rounds):
        suffix = "" if number == 0 else f"_{number + 1}"
        for level in LEVELS:
            ours, theirs = f"exchange.{number}.levels.{level}", f"{level}{suffix}"
            vector = f"{ours}.global_vector"
            yield from _layer(f"spa_graph_key_{theirs}gv_f1", f"{vector}.key", (1, 1, fused, fused))
            yield from _layer(f"lang_query_{theirs}gv_f1", f"{vector}.query", (1, 1, words, fused), linear=True)
            yield from _layer(f"gv_lang_{theirs}gv_f1", f"{vector}.project", (1, 1, fused + words, fused), linear=True)
            others = [other for other in LEVELS if other != level]
            for place, other in enumerate(others, start=1):
                shape = (1, 1, fused, fused)
                yield from _layer(f"lang_feat_{theirs}_f{place}", f"{ours}.gate.{other}", shape, linear=True)
                yield from _layer(f"trans_feat_{theirs}_f{place}", f"{ours}.transform.{other}", shape)


def _output(config: ModelConfig) -> Iterator[Variable]:
    fused = config.network.fusion_channels
    theirs, ours = "rnn/conv_lstm_cell", "conv_lstm.cell"
    if _paper(config).conv_lstm:
        yield Variable(f"{HEAD}{theirs}/kernel", (1, 1, 2 * fused, 4 * fused), f"{ours}.kernel.weight", _convolution)
        if config.network.peephole_grid is not None:
            for letter, gate in (("i", "input"), ("f", "forget"), ("o", "output")):
                shape = (*config.network.peephole_grid, fused)
                yield Variable(
                    f"{HEAD}{theirs}/W_c{letter}", shape, f"{ours}.peephole_{gate}", lambda a: a.transpose(2, 0, 1)
                )
        for suffix, name in (("", "content"), ("_1", "input"), ("_2", "forget"), ("_3", "output"), ("_4", "state")):
            yield from _norm(f"{theirs}/LayerNorm{suffix}", f"{ours}.norm_{name}", fused)
    yield from _layer("score", "score", (3, 3, fused, 1))
