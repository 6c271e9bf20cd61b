"""The readers of TensorFlow checkpoints give the values that TensorFlow 1.5 wrote, from files that it wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cmpc.errors import UserError
from cmpc.interop.tensorflow.checkpoint import open_checkpoint
from interop.expected import assert_same, expected_tensors
from interop.tables import entry, header, write_bundle

EXPECTED = expected_tensors()


@pytest.mark.parametrize("checkpoint", sorted(EXPECTED))
def test_every_tensor_is_read_as_tensorflow_wrote_it(checkpoint: str, checkpoints: Path) -> None:
    opened = open_checkpoint(checkpoints / checkpoint)
    assert opened.names() == sorted(EXPECTED[checkpoint])
    for name, expected in EXPECTED[checkpoint].items():
        assert opened.shape(name) == expected.shape
        assert opened.dtype(name) == expected.dtype
        assert_same(opened.read(name), expected)


@pytest.mark.parametrize("checkpoint", ["tiny_v2", "tiny_v1.ckpt", "tiny_v2_partitioned"])
def test_arrays_belong_to_the_caller(checkpoint: str, checkpoints: Path) -> None:
    opened = open_checkpoint(checkpoints / checkpoint)
    for name in opened.names():
        assert opened.read(name).flags.writeable
        opened.read(name)[...] = 0
        assert_same(opened.read(name), EXPECTED[checkpoint][name])


@pytest.mark.parametrize("file", ["tiny_v2.index", "tiny_v2.data-00000-of-00001", "tiny_v2.meta", "tiny_v2"])
def test_any_file_of_a_checkpoint_names_it(file: str, checkpoints: Path) -> None:
    assert open_checkpoint(checkpoints / file).names() == sorted(EXPECTED["tiny_v2"])


@pytest.mark.parametrize("files", [["tiny_v1.ckpt"], ["tiny_v2.index", "tiny_v2.data-00000-of-00001"]])
def test_a_folder_with_one_checkpoint_names_it(files: list[str], checkpoints: Path, tmp_path: Path) -> None:
    for file in files:
        shutil.copy(checkpoints / file, tmp_path)
    (tmp_path / "log.txt").write_text("trained for a week")
    assert "a_scalar_f32" in open_checkpoint(tmp_path).names()


def test_a_folder_with_several_checkpoints_asks_which(checkpoints: Path) -> None:
    with pytest.raises(UserError, match=r"holds \d+ checkpoints \(blocks_v2, many_v2, tiny_v2, \.\.\.\)"):
        open_checkpoint(checkpoints)


def test_a_folder_without_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no checkpoint"):
        open_checkpoint(tmp_path)


def test_a_missing_checkpoint_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no checkpoint .*: give the path of its files without \.index"):
        open_checkpoint(tmp_path / "unc_iter_700000.tfmodel")


def test_a_missing_index_is_named(checkpoints: Path, tmp_path: Path) -> None:
    shutil.copy(checkpoints / "tiny_v2.data-00000-of-00001", tmp_path)
    with pytest.raises(UserError, match=r"tiny_v2\.index is missing"):
        open_checkpoint(tmp_path / "tiny_v2")


def test_an_unknown_tensor_is_a_key_error(checkpoints: Path) -> None:
    with pytest.raises(KeyError):
        open_checkpoint(checkpoints / "tiny_v2").read("text_objseg/score/DW")


def test_a_tensor_without_numpy_type_leaves_the_others_readable(tmp_path: Path) -> None:
    one = np.ones(1, "<f4").tobytes()
    resource = entry(1, data=one, type_number=20)
    write_bundle(tmp_path / "c", {b"": header(), b"table": resource, b"weight": entry(1, data=one)}, one)
    opened = open_checkpoint(tmp_path / "c")
    assert opened.read("weight").tolist() == [1.0]
    with pytest.raises(UserError, match="type number 20"):
        opened.dtype("table")
    with pytest.raises(UserError, match="type number 20"):
        opened.read("table")


def test_a_truncated_variable_of_a_partition_is_not_filled_up(checkpoints: Path, tmp_path: Path) -> None:
    for file in checkpoints.glob("tiny_v2_part_sharded*"):
        shutil.copy(file, tmp_path)
    with (tmp_path / "tiny_v2_part_sharded.data-00001-of-00002").open("r+b") as file:
        file.truncate(40)
    with pytest.raises(UserError, match="reaches past the end"):
        open_checkpoint(tmp_path / "tiny_v2_part_sharded").read("ps/emb")
