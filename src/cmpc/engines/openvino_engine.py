"""OpenVINO: runs an exported folder on the CPU, without PyTorch."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmpc.devices import images_in_caches
from cmpc.engines.engine import (
    EXPRESSIONS_AT_ONCE,
    Answers,
    EngineName,
    Features,
    Precision,
    comprehend_in_pieces,
    encode_in_pieces,
)
from cmpc.errors import UserError
from cmpc.models.config import ModelConfig

IMAGE_ENCODER, COMPREHENSION = "image_encoder.xml", "comprehension.xml"


class OpenVINOEngine:
    """Runs the two graphs of an export."""

    name: EngineName = "openvino"

    def __init__(self, folder: Path, config: ModelConfig, precision: Precision) -> None:
        """
        Args:
            folder: holds the two graphs.
            config: the network that they were made from.
            precision: what to compute in: ``int8`` for graphs that were made so, else ``fp32``, or ``bf16`` where the
                CPU has such numbers.

        Raises:
            UserError: OpenVINO is not installed, a graph is missing or damaged, or the CPU lacks the precision.
        """
        require_openvino()
        import openvino

        core = openvino.Core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise UserError("this CPU has no bf16 arithmetic: take fp32 or int8.")
        self.precision: Precision = precision
        self.config = config
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }
        self._images_at_once = images_in_caches(config)
        self._graphs, models = [], []
        for name in (IMAGE_ENCODER, COMPREHENSION):
            path = folder / name
            if not path.is_file() or not path.with_suffix(".bin").is_file():
                raise UserError(f"{path} or its .bin file is missing: export the model again.")
            try:
                models.append(core.read_model(path))
                self._graphs.append(core.compile_model(models[-1], "CPU", options))
            except RuntimeError as error:
                raise UserError(f"{path} is damaged ({_first_line(error)}): export the model again.") from None
        # Names of a compiled graph's outputs may have others beside them.
        self._names, self._answers = ([output.get_any_name() for output in model.outputs] for model in models)

    def encode_image(self, images: NDArray[np.uint8]) -> list[Features]:
        """As ``Engine.encode_image``."""
        return encode_in_pieces(images, self._images_at_once, self._encode)

    def comprehend(self, features: Features, tokens: NDArray[np.int64]) -> Answers:
        """As ``Engine.comprehend``."""

        def comprehend(some: NDArray[np.int64]) -> Answers:
            outputs = _run(self._graphs[1], {**features, "tokens": some})
            return Answers(**{name: np.array(outputs[name]) for name in self._answers})

        return comprehend_in_pieces(tokens, EXPRESSIONS_AT_ONCE, comprehend)

    def array(self, feature: NDArray[np.float32]) -> NDArray[np.float32]:
        """As ``Engine.array``."""
        return np.asarray(feature, np.float32)

    def _encode(self, images: NDArray[np.uint8]) -> Features:
        outputs = _run(self._graphs[0], {"images": images}).to_tuple()
        return {name: np.array(value) for name, value in zip(self._names, outputs, strict=True)}


def require_openvino() -> None:
    """Refuses when the extra is missing.

    Raises:
        UserError: OpenVINO is not installed.
    """
    if importlib.util.find_spec("openvino") is None:
        raise UserError("OpenVINO is not installed: pip install 'cmpc[openvino]'.")


def _run(graph: Any, inputs: Features) -> Any:
    try:
        return graph(inputs)
    except RuntimeError as error:
        raise UserError(
            f"a graph of the export cannot be run ({_first_line(error)}): it may not belong to its config.json; export "
            "the model again."
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
