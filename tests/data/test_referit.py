from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from cmpc.data.sources import referit as source
from cmpc.data.sources.collection import Reading
from cmpc.data.sources.referit import collect, read_region_mask
from cmpc.errors import UsageError, UserError


def test_every_split_is_read(referit: Path) -> None:
    rows = collect(referit, referit).rows
    counts = {split: (len(found), sum(len(row.expressions) for row in found)) for split, found in rows.items()}
    assert counts == {"trainval": (4, 10), "test": (2, 4)}


def test_zero_is_inside(referit: Path) -> None:
    for row in collect(referit, referit).rows["trainval"]:
        stored = loadmat(referit / "mask" / f"{row.ref_id}.mat")["segimg_t"]
        assert (row.decode_mask() == (stored == 0)).all()
        assert row.image == f"{row.image_id}.jpg"


def test_second_process_gives_the_same_rows(referit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = collect(referit, referit).rows
    monkeypatch.setattr(source, "SEVERAL_PROCESSES_FROM", 1)
    assert collect(referit, referit).rows == alone


def test_unknown_split_is_wrong_use(referit: Path) -> None:
    with pytest.raises(UsageError, match="it has trainval, test"):
        collect(referit, referit, Reading(splits=["train"]))


def test_missing_masks_are_counted_and_named(referit: Path) -> None:
    (referit / "mask" / "1000_1.mat").unlink()
    with pytest.raises(UserError, match=r"1 of 6 masks are missing in .*1000_1\.mat"):
        collect(referit, referit)


def test_missing_photos_are_left_out_on_request(referit: Path) -> None:
    (referit / "images" / "1000.jpg").unlink()
    with pytest.raises(UserError, match=r"1 of 3 images is missing in .*1000\.jpg"):
        collect(referit, referit)
    collection = collect(referit, referit, Reading(allow_missing=True))
    assert collection.missing_images == ["1000.jpg"]
    assert {row.image for rows in collection.rows.values() for row in rows} == {"1002.jpg", "1003.jpg"}


def test_mask_of_another_size_is_refused(referit: Path) -> None:
    Image.new("RGB", (33, 22)).save(referit / "images" / "1000.jpg")
    with pytest.raises(UserError, match=r"region 1000_1 is .* pixels but 1000\.jpg is 33 x 22"):
        collect(referit, referit)


def test_truncated_mask_is_refused(referit: Path) -> None:
    path = referit / "mask" / "1000_1.mat"
    content = path.read_bytes()
    for kept in (0, 50, 127, 130, 200, len(content) - 5):
        path.write_bytes(content[:kept])
        with pytest.raises(UserError, match=r"1000_1\.mat"):
            read_region_mask(path)


@pytest.mark.parametrize(
    "variables", [{"other": np.zeros((4, 4))}, {"segimg_t": np.zeros((4, 4, 3))}, {"segimg_t": "x"}]
)
def test_file_without_a_mask_is_refused(tmp_path: Path, variables: dict[str, object]) -> None:
    savemat(tmp_path / "1_1.mat", variables)
    with pytest.raises(UserError, match="has no two-dimensional segimg_t"):
        read_region_mask(tmp_path / "1_1.mat")


def test_empty_mask_names_its_file(referit: Path) -> None:
    path = referit / "mask" / "1000_1.mat"
    savemat(path, {"segimg_t": np.ones_like(loadmat(path)["segimg_t"])})
    with pytest.raises(UserError, match=r"1000_1\.mat is broken: it is empty"):
        collect(referit, referit)


@pytest.mark.parametrize(
    "queries", [{}, [], {"1000": ["x"]}, {"1000_1": []}, {"1000_1": "x"}, {"1000_1": [""]}, {"../1000_1": ["x"]}]
)
def test_damaged_queries_are_refused(referit: Path, queries: object) -> None:
    (referit / "referit_query_test.json").write_text(json.dumps(queries))
    with pytest.raises(UserError, match=r"referit_query_test\.json"):
        collect(referit, referit)
