"""``cmpc segment`` over many photos: patterns, tables, expressions from files, runs that go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest

from cmpc import Segmenter
from cmpc.answers.formats.json_lines import JSONLinesFormat

Segment = Callable[..., int]


def asked(out: Path) -> list[tuple[str, str]]:
    """Name of the photo and expression of each line of ``results.jsonl``."""
    lines = map(json.loads, (out / "results.jsonl").read_text().splitlines())
    return [(Path(line["photo"]).name, line["expression"]) for line in lines]


@pytest.fixture
def written(segment: Segment, tmp_path: Path) -> Callable[..., list[tuple[str, str]]]:
    """What a run asks, ``written(*arguments)``."""

    def run(*arguments: Any) -> list[tuple[str, str]]:
        assert segment(*arguments, "--format", "jsonl", "--out", tmp_path / "out") == 0
        return asked(tmp_path / "out")

    return run


def test_pattern_is_the_photos_that_it_matches(photos: Path, written: Any) -> None:
    assert written(photos / "*.jpg", "man") == [("first.jpg", "man")]
    assert written(photos.parent / "**" / "*.png", "man") == [("second.png", "man")]


def test_list_may_hold_patterns(photos: Path, written: Any) -> None:
    (photos.parent / "list.txt").write_text("photos/*.png\nphotos/first.jpg\n")
    assert written(photos.parent / "list.txt", "man") == [("second.png", "man"), ("first.jpg", "man")]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_table_gives_photos_and_their_own_expressions(photos: Path, written: Any, suffix: str) -> None:
    rows = pandas.DataFrame(
        {"image": ["second.png", "first.jpg", "second.png"], "expression": ["man", "dog", "shirt"], "other": [1, 2, 3]}
    )
    table = photos / f"table{suffix}"
    write = {
        ".csv": lambda: rows.to_csv(table, index=False),
        ".tsv": lambda: rows.to_csv(table, index=False, sep="\t"),
        ".jsonl": lambda: rows.to_json(table, orient="records", lines=True),
        ".parquet": lambda: rows.to_parquet(table),
    }
    write[suffix]()
    expected = [("second.png", "man"), ("second.png", "shirt"), ("first.jpg", "dog")]
    assert written(table) == expected
    assert written(table, "frisbee") == [("second.png", "frisbee"), ("first.jpg", "frisbee")]
    assert written(photos / "second.png", photos / "first.jpg", "--prompts", table) == expected


def test_expressions_of_a_text_file_are_asked_of_every_photo(photos: Path, written: Any) -> None:
    (photos / "prompts.txt").write_text("man\n\nshirt\nman\n")
    assert written(photos, "--prompts", photos / "prompts.txt") == [
        ("first.jpg", "man"),
        ("first.jpg", "shirt"),
        ("second.png", "man"),
        ("second.png", "shirt"),
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("photo,expression\nfirst.jpg,man\n", "says nothing to look for in"),
        ("name,expression\nfirst.jpg,man\n", "row 1: there is no photo; name the column photo or image"),
        ("photo,expression\n", "lists no photo"),
    ],
)
def test_prompts_that_do_not_fit_are_answered_with_a_sentence(
    content: str,
    sentence: str,
    photos: Path,
    segment: Segment,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "prompts.csv").write_text(content)
    assert segment(photos, "--prompts", tmp_path / "prompts.csv", "--out", tmp_path / "out") == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "status", "sentence"),
    [
        ("nothing/*.jpg", 1, "no photo matches the pattern"),
        ("broken.jsonl", 1, "row 2: it is not JSON"),
        ("damaged.parquet", 1, "is not a Parquet file"),
        ("gone.csv", 1, "1 of 1 photos listed in"),
        ("silent.csv", 2, "say what to look for"),
    ],
)
def test_photos_that_cannot_be_had_are_told(
    name: str,
    status: int,
    sentence: str,
    photos: Path,
    segment: Segment,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (photos / "broken.jsonl").write_text('{"photo": "first.jpg"}\n{"photo"\n')
    (photos / "damaged.parquet").write_text("PAR1")
    (photos / "gone.csv").write_text("photo\ngone.jpg\n")
    (photos / "silent.csv").write_text("photo\nfirst.jpg\n")
    expressions = () if status == 2 else ("man",)
    assert segment(photos / name, *expressions, "--out", tmp_path / "out") == status
    assert sentence in capsys.readouterr().err


def test_run_that_a_photo_failed_in_goes_on_with_that_photo_alone(
    photos: Path,
    segment: Segment,
    scripted: Segmenter,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = (photos / "first.jpg").read_bytes()
    (photos / "first.jpg").write_bytes(whole[:100])
    out = tmp_path / "out"
    command = (photos, "man", "dog", "--format", "jsonl", "--out", out)
    assert segment(*command) == 1
    assert "1 of 2 photos failed, the others are done; mend them and go on with --resume" in capsys.readouterr().err
    assert asked(out) == [("second.png", "man"), ("second.png", "dog")]

    (photos / "first.jpg").write_bytes(whole)
    assert segment(*command) == 2
    assert "holds an unfinished run: continue it with --resume" in capsys.readouterr().err
    assert segment(photos, "man", "shirt", "--format", "jsonl", "--out", out, "--resume") == 2
    assert "of another run (of another expressions)" in capsys.readouterr().err

    seen = len(scripted.engine.images)  # type: ignore[attr-defined]
    assert segment(*command, "--resume") == 0
    assert len(scripted.engine.images) == seen + 1  # type: ignore[attr-defined]
    assert "continuing: 1 of 2 photos are done" in capsys.readouterr().err
    assert asked(out) == [(name, word) for name in ("first.jpg", "second.png") for word in ("man", "dog")]
    assert [file.name for file in out.iterdir()] == ["results.jsonl"]


@pytest.mark.parametrize("damaged", [lambda line: line[:-40], lambda line: b"[" * 100_000 + b"\n"])
def test_run_that_was_killed_goes_on_after_the_last_whole_line(
    damaged: Callable[[bytes], bytes], photos: Path, segment: Segment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    command = (photos, "man", "--format", "jsonl", "--out", out)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(JSONLinesFormat, "finish", die)
        assert segment(*command) == 130
    journal = out / "unfinished.jsonl"
    *whole, last = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(whole) + damaged(last))
    assert segment(*command, "--resume") == 0
    assert asked(out) == [("first.jpg", "man"), ("second.png", "man")]
