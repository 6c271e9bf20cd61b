"""``cmpc segment`` about photos in object storage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from object_storage import SECRET, Bucket

Segment = Callable[..., int]


def test_photos_at_urls_are_answered_as_those_on_disk(
    photos: Path, bucket: Bucket, segment: Segment, tmp_path: Path
) -> None:
    url = bucket.put(photos, "photos")
    (tmp_path / "list.txt").write_text(f"{url}/first.jpg\n{photos}/second.png\n")
    asked = {
        "disk": (photos, "man"),
        "folder": (url, "man"),
        "files": (f"{url}/first.jpg", f"{url}/second.png", "man"),
        "list": (tmp_path / "list.txt", "man"),
        "local": (f"file://{photos}", "man"),
    }
    answers = {}
    for name, arguments in asked.items():
        assert segment(*arguments, "--format", "jsonl", "--out", tmp_path / name) == 0
        lines = map(json.loads, (tmp_path / name / "results.jsonl").read_text().splitlines())
        answers[name] = [{**line, "photo": Path(line["photo"]).name} for line in lines]
    assert len(answers["disk"]) == 2
    assert all(found == answers["disk"] for found in answers.values())


@pytest.mark.parametrize("format", ["files", "coco", "yolo", "labelme", "png"])
def test_results_name_the_url(format: str, photos: Path, bucket: Bucket, segment: Segment, tmp_path: Path) -> None:
    url = bucket.put(photos / "first.jpg", "first.jpg")
    arguments = (url, "man", "--format", format, "--out", tmp_path / "out")
    assert segment(*arguments) == 0
    texts = [file.read_text() for file in (tmp_path / "out").rglob("*.json*")]
    assert format == "yolo" or any(url in text for text in texts)
    assert SECRET not in "".join(texts)
    assert segment(*arguments, "--resume") == 0


@pytest.mark.parametrize(
    ("argument", "status", "sentence"),
    [
        ("{url}/no.jpg", 1, "there is no photo s3://"),
        ("{url}/empty", 1, "holds no photo"),
        ("{url}/empty/list.txt", 2, "is a table on a remote file system"),
        ("s3://no-such-bucket-here/a.jpg", 1, "s3://no-such-bucket-here/a.jpg"),
        ("s3://user:secret@bucket/a.jpg", 2, "credentials in the environment"),
        ("https://example.org/a.jpg", 2, "files are not read from https://"),
    ],
)
def test_what_is_not_there_is_told_in_a_sentence(
    argument: str,
    status: int,
    sentence: str,
    bucket: Bucket,
    segment: Segment,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "list.txt").write_text("a.jpg")
    bucket.put(tmp_path / "list.txt", "empty/list.txt")
    assert segment(argument.format(url=bucket.url), "man", "--out", tmp_path / "out") == status
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()
