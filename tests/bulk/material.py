"""``cmpc bulk`` as a user runs it, tables and answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet

from cmpc.cli import main

EXPRESSIONS = ["the left man", "white frisbee", "dog behind", "red shirt", "man on right"]


def bulk(*arguments: object) -> int:
    return main(["bulk", *map(str, arguments)])


def answers(out: Path, *without: str) -> list[dict[str, Any]]:
    """The rows of the output in order; the time that each took is another one every time."""
    rows = [row for part in sorted(out.glob("part-*.parquet")) for row in pyarrow.parquet.read_table(part).to_pylist()]
    return [{name: value for name, value in row.items() if name not in ("seconds", *without)} for row in rows]


def write_lines(path: Path, rows: Sequence[Mapping[str, Any] | str]) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
