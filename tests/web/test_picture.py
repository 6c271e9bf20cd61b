"""The picture of the page in the documentation can be renewed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "examples" / "page_picture.py"


def test_picture_of_the_page_is_made(
    browser: object, tiny_model_folder: Path, scenes: list[Path], tmp_path: Path
) -> None:
    made = tmp_path / "page.png"
    asked = ["--model", tiny_model_folder, "--photo", scenes[0], "--expressions", "the left man", "--out", made]
    subprocess.run([sys.executable, SCRIPT, *map(str, asked)], check=True, timeout=300)
    with Image.open(made) as picture:
        assert picture.size == (1280, 1000)
        assert len(np.unique(np.asarray(picture))) > 50  # not a blank page
