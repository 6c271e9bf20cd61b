"""The command line as a whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cmpc.cli import COMMANDS, main


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"cmpc {command}" in text
    assert "{None" not in text


def test_unknown_commands_and_options_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["dance"]) == 2
    assert "there is no command 'dance'" in capsys.readouterr().err
    assert main(["segment", "--wings", "2"]) == 2


@pytest.mark.parametrize("command", ["train", "ablate", "pretrain"])
def test_parts_of_a_network_that_do_not_go_together_are_one_sentence(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", "data", "--out", str(tmp_path / "out"), "--preset", "paper", "--network.refinement-channels"]
    assert main([command, *arguments, "8"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"cmpc {command}: these options do not go together: refinement_channels needs a map of")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from cmpc.cli import main; main(['--help']); "
        "assert not {'torch', 'cv2', 'numpy', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_place_that_cannot_be_written_to_is_named_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["blocks", "--images", "2", "--out", str(tmp_path / "file" / "blocks")]) == 1
    error = capsys.readouterr().err
    assert "cmpc blocks: " in error
    assert "Not a directory" in error
    assert "Traceback" not in error
