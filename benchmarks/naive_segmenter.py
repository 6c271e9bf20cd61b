"""Photo and expression in, probabilities out, with the naive network; and whether it gives our network's numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.naive_network import NaiveNetwork
from cmpc.data.pixels import PixelNormalisation
from cmpc.data.transforms import undo_letterbox
from cmpc.engines.asking import to_square
from cmpc.model_folder import load_model_folder
from cmpc.models.paper.cmpc import CMPC


class NaiveSegmenter:
    """Answers one expression about one photo, and remembers nothing of the photo."""

    def __init__(self, folder: Path) -> None:
        loaded = load_model_folder(folder)
        assert isinstance(loaded.model, CMPC)
        self.network = NaiveNetwork.of(loaded.model)
        self.vocabulary = loaded.vocabulary

    @torch.inference_mode()
    def logits(self, pixels: NDArray[np.uint8], expression: str) -> NDArray[np.float32]:
        """float32 (S, S), for the square of a photo's pixels (H, W, 3)."""
        config = self.network.config
        square = to_square(pixels, config)
        tokens = torch.tensor([self.vocabulary.query(expression, config.text.max_words).ids])
        images = PixelNormalisation(config.image)(torch.from_numpy(square[None]))
        return self.network(images, tokens).logits[0].numpy()

    def predict(self, pixels: NDArray[np.uint8], expression: str) -> NDArray[np.float32]:
        """Probabilities, float32 (H, W), for the pixels (H, W, 3) of a photo."""
        logits = undo_letterbox(self.logits(pixels, expression), *pixels.shape[:2])
        return torch.from_numpy(logits).sigmoid().numpy()


def difference_from_ours(folder: Path, pixels: NDArray[np.uint8], expressions: tuple[str, ...]) -> float:
    """Relative L2 difference between the naive network's logits and those of ``cmpc.models.CMPC``, all expressions
    asked at once: the largest over the expressions."""
    naive = NaiveSegmenter(folder)
    loaded = load_model_folder(folder)
    config = loaded.model.config
    square = to_square(pixels, config)
    ids = [torch.tensor(loaded.vocabulary.query(text, config.text.max_words).ids) for text in expressions]
    tokens = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
    with torch.inference_mode():
        images = PixelNormalisation(config.image)(torch.from_numpy(square[None]))
        ours = loaded.model(images, tokens, torch.zeros(len(ids), dtype=torch.int64)).logits.numpy()
    theirs = np.stack([naive.logits(pixels, expression) for expression in expressions])
    error = np.linalg.norm((theirs - ours).reshape(len(ids), -1), axis=1)
    return float((error / np.linalg.norm(ours.reshape(len(ids), -1), axis=1)).max())
