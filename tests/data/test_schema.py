from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cmpc.data import packed_images, schema
from cmpc.data.images import read_image
from cmpc.data.masks import encode_mask
from cmpc.data.schema import DatasetInfo, GroundedWords, PreparedDataset, ReferredObject, write_dataset
from cmpc.data.sources.refer_api import BENCHMARKS, collect
from cmpc.errors import UsageError, UserError

Rows = dict[str, list[ReferredObject]]


@pytest.fixture
def rows(refer: Path) -> Rows:
    found = collect(BENCHMARKS["unc"], refer, refer).rows
    first = found["train"][0]
    count = len(first.expressions)
    grounded = (GroundedWords(first.rle, (0, 2)), GroundedWords(first.rle, (1,)))
    found["train"][0] = dataclasses.replace(
        first,
        groups=("a",) * count,
        word_types=(("entity", "relation"),) * count,
        grounding=(grounded, *[()] * (count - 1)),
    )
    return found


@pytest.fixture
def info(refer: Path) -> DatasetInfo:
    return DatasetInfo(name="unc", images=str(refer / "train2014"), licence="free", sources={"a": "0"})


def test_written_rows_are_read_back(tmp_path: Path, rows: Rows, info: DatasetInfo) -> None:
    written = write_dataset(tmp_path / "out", info, rows)
    dataset = PreparedDataset.open(tmp_path / "out")
    assert {split: dataset.read(split) for split in dataset.splits} == rows
    assert dataset.info == written
    assert dataset.info.splits["val"].expressions == sum(len(row.expressions) for row in rows["val"])


@pytest.mark.parametrize("column", ["grounding", "kinds"])
def test_table_without_a_later_column_is_read(tmp_path: Path, rows: Rows, info: DatasetInfo, column: str) -> None:
    """Some tables of version 1 have no grounding, and earlier ones of version 4 no kinds."""
    write_dataset(tmp_path / "out", info, rows)
    table = tmp_path / "out" / "train-00000.parquet"
    pq.write_table(pq.read_table(table).drop_columns([column]), table, write_page_checksum=True)
    read = PreparedDataset.open(tmp_path / "out").read("train")
    without: dict[str, Any] = {column: ()}
    assert read == [dataclasses.replace(row, **without) for row in rows["train"]]


def test_dataset_of_layout_1_is_read_and_written_anew(tmp_path: Path) -> None:
    """``prepared_v1`` was written when the column of the run lengths was still called mask."""
    old = PreparedDataset.open(Path(__file__).parent / "prepared_v1")
    left, right = old.read("train")
    assert (old.info.schema_version, left.ref_id, right.ref_id) == (1, "left", "right")
    masks = np.zeros((2, 8, 12), bool)
    masks[0, 1:7, 1:5] = masks[1, 2:5, 7:11] = True
    assert (left.decode_mask() == masks[0]).all()
    assert (right.decode_mask() == masks[1]).all()
    assert left.expressions == ("blue thing", "left of the grey")
    assert left.grounding == ((GroundedWords(left.rle, (0, 1)),), (GroundedWords(right.rle, (0, 1, 3)),))
    assert old.read_image(left)[0, 0].tolist() == [0, 0, 255]

    write_dataset(tmp_path / "new", old.info, {"train": [left, right]})
    new = PreparedDataset.open(tmp_path / "new")
    assert new.info.schema_version == schema.SCHEMA_VERSION == 4
    assert new.read("train") == [left, right]
    columns = pq.read_schema(tmp_path / "new" / "train-00000.parquet").names
    assert "rle" in columns
    assert "mask" not in columns


def test_long_splits_are_divided_into_files(
    tmp_path: Path, rows: Rows, info: DatasetInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "ROWS_PER_FILE", 2)
    write_dataset(tmp_path / "out", info, rows)
    assert len(list((tmp_path / "out").glob("train-*.parquet"))) == 2
    dataset = PreparedDataset.open(tmp_path / "out")
    assert dataset.read("train") == rows["train"]
    (tmp_path / "out" / "train-00001.parquet").unlink()
    with pytest.raises(UserError, match="tables of split train are missing"):
        dataset.read("train")


