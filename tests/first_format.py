"""The model of Blocks as the first version of the format of model folders would hold it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from cmpc.weights import SHIPPED_MODELS

CONFIG = Path(__file__).parent / "models" / "fixtures" / "config_format_1.json"


def write_first_format(folder: Path) -> None:
    """Writes that folder. The first version had no head that tells whether anything fits, and its model knew fewer
    words."""
    shipped = SHIPPED_MODELS["blocks"]
    shutil.copytree(shipped, folder)
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("presence.")}
    (folder / "model.safetensors").unlink()  # the copy is not written in place: another test may have it mapped
    save_file(kept, folder / "model.safetensors")
    config = json.loads(CONFIG.read_text(encoding="utf-8"))
    today = json.loads((shipped / "config.json").read_text(encoding="utf-8"))
    config["network"]["vocabulary_size"] = today["model"]["text"]["vocabulary_size"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
