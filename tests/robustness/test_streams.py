"""Output that nobody reads, or that there is no room for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WORDS = (["--help"], ["--version"], ["segment", "--help"])


def cmpc(arguments: list[str], output: int, errors: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cmpc", *arguments]
    return subprocess.run(command, stdout=output, stderr=errors, text=True, check=False, timeout=60)


@pytest.mark.parametrize("arguments", WORDS, ids=" ".join)
def test_closed_pipe_ends_the_command_without_a_word(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = cmpc(arguments, writing)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.parametrize("arguments", WORDS, ids=" ".join)
def test_full_disk_under_the_output_is_one_sentence(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        ended = cmpc(arguments, full.fileno())
    assert ended.returncode == 1
    assert ended.stderr == "cmpc: cannot write to the standard output: No space left on device.\n"


def test_error_that_nobody_can_read_keeps_its_exit_code() -> None:
    with open("/dev/full", "w") as full:
        assert cmpc(["dance"], subprocess.DEVNULL, full.fileno()).returncode == 2


def test_letters_that_the_terminal_lacks_are_written_as_escapes() -> None:
    command = [sys.executable, "-m", "cmpc", "prepare", "own", "tälle.jsonl", "--images", ".", "--out", "data"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    assert ended.returncode == 1
    assert r"t\xe4lle.jsonl" in ended.stderr
    assert "Traceback" not in ended.stderr
