"""What a model answers about an example of Blocks, and the record of it that is compared with the weights that ship.

python tests/weights/record_answers.py RUN/last
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import cmpc
from cmpc.data.vocabulary import pad_tokens
from cmpc.engines.engine import Answers
from cmpc.engines.torch_engine import TorchEngine
from cmpc.weights import SHIPPED_EXAMPLES

RECORD = Path(__file__).parent / "fixtures" / "answers_of_float32.npz"
STEP = 6
"""Of the logits every sixth row and column is kept."""


def answers_of(folder: Path) -> Answers:
    """What it says to all expressions of an example, with every sixth row and column of the logits."""
    segmenter = cmpc.load(folder)
    assert isinstance(segmenter.engine, TorchEngine)
    expressions = (SHIPPED_EXAMPLES["blocks"] / "scene-4.txt").read_text(encoding="utf-8").split("\n")
    ids = [segmenter.query(expression).ids for expression in expressions if expression]
    seen = segmenter.set_image(SHIPPED_EXAMPLES["blocks"] / "scene-4.jpg")
    found = segmenter.engine.comprehend(seen.features, pad_tokens(ids))
    return found._replace(logits=found.logits[:, ::STEP, ::STEP])


if __name__ == "__main__":
    np.savez_compressed(RECORD, **answers_of(Path(sys.argv[1]))._asdict())
