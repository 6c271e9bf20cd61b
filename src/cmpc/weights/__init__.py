"""The small models that come with the package, and pictures that they can answer about."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent

SHIPPED_MODELS = {name: _HERE / name for name in ("photos", "blocks")}
"""Folders of the models by their names. ``photos`` knows everyday photos (``examples/train_photos_model.py``),
``blocks`` the scenes of Blocks (``examples/train_blocks_model.py``)."""

DEFAULT_MODEL = "photos"
"""What is taken where no model is named."""

SHIPPED_EXAMPLES = {name: _HERE / "examples" / name for name in SHIPPED_MODELS}
"""Pictures with expressions for each of the models, as ``cmpc web --examples`` takes them."""

DEFAULT_MODEL_KNOWS = (
    "No --model given: this is the small model for photos that ships. It knows people, animals, vehicles and some "
    "furniture, and can be wrong."
)
"""What a command says when it takes that model."""
