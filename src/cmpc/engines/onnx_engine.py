"""ONNX Runtime: runs an exported folder without PyTorch."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

IMAGE_ENCODER, COMPREHENSION = "image_encoder.onnx", "comprehension.onnx"


class OnnxEngine:
    """Runs the two graphs of an export on the CPU."""

    name: EngineName = "onnx"

    def __init__(self, folder: Path, config: ModelConfig, precision: Precision) -> None:
        """
        Args:
            folder: holds the two graphs.
            config: the network that they were made from.
            precision: what they compute in.

        Raises:
            UserError: ONNX Runtime is not installed, or a graph is missing or damaged.
        """
        require_onnxruntime()
        self.precision: Precision = precision
        self.config = config
        with ThreadPoolExecutor(2) as pool:  # the runtime prepares both at once
            self._encoder, self._comprehension = pool.map(_session, (folder / IMAGE_ENCODER, folder / COMPREHENSION))
        self._images_at_once = images_in_caches(config)
        self._names = [output.name for output in self._encoder.get_outputs()]
        self._answers = [output.name for output in self._comprehension.get_outputs()]

    def encode_image(self, images: NDArray[np.uint8]) -> list[Features]:
        """As ``Engine.encode_image``."""
        return encode_in_pieces(images, self._images_at_once, self._encode)

    def comprehend(self, features: Features, tokens: NDArray[np.int64]) -> Answers:
        """As ``Engine.comprehend``."""

        def comprehend(some: NDArray[np.int64]) -> Answers:
            found = _run(self._comprehension, {**features, "tokens": some})
            return Answers(**dict(zip(self._answers, found, strict=True)))

        return comprehend_in_pieces(tokens, EXPRESSIONS_AT_ONCE, comprehend)

    def array(self, feature: NDArray[np.float32]) -> NDArray[np.float32]:
        """As ``Engine.array``."""
        return np.asarray(feature, np.float32)

    def _encode(self, images: NDArray[np.uint8]) -> Features:
        return dict(zip(self._names, _run(self._encoder, {"images": images}), strict=True))


def require_onnxruntime() -> None:
    """Refuses when the extra is missing.

    Raises:
        UserError: ONNX Runtime is not installed.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise UserError("ONNX Runtime is not installed: pip install 'cmpc[onnx]'.")


def _run(session: InferenceSession, inputs: Features) -> list[NDArray]:
    try:
        outputs: list[NDArray] = session.run(None, inputs)
    except Exception as error:  # the runtime's exceptions have no common class but this
        raise UserError(
            f"a graph of the export cannot be run ({str(error).strip().splitlines()[0]}): it may not belong to its "
            "config.json; export the model again."
        ) from None
    return outputs


def _session(path: Path) -> InferenceSession:
    import onnxruntime

    if not path.is_file():
        raise UserError(f"{path} is missing: export the model again.")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; they are raised as well
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions have no common class but this
        raise UserError(f"{path} is damaged ({str(error).strip().splitlines()[0]}): export the model again.") from None
