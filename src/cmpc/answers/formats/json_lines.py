"""JSON Lines: one table of all answers (``pandas.read_json("results.jsonl", lines=True)``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cmpc.answers.formats.results_format import AnsweredPhoto
from cmpc.files import atomic_file

JSON_LINES = "results.jsonl"


class JSONLinesFormat:
    """``results.jsonl`` with a line for each expression of each photo."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def write(self, answered: AnsweredPhoto) -> list[str]:
        """As ``ResultsFormat``: the table is written at the end."""
        return []

    def finish(self, records: Sequence[dict[str, Any]]) -> None:
        """As ``ResultsFormat``."""
        with atomic_file(self.out / JSON_LINES) as path, path.open("w", encoding="utf-8") as file:
            for record in records:
                about = {name: record[name] for name in ("photo", "height", "width")}
                file.writelines(
                    json.dumps({**about, **prediction}, ensure_ascii=False) + "\n"
                    for prediction in record["predictions"]
                )
