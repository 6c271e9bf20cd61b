"""Every command in docs/from-the-original.md is one that the program understands."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest
import tyro

PAGE = Path(__file__).parents[2] / "docs" / "from-the-original.md"


def commands() -> list[str]:
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    in_blocks = [line.strip() for block in blocks for line in block.splitlines() if line.strip().startswith("cmpc ")]
    in_table = re.findall(r"\| `(cmpc prepare [^`]* --out [^`]*)`", text)
    return sorted({*in_blocks, *in_table})


@pytest.mark.parametrize("command", commands())
def test_documented_command_is_understood(command: str) -> None:
    _, name, *arguments = shlex.split(command)
    module = importlib.import_module(f"cmpc.cli.{name.replace('-', '_')}")
    tyro.cli(module.Options, args=arguments)


def test_the_page_names_every_flag_of_the_original() -> None:
    rows = [line.split("|")[1] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    named = {word for row in rows for code in re.findall(r"`([^`]*)`", row) for word in code.split()}
    assert named >= {"-m", "-d", "-t", "-n", "-i", "-s", "-st", "-f", "-lr", "-bs", "-v", "-c", "-emb", "-conv5", "-g"}
