"""``cmpc prepare`` and ``cmpc vocabulary``, as a user types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cmpc.cli import main
from cmpc.data.schema import PreparedDataset
from cmpc.data.vocabulary import Vocabulary

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def refer(tmp_path: Path) -> Path:
    return shutil.copytree(DATA / "refer", tmp_path / "refer")


def prepare(name: str, folder: Path, *more: str) -> int:
    out = str(folder.parent / name)
    return main(["prepare", name, "--images", str(folder), "--annotations", str(folder), "--out", out, *more])


@pytest.mark.parametrize("name", ["unc", "unc+", "gref", "refcocog"])
def test_benchmark_is_prepared_and_compared(refer: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert prepare(name, refer) == 0
    dataset = PreparedDataset.open(refer.parent / name)
    rows = dataset.read("val")
    assert dataset.read_image(rows[0]).shape == (rows[0].height, rows[0].width, 3)
    assert set(dataset.info.sources) >= {"instances.json"}
    output = capsys.readouterr().out
    assert "a part of the benchmark" in output
    assert f"written to {refer.parent / name}" in output


def test_packed_benchmark_needs_no_photos(tmp_path: Path) -> None:
    folder = shutil.copytree(DATA / "referit", tmp_path / "files")
    assert prepare("referit", folder, "--pack") == 0
    shutil.rmtree(folder)
    dataset = PreparedDataset.open(tmp_path / "referit")
    assert all(dataset.read_image(row).any() for split in dataset.splits for row in dataset.read(split))


def test_missing_photos_are_recorded(refer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = sorted((refer / "train2014").iterdir())[0]
    photo.unlink()
    assert prepare("unc", refer) == 1
    assert "1 of 5 images is missing in" in capsys.readouterr().err
    assert not (refer.parent / "unc").exists()
    assert prepare("unc", refer, "--allow-missing") == 0
    assert PreparedDataset.open(refer.parent / "unc").info.missing_images == [photo.name]


def test_wrong_use_exits_with_2(refer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare("unc", refer, "--splits", "dev") == 2
    assert capsys.readouterr().err == "cmpc prepare: unc has no split 'dev'; it has train, val, testA, testB.\n"
    assert main(["prepare"]) == 2
    assert main(["prepare", "refcoco"]) == 2
    assert main(["prepare", "unc", "--images", str(refer)]) == 2


def test_failed_work_is_one_sentence_without_traceback(refer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (refer / "refcoco" / "refs(unc).p").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    assert prepare("unc", refer) == 1
    error = capsys.readouterr().err
    assert error.startswith("cmpc prepare: ")
    assert error.count("\n") == 1


def test_folder_with_other_files_is_not_replaced(refer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (refer.parent / "unc").mkdir()
    (refer.parent / "unc" / "thesis.tex").write_text("years of work")
    assert prepare("unc", refer) == 1
    assert "thesis.tex" in capsys.readouterr().err
    assert (refer.parent / "unc" / "thesis.tex").read_text() == "years of work"


def test_own_table_and_coco_are_prepared(refer: Path, tmp_path: Path) -> None:
    photos = refer / "train2014"
    photo = sorted(photos.iterdir())[0].name
    table = tmp_path / "table.jsonl"
    table.write_text(json.dumps({"image": photo, "expression": "the corner", "box": [0, 0, 9, 9]}))
    arguments = ["--images", str(photos), "--out", str(tmp_path / "own")]
    assert main(["prepare", "own", str(table), *arguments, "--name", "corners", "--licence", "mine"]) == 0
    assert PreparedDataset.open(tmp_path / "own").info.name == "corners"
    instances = refer / "refcoco" / "instances.json"
    number = json.loads(instances.read_text())["annotations"][0]["id"]
    expressions = tmp_path / "expressions.json"
    expressions.write_text(json.dumps([{"ann_id": number, "expressions": ["it"]}]))
    arguments = ["--images", str(refer), "--out", str(tmp_path / "coco"), "--split", "val"]
    assert main(["prepare", "coco", "--instances", str(instances), "--expressions", str(expressions), *arguments]) == 0
    assert PreparedDataset.open(tmp_path / "coco").read("val")[0].expressions == ("it",)


def test_vocabulary_holds_the_words_of_the_training_split(refer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare("unc", refer) == 0
    out = refer.parent / "vocabulary.txt"
    assert main(["vocabulary", "--data", str(refer.parent / "unc"), "--out", str(out)]) == 0
    vocabulary = Vocabulary.load(out)
    rows = PreparedDataset.open(refer.parent / "unc").read("train")
    assert all(not vocabulary.unknown_words(text) for row in rows for text in row.expressions)
    assert f"{len(vocabulary)} words written to" in capsys.readouterr().out


def test_embeddings_are_made_for_an_existing_vocabulary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "words.txt").write_text("<pad>\n<go>\n<eos>\n<unk>\nleft\nman\n")
    (tmp_path / "glove.txt").write_text("left 1 2\nright 3 4\n")
    glove, out = str(tmp_path / "glove.txt"), str(tmp_path / "e.npy")
    assert main(["vocabulary", "--file", str(tmp_path / "words.txt"), "--glove", glove, "--embeddings-out", out]) == 0
    assert np.load(out).shape == (6, 2)
    assert "1 of 2 words found in glove.txt" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--data", "a", "--file", "b", "--out", "c"],
        ["--data", "a"],
        ["--file", "a", "--out", "b", "--glove", "c"],
        ["--file", "a", "--out", "b", "--minimum-count", "2"],
        ["--data", "a", "--out", "b", "--minimum-count", "0"],
        ["--file", "a", "--glove", "c", "--embeddings-out", "e.txt"],
    ],
)
def test_contradictory_options_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vocabulary", *arguments]) == 2
    assert capsys.readouterr().err.startswith("cmpc vocabulary: ")
