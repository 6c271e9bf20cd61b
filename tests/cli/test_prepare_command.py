"""``cmpc prepare`` and ``cmpc vocabulary``, as a user types them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


def test_expressions_of_several_objects_and_of_none_are_counted(
    refer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare("grefcoco", refer) == 0
    output = capsys.readouterr().out
    assert "grefcoco (gRefCOCO)" in output
    rows = {line.split()[0]: line.split()[1:6] for line in output.splitlines() if line.strip()}
    assert rows["val"] == ["2", "3", "1", "2", "1"]  # objects, expressions, of several, of none, images
    assert "the whole has 8 expressions, 4 of several objects, 3 of none; published are 278,232" in output
    assert "COCO" in PreparedDataset.open(refer.parent / "grefcoco").info.licence
    assert sum(row.is_empty for row in PreparedDataset.open(refer.parent / "grefcoco").read("val")) == 1

    assert prepare("grefcoco", refer, "--splits", "train") == 0
    assert "the whole" not in capsys.readouterr().out
    assert prepare("ref-zom", refer) == 0
    assert PreparedDataset.open(refer.parent / "ref-zom").splits == ["train", "test"]


def test_phrasecut_is_prepared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(DATA / "phrasecut", tmp_path / "files")
    (folder / "images").mkdir()
    for number in (72, 86):
        photo = DATA / "refer" / "train2014" / f"COCO_train2014_{number:012d}.jpg"
        shutil.copy(photo, folder / "images" / f"{number}.jpg")
    assert prepare("phrasecut", folder) == 0
    assert "2 of 310,816" in capsys.readouterr().out
    dataset = PreparedDataset.open(tmp_path / "phrasecut")
    row = dataset.read("train")[0]
    assert len(row.instances) == 2
    assert row.word_types == (("entity",),)
    assert dataset.read_image(row).shape == (160, 107, 3)


def test_any_data_of_the_layout_of_refer_are_prepared(
    refer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = refer / "rrsisd", tmp_path / "out"
    arguments = ["prepare", "refer", "--name", "rrsis-d", "--annotations", str(folder), "--out", str(out)]
    assert main([*arguments, "--refs", "refs(unc).p"]) == 1
    assert "images are missing" in capsys.readouterr().err
    (folder / "images").mkdir()
    for name in ("00001.jpg", "00002.jpg"):
        Image.new("RGB", (64, 48)).save(folder / "images" / name)
    assert main([*arguments, "--refs", "refs(unc).p", "--licence", "theirs"]) == 0
    dataset = PreparedDataset.open(out)
    assert (dataset.info.name, dataset.info.licence, dataset.splits) == ("rrsis-d", "theirs", ["train", "test"])
    (folder / "instances.json").rename(tmp_path / "objects.json")
    more = ["--instances", str(tmp_path / "objects.json"), "--images", str(folder / "images"), "--splits", "test"]
    assert main([*arguments, *more]) == 0
    assert PreparedDataset.open(out).splits == ["test"]
    arguments[3] = "grefcoco"
    assert main(arguments) == 2
    assert "the name of a benchmark" in capsys.readouterr().err


def test_broken_lists_are_refused_with_their_entry_or_left_out_and_counted(
    refer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = refer / "grefcoco" / "grefs(unc).json"
    entries = json.loads(path.read_text())
    wrong = [entries[0] | {"ref_id": number, "ann_id": [187798, number]} for number in range(100, 104)]
    path.write_text(json.dumps([*entries, *wrong]))
    assert prepare("grefcoco", refer) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "entry 7 (ref 100): it names annotation 100, which is not in" in error
    assert not (refer.parent / "grefcoco").exists()

    assert prepare("grefcoco", refer, "--skip-broken") == 0
    output = capsys.readouterr().out
    assert "left out, annotations that are missing in the instances: 4 (first: " in output
    assert [f"(ref {number})" in output for number in range(100, 104)] == [True, True, True, False]
    broken = PreparedDataset.open(refer.parent / "grefcoco").info.broken
    assert broken == {"annotations that are missing in the instances": 4}


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


def test_current_folder_is_not_replaced(
    refer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert prepare("unc", refer, "--out", ".") == 1
    assert "is the current folder" in capsys.readouterr().err
    assert not list((tmp_path / "here").iterdir())


def test_linked_folder_receives_the_data(refer: Path, tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    (tmp_path / "unc").symlink_to(tmp_path / "large disk")
    assert prepare("unc", refer) == 0
    assert (tmp_path / "unc").is_symlink()
    assert (tmp_path / "large disk" / "dataset.json").is_file()


@pytest.mark.parametrize(("name", "sentence"), [("unc", "the name of a benchmark"), (" ", "--name is empty")])
def test_own_data_cannot_pass_for_a_benchmark(
    tmp_path: Path, name: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["prepare", "own", "t.jsonl", "--images", str(tmp_path), "--out", str(out), "--name", name]) == 2
    assert sentence in capsys.readouterr().err


def test_libraries_add_nothing_to_the_error_of_a_broken_image(tmp_path: Path) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / "a.bmp")
    (tmp_path / "a.bmp").write_bytes((tmp_path / "a.bmp").read_bytes()[:2000])
    (tmp_path / "t.jsonl").write_text(json.dumps({"image": "a.bmp", "expression": "it", "box": [0, 0, 9, 9]}))
    command = [sys.executable, "-m", "cmpc", "prepare", "own", "t.jsonl", "--images", ".", "--out", "out"]
    done = subprocess.run([*command, "--check-images"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "cmpc prepare: the image a.bmp is damaged: its pixels cannot be decoded.\n"


def test_own_table_and_coco_are_prepared(refer: Path, tmp_path: Path) -> None:
    photos = refer / "train2014"
    photo = sorted(photos.iterdir())[0].name
    table = tmp_path / "table.jsonl"
    table.write_text(json.dumps({"image": photo, "expression": "the corner", "box": [0, 0, 9, 9]}))
    arguments = ["--images", str(photos), "--out", str(tmp_path / "own [/x]")]
    assert main(["prepare", "own", str(table), *arguments, "--name", "corners [/x]", "--licence", "mine"]) == 0
    assert PreparedDataset.open(tmp_path / "own [/x]").info.name == "corners [/x]"
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
    assert all(not vocabulary.query(text, 20).unknown for row in rows for text in row.expressions)
    assert f"{len(vocabulary)} words written to" in capsys.readouterr().out


def test_embeddings_are_made_for_an_existing_vocabulary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "words.txt").write_text("<pad>\n<go>\n<eos>\n<unk>\nleft\nman\n")
    (tmp_path / "glove.txt").write_text("left 1 2\nright 3 4\n")
    glove, out = str(tmp_path / "glove.txt"), str(tmp_path / "e.npy")
    assert main(["vocabulary", "--file", str(tmp_path / "words.txt"), "--glove", glove, "--embeddings-out", out]) == 0
    assert np.load(out).shape == (6, 2)
    assert "1 of 2 words found in glove.txt" in capsys.readouterr().out


def test_vocabulary_is_written_with_its_embeddings_into_a_file_or_not_at_all(
    refer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare("unc", refer) == 0
    arguments = ["vocabulary", "--data", str(tmp_path / "unc"), "--out", str(tmp_path / "words.txt")]
    glove = ["--glove", str(tmp_path / "missing.txt"), "--embeddings-out", str(tmp_path / "e.npy")]
    assert main([*arguments, *glove]) == 1
    assert not (tmp_path / "words.txt").exists()
    (tmp_path / "folder").mkdir()
    assert main([*arguments[:-1], str(tmp_path / "folder")]) == 1
    assert f"{tmp_path / 'folder'}: Is a directory." in capsys.readouterr().err
    assert main([*arguments, "--minimum-count", "100000"]) == 1
    assert "no word occurs 100,000 times" in capsys.readouterr().err
    assert not (tmp_path / "words.txt").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--data", "a", "--file", "b", "--out", "c"],
        ["--data", "a"],
        ["--file", "a", "--out", "b", "--glove", "c"],
        ["--file", "a", "--out", "b", "--minimum-count", "2"],
        ["--data", "a", "--out", "b", "--minimum-count", "0"],
        ["--data", "a", "--out", "b", "--seed", "-1"],
        ["--file", "a", "--glove", "c", "--embeddings-out", "e.txt"],
    ],
)
def test_contradictory_options_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vocabulary", *arguments]) == 2
    assert capsys.readouterr().err.startswith("cmpc vocabulary: ")
