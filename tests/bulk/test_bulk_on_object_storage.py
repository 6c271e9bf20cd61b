"""``cmpc bulk`` from a bucket into a bucket."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bulk.material import answers, bulk, write_lines
from cmpc.bulk.outputs import BulkOutput
from object_storage import SECRET, Bucket


def test_tables_photos_and_answers_may_all_lie_in_a_bucket(
    photos: Path, table: Path, bucket: Bucket, tiny_model_folder: Path, tmp_path: Path
) -> None:
    options = ("--model", tiny_model_folder, "--rows-per-part", 10)
    assert bulk(table, *options, "--out", tmp_path / "here") == 0
    url = bucket.put(photos, "photos")
    arguments = (f"{url}/table.jsonl", *options, "--out", f"{bucket.url}/out")
    assert bulk(*arguments) == 0
    assert answers(bucket.get("out/", tmp_path / "copy")) == answers(tmp_path / "here")
    bucket.client.delete_object(Bucket=bucket.name, Key="out/part-00000001.parquet")
    assert bulk(*arguments) == 2
    assert bulk(*arguments, "--resume") == 0
    assert answers(bucket.get("out/", tmp_path / "again")) == answers(tmp_path / "here")
    note = (tmp_path / "again" / "_bulk.json").read_text()
    assert json.loads(note)["finished"]["rows"] == 38
    assert SECRET not in note

    rows = [{"image": f"{url}/0.jpg", "expression": "red shirt"}, {"image": f"{url}/no.jpg", "expression": "dog"}]
    assert bulk(write_lines(tmp_path / "urls.jsonl", rows), *options, "--out", tmp_path / "urls") == 0
    assert [row["error"] for row in answers(tmp_path / "urls")] == [
        None,
        f"cannot read the image {url}/no.jpg: there is no such file.",
    ]
    assert bulk(url, "red shirt", *options, "--out", tmp_path / "folder") == 0
    assert [row["image"] for row in answers(tmp_path / "folder")][-1] == "more/6.jpg"


def test_a_store_that_goes_away_stops_the_job_and_keeps_what_is_done(
    photos: Path,
    bucket: Bucket,
    tiny_model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = bucket.put(photos, "photos")
    write = BulkOutput.write_part

    def written_and_gone(*arguments: object) -> int:
        errors = write(*arguments)
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        return errors

    arguments = (url, "red shirt", "--model", tiny_model_folder, "--out", tmp_path / "out", "--rows-per-part", 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BulkOutput, "write_part", written_and_gone)
        assert bulk(*arguments) == 1
    error = capsys.readouterr().err
    assert "the server does not answer" in error
    assert "--resume" in error
    assert [part.name for part in (tmp_path / "out").glob("part-*")] == ["part-00000000.parquet"]
    assert bulk(*arguments, "--resume") == 0
    assert [row["error"] for row in answers(tmp_path / "out")] == [None] * 7


def test_a_bucket_that_is_not_there_is_told(
    table: Path, bucket: Bucket, tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--model", tiny_model_folder, "--out", "s3://no-such-bucket-here/out")
    assert bulk(table, *options) == 1
    assert "cannot write the answers to s3://no-such-bucket-here/out" in capsys.readouterr().err
    assert bulk("s3://no-such-bucket-here/table.parquet", *options) == 1
    assert "there is no input s3://no-such-bucket-here/table.parquet" in capsys.readouterr().err
