"""A server of S3 on loopback, and buckets in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

SECRET = "not-to-be-shown-anywhere"
_numbers = itertools.count()


class Bucket:
    """A new bucket of a server."""

    def __init__(self, endpoint: str) -> None:
        self.name = f"bucket-{next(_numbers)}"
        self.url = f"s3://{self.name}"
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        self.client = boto3.client("s3", endpoint_url=endpoint, **keys)
        self.client.create_bucket(Bucket=self.name)

    def put(self, path: Path, key: str) -> str:
        """Copies a file, or a folder with all that is in it; returns its URL."""
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        for file in files:
            name = key if file == path else f"{key}/{file.relative_to(path).as_posix()}"
            self.client.put_object(Bucket=self.name, Key=name, Body=file.read_bytes())
        return f"{self.url}/{key}"

    def get(self, prefix: str, folder: Path) -> Path:
        """Copies what lies under a prefix into a folder."""
        folder.mkdir()
        for entry in self.client.list_objects_v2(Bucket=self.name, Prefix=prefix)["Contents"]:
            body = self.client.get_object(Bucket=self.name, Key=entry["Key"])["Body"].read()
            (folder / Path(entry["Key"]).name).write_bytes(body)
        return folder


@contextmanager
def storage_server(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server, of which the environment tells; its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    try:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        yield endpoint
    finally:
        server.stop()
