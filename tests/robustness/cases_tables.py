"""Tables of what is asked, and the commands that take them in bulk; making expressions, scenes and vocabularies."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from robustness.case import Case
from robustness.material import write_model, write_photo, write_prepared

Make = Callable[[Path], list[str]]


def _prompts(name: str, content: bytes) -> Make:
    """``segment`` of a photo, and a table of what is asked about it."""

    def make(folder: Path) -> list[str]:
        write_photo(folder / "photo.png")
        (folder / name).write_bytes(content)
        return ["segment", "photo.png", "--prompts", name, "--device", "cpu", "--out", "out"]

    return make


def _listed(name: str) -> Make:
    """``segment`` of a table that names a photo."""

    def make(folder: Path) -> list[str]:
        (folder / "a.jsonl").write_text(json.dumps({"image": name, "expression": "red block"}))
        return ["segment", "a.jsonl", "--device", "cpu", "--out", "out"]

    return make


def _escaping(_: Path) -> list[str]:
    return ["segment", "no\x1b[2J\nphoto.png", "red block", "--device", "cpu", "--out", "out"]


def _segment(*arguments: str) -> Make:
    def make(folder: Path) -> list[str]:
        write_photo(folder / "photo.png")
        return ["segment", "photo.png", "red block", "--device", "cpu", "--out", "out", *arguments]

    return make


def _interrupted(record: dict[str, Any]) -> Make:
    """``segment --resume`` of a run whose second line of answers is this."""

    def make(folder: Path) -> list[str]:
        write_photo(folder / "photo.png")
        (folder / "out").mkdir()
        lines = [{"run": []}, record]
        (folder / "out" / "unfinished.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return ["segment", "photo.png", "red block", "--device", "cpu", "--out", "out", "--resume"]

    return make


def _parquet(damage: Callable[[bytes], bytes]) -> bytes:
    stream = pyarrow.BufferOutputStream()
    table = pyarrow.table({"image": ["photo.png"], "expression": ["red block"]})
    pyarrow.parquet.write_table(table, stream, use_dictionary=False, compression="none")
    return damage(stream.getvalue().to_pybytes())


def _bulk(content: bytes | None, *arguments: str, name: str = "asked.parquet", note: object = None) -> Make:
    """``bulk`` of a table."""

    def make(folder: Path) -> list[str]:
        write_photo(folder / "photo.png")
        write_model(folder / "model")
        if content is None:
            os.mkfifo(folder / name)
        else:
            (folder / name).write_bytes(content)
        if note is not None:
            (folder / "out").mkdir()
            (folder / "out" / "_bulk.json").write_text(json.dumps(note))
        return ["bulk", name, "--model", "model", "--device", "cpu", "--out", "out", *arguments]

    return make


def _instances(command: str, *arguments: str, **changes: Any) -> Make:
    """``phrase`` or ``compose`` of one photo with one box."""

    def make(folder: Path) -> list[str]:
        write_photo(folder / "photo.png")
        content = {
            "images": [{"id": 1, "file_name": "photo.png", "width": 80, "height": 60}],
            "annotations": [{"id": 5, "image_id": 1, "category_id": 2, "segmentation": [[20, 15, 40, 15, 40, 30]]}],
            "categories": [{"id": 2, "name": "box"}],
        }
        (folder / "instances.json").write_text(json.dumps(content | changes))
        return [command, "--annotations", "instances.json", "--images", ".", "--out", "out", *arguments]

    return make


def _training(*arguments: str) -> Make:
    def make(folder: Path) -> list[str]:
        write_prepared(folder / "data")
        quick = ("--image.size", "32", "--workers", "0", "--steps", "1", "--batch-images", "1")
        return ["train", "--data", "data", "--out", "run", "--accelerator", "cpu", *quick, *arguments]

    return make


def _export(*arguments: str) -> Make:
    def make(folder: Path) -> list[str]:
        write_prepared(folder / "data")
        write_model(folder / "model")
        int8 = ("--precision", "int8", "--calibration", "data")
        return ["export", "--model", "model", "--out", "out", *int8, *arguments]

    return make


def _from_pipe(folder: Path) -> list[str]:
    os.mkfifo(folder / "weights")
    return _training("--backbone-weights", "weights")(folder)


def _run_of_a_pipe(folder: Path) -> list[str]:
    (folder / "run").mkdir()
    os.mkfifo(folder / "run" / "run.json")
    return _training("--resume")(folder)


def _vocabulary(*arguments: str) -> Make:
    def make(folder: Path) -> list[str]:
        write_prepared(folder / "data")
        return ["vocabulary", "--data", "data", "--out", "words.txt", *arguments]

    return make


NO_TEXT = _parquet(lambda content: content.replace(b"red block", b"red \xe8lock"))
SOUND = _parquet(bytes)
ROW = b"image,expression\nphoto.png,"
BIG = [{"id": 1, "file_name": "photo.png", "width": 10**9, "height": 10**9}]
NO_PHOTO = "there is no photo; name the column photo or image"

CASES = [
    Case("asked", "Parquet whose text is none", _prompts("a.parquet", NO_TEXT), 1, "or it is damaged"),
    Case("asked", "no Parquet", _prompts("a.parquet", b"PAR1 PAR1"), 1, "it is not a Parquet file, or it is damaged"),
    Case("asked", "a byte 0 in a name", _prompts("a.csv", b"image,expression\np\0.png,red\n"), 1, NO_PHOTO),
    Case(
        "asked", "half a letter in a name", _prompts("a.jsonl", rb'{"image": "\ud800", "expression": "a"}'), 1, NO_PHOTO
    ),
    Case(
        "asked",
        "half a letter in an expression",
        _prompts("a.jsonl", rb'{"image": "photo.png", "expression": "\ud800"}'),
        1,
        "row 1: expression is not text",
    ),
    Case("asked", "a name of 5,000 letters", _listed("a" * 5000), 1, "1 of 1 photos listed in a.jsonl are missing"),
    Case("asked", "a name that steers the terminal", _listed("a\x1b[2J.png"), 1, r"a\x1b[2J.png"),
    Case("asked", "a folder that steers the terminal", _escaping, 1, r"no\x1b[2J\nphoto.png"),
    Case("asked", "a field of 200,000 letters", _prompts("a.csv", ROW + b"a" * 200_000), 1, "field larger than"),
    Case("asked", "answers of another kind, to resume", _interrupted({"name": [1]}), 0, "results in out"),
    Case("asked", "--presence-threshold NaN", _segment("--presence-threshold", "nan"), 2, "must be a finite number"),
    Case("asked", "--feather NaN", _segment("--cutout", "--feather", "nan"), 2, "--feather must be a finite number"),
    Case("bulk", "Parquet whose text is none", _bulk(NO_TEXT), 1, "asked.parquet is damaged: copy it again."),
    Case("bulk", "Parquet cut in half", _bulk(_parquet(lambda content: content[: len(content) // 2])), 1, "damaged"),
    Case("bulk", "--images that is not there", _bulk(SOUND, "--images", "x"), 1, "there is no folder x: give the one"),
    Case("bulk", "a pipe", _bulk(None), 1, "there is no input asked.parquet"),
    Case("bulk", "a note that is a list", _bulk(SOUND, "--resume", note={"run": []}), 1, "_bulk.json is damaged"),
    Case("bulk", "--threshold NaN", _bulk(SOUND, "--threshold", "nan"), 2, "--threshold must be a finite number"),
    Case("phrase", "a photo of a trillion pixels", _instances("phrase", images=BIG), 1, "its size is 1000000000 x"),
    Case("phrase", "categories of null", _instances("phrase", categories=None), 1, "it lacks images, annotations or"),
    Case("phrase", "--smallest NaN", _instances("phrase", "--smallest", "nan"), 2, "--smallest must be a finite"),
    Case(
        "phrase",
        "--absent-per-photo 100000000",
        _instances("phrase", "--absent-per-photo", "100000000"),
        2,
        "--absent-per-photo is a number from 0 to 1,000, not 100,000,000.",
    ),
    Case("compose", "a photo of a trillion pixels", _instances("compose", images=BIG), 1, "its size is 1000000000 x"),
    Case("compose", "--scenes -1", _instances("compose", "--scenes", "-1"), 2, "--scenes must not be negative"),
    Case(
        "compose",
        "--workers 1000000",
        _instances("compose", "--workers", "1000000"),
        2,
        "--workers must be at most 1,000, got 1,000,000.",
    ),
    Case("training", "--backbone-weights of a pipe", _from_pipe, 1, "there is no checkpoint weights"),
    Case("training", "--out with a run.json of a pipe", _run_of_a_pipe, 1, "run.json is damaged"),
    Case("training", "--word-noise NaN", _training("--word-noise", "nan"), 2, "must be a finite number"),
    Case("training", "--embeddings-scale NaN", _training("--embeddings-scale", "nan"), 2, "must be a finite number"),
    Case("export", "--test-split that is not there", _export("--test-split", "dev"), 2, "data has no split 'dev'"),
    Case("export", "--greatest-loss NaN", _export("--greatest-loss", "nan"), 2, "must be a finite number"),
    Case("vocabulary", "--splits that are not there", _vocabulary("--splits", "dev"), 2, "data has no split 'dev'"),
]
