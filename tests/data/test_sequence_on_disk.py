"""Sequences whose items lie in a temporary file."""

from __future__ import annotations

import multiprocessing
import pickle
import tempfile
from multiprocessing.queues import Queue
from pathlib import Path

import pytest

from cmpc.data import sequence_on_disk
from cmpc.data.schema import GroundedWords, ReferredObject, stored_rows
from cmpc.data.sequence_on_disk import SequenceOnDisk
from cmpc.errors import UserError

ROWS = [
    ReferredObject(
        *("7", "img", "a/ü.jpg", 4, 6, "0;1", (0.1, 1.0, 2.5, 1 / 3), ""),
        expressions=("the dog", "Ωmega \u2028"),
        groups=("near", ""),
        word_types=(("unnecessary", "entity"), ()),
        grounding=((GroundedWords("02", (0, 1)),), ()),
        instances=("1", "2"),
    ),
    ReferredObject("8", "img", "b.jpg", 4, 6, "0;1", (0.0, 0.0, 0.0, 0.0), "cat", ("nothing",)),
]


def test_rows_come_back_as_they_were() -> None:
    stored = stored_rows(ROWS * 700)
    assert stored == ROWS * 700
    assert stored != ROWS
    assert stored[-1] == stored[1399] == ROWS[1]
    assert stored[2:5] == [ROWS[0], ROWS[1], ROWS[0]]
    assert isinstance(stored[0].grounding[0][0].words, tuple)
    with pytest.raises(IndexError):
        stored[1400]


def test_items_are_read_while_others_are_added() -> None:
    stored = stored_rows()
    for number in range(1500):
        stored.append(ROWS[number % 2])
        assert stored[number // 2] == ROWS[number // 2 % 2]
    assert len(stored) == len(list(stored)) == 1500


def test_rows_travel_within_a_process_and_to_others() -> None:
    stored = stored_rows(ROWS)
    assert pickle.loads(pickle.dumps(stored)) == ROWS
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_say_expressions, args=(stored, answers))
    process.start()
    assert answers.get(timeout=60) == [row.expressions for row in ROWS]
    process.join()


def _say_expressions(rows: SequenceOnDisk[ReferredObject], answers: Queue[list[tuple[str, ...]]]) -> None:
    answers.put([row.expressions for row in rows])


def test_rows_stay_in_memory_where_files_are_not_read_at_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_on_disk, "_Store", sequence_on_disk._MemoryStore)
    monkeypatch.setattr(tempfile, "tempdir", "gone")
    stored = stored_rows(ROWS * 700)
    assert stored == ROWS * 700
    sent = pickle.loads(pickle.dumps(stored))
    sent.append(ROWS[0])
    assert sent == [*ROWS * 700, ROWS[0]]
    assert stored == ROWS * 700


def test_no_place_for_temporary_files_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(UserError, match=r"gone.*TMPDIR"):
        stored_rows(ROWS)


def test_full_disk_is_said() -> None:
    stored = stored_rows(ROWS)
    stored._store.file = -1  # as a disk that takes nothing
    with pytest.raises(UserError, match="make room there"):
        list(stored)
