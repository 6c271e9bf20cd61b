"""Places on remote file systems, with a real server of S3 on loopback."""

from __future__ import annotations

import pickle
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from cmpc.errors import UsageError
from cmpc.file_systems import RemotePath, UnreachableError, _file_system, named, place, read
from object_storage import SECRET, Bucket


def test_paths_stay_paths_and_urls_become_places() -> None:
    assert place("folder/file") == Path("folder/file")
    assert place("file:///a/b%20c") == place(Path("file:///a/b%20c")) == Path("/a/b c")
    remote = RemotePath("s3", "bucket", "folder/file.parquet")
    assert place("s3://bucket/folder/file.parquet") == place(Path("s3://bucket/folder/file.parquet")) == remote
    assert str(remote) == "s3://bucket/folder/file.parquet"
    assert (remote.name, remote.suffix, str(remote.parent)) == ("file.parquet", ".parquet", "s3://bucket/folder")
    assert str(place("s3://bucket/") / "a/b") == "s3://bucket/a/b"
    assert place("abfss://container@account.dfs.core.windows.net/a") == RemotePath(
        "abfss", "container@account.dfs.core.windows.net", "a"
    )


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3://user:hidden@bucket/folder", "user name or a secret"),
        ("s3://hidden@bucket/folder", "user name or a secret"),
        ("abfss://container:hidden@account/folder", "user name or a secret"),
        ("s3://bucket/folder?sig=hidden", "options after"),
        ("s3:///folder", "names no bucket"),
        ("https://example.org/folder?hidden", "not read from https://"),
    ],
)
def test_urls_with_secrets_are_refused_without_showing_them(url: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as refused:
        place(url)
    assert "hidden" not in str(refused.value)


def test_files_of_a_bucket_are_found_and_read(bucket: Bucket, tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "below/c.txt", "of spaces & more#1.txt"):
        (tmp_path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / name).write_bytes(name.encode())
    folder = place(bucket.put(tmp_path / "files", "files"))
    assert isinstance(folder, RemotePath)
    assert folder.is_dir()
    assert not folder.is_file()
    assert [file.name for file in folder.glob("[ab].txt")] == ["a.txt", "b.txt"]
    assert len(folder.files(below=True)) == 4
    assert read(folder / "below/c.txt") == b"below/c.txt"
    assert read(folder / "of spaces & more#1.txt") == b"of spaces & more#1.txt"
    assert (folder / "a.txt").read_part(2, 3) == b"txt"
    assert (folder / "a.txt").size() == 5
    (folder / "new").write(b"content")
    assert pickle.loads(pickle.dumps(folder / "new")).read() == b"content"


def test_what_is_missing_is_told_in_a_few_words(bucket: Bucket) -> None:
    for missing in (place(f"{bucket.url}/missing"), place("s3://there-is-no-such-bucket/file")):
        assert isinstance(missing, RemotePath)
        assert not missing.exists()
        with pytest.raises(FileNotFoundError, match="there is no such file") as raised:
            missing.read()
        assert raised.value.filename == str(missing)
    (place(bucket.url) / "large").write(b"12345")
    with pytest.raises(OSError, match="at most 4 are read"):
        read(place(f"{bucket.url}/large"), at_most=4)


def test_a_server_that_does_not_answer_is_told_from_a_missing_file(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    for name, value in (("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", SECRET), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    with pytest.raises(UnreachableError, match="the server does not answer") as raised:
        read(place("s3://bucket-of-nobody/file"))
    assert SECRET not in str(raised.value)


def test_google_cloud_storage_without_credentials_is_given_up_soon() -> None:
    system = _file_system("gs", "bucket", "", 0)
    options = system.__reduce__()[1][0]  # type: ignore[index, misc]
    assert options["retry_time_limit"] == timedelta(seconds=60)


def test_missing_credentials_are_one_sentence() -> None:
    message = "google::cloud::Status(UNAVAILABLE: Could not create a OAuth2 access token to authenticate the request."
    with pytest.raises(OSError, match="there are no credentials for it here") as raised, named(place("gs://bucket/a")):
        raise OSError(message)
    assert raised.value.filename == "gs://bucket/a"
