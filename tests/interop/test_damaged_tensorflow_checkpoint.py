"""Damaged, absurd and malicious checkpoints are refused in one sentence: no traceback, no giant allocation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmpc.errors import UserError
from cmpc.interop.tensorflow.checkpoint import Checkpoint, open_checkpoint
from interop.expected import assert_same, expected_tensors
from interop.tables import (
    bytes_field,
    entries,
    entry,
    fixed32_field,
    header,
    masked_crc32c,
    number_field,
    shape_message,
    table,
    varint,
    version_1,
    write_bundle,
)

EXPECTED = expected_tensors()
HUGE = 1 << 60
ONE = np.ones(1, "<f4").tobytes()


def read_all(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    return {name: checkpoint.read(name) for name in checkpoint.names()}


def copy_of(checkpoints: Path, name: str, folder: Path) -> Path:
    """The files of one checkpoint, copied; its prefix."""
    for file in [checkpoints / name, *checkpoints.glob(f"{name}.*")]:
        if file.is_file():
            shutil.copy(file, folder)
    return folder / name


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x40
    path.write_bytes(content)


@pytest.mark.parametrize("kept", [0, 10, 47, 48, 600, 1213])
def test_truncated_index_is_refused(kept: int, checkpoints: Path, tmp_path: Path) -> None:
    prefix = copy_of(checkpoints, "tiny_v2", tmp_path)
    index = tmp_path / "tiny_v2.index"
    index.write_bytes(index.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"tiny_v2\.index is damaged \(.*\): copy or download it again\."):
        open_checkpoint(prefix)


def test_truncated_data_is_refused(checkpoints: Path, tmp_path: Path) -> None:
    prefix = copy_of(checkpoints, "tiny_v2", tmp_path)
    data = tmp_path / "tiny_v2.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"data-00000-of-00001 is damaged \(.*reaches past the end\)"):
        read_all(open_checkpoint(prefix))


@pytest.mark.parametrize(
    "place", [0, 300, -60, -44, -1], ids=["block", "block", "index block", "place of the index block", "magic"]
)
def test_flipped_bit_in_the_index_is_refused(place: int, checkpoints: Path, tmp_path: Path) -> None:
    prefix = copy_of(checkpoints, "many_v2", tmp_path)
    flip(tmp_path / "many_v2.index", place)
    with pytest.raises(UserError, match=r"many_v2\.index is damaged"):
        open_checkpoint(prefix)


def test_flipped_bit_in_a_tensor_is_refused_and_the_others_are_read(checkpoints: Path, tmp_path: Path) -> None:
    prefix = copy_of(checkpoints, "many_v2", tmp_path)
    flip(tmp_path / "many_v2.data-00000-of-00001", 81)
    opened, refused = open_checkpoint(prefix), []
    for name in opened.names():
        try:
            assert_same(opened.read(name), EXPECTED["many_v2"][name])
        except UserError as error:
            refused.append(str(error))
    assert len(refused) == 1
    assert "the checksum of the tensor at 80 is wrong" in refused[0]


@pytest.mark.parametrize("place", [5, 2000, -60])
def test_flipped_bit_in_a_version_1_file_is_refused(place: int, checkpoints: Path, tmp_path: Path) -> None:
    prefix = copy_of(checkpoints, "tiny_v1.ckpt", tmp_path)
    flip(prefix, place)
    with pytest.raises(UserError, match=r"tiny_v1\.ckpt is damaged"):
        read_all(open_checkpoint(prefix))


def test_missing_shard_is_named(checkpoints: Path, tmp_path: Path) -> None:
    prefix = copy_of(checkpoints, "tiny_v2_sharded", tmp_path)
    (tmp_path / "tiny_v2_sharded.data-00001-of-00002").unlink()
    with pytest.raises(UserError, match=r"data-00001-of-00002 is missing: it belongs beside tiny_v2_sharded\.index"):
        open_checkpoint(prefix)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"version https://git-lfs.github.com/spec/v1\n" * 3])
def test_garbage_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        open_checkpoint(tmp_path / "model.ckpt")


def test_compressed_table_is_refused_with_what_to_do(tmp_path: Path) -> None:
    write_bundle(tmp_path / "c", {b"": header()}, kind=1)
    with pytest.raises(UserError, match=r"compressed with snappy.*save the checkpoint again"):
        open_checkpoint(tmp_path / "c")


def test_big_endian_bundle_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "c", {b"": header(endianness=1)})
    with pytest.raises(UserError, match="big-endian"):
        open_checkpoint(tmp_path / "c")


def test_newer_format_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "c", {b"": header(least_reader=7)})
    with pytest.raises(UserError, match="version 7"):
        open_checkpoint(tmp_path / "c")


def test_table_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(table(entries({b"key": b"value"})))
    with pytest.raises(UserError, match="is a table, but no checkpoint"):
        open_checkpoint(tmp_path / "c")


def slices(*lengths: int) -> bytes:
    """The slices of an entry, one after the other along the first axis."""
    starts = [sum(lengths[:place]) for place in range(len(lengths))]
    return b"".join(
        bytes_field(7, bytes_field(1, number_field(1, start) + number_field(2, length)))
        for start, length in zip(starts, lengths, strict=True)
    )


@pytest.mark.parametrize(
    "record",
    [
        entry(HUGE, data=ONE),
        entry(HUGE, HUGE, HUGE, data=ONE),
        entry(0, HUGE, HUGE, data=b""),
        entry(-1, data=ONE),
        entry(1, data=ONE, size=HUGE),
        entry(HUGE >> 2, data=ONE, size=HUGE),
        entry(1, data=ONE, offset=HUGE),
        entry(1, data=ONE, offset=-4),
        entry(*[1] * 70, data=ONE),
        entry(HUGE >> 4, data=ONE, type_number=7),
        entry(HUGE >> 4, data=ONE, type_number=7, size=HUGE >> 4),
        number_field(1, 1) + bytes_field(2, shape_message(HUGE >> 5)) + slices(HUGE >> 5),
        number_field(1, 1) + bytes_field(2, shape_message(2)) + slices(1, HUGE),
        number_field(1, 1) + number_field(3, 5) + bytes_field(2, shape_message(0)),
        bytes_field(1, b"float"),
        number_field(2, 3),
        fixed32_field(2, 3),
        number_field(6, 3),
        varint(2 << 3 | 2) + varint(HUGE) + b"x",
        b"\x80" * 20,
        b"\x0f",
    ],
)
def test_absurd_entry_is_refused_without_allocating(record: bytes, tmp_path: Path) -> None:
    write_bundle(tmp_path / "c", {b"": header(), b"weight": record}, ONE)
    with pytest.raises(UserError):
        read_all(open_checkpoint(tmp_path / "c"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x00\x00",
        b"\xff\xff\xff\xff",
        varint(0) + varint(HUGE) + varint(1) + b"key" + b"\x00" * 4,
        varint(HUGE) + varint(1) + varint(1) + b"kv" + b"\x00" * 4,
        varint(0) + varint(1) + varint(HUGE) + b"kv" + b"\x00" * 4,
        b"\x80\x80\x80" + b"\x00" * 4,
    ],
)
def test_absurd_block_is_refused_without_allocating(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "c.index").write_bytes(table(content))
    with pytest.raises(UserError, match="is damaged"):
        open_checkpoint(tmp_path / "c")


def test_absurd_number_of_shards_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "c", {b"": header(shards=HUGE)})
    with pytest.raises(UserError, match="is missing"):
        open_checkpoint(tmp_path / "c")


def test_overlapping_slices_are_refused(checkpoints: Path, tmp_path: Path) -> None:
    part = bytes_field(7, bytes_field(1, number_field(1, 0) + number_field(2, 1)))
    record = number_field(1, 1) + bytes_field(2, shape_message(2)) + part + part
    key = b"\x00w\x00\x01\x01\x01\x80\x81"
    write_bundle(tmp_path / "c", {b"": header(), b"w": record, key: entry(1, data=ONE)}, ONE + ONE)
    with pytest.raises(UserError, match="overlap"):
        open_checkpoint(tmp_path / "c").read("w")


def test_version_1_takes_lists_that_are_not_packed(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(version_1({"w": (6, (2,), number_field(7, -2) + number_field(7, 3))}))
    assert_same(open_checkpoint(tmp_path / "c").read("w"), np.array([-2, 3], np.int8))


@pytest.mark.parametrize(
    ("tensor", "sizes", "type_number"),
    [
        (bytes_field(5, ONE), (2,), 1),
        (bytes_field(5, ONE), (HUGE >> 5,), 1),
        (bytes_field(5, ONE[:3]), (1,), 1),
        (bytes_field(7, b"\x80"), (1,), 3),
        (bytes_field(7, b"\x80" * 12 + b"\x00"), (1,), 3),
        (fixed32_field(7, 1), (1,), 3),
        (number_field(8, 1), (1,), 7),
        (bytes_field(5, ONE), (1,), 99),
        (b"\xff", (1,), 1),
        (b"", (1,), 1),
    ],
)
def test_absurd_version_1_tensor_is_refused(
    tensor: bytes, sizes: tuple[int, ...], type_number: int, tmp_path: Path
) -> None:
    (tmp_path / "c").write_bytes(version_1({"w": (type_number, sizes, tensor)}))
    with pytest.raises(UserError):
        read_all(open_checkpoint(tmp_path / "c"))


Mutation = Callable[[bytes], bytes]


@st.composite
def mutations(draw: st.DrawFn) -> Mutation:
    """Cut off, change, remove or insert bytes at any place."""
    kind = draw(st.sampled_from(["cut", "change", "remove", "insert"]))
    where = draw(st.floats(0, 1, exclude_max=True))
    data = draw(st.binary(min_size=1, max_size=12))

    def mutate(content: bytes) -> bytes:
        place = int(where * len(content))
        before, after = content[:place], content[place:]
        if kind == "cut":
            return before
        return (
            before + {"change": data + after[len(data) :], "remove": after[len(data) :], "insert": data + after}[kind]
        )

    return mutate


fuzz = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(
    ("checkpoint", "suffix"),
    [
        ("tiny_v2", ".index"),
        ("tiny_v2", ".data-00000-of-00001"),
        ("tiny_v2_part_sharded", ".index"),
        ("tiny_v1.ckpt", ""),
        ("tiny_v1_partitioned.ckpt", ""),
    ],
)
@fuzz
@given(mutation=mutations())
def test_any_damage_is_noticed_or_harmless(
    checkpoint: str, suffix: str, mutation: Mutation, checkpoints: Path, tmp_path: Path
) -> None:
    prefix = copy_of(checkpoints, checkpoint, tmp_path)
    file = tmp_path / (checkpoint + suffix)
    file.write_bytes(mutation(file.read_bytes()))
    try:
        values = read_all(open_checkpoint(prefix))
    except UserError:
        return
    assert values.keys() == EXPECTED[checkpoint].keys()
    for name, expected in EXPECTED[checkpoint].items():
        assert_same(values[name], expected)


@pytest.mark.parametrize("checkpoint", ["tiny_v2", "tiny_v2_part_sharded", "tiny_v1.ckpt", "tiny_v1_partitioned.ckpt"])
@fuzz
@given(mutation=mutations())
def test_contents_forged_under_right_checksums_raise_nothing_but_user_errors(
    checkpoint: str, mutation: Mutation, checkpoints: Path, tmp_path: Path
) -> None:
    prefix = copy_of(checkpoints, checkpoint, tmp_path)
    file = tmp_path / (checkpoint if checkpoint.endswith(".ckpt") else f"{checkpoint}.index")
    content = file.read_bytes()
    first_block = content[: first_block_size(content)]
    file.write_bytes(table(mutation(first_block)))
    try:
        opened = open_checkpoint(prefix)
        values = read_all(opened)
    except UserError:
        return
    for name, array in values.items():
        assert array.shape == opened.shape(name)
        assert array.dtype == opened.dtype(name)


def first_block_size(content: bytes) -> int:
    """The data block begins the file; it ends where its checksum fits."""
    for size in range(8, len(content)):
        trailer = content[size : size + 5]
        if trailer[:1] == b"\0" and masked_crc32c(content[: size + 1]).to_bytes(4, "little") == trailer[1:]:
            return size
    raise AssertionError("no block found")
