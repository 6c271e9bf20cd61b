"""Blocks as a prepared dataset on disk."""

from __future__ import annotations

import functools
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmpc.blocks import dataset as source
from cmpc.blocks.dataset import SceneRecord, Settings, make_blocks, read_scenes
from cmpc.blocks.generate import LEAST_AREA, LEAST_VISIBLE, SEEN, SPLITS, UNSEEN, make_sample
from cmpc.blocks.meaning import FAMILIES, OF_ONE, SEVERAL
from cmpc.blocks.scene import COLOURS, SHAPES
from cmpc.blocks.solver import Solver
from cmpc.cli import blocks as command
from cmpc.data.blind import BLIND_EXPRESSION
from cmpc.data.schema import PreparedDataset, write_dataset
from cmpc.data.vocabulary import tokenize
from cmpc.errors import UsageError, UserError

SETTINGS = Settings(seed=3, size=64, splits={"train": 6, "test": 4, "test_unseen": 4})


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("blocks") / "data"
    make_blocks(out, SETTINGS)
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_rows_hold_the_exact_mask_of_their_blocks(folder: Path) -> None:
    dataset = PreparedDataset.open(folder)
    sample_of = functools.cache(make_sample)
    for split, count in SETTINGS.splits.items():
        rows = dataset.read(split)
        assert len({row.image for row in rows}) == count
        for row in rows:
            _, index, name = row.ref_id.rsplit("-", 2)
            blocks = () if name == "none" else tuple(map(int, name.split("+")))
            sample = sample_of(SETTINGS.seed, split, int(index), SETTINGS.size)
            masks = [sample.rendering.mask(block) for block in blocks]
            assert (row.decode_mask() == np.any([np.zeros((64, 64), bool), *masks], axis=0)).all()
            assert row.is_empty == (not blocks)
            if len(blocks) > 1:
                assert [row.decode(rle).tolist() for rle in row.instances] == [mask.tolist() for mask in masks]
            else:
                assert row.instances == ()
            shapes = {sample.scene.blocks[block].shape for block in blocks}
            assert row.category == (shapes.pop() if len(shapes) == 1 else "")
            said = [e for e in sample.expressions if e.targets == blocks]
            assert row.expressions == tuple(e.text for e in said)
            assert row.groups == tuple(e.family for e in said)
            assert [len(tokenize(text)) for text in row.expressions] == list(map(len, row.word_types))


def test_images_show_the_rendering(folder: Path) -> None:
    dataset = PreparedDataset.open(folder)
    row = dataset.read("test")[0]
    picture = make_sample(SETTINGS.seed, "test", 0, SETTINGS.size).rendering.pixels
    assert np.abs(dataset.read_image(row).astype(int) - picture).mean() < 4


def test_name_says_version_seed_and_size(folder: Path) -> None:
    assert PreparedDataset.open(folder).info.name == "blocks-v2-seed3-64"


def test_every_block_is_seen_well_enough(folder: Path) -> None:
    for index in range(4):
        rendering = make_sample(3, "test", index, 64).rendering
        assert (rendering.areas >= LEAST_AREA * 64 * 64).all()
        assert (rendering.areas >= LEAST_VISIBLE * rendering.whole_areas).all()


def test_unseen_pairs_are_the_targets_of_test_unseen_and_nowhere_else(folder: Path) -> None:
    assert {shape for shape, _ in UNSEEN} == set(SHAPES)
    assert {colour for _, colour in UNSEEN} == set(COLOURS)
    assert not UNSEEN & SEEN
    for split in SETTINGS.splits:
        for record in read_scenes(folder, split):
            pairs = [(block.shape, block.colour) for block in record.scene.blocks]
            if split == "test_unseen":
                assert all(pairs[block] in UNSEEN for expression in record.expressions for block in expression.targets)
            else:
                assert not UNSEEN & set(pairs)


def test_scenes_on_disk_still_solve_their_expressions(folder: Path) -> None:
    for record in read_scenes(folder, "test"):
        solver = Solver(record.scene)
        for expression in record.expressions:
            assert solver.denotes(expression.meaning) == expression.targets


