"""Photos and a table of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bulk.material import EXPRESSIONS, write_lines


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 7 JPEGs of several sizes, one of them in a folder below."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "more").mkdir()
    random = np.random.default_rng(5)
    for number in range(7):
        pixels = np.kron(random.integers(0, 255, (5 + number, 9 - number, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        Image.fromarray(pixels).save(folder / ("more/6.jpg" if number == 6 else f"{number}.jpg"), quality=95)
    return folder


@pytest.fixture(scope="module")
def table(photos: Path) -> Path:
    """A table of 30 rows about six photos; every third row has two expressions, of which one is asked again."""
    rows = [
        {
            "image": f"{number % 6}.jpg",
            "expression": EXPRESSIONS[number % 5 :][:2] if number % 3 == 0 else EXPRESSIONS[number % 5],
        }
        for number in range(30)
    ]
    return write_lines(photos / "table.jsonl", rows)
