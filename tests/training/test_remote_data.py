"""Training and testing on prepared data in object storage: as on disk."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cmpc.cli import main
from cmpc.data import packed_images
from cmpc.data.schema import DatasetInfo, PreparedDataset, write_dataset
from cmpc.errors import UserError
from object_storage import SECRET, Bucket
from training.scenes import QUICK_RUN, losses

TINY = (
    *("--image.size", "32", "--backbone.channels", "8", "8", "8", "8", "--text.word-channels", "8"),
    *("--network.multimodal-channels", "8", "--network.fusion-channels", "8", "--network.refinement-channels", "8"),
)
OPTIONS = (*QUICK_RUN, "--steps", "8", "--save-every", "2")


@pytest.fixture
def packed(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The drawn scenes with their photos packed, into several files of several batches."""
    monkeypatch.setattr(packed_images, "BYTES_PER_BATCH", 10_000)
    monkeypatch.setattr(packed_images, "BYTES_PER_FILE", 30_000)
    data = PreparedDataset.open(scenes)
    rows = {split: data.read(split) for split in data.splits}
    write_dataset(tmp_path / "packed", DatasetInfo(name="scenes"), rows, pack_from=Path(data.image_folder))
    assert len(list((tmp_path / "packed").glob("images-*.arrow"))) > 1
    return tmp_path / "packed"


def test_rows_and_photos_are_those_on_disk(packed: Path, bucket: Bucket) -> None:
    here, there = PreparedDataset.open(packed), PreparedDataset.open(bucket.put(packed, "sets/scenes"))
    assert (here.is_remote, there.is_remote) == (False, True)
    for split in here.splits:
        assert there.read(split) == here.read(split)
        for row in here.read(split):
            assert there.read_image_bytes(row) == here.read_image_bytes(row)


def test_photos_in_files_of_their_own_are_read_too(scenes: Path, bucket: Bucket) -> None:
    url = bucket.put(scenes.parent, "unpacked")
    data = PreparedDataset.open(f"{url}/data", f"{url}/photos")
    row = data.read("val")[0]
    assert data.read_image_bytes(row) == PreparedDataset.open(scenes).read_image_bytes(row)


@pytest.mark.slow
def test_a_run_on_object_storage_is_the_run_on_disk(
    packed: Path, bucket: Bucket, tiny_network: None, tmp_path: Path
) -> None:
    """The same order and numbers, the same run to resume, and no secret in what is written."""
    url = bucket.put(packed, "scenes")
    assert main(["train", "--data", str(packed), "--out", str(tmp_path / "disk"), *OPTIONS, "--workers", "0"]) == 0
    assert main(["train", "--data", url, "--out", str(tmp_path / "store"), *OPTIONS, "--workers", "1"]) == 0
    assert losses(tmp_path / "store") == losses(tmp_path / "disk")
    weights = [(tmp_path / run / "last" / "model.safetensors").read_bytes() for run in ("disk", "store")]
    assert weights[0] == weights[1]
    arguments = ["train", "--data", url, "--out", str(tmp_path / "disk"), *OPTIONS, "--workers", "0", "--resume"]
    assert main(arguments) == 0
    for file in (tmp_path / "store").rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
    tables = []
    for data, out in ((str(packed), "a"), (url, "b")):
        arguments = ("--data", data, "--split", "val", "--model", str(tmp_path / "store" / "last"))
        assert main(["evaluate", *arguments, "--out", str(tmp_path / out)]) == 0
        tables.append((tmp_path / out / "expressions.jsonl").read_bytes())
    assert tables[0] == tables[1]


@pytest.mark.slow
def test_a_killed_run_on_object_storage_goes_on_to_the_same_weights(
    packed: Path, bucket: Bucket, tmp_path: Path
) -> None:
    """As on a machine that is taken away: SIGKILL, and another process goes on."""
    options = ("--data", bucket.put(packed, "scenes"), *QUICK_RUN, *TINY, "--steps", "16", "--save-every", "2")

    def arguments(out: str, *more: str) -> list[str]:
        return ["train", *options, "--workers", "0", "--out", str(tmp_path / out), *more]

    killed = subprocess.Popen([sys.executable, "-m", "cmpc", *arguments("killed")], stderr=subprocess.DEVNULL)
    while not (tmp_path / "killed" / "last" / "model.safetensors").exists():
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert main(arguments("killed", "--resume")) == 0
    assert main(arguments("whole")) == 0
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    weights = [(tmp_path / run / "last" / "model.safetensors").read_bytes() for run in ("killed", "whole")]
    assert weights[0] == weights[1]


def test_what_is_not_there_is_told_in_a_sentence(
    packed: Path, bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", str(tmp_path / "run"))
    cases = (
        ("s3://no-such-bucket-here/scenes", 1, "there is no prepared dataset at s3://no-such-bucket-here/scenes"),
        (f"s3://user:{SECRET}@{bucket.name}/scenes", 2, "credentials in the environment"),
        ("gs://bucket/scenes?key=x", 2, "options after"),
    )
    for url, status, sentence in cases:
        assert main(["train", "--data", url, *out, *OPTIONS]) == status
        error = capsys.readouterr().err
        assert sentence in error
        assert SECRET not in error
        assert "Traceback" not in error
    assert main(["train", "--data", str(packed), "--out", f"{bucket.url}/run", *OPTIONS]) == 2
    assert "--out must be on this machine" in capsys.readouterr().err
    (packed / "images-index-00000.parquet").unlink()
    data = PreparedDataset.open(bucket.put(packed, "without"))
    with pytest.raises(UserError, match="pack it anew"):
        data.read_image_bytes(data.read("val")[0])
