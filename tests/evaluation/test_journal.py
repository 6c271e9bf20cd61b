"""Results that outlive an interruption."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmpc.errors import UsageError
from cmpc.evaluation.journal import FINISHED, UNFINISHED, Journal
from cmpc.evaluation.metrics import Overlap
from cmpc.evaluation.scoring import ScoredSample

IDENTITY = {"model": "abc", "protocol": "paper"}
RESULTS = [
    ScoredSample(4, Overlap(10, 20)),
    ScoredSample(0, Overlap(0, 123456), Overlap(7, 8)),
    ScoredSample(2, Overlap(0, 0)),
]


def interrupted(folder: Path) -> bytes:
    """A journal with the three results that was not finished."""
    journal = Journal(folder, IDENTITY, resume=False)
    for result in RESULTS:
        journal.append(result)
    journal.close()
    return (folder / UNFINISHED).read_bytes()


def test_results_come_back(tmp_path: Path) -> None:
    interrupted(tmp_path)
    assert list(Journal(tmp_path, IDENTITY, resume=True).results.values()) == RESULTS


def test_a_result_outlives_the_process_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    journal = Journal(tmp_path, IDENTITY, resume=False)
    journal.append(RESULTS[0])
    assert Journal(tmp_path, IDENTITY, resume=True).results == {4: RESULTS[0]}


def test_file_cut_short_anywhere_loses_only_the_damaged_line(tmp_path: Path) -> None:
    whole = interrupted(tmp_path)
    lines = whole.split(b"\n")
    for length in range(len(whole)):
        (tmp_path / UNFINISHED).write_bytes(whole[:length])
        journal = Journal(tmp_path, IDENTITY, resume=True)
        complete = max(whole[:length].count(b"\n") - 1, 0)
        assert list(journal.results.values()) == RESULTS[:complete]
        journal.append(RESULTS[2])
        journal.close()
        expected = [*lines[: complete + 1], lines[3], b""]
        assert (tmp_path / UNFINISHED).read_bytes() == b"\n".join(expected)


def test_damage_in_the_middle_drops_what_follows(tmp_path: Path) -> None:
    lines = interrupted(tmp_path).split(b"\n")
    lines[2] = b"\0" * len(lines[2])
    (tmp_path / UNFINISHED).write_bytes(b"\n".join(lines))
    assert list(Journal(tmp_path, IDENTITY, resume=True).results.values()) == RESULTS[:1]


def test_results_of_another_evaluation_are_refused_and_kept(tmp_path: Path) -> None:
    whole = interrupted(tmp_path)
    with pytest.raises(UsageError, match=r"another model.*--out"):
        Journal(tmp_path, {**IDENTITY, "model": "xyz"}, resume=True)
    assert (tmp_path / UNFINISHED).read_bytes() == whole


def test_unfinished_results_are_not_thrown_away_without_resume(tmp_path: Path) -> None:
    whole = interrupted(tmp_path)
    with pytest.raises(UsageError, match="--resume"):
        Journal(tmp_path, IDENTITY, resume=False)
    assert (tmp_path / UNFINISHED).read_bytes() == whole


def test_finished_results_are_replaced_when_the_new_ones_are_finished(tmp_path: Path) -> None:
    interrupted(tmp_path)
    Journal(tmp_path, IDENTITY, resume=True).finish()
    finished = (tmp_path / FINISHED).read_bytes()
    assert not (tmp_path / UNFINISHED).exists()

    anew = Journal(tmp_path, {"model": "new"}, resume=False)
    anew.append(RESULTS[1])
    assert (tmp_path / FINISHED).read_bytes() == finished
    anew.finish()
    assert Journal(tmp_path, {"model": "new"}, resume=True).results == {0: RESULTS[1]}


def test_finished_results_can_be_continued(tmp_path: Path) -> None:
    """After ``--limit``, say."""
    interrupted(tmp_path)
    Journal(tmp_path, IDENTITY, resume=True).finish()
    more = Journal(tmp_path, IDENTITY, resume=True)
    more.append(ScoredSample(9, Overlap(1, 2)))
    more.finish()
    assert len(Journal(tmp_path, IDENTITY, resume=True).results) == 4


def test_nothing_is_written_before_the_first_result(tmp_path: Path) -> None:
    Journal(tmp_path / "out", IDENTITY, resume=False).close()
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        Journal(tmp_path / "out", IDENTITY, resume=False)
