"""Pictures to look at and masks as PNG, with everything else as JSON: what ``write_results`` writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cmpc.answers.formats.results_format import AnsweredPhoto
from cmpc.answers.results import write_results


class MaskFilesFormat:
    """For each photo an overlay, a mask for each expression, and a JSON file."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def write(self, answered: AnsweredPhoto) -> list[str]:
        """As ``ResultsFormat``."""
        told = answered.record["predictions"]
        write_results(self.out, answered.name, answered.photo, answered.pixels, answered.predictions, told)
        return []

    def finish(self, records: Sequence[dict[str, Any]]) -> None:
        """Nothing is about all photos."""
