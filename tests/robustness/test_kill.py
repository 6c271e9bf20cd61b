"""Commands that are killed at any moment leave whole files, and are completed by the same command."""

from __future__ import annotations

import pytest

from robustness.kill import WORKS, kill_again_and_again


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKS)
def test_killed_command_leaves_whole_files_and_is_completed(name: str) -> None:
    kill_again_and_again(name, moments=3, renamings=3)