def test_scenes_of_version_1_are_read(folder: Path) -> None:
    """Their expressions have one target each."""
    record = next(read_scenes(folder, "test"))
    values = record.to_dict()
    values["expressions"] = [one for one in values["expressions"] if len(one["targets"]) == 1]
    for one in values["expressions"]:
        (one["target"],) = one.pop("targets")
    old = SceneRecord.from_dict(json.loads(json.dumps(values)))
    assert old.expressions == tuple(one for one in record.expressions if len(one.targets) == 1)
    assert {one.target for one in old.expressions} <= set(range(len(record.scene.blocks)))


def test_every_split_asks_for_several_and_for_what_is_absent(tmp_path: Path) -> None:
    splits = dict.fromkeys(SPLITS, 12)
    make_blocks(tmp_path / "data", Settings(seed=4, size=64, splits=splits))
    for split in splits:
        families = Counter(
            family for row in PreparedDataset.open(tmp_path / "data").read(split) for family in row.groups
        )
        assert set(families) == set(FAMILIES), split
        assert 0.6 * splits[split] < families[SEVERAL] <= splits[split], split


def test_expressions_about_one_block_are_those_of_version_1() -> None:
    """Fingerprint of what version 1 of the generator made."""
    sample = make_sample(0, "test", 0, 64)
    told = [(one.text, one.target, one.family) for one in sample.expressions if one.family in OF_ONE]
    assert hashlib.sha256(repr((told, sample.scene)).encode()).hexdigest()[:16] == "dfdbe2c64f03ea80"


def test_result_does_not_depend_on_the_number_of_workers(folder: Path, tmp_path: Path) -> None:
    make_blocks(tmp_path / "other", SETTINGS, workers=2)
    assert content(tmp_path / "other") == content(folder)


def test_another_seed_gives_other_scenes() -> None:
    assert make_sample(1, "val", 0, 64).scene != make_sample(2, "val", 0, 64).scene
    assert make_sample(1, "val", 0, 64).scene != make_sample(1, "test", 0, 64).scene
    assert make_sample(1, "val", 0, 64).scene == make_sample(1, "val", 0, 64).scene


