"""A minute of damaged files, each time the same; ``python -m tests.fuzz`` takes others, and longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.fuzzing import Fault, fuzz
from fuzz.readers import READERS, Reader


@pytest.mark.slow
def test_damaged_files_are_read_or_refused_by_one_sentence(tmp_path: Path) -> None:
    assert fuzz(60, seed=0, keep=tmp_path).keys() == READERS.keys()


def test_fault_tells_the_seed_that_repeats_it_and_keeps_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(folder: Path) -> list[Path]:
        (folder / "file.txt").write_text("sound")
        return [folder / "file.txt"]

    def read(folder: Path) -> None:
        if (folder / "file.txt").read_bytes() != b"sound":
            raise KeyError("odd")

    monkeypatch.setitem(READERS, "faulty", Reader(write, read))
    with pytest.raises(Fault, match=r"(?s)^faulty, with --seed 7: file.txt \(kept in .*KeyError: 'odd'"):
        fuzz(10, seed=7, only=("faulty",), keep=tmp_path)
    assert (tmp_path / "file.txt").read_bytes() != b"sound"
