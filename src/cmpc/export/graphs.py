"""The two graphs of an export, as ONNX files and as OpenVINO's."""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cmpc.data.pixels import PixelNormalisation
from cmpc.engines.passes.folding import fix_peepholes, fold_batch_norms
from cmpc.engines.passes.products import divide_products
from cmpc.errors import UserError
from cmpc.models.network import ImageFeatures, ReferringNetwork, copy_sharing_weights

OPSET = 20
EXAMPLE_IMAGES, EXAMPLE_EXPRESSIONS, EXAMPLE_WORDS = 2, 3, 5
"""Sizes while the graphs are recorded; not 1, which would be taken as fixed."""


class ImageEncoder(nn.Module):
    """``ReferringNetwork.encode_image`` on the bytes of letterboxed photos."""

    def __init__(self, network: ReferringNetwork) -> None:
        super().__init__()
        self.normalisation = PixelNormalisation(network.config.image)
        self.network = network

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """RGB uint8 (B, S, S, 3) -> features by name, each with a batch axis."""
        return self.network.encode_image(self.normalisation(images)).maps


class Comprehension(nn.Module):
    """``ReferringNetwork.encode_expression`` and ``comprehend`` for expressions about one image."""

    def __init__(self, network: ReferringNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: dict[str, Tensor], tokens: Tensor) -> tuple[Tensor, ...]:
        """Features of one image and word ids, (E, N) -> logits, (E, S, S), word types, (E, N, 4), and, of a network
        that tells it, presence, (E,)."""
        config = self.network.config
        images = ImageFeatures(features, config.grid, (config.image.size, config.image.size))
        first = torch.zeros_like(tokens[:, 0])
        output = self.network.comprehend(images, self.network.encode_expression(tokens), first)
        told = () if output.presence is None else (output.presence,)
        return output.logits, output.word_types, *told


def require_exporter() -> None:
    """Refuses when the extra is missing.

    Raises:
        UserError: a package that writes ONNX is not installed.
    """
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]:
        raise UserError(f"export needs {', '.join(missing)}: pip install 'cmpc[onnx]'.")


@torch.no_grad()
def write_onnx(network: ReferringNetwork, image_encoder: Path, comprehension: Path) -> None:
    """Writes both graphs of a network as ONNX files.

    The number of images, of expressions and of words is free; images are squares of the configuration's size.
    """
    require_exporter()
    network = copy_sharing_weights(network).eval()
    fold_batch_norms(network)
    fix_peepholes(network, network.config.grid)
    divide_products(network)
    encoder, comprehend = ImageEncoder(network).eval(), Comprehension(network).eval()
    size = network.config.image.size
    images = torch.zeros(EXAMPLE_IMAGES, size, size, 3, dtype=torch.uint8)
    tokens = torch.ones(EXAMPLE_EXPRESSIONS, EXAMPLE_WORDS, dtype=torch.int64)
    tokens[0, 2:] = 0
    features = encoder(images)
    one = {name: value[:1] for name, value in features.items()}
    _export(encoder, (images,), image_encoder, ["images"], [*features], ({0: "images"},))
    free: tuple[Any, ...] = ({name: {} for name in one}, {0: "expressions", 1: "words"})
    answers = ["logits", "word_types", *(["presence"] if network.presence is not None else [])]
    _export(comprehend, (one, tokens), comprehension, [*one, "tokens"], answers, free)


def onnx_to_openvino(source: Path, target: Path) -> None:
    """Turns an ONNX file into OpenVINO's ``target`` (.xml) and its weights beside it (.bin)."""
    import onnx
    import openvino

    # Not convert_model: it reports its use to OpenVINO's makers unless told otherwise.
    model = openvino.Core().read_model(source)
    names = [output.name for output in onnx.load(source, load_external_data=False).graph.output]
    for output, name in zip(model.outputs, names, strict=True):
        output.get_tensor().set_names({name})  # where operations fall away it has several, in no order
    openvino.save_model(model, target, compress_to_fp16=False)


def _export(
    module: nn.Module,
    arguments: tuple[Any, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    dynamic_shapes: tuple[Any, ...],
) -> None:
    with _quiet():
        program = torch.onnx.export(
            module,
            arguments,
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=dynamic_shapes,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    for node in program.model.graph:
        for value in node.outputs:
            value.shape = None  # the exporter notes a fixed number of words behind the LSTM; runtimes infer the shapes
    program.save(path, external_data=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what the exporter says to its own developers from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
