"""The values that the checkpoints in ``tests/interop/checkpoints`` must give, as TensorFlow 1.5 read them back."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np

_FILE = Path(__file__).parent / "checkpoints" / "tiny_expected.npz"


def expected_tensors() -> dict[str, dict[str, np.ndarray]]:
    """Checkpoint -> name of a tensor -> its values."""
    tensors: dict[str, dict[str, np.ndarray]] = {}
    with np.load(_FILE, allow_pickle=False) as arrays:
        for item in json.loads(str(arrays["index_json"])):
            if "array" in item:
                values = arrays[item["array"]]
            elif "fill" in item:
                values = np.full(item["shape"], item["fill"], np.float32)
            else:
                values = np.empty(len(item["strings_base64"]), object)
                values[:] = [base64.b64decode(text) for text in item["strings_base64"]]
            tensors.setdefault(item["checkpoint"], {})[item["name"]] = values.reshape(item["shape"])
    return tensors


def assert_same(read: np.ndarray, expected: np.ndarray) -> None:
    """Bit for bit, so that NaN, -0 and denormals count."""
    assert read.shape == expected.shape
    assert read.dtype == expected.dtype
    if read.dtype == object:
        assert read.tolist() == expected.tolist()
    else:
        assert read.tobytes() == expected.tobytes()
