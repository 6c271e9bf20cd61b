"""All that the answers depend on, small enough to be sent to any worker."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from cmpc.conventions import PRESENCE_THRESHOLD


@dataclass(frozen=True)
class BulkJob:
    """What is asked of which model, and where the answers go."""

    files: tuple[str, ...]
    """Tables of the input, as paths or URLs; of a folder of photos, the folder."""
    kind: str
    """What the files are: ``parquet``, ``jsonl`` or ``photos``."""
    expressions: tuple[str, ...]
    """What is asked about every photo of a folder; empty for tables, which have their own."""
    images: str
    """Folder, as path or URL, that relative names of photos are in."""
    out: str
    """Folder of the output, as path or URL."""
    model: str
    """Folder of the model, or its name."""
    device: str = "auto"
    """Where a worker computes."""
    threshold: float = 0.5
    """Pixels at least this likely form the mask."""
    presence_threshold: float = PRESENCE_THRESHOLD
    """The mask is empty where it is less likely that anything in the photo fits."""
    batch_images: int = 8
    """Photos that the network sees at once."""

    def identity(self, *, model: str, content: str, rows_per_part: int) -> dict[str, str]:
        """What decides the output, for ``--resume``.

        Args:
            model: stands for the model's files.
            content: stands for the rows of the input.
            rows_per_part: how the input is cut.
        """
        expressions = hashlib.sha256(json.dumps(self.expressions).encode()).hexdigest()
        return {
            "model": model,
            "input": content,
            "expressions": expressions,
            "threshold": str(self.threshold),
            "presence threshold": str(self.presence_threshold),
            "rows in a part": str(rows_per_part),
            "images seen at once": str(self.batch_images),
        }
