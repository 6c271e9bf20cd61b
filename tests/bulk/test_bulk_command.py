"""``cmpc bulk`` in one process."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import cmpc
from bulk.material import EXPRESSIONS, answers, bulk, write_lines
from cmpc.bulk.outputs import COLUMNS, BulkOutput
from cmpc.data.vocabulary import Vocabulary
from cmpc.engines.torch_engine import TorchEngine
from cmpc.model_folder import save_model_folder
from cmpc.models.build import build_network
from networks import tiny_config


@pytest.fixture(scope="module")
def whole(table: Path, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The answers to the table in parts of eight rows."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert bulk(table, "--model", tiny_model_folder, "--out", out, "--rows-per-part", 8) == 0
    return out


def test_each_expression_gets_the_answer_that_predict_gives(whole: Path, table: Path, tiny_model_folder: Path) -> None:
    segmenter = cmpc.load(tiny_model_folder)
    found = answers(whole)
    asked = [json.loads(line) for line in table.read_text().splitlines()]
    pairs = [
        (row["image"], expression)
        for row in asked
        for expression in ([row["expression"]] if isinstance(row["expression"], str) else row["expression"])
    ]
    assert [(row["image"], row["expression"]) for row in found] == pairs
    for row in found:
        (prediction,) = segmenter.predict(row["expression"], image=table.parent / row["image"])
        assert row["rle"] == prediction.to_rle()
        assert row["score"] == pytest.approx(prediction.score, abs=1e-6)
        assert row["box"] == (None if prediction.box is None else list(prediction.box))
        assert row["error"] is None


def test_output_is_one_table_for_other_programs(whole: Path) -> None:
    read = pq.read_table(whole)  # all files, the note passed over
    assert tuple(read.column_names) == COLUMNS
    assert read.num_rows == 38
    assert min(read["seconds"].to_pylist()) > 0


def test_a_photo_is_seen_once_for_all_its_expressions_of_a_part(
    table: Path, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    encode = TorchEngine.encode_image

    def counted(engine: TorchEngine, images: np.ndarray) -> list:
        seen.append(len(images))
        return encode(engine, images)

    monkeypatch.setattr(TorchEngine, "encode_image", counted)
    assert bulk(table, "--model", tiny_model_folder, "--out", tmp_path / "out", "--rows-per-part", 15) == 0
    assert sum(seen) == 2 * 6


def test_paths_bytes_and_both_kinds_of_tables_give_the_same(
    whole: Path, table: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    texts = [row["expression"] if isinstance(row["expression"], list) else [row["expression"]] for row in rows]
    names = [row["image"] for row in rows]
    contents = [(table.parent / name).read_bytes() for name in names]
    tables = {
        "paths": pa.table({"image": names, "expression": texts}),
        "bytes": pa.table({"photo": contents, "expressions": texts}),
        "both": pa.table(
            {"image": [{"bytes": data, "path": name} for data, name in zip(contents, names, strict=True)]}
        ).append_column("expression", pa.array(texts)),
    }
    for kind, content in tables.items():
        folder = tmp_path / kind
        folder.mkdir()
        pq.write_table(content.slice(0, 16), folder / "0.parquet", row_group_size=5)
        pq.write_table(content.slice(16), folder / "1.parquet", row_group_size=50)
        options = ("--images", table.parent, "--model", tiny_model_folder, "--out", tmp_path / f"out-{kind}")
        assert bulk(folder, *options, "--rows-per-part", 8) == 0
        found = answers(tmp_path / f"out-{kind}", "image")
        assert found == answers(whole, "image")
    assert answers(tmp_path / "out-paths") == answers(tmp_path / "out-both") == answers(whole)
    first = [row["image"] for row in answers(tmp_path / "out-bytes")][:4]
    assert first == ["#0", "#0", "#1", "#2"]


def test_a_folder_of_photos_is_asked_every_expression(photos: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    options = ("--model", tiny_model_folder, "--out", tmp_path / "out", "--rows-per-part", 3)
    assert bulk(photos, "the left man", "red shirt", *options) == 0
    found = [(row["image"], row["expression"]) for row in answers(tmp_path / "out")]
    names = [f"{number}.jpg" for number in range(6)] + ["more/6.jpg"]
    assert found == [(name, expression) for name in names for expression in ("the left man", "red shirt")]


def test_bad_rows_are_recorded_and_stop_nothing(
    photos: Path, tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    shutil.copy(photos / "0.jpg", tmp_path)
    good = {"image": "0.jpg", "expression": "red shirt"}
    rows = [
        good,
        "{no json",
        '"text"',
        {"image": "missing.jpg", "expression": "red shirt"},
        {"image": "broken.jpg", "expression": ["red shirt", "the left man"]},
        {"image": "0.jpg", "expression": ""},
        {"image": "0.jpg", "expression": []},
        {"image": "0.jpg", "expression": ["dog behind", 7]},
        {"image": "http://example.org/0.jpg", "expression": "red shirt"},
        {"image": "s3://user:secret@bucket/0.jpg", "expression": "red shirt"},
        {"image": 5, "expression": "red shirt"},
        {"expression": "red shirt"},
        {"image": "0.jpg", "expression": "\ud800"},
        "",
        good,
    ]
    out = tmp_path / "out"
    assert bulk(write_lines(tmp_path / "table.jsonl", rows), "--model", tiny_model_folder, "--out", out) == 0
    errors = [row["error"] for row in answers(out)]
    reasons = [
        *(None, "not a JSON object", "not a JSON object", "missing.jpg", "broken.jpg", "broken.jpg", "holds no word"),
        *("no expression", None, "no text", "http://", "secret", "no image", "no image", "no text", None),
    ]
    assert len(errors) == len(reasons)
    for error, reason in zip(errors, reasons, strict=True):
        assert (error is None) if reason is None else reason in error
    rows_with_answers = [row for row in answers(out) if row["error"] is None]
    assert all(row["rle"] is not None for row in rows_with_answers)
    assert rows_with_answers[0] == rows_with_answers[-1]
    assert "13 of them could not be answered" in capsys.readouterr().err


def test_what_is_there_is_not_asked_again(whole: Path, table: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    kept = {part.name: part.stat().st_mtime_ns for part in out.glob("part-*")}
    for number in (1, 3):
        (out / f"part-{number:08d}.parquet").unlink()
    arguments = (table, "--model", tiny_model_folder, "--out", out, "--rows-per-part", 8)
    assert bulk(*arguments) == 2  # without --resume
    assert bulk(*arguments, "--resume") == 0
    assert answers(out) == answers(whole)
    again = {part.name for part in out.glob("part-*") if part.stat().st_mtime_ns != kept[part.name]}
    assert again == {"part-00000001.parquet", "part-00000003.parquet"}
    assert json.loads((out / "_bulk.json").read_text())["finished"] == {"parts": 4, "rows": 38, "errors": 0}


def test_a_finished_job_can_be_resumed_with_nothing_left(
    whole: Path, table: Path, tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bulk(table, "--model", tiny_model_folder, "--out", whole, "--rows-per-part", 8, "--resume") == 0
    error = capsys.readouterr().err
    assert "continuing: 30 of 30 rows are done" in error
    assert "38 answers" in error


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("--threshold", "0.4"), "threshold"),
        (("--presence-threshold", "0.4"), "presence threshold"),
        (("--rows-per-part", "9"), "rows in a part"),
        (("--model", "photos"), "model"),
        ((), "input"),
    ],
)
def test_another_job_is_not_resumed(
    change: tuple[str, ...],
    named: str,
    whole: Path,
    table: Path,
    tiny_model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = table if change else write_lines(tmp_path / "t.jsonl", [{"image": "0.jpg", "expression": "dog"}])
    options = ("--model", tiny_model_folder, "--out", whole, "--rows-per-part", 8, "--resume")
    assert bulk(other, *options, *change) == 2
    assert named in capsys.readouterr().err


def test_masks_are_empty_below_the_threshold_of_presence(table: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = tiny_config(len(vocabulary), presence_channels=6)
    save_model_folder(tmp_path / "telling", build_network(config), vocabulary)
    found = {}
    for threshold in ("0", "1"):
        options = ("--threshold", "0", "--presence-threshold", threshold)
        assert bulk(table, "--model", tmp_path / "telling", "--out", tmp_path / threshold, *options) == 0
        found[threshold] = answers(tmp_path / threshold)
    assert all(row["box"] is not None for row in found["0"])  # every pixel is likely enough
    assert all(row["box"] is None for row in found["1"])
    assert [row["present"] for row in found["0"]] == [row["present"] for row in found["1"]]
    assert all(0 < row["present"] < 1 for row in found["0"])


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000])
def test_damaged_note_is_named(
    content: str, table: Path, tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "_bulk.json").write_text(content)
    assert bulk(table, "--model", tiny_model_folder, "--out", out, "--resume") == 1
    assert "_bulk.json is damaged: give another --out" in capsys.readouterr().err


def test_a_folder_of_photos_that_goes_away_stops_the_job_and_keeps_what_is_done(
    photos: Path,
    tiny_model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = tmp_path / "photos"
    shutil.copytree(photos, here)
    write = BulkOutput.write_part

    def written_and_gone(*arguments: object) -> int:
        errors = write(*arguments)
        if here.exists():
            here.rename(tmp_path / "away")
        return errors

    monkeypatch.setattr(BulkOutput, "write_part", written_and_gone)
    arguments = (here, "red shirt", "--model", tiny_model_folder, "--out", tmp_path / "out", "--rows-per-part", 3)
    assert bulk(*arguments) == 1
    error = capsys.readouterr().err
    assert "is gone" in error
    assert "--resume" in error
    assert [part.name for part in (tmp_path / "out").glob("part-*")] == ["part-00000000.parquet"]
    (tmp_path / "away").rename(here)
    monkeypatch.setattr(BulkOutput, "write_part", write)
    assert bulk(*arguments, "--resume") == 0
    assert [row["error"] for row in answers(tmp_path / "out")] == [None] * 7


def test_a_job_of_which_nothing_can_be_answered_fails(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_lines(tmp_path / "table.jsonl", [{"image": "no.jpg", "expression": "dog"}] * 3)
    assert bulk(table, "--model", tiny_model_folder, "--out", tmp_path / "out") == 1
    assert "none of the 3 rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "say what to answer"),
        (("missing.jsonl",), 1, "there is no input missing.jsonl"),
        (("TABLE", "dog"), 2, "expressions go with a folder of photos"),
        (("FOLDER",), 2, "holds no table"),
        (("FOLDER", "dog"), 1, "holds no photo"),
        (("FOLDER", "?!"), 2, "holds no word"),
        (("photo.jpg",), 2, "is no table"),
        (("empty.jsonl",), 1, "is empty"),
        (("other.jsonl",), 1, "has no column expression; it has image, caption"),
        (("other.parquet",), 1, "has no column image"),
        (("broken.parquet",), 1, "is not a Parquet file"),
        (("http://example.org/table.parquet",), 2, "files are not read from http://"),
        (("TABLE", "--workers", "2"), 2, "--workers goes with --engine ray"),
        (("TABLE", "--rows-per-part", "0"), 2, "--rows-per-part must lie between"),
        (("TABLE", "--threshold", "2"), 2, "--threshold must lie between"),
        (("TABLE", "--presence-threshold", "1.5"), 2, "--presence-threshold must lie between"),
        (("TABLE", "--model", "nowhere/at/all"), 1, "nowhere/at/all is not a model folder"),
        (("TABLE", "--device", "abacus"), 1, "there is no device 'abacus'"),
        (("TABLE", "--out", "photo.jpg"), 1, "is a file"),
        (("TABLE", "--out", "."), 2, "holds other files"),
    ],
)
def test_mistakes_are_answered_with_one_sentence(
    arguments: tuple[str, ...],
    status: int,
    message: str,
    tiny_model_folder: Path,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "table.jsonl", [{"image": "photo.jpg", "expression": EXPRESSIONS[0]}])
    write_lines(tmp_path / "other.jsonl", [{"image": "photo.jpg", "caption": "dog"}] * 2)
    (tmp_path / "empty.jsonl").write_text("\n \n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "other.parquet")
    (tmp_path / "folder").mkdir()
    given = [{"TABLE": "table.jsonl", "FOLDER": "folder"}.get(argument, argument) for argument in arguments]
    given += [] if "--model" in given else ["--model", str(tiny_model_folder)]
    given += [] if "--out" in given else ["--out", "out"]
    assert bulk(*given) == status
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list(tmp_path.glob("out/part-*"))