@pytest.mark.parametrize("pack", [False, True])
def test_same_rows_give_the_same_bytes(tmp_path: Path, refer: Path, rows: Rows, info: DatasetInfo, pack: bool) -> None:
    for name in ("one", "two"):
        write_dataset(tmp_path / name, info, rows, pack_from=refer / "train2014" if pack else None)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "two").iterdir())
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)


def test_packed_dataset_needs_no_image_folder(
    tmp_path: Path, refer: Path, rows: Rows, info: DatasetInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_images, "BYTES_PER_BATCH", 8_000)
    monkeypatch.setattr(packed_images, "BYTES_PER_FILE", 15_000)
    expected = {row.image: read_image(refer / "train2014" / row.image) for found in rows.values() for row in found}
    write_dataset(tmp_path / "out", info, rows, pack_from=refer / "train2014")
    assert len(list((tmp_path / "out").glob("images-*.arrow"))) > 1
    shutil.rmtree(refer)
    moved = shutil.move(tmp_path / "out", tmp_path / "moved")
    dataset = PreparedDataset.open(moved)
    for copy in (dataset, pickle.loads(pickle.dumps(dataset))):
        for found in rows.values():
            for row in found:
                assert (copy.read_image(row) == expected[row.image]).all()


def test_relative_image_folder_starts_at_the_dataset(tmp_path: Path, rows: Rows, info: DatasetInfo) -> None:
    write_dataset(tmp_path / "out", dataclasses.replace(info, images="../refer/train2014"), rows)
    dataset = PreparedDataset.open(tmp_path / "out")
    row = rows["val"][0]
    assert dataset.read_image(row).shape == (row.height, row.width, 3)


def test_images_may_have_moved(tmp_path: Path, refer: Path, rows: Rows, info: DatasetInfo) -> None:
    write_dataset(tmp_path / "out", info, rows)
    (refer / "train2014").rename(tmp_path / "photos")
    row = rows["val"][0]
    with pytest.raises(UserError, match=r"the image folder .*train2014 of .*out is missing: .* --images\."):
        PreparedDataset.open(tmp_path / "out").read_image(row)
    assert PreparedDataset.open(tmp_path / "out", tmp_path / "photos").read_image(row).dtype == np.uint8


def test_image_of_another_size_is_refused(tmp_path: Path, refer: Path, rows: Rows, info: DatasetInfo) -> None:
    write_dataset(tmp_path / "out", info, rows)
    row = rows["val"][0]
    Image.new("RGB", (9, 8)).save(refer / "train2014" / row.image)
    with pytest.raises(UserError, match="is 9 x 8 pixels but was prepared as"):
        PreparedDataset.open(tmp_path / "out").read_image(row)


def test_unknown_split_is_wrong_use(tmp_path: Path, rows: Rows, info: DatasetInfo) -> None:
    write_dataset(tmp_path / "out", info, rows)
    with pytest.raises(UsageError, match="no split 'test'; it has train, val, testA, testB"):
        PreparedDataset.open(tmp_path / "out").read("test")


def test_what_is_no_prepared_dataset_is_refused(tmp_path: Path, refer: Path) -> None:
    with pytest.raises(UserError, match="there is no prepared dataset"):
        PreparedDataset.open(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no dataset\.json"):
        PreparedDataset.open(refer)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"schema_version": 1, "splits": {}, "odd": 1}', '{"schema_version": "x"}', "[" * 100_000],
)
def test_damaged_description_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(UserError, match=r"dataset\.json is damaged"):
        PreparedDataset.open(tmp_path)


def test_newer_layout_is_refused(tmp_path: Path, rows: Rows, info: DatasetInfo) -> None:
    write_dataset(tmp_path / "out", info, rows)
    path = tmp_path / "out" / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99, "news": True}))
    with pytest.raises(UserError, match="newer version"):
        PreparedDataset.open(tmp_path / "out")


