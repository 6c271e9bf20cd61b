"""int8: post-training quantisation of the two graphs, calibrated on real images and expressions."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cmpc.data.query import holds_a_word
from cmpc.data.schema import PreparedDataset
from cmpc.data.vocabulary import Vocabulary
from cmpc.engines import Engine
from cmpc.engines.asking import see, to_square, tokens_of
from cmpc.engines.onnx_engine import COMPREHENSION, IMAGE_ENCODER, OnnxEngine
from cmpc.evaluation.metrics import Score, overlap
from cmpc.evaluation.samples import Sample, samples_by_image
from cmpc.segmenter import Segmenter

if TYPE_CHECKING:
    import onnx

CALIBRATION_IMAGES = 32
TESTED_IMAGES = 64
WORD_KEY = "relation_reasoning.project_cells.key"
"""End of the name of the weights, in the graph, of what turns words into what cells are compared with."""
PRESENCE = "presence"
"""Name of the graph's output that tells whether anything fits."""


@dataclass(frozen=True)
class Int8Loss:
    """What a quantised model loses, on the same expressions of the same images."""

    before: Score
    """The model's."""
    after: Score
    """The quantised model's."""

    @property
    def points(self) -> float:
        """Overall IoU lost, in points (hundredths)."""
        return 100 * (self.before.overall_iou - self.after.overall_iou)

    def __str__(self) -> str:
        return (
            f"overall IoU {100 * self.before.overall_iou:.2f} -> {100 * self.after.overall_iou:.2f}, "
            f"mean IoU {100 * self.before.mean_iou:.2f} -> {100 * self.after.mean_iou:.2f}"
        )


def quantise(
    engine: OnnxEngine, source: Path, target: Path, vocabulary: Vocabulary, dataset: PreparedDataset, split: str
) -> None:
    """Writes int8 forms of the graphs in ``source`` into ``target``.

    Products with constant weights (convolutions, matrices) are quantised; norms, softmaxes and the LSTM stay fp32. So
    do the results of matrix products, which norms and softmaxes take: 8 bits of one range lose most there.
    Weights use 7 bits for each output channel, which older CPUs add up without overflow.

    Args:
        engine: runs the graphs in ``source``.
        source: holds both graphs in fp32.
        target: an existing folder.
        vocabulary: the model's words.
        dataset: gives images and expressions to calibrate on.
        split: the split that they are taken from.

    Raises:
        UserError: the split does not exist, or a photo is missing.
    """
    photos = list(_photos(dataset, split, CALIBRATION_IMAGES))
    config = engine.config
    squares = [to_square(dataset.read_image(some[0].row), config) for some in photos]
    _quantise(source / IMAGE_ENCODER, target / IMAGE_ENCODER, [{"images": square[None]} for square in squares])
    asked = [
        {**features, "tokens": _tokens(some, vocabulary, config.text.max_words)}
        for some, square in zip(photos, squares, strict=True)
        for features in see(engine, [square])
    ]
    _quantise(source / COMPREHENSION, target / COMPREHENSION, asked)


def measure_loss(
    before: Engine, after: Engine, vocabulary: Vocabulary, dataset: PreparedDataset, split: str
) -> Int8Loss:
    """Scores both engines on the first images of a split, protocol ``standard``."""
    scores = []
    photos = list(_photos(dataset, split, TESTED_IMAGES))
    for engine in (before, after):
        segmenter = Segmenter(engine, vocabulary)
        score = Score()
        for some in photos:
            seen = segmenter.set_image(dataset.read_image(some[0].row))
            predictions = segmenter.predict([sample.expression for sample in some], image=seen)
            for sample, prediction in zip(some, predictions, strict=True):
                score += Score.of(overlap(prediction.mask, sample.row.decode_mask().astype(np.bool_)))
        scores.append(score)
    return Int8Loss(*scores)


def _photos(dataset: PreparedDataset, split: str, count: int) -> Iterator[list[Sample]]:
    """Samples, those that hold a word, of images spread over a split."""
    images = samples_by_image(dataset.read(split), holds_a_word)
    for index in np.linspace(0, len(images) - 1, min(count, len(images))).astype(int):
        yield images[index]


def _tokens(samples: Sequence[Sample], vocabulary: Vocabulary, max_words: int) -> NDArray[np.int64]:
    return tokens_of([vocabulary.query(sample.expression, max_words) for sample in samples])


def _kept_fp32(path: Path) -> list[str]:
    """The nodes that stay fp32: small products, from which nothing is gained.

    Some turn words into what cells are compared with, which OpenVINO cannot transpose in int8 ("Input order must have
    shape [n], where n is the rank of arg"); others tell presence, which is a single number an expression.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    keys = {node.name for node in graph.node if node.op_type == "MatMul" and node.input[1].endswith(WORD_KEY)}
    answers = {output.name for output in graph.output} - {PRESENCE}
    return sorted(keys | (_behind(graph, {PRESENCE}) - _behind(graph, answers)))


def _behind(graph: onnx.GraphProto, values: set[str]) -> set[str]:
    """Names of the nodes that values of a graph are computed by."""
    needed, nodes = set(values), set()
    for node in reversed(graph.node):  # they stand in the order in which they are computed
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.add(node.name)
    return nodes


def _quantise(source: Path, target: Path, inputs: list[dict[str, NDArray]]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        """Gives the inputs one after the other."""

        def __init__(self) -> None:
            self.rest = iter(inputs)

        def get_next(self) -> dict[str, NDArray] | None:
            return next(self.rest, None)

    with _without_advice():
        quantize_static(
            source,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            nodes_to_exclude=_kept_fp32(source),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            use_external_data_format=True,
            extra_options={"MatMulConstBOnly": True, "OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
        )


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keeps ONNX Runtime from telling users to prepare the graphs, in which batch norms are folded already."""

    def keep(record: logging.LogRecord) -> bool:
        return "pre-processing before quantization" not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)