def test_interrupted_run_leaves_nothing_that_looks_whole_and_is_continued(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(images: int) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "data"
    with pytest.raises(KeyboardInterrupt):
        make_blocks(out, SETTINGS, advance=stop)
    assert not out.exists()
    again: list[tuple[str, int]] = []
    make = source.make_sample

    def counted(seed: int, split: str, index: int, size: int):
        again.append((split, index))
        return make(seed, split, index, size)

    monkeypatch.setattr(source, "make_sample", counted)
    make_blocks(out, SETTINGS)
    assert {split for split, _ in again} == {"test", "test_unseen"}
    assert content(out) == content(folder)
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_processes_end_with_the_command(tmp_path: Path, number: signal.Signals, status: int) -> None:
    program = (
        "import signal, sys; from cmpc.cli import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # ignored where tests run in the background
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["--images", "200", "--split", "train", "--size", "1024", "--workers", "2", "--out", tmp_path / "data"]
    run = subprocess.Popen(
        [sys.executable, "-c", program, "blocks", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    partial = tmp_path / ".data.partial"
    while run.poll() is None and not list(partial.glob("images/*/*.jpg")):
        time.sleep(0.05)
    run.send_signal(number)
    output, _ = run.communicate()  # ends when every process that could write has ended
    assert run.returncode == status, output
    assert "Traceback" not in output
    assert not list(partial.glob("parts/*.gz"))  # nobody waited for the images at work
    assert not (tmp_path / "data").exists()


def test_current_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="is the current folder"):
        make_blocks(".", SETTINGS)
    assert not list(tmp_path.iterdir())


def test_interrupted_run_with_other_settings_is_started_anew(folder: Path, tmp_path: Path) -> None:
    def stop(images: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_blocks(tmp_path / "data", Settings(seed=9, size=64, splits=SETTINGS.splits), advance=stop)
    make_blocks(tmp_path / "data", SETTINGS)
    assert content(tmp_path / "data") == content(folder)


def test_whole_dataset_is_left_as_it_is(folder: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    assert make_blocks(folder, SETTINGS).splits["train"].images == 6
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


def test_folders_of_others_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="no Blocks dataset"):
        make_blocks(tmp_path, SETTINGS)
    with pytest.raises(UserError, match="no Blocks dataset"):
        make_blocks(tmp_path / "notes.txt", SETTINGS)
    with pytest.raises(UserError, match="other settings"):
        make_blocks(folder, Settings(seed=4, size=64, splits=SETTINGS.splits))


def test_an_empty_folder_may_be_filled_and_a_place_without_room_is_one_sentence(tmp_path: Path) -> None:
    one = Settings(seed=0, size=64, splits={"val": 1})
    (tmp_path / "empty").mkdir()
    assert make_blocks(tmp_path / "empty", one).splits["val"].images == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="give another folder"):
        make_blocks(tmp_path / "file" / "data", one)


def test_packed_images_are_not_lost_in_a_copy_without_language(folder: Path, tmp_path: Path) -> None:
    dataset = PreparedDataset.open(folder)
    write_dataset(tmp_path / "packed", dataset.info, {"test": dataset.read("test")}, pack_from=dataset.image_folder)
    with pytest.raises(UserError, match="prepare it without --pack"):
        command.run(command.Options(out=tmp_path / "copy", without_language=tmp_path / "packed"))
    assert not (tmp_path / "copy").exists()


def test_blind_copies_hide_language_or_images_only(folder: Path, tmp_path: Path) -> None:
    rows = PreparedDataset.open(folder).read("train")
    command.run(command.Options(out=tmp_path / "language", without_language=folder))
    mute = PreparedDataset.open(tmp_path / "language")
    for row, before in zip(mute.read("train"), rows, strict=True):
        assert set(row.expressions) == {BLIND_EXPRESSION}
        assert row.groups == before.groups
        assert row.rle == before.rle
    assert (mute.read_image(rows[0]) == PreparedDataset.open(folder).read_image(rows[0])).all()
    command.run(command.Options(out=tmp_path / "image", without_images=folder))
    dark = PreparedDataset.open(tmp_path / "image")
    for row, before in zip(dark.read("train"), rows, strict=True):
        assert row.expressions == before.expressions
        assert row.rle == before.rle
        assert len(np.unique(dark.read_image(row))) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phrases": "blocks", "without_images": "blocks"}, "--phrases and --without-images make different datasets"),
        ({"phrases": "blocks", "size": 64}, "--size is for new scenes"),
        ({"without_language": "blocks", "seed": 1}, "--seed is for new scenes"),
        ({"without_language": "data"}, "is the dataset to read"),
    ],
)
def test_contradicting_options_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    values = {name: Path(value) if isinstance(value, str) else value for name, value in change.items()}
    with pytest.raises(UsageError, match=message):
        command.run(command.Options(out=Path("data"), **values))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 16}, "64 to 1024"),
        ({"size": 4000}, "64 to 1024"),
        ({"seed": -1}, "seed"),
        ({"images": 0}, "--images"),
        ({"workers": -2}, "--workers"),
    ],
)
def test_wrong_options_are_one_sentence(tmp_path: Path, change: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        command.run(command.Options(out=tmp_path / "data", **change))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_command_makes_the_splits_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.run(command.Options(out=tmp_path / "data", images=2, size=64, split=("train",), workers=1))
    assert PreparedDataset.open(tmp_path / "data").splits == ["train"]
    assert "train: 2 images" in capsys.readouterr().out
    assert json.loads((tmp_path / "data" / "blocks.json").read_text())["splits"] == {"train": 2}


def test_the_full_benchmark_has_its_published_size() -> None:
    assert SPLITS == {"train": 40_000, "val": 2_000, "test": 2_000, "test_unseen": 2_000}


def test_scenes_of_a_missing_split_are_one_sentence(folder: Path) -> None:
    with pytest.raises(UserError, match="no scenes of split val"):
        next(iter(read_scenes(folder, "val")))