@pytest.mark.parametrize("place", [0.0, 0.2, 0.5, 0.99])
def test_damaged_table_is_refused(tmp_path: Path, rows: Rows, info: DatasetInfo, place: float) -> None:
    write_dataset(tmp_path / "out", info, rows)
    path = tmp_path / "out" / "train-00000.parquet"
    content = path.read_bytes()
    path.write_bytes(content[: int(place * len(content))])
    with pytest.raises(UserError, match=r"train-00000\.parquet is damaged"):
        PreparedDataset.open(tmp_path / "out").read("train")


def test_damaged_mask_is_refused(rows: Rows) -> None:
    row = dataclasses.replace(rows["val"][0], rle="0")
    with pytest.raises(UserError, match=f"a mask of object {row.ref_id} in {row.image} is damaged"):
        row.decode_mask()


def test_other_files_are_never_replaced(tmp_path: Path, rows: Rows, info: DatasetInfo) -> None:
    out = tmp_path / "out"
    write_dataset(out, info, rows)
    write_dataset(out, info, {"val": rows["val"]})
    assert PreparedDataset.open(out).splits == ["val"]
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds other files \(such as notes\.txt\)"):
        write_dataset(out, info, rows)
    assert (out / "notes.txt").read_text() == "mine"
    with pytest.raises(UserError, match="is a file"):
        write_dataset(out / "notes.txt", info, rows)


def test_place_that_cannot_be_written_is_named(tmp_path: Path, rows: Rows, info: DatasetInfo) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write .*file/out"):
        write_dataset(tmp_path / "file" / "out", info, rows)


def test_failed_packing_leaves_the_old_dataset(tmp_path: Path, refer: Path, rows: Rows, info: DatasetInfo) -> None:
    write_dataset(tmp_path / "out", info, rows)
    (refer / "train2014" / rows["val"][0].image).unlink()
    with pytest.raises(UserError, match="cannot read the image"):
        write_dataset(tmp_path / "out", info, {"val": rows["val"]}, pack_from=refer / "train2014")
    assert PreparedDataset.open(tmp_path / "out").splits == list(rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "refer"]


def test_damaged_image_is_named_with_its_object_and_dataset(
    tmp_path: Path, refer: Path, rows: Rows, info: DatasetInfo
) -> None:
    row = rows["val"][0]
    photo = refer / "train2014" / row.image
    photo.write_bytes(photo.read_bytes()[:-2000] + b"\xff\xd9")
    for pack in (None, refer / "train2014"):
        write_dataset(tmp_path / "out", info, rows, pack_from=pack)
        with pytest.raises(UserError, match=rf"the image {row.image} \(object {row.ref_id}\) of .*out is damaged"):
            PreparedDataset.open(tmp_path / "out").read_image(row)


@pytest.mark.parametrize("pack", [False, True])
def test_images_that_are_stored_turned_are_read_as_the_dataset_says(tmp_path: Path, pack: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = np.random.default_rng(0).integers(0, 255, (30, 20, 3), dtype=np.uint8)
    Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.png", exif=exif)
    row = ReferredObject("1", "1", "a.png", 30, 20, encode_mask(np.ones((30, 20))), (0, 0, 20, 30), "", ("it",))
    info = DatasetInfo("mine", images=str(tmp_path), turned_images=["a.png"])
    write_dataset(tmp_path / "out", info, {"train": [row]}, pack_from=tmp_path if pack else None)
    assert (PreparedDataset.open(tmp_path / "out").read_image(row) == upright).all()
    as_stored = dataclasses.replace(row, height=20, width=30)
    write_dataset(tmp_path / "out", DatasetInfo("mine", images=str(tmp_path)), {"train": [as_stored]})
    assert PreparedDataset.open(tmp_path / "out").read_image(as_stored).shape == (20, 30, 3)
