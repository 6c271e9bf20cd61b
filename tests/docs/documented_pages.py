"""The pages of the documentation and what stands in their blocks of code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def code_blocks(page: Path) -> list[tuple[str, int, str]]:
    """Language, number of the first line and text of each fenced block."""
    text = page.read_text(encoding="utf-8")
    return [
        (found[1], text.count("\n", 0, found.start(2)) + 1, found[2])
        for found in re.finditer(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    ]


def shell_lines(page: Path) -> list[str]:
    """The lines of a page's blocks that are not Python, lines that go on joined, prompts removed."""
    texts = [text.replace("\\\n", " ") for language, _, text in code_blocks(page) if language != "python"]
    return [line.strip().removeprefix("$ ") for text in texts for line in text.splitlines()]


def commands(page: Path) -> list[str]:
    """The ``cmpc`` commands in a page's blocks of code, alone or under torchrun, and those that prepare data in its
    tables."""
    lines = [re.sub(r"^torchrun .* --no-python (?=cmpc )", "", line) for line in shell_lines(page)]
    in_blocks = [line for line in lines if line.startswith("cmpc ") and "..." not in line]
    in_table = re.findall(r"\| `(cmpc prepare [^`]* --out [^`]*)`", page.read_text(encoding="utf-8"))
    return [*in_blocks, *in_table]
