"""The small model that comes with the package, and pictures that it can answer about."""

from __future__ import annotations

from pathlib import Path

SHIPPED_MODEL = Path(__file__).parent / "blocks"
"""Model folder. It knows the scenes of Blocks, not photos; made by ``examples/train_blocks_model.py``."""

SHIPPED_EXAMPLES = Path(__file__).parent / "examples"
"""Pictures of Blocks with expressions, as ``cmpc web --examples`` takes them."""

SHIPPED_MODEL_KNOWS = (
    "No --model given: this is the small model that ships. It knows coloured blocks (cmpc blocks), not photos."
)
"""What a command says when it takes the model that ships."""
