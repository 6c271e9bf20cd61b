"""``cmpc explain`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tyro
from PIL import Image

from cmpc.cli import explain
from cmpc.errors import UsageError, UserError


def run(*arguments: str | Path) -> None:
    explain.run(tyro.cli(explain.Options, args=[str(argument) for argument in arguments]))


@pytest.mark.parametrize("suffix", ["png", "svg", "json"])
def test_photo_and_expression_give_one_file(
    photo: Path, tiny_model_folder: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / f"picture.{suffix}"
    run(photo, "the left man", "--model", tiny_model_folder, "--out", out, "--levels", "c3", "c4")
    assert [file.name for file in out.parent.iterdir()] == [out.name]
    assert out.stat().st_size > 5000
    assert str(out) in capsys.readouterr().err


def test_types_suggested_by_parts_of_speech_stand_beside_the_learned_ones(
    photo: Path, tiny_model_folder: Path, spacy_pipeline: Path, tmp_path: Path
) -> None:
    options = ("the left man", "--model", tiny_model_folder)
    run(photo, *options, "--spacy-pipeline", spacy_pipeline, "--out", tmp_path / "a.json")
    words = json.loads((tmp_path / "a.json").read_text())["words"]
    assert [word["part_of_speech"] for word in words] == ["unnecessary", "attribute", "entity"]
    run(photo, *options, "--spacy-pipeline", spacy_pipeline, "--out", tmp_path / "with.svg")
    run(photo, *options, "--out", tmp_path / "without.svg")
    assert "part of speech" in (tmp_path / "with.svg").read_text()
    assert "part of speech" not in (tmp_path / "without.svg").read_text()
    with pytest.raises(UsageError, match="a sheet has no room"):
        run(photo, "dog", *options, "--spacy-pipeline", "auto", "--out", tmp_path / "b.json")


def test_folder_gives_one_sheet(photo: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(photo.read_bytes())
    run(folder, "dog", "red man", "--model", tiny_model_folder, "--out", tmp_path / "sheet.json")
    rows = json.loads((tmp_path / "sheet.json").read_text(encoding="utf-8"))
    assert [(Path(row["photo"]).name, row["expression"]) for row in rows] == [
        ("a.jpg", "dog"),
        ("a.jpg", "red man"),
        ("b.jpg", "dog"),
        ("b.jpg", "red man"),
    ]
    (tmp_path / "list.txt").write_text("photos/b.jpg\nphotos/a.jpg\n")
    run(tmp_path / "list.txt", "dog", "--model", tiny_model_folder, "--out", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 1800


def test_broken_photo_does_not_stop_the_others(photo: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    options = ("dog", "--model", tiny_model_folder, "--out", tmp_path / "sheet.json")
    with pytest.raises(UserError, match="1 of 2 photos failed, the others are done"):
        run(tmp_path / "broken.jpg", photo, *options)
    assert len(json.loads((tmp_path / "sheet.json").read_text())) == 1
    (tmp_path / "sheet.json").unlink()
    (tmp_path / "worse.jpg").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"broken\.jpg"):
        run(tmp_path / "broken.jpg", tmp_path / "worse.jpg", *options)
    assert not (tmp_path / "sheet.json").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("PHOTO", "--out", "OUT.png"), UsageError, "say what to look for: cmpc explain PHOTO"),
        (("PHOTO", "dog", "--out", "OUT.pdf"), UsageError, r"must end in \.png, \.svg or \.json"),
        (("PHOTO", "dog", "man", "--out", "OUT.png", "--levels", "c3"), UsageError, "a sheet has no room"),
        (("PHOTO", *["dog"] * 65, "--out", "OUT.svg"), UsageError, "at most 64 rows, not 65"),
        (("PHOTO", " . ", "--out", "OUT.png"), UserError, "holds no word"),
        (("missing.jpg", "dog", "--out", "OUT.png"), UserError, r"there is no photo missing\.jpg"),
        (("PHOTO", "dog", "--out", "OUT.png", "--threshold", "3"), UserError, "between 0 and 1"),
    ],
)
def test_mistakes_are_answered_with_one_sentence(
    arguments: tuple[str, ...],
    error: type[UserError],
    message: str,
    photo: Path,
    tiny_model_folder: Path,
    tmp_path: Path,
) -> None:
    given = [argument.replace("PHOTO", str(photo)).replace("OUT", str(tmp_path / "out")) for argument in arguments]
    with pytest.raises(error, match=message) as caught:
        run(*given, "--model", tiny_model_folder)
    assert "\n" not in str(caught.value)
    assert [file for file in tmp_path.iterdir() if file != photo] == []
