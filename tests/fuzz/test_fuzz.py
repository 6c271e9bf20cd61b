"""Ten seconds of damaged files; ``python -m tests.fuzz`` takes longer."""

from __future__ import annotations

import pytest

from fuzz.fuzzing import fuzz
from fuzz.readers import READERS


@pytest.mark.slow
def test_damaged_files_are_read_or_refused_by_one_sentence() -> None:
    assert fuzz(10).keys() == READERS.keys()
