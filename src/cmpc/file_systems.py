"""Files of object storage and of other file systems that Arrow reads, named by a URL, beside local ones.

Credentials, regions and addresses of servers come from the environment alone, under the names that each service's own
programs use (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ``GOOGLE_APPLICATION_CREDENTIALS``), never from a URL: URLs
stand in logs and in files.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from cmpc.errors import UsageError, UserError
from cmpc.reading import MAX_TABLE, read_file

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

SCHEMES = ("file", "s3", "gs", "abfss", "hdfs")
"""What URLs may begin with."""
CONNECT_SECONDS, REQUEST_SECONDS, ATTEMPTS = 5, 60, 4
"""How long a server is waited for, and how often it is asked, before it counts as gone."""
READERS = 16
"""Files of a remote file system that a process reads at the same time: most of the time is waiting."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_URL_AS_PATH = re.compile(f"({'|'.join(SCHEMES)}):/(.*)", re.DOTALL)
_REASONS = {
    "NO_SUCH_BUCKET": "there is no such bucket",
    "NO_SUCH_KEY": "there is no such file",
    "RESOURCE_NOT_FOUND": "there is no such file or bucket",
    "ACCESS_DENIED": "access is denied: give credentials in the environment",
    "INVALID_ACCESS_KEY_ID": "the server does not know the access key of the environment",
    "SIGNATURE_DOES_NOT_MATCH": "the secret of the environment is not the right one",
    "NETWORK_CONNECTION": "the server does not answer",
}


class UnreachableError(OSError):
    """A file system that does not answer, or does not let in: nothing on it can be read now."""


@dataclass(frozen=True, slots=True)
class RemotePath:
    """A file or folder of a remote file system. It has the methods of ``pathlib.Path`` that readers need.

    Errors are ``OSError``, as of local files: ``FileNotFoundError`` for what is missing, ``UnreachableError`` for a
    server that does not answer.
    """

    scheme: str
    """Kind of the file system: ``s3``, ``gs``, ``abfss`` or ``hdfs``."""
    bucket: str
    """The bucket, container or server."""
    key: str
    """Path in the bucket, without slashes at its ends; empty for the bucket itself."""

    def __str__(self) -> str:
        """The URL."""
        return f"{self.scheme}://{self.bucket}/{self.key}".rstrip("/")

    def __truediv__(self, name: str) -> RemotePath:
        """What lies below, by its name or relative path with forward slashes."""
        return RemotePath(self.scheme, self.bucket, "/".join(part for part in (self.key, name.strip("/")) if part))

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.key.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return Path(self.name).stem

    @property
    def suffix(self) -> str:
        """What the name ends with, from its last full stop on."""
        return Path(self.name).suffix

    @property
    def parent(self) -> RemotePath:
        """The folder it lies in."""
        return RemotePath(self.scheme, self.bucket, self.key.rpartition("/")[0])

    def resolve(self) -> RemotePath:
        """Itself, for URLs are absolute."""
        return self

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self._info().type.name == "Directory"

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self._info().type.name == "File"

    def exists(self) -> bool:
        """Whether there is anything."""
        return self._info().type.name != "NotFound"

    def glob(self, pattern: str) -> list[RemotePath]:
        """The files of a folder whose names match a pattern such as ``*.parquet``, sorted by their names."""
        return [file for file in self.files() if fnmatch.fnmatchcase(file.name, pattern)]

    def files(self, *, below: bool = False) -> list[RemotePath]:
        """The files of a folder, sorted by their paths.

        Args:
            below: also those in folders below it.
        """
        from pyarrow.fs import FileSelector

        with named(self):
            found = self._system().get_file_info(FileSelector(self._path, recursive=below))
        own = len(self._path.rstrip("/")) + 1
        return [self / name for name in sorted(info.path[own:] for info in found if info.type.name == "File")]

    def size(self) -> int:
        """Bytes of a file."""
        info = self._info()
        if info.type.name != "File":
            raise FileNotFoundError(errno.ENOENT, "there is no such file", str(self))
        return int(info.size)

    def read(self, *, at_most: int = MAX_TABLE) -> bytes:
        """The content of a file that has at most so many bytes."""
        with named(self), self._system().open_input_file(self._path) as file:
            size = file.size()
            if size > at_most:
                raise OSError(errno.EFBIG, f"it has {size:,} bytes, of which at most {at_most:,} are read", str(self))
            return bytes(file.read())

    def read_part(self, start: int, length: int) -> bytes:
        """Some bytes of a file, in one request."""
        with named(self), self._system().open_input_file(self._path) as file:
            return bytes(file.read_at(length, start))

    def open(self) -> Any:
        """The file as ``pyarrow.NativeFile``, for readers that take one."""
        with named(self):
            return self._system().open_input_file(self._path)

    def write(self, data: bytes) -> None:
        """Makes or replaces a file, whole: stores show it when all of it has come."""
        with named(self):
            system = self._system()
            if self.scheme == "hdfs":
                system.create_dir(self.parent._path, recursive=True)
            with system.open_output_stream(self._path) as file:
                file.write(data)

    @property
    def _path(self) -> str:
        """The path as Arrow's file system takes it."""
        if self.scheme == "hdfs":
            return f"/{self.key}"
        container = self.bucket.partition("@")[0]  # abfss://container@account/path
        return f"{container}/{self.key}" if self.key else container

    def _system(self) -> FileSystem:
        return _file_system(self.scheme, self.bucket, _endpoint(), os.getpid())

    def _info(self) -> Any:
        with named(self):
            return self._system().get_file_info(self._path)


Place = Path | RemotePath
"""Where something lies."""


def place(text: str | Path | RemotePath) -> Place:
    """A path or a URL as a place; ``file://`` URLs are local paths.

    Args:
        text: the path or URL. A ``Path`` may be one that was made of a URL, of whose slashes it keeps one.

    Raises:
        UsageError: the URL is of another kind, names no bucket, or holds credentials or options.
    """
    if isinstance(text, RemotePath):
        return text
    found = (_URL if isinstance(text, str) else _URL_AS_PATH).fullmatch(str(text))
    if found is None:
        return Path(text)
    scheme, rest = found[1].lower(), found[2]
    if scheme not in SCHEMES:
        raise UsageError(
            f"files are not read from {scheme}://: give a path, or a URL that begins with "
            f"{', '.join(f'{name}://' for name in SCHEMES[:-1])} or {SCHEMES[-1]}://."
        )
    if scheme == "file":
        return Path("/" + unquote(rest).removeprefix("localhost/").lstrip("/"))
    bucket, _, key = rest.partition("/")
    user, at, _ = bucket.rpartition("@")
    if at and (":" in user or scheme != "abfss"):
        raise UsageError(
            f"the {scheme}:// URL holds a user name or a secret, which would stand in logs: give "
            f"{scheme}://bucket/folder, and credentials in the environment."
        )
    if "?" in bucket or "?" in key:
        raise UsageError(
            f"the {scheme}:// URL holds options after '?': give {scheme}://bucket/folder, and options in the "
            "environment, such as AWS_ENDPOINT_URL and AWS_REGION."
        )
    if not bucket:
        raise UsageError(f"the {scheme}:// URL names no bucket: give {scheme}://bucket/folder.")
    return RemotePath(scheme, bucket, key.strip("/"))


def is_url(text: str) -> bool:
    """Whether a text is a URL of whatever kind, not a path."""
    return _URL.fullmatch(text) is not None


def read(file: Place, *, at_most: int = MAX_TABLE) -> bytes:
    """The content of a file.

    Raises:
        OSError: it is missing, cannot be read, is no regular file, or has more bytes; ``strerror`` says which.
    """
    return file.read(at_most=at_most) if isinstance(file, RemotePath) else read_file(file, at_most=at_most)


@contextmanager
def named(path: RemotePath) -> Iterator[None]:
    """Errors of Arrow become errors that say in a few words what is wrong, and where; never what a server sends."""
    try:
        yield
    except (OSError, NotImplementedError, ValueError) as error:
        if isinstance(error, OSError) and error.filename == str(path):
            raise
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path)) from None
        raise UnreachableError(errno.EIO, _reason(error), str(path)) from None


def _reason(error: Exception) -> str:
    text = str(error)
    if code := re.search(r"AWS Error ([A-Z_]+)", text):
        if code[1] in ("UNKNOWN",) and (status := re.search(r"HTTP status (\d+)", text)):
            return f"the server answers with status {status[1]}"
        return _REASONS.get(code[1], f"the server says {code[1].replace('_', ' ').lower()}")
    if re.search(r"access token|[Cc]redentials", text):
        return "there are no credentials for it here, or they are not accepted"
    if re.search(r"curlCode|resolve host|connect|timed? ?out", text, re.IGNORECASE):
        return "the server does not answer"
    return "it cannot be read"


def _endpoint() -> str:
    """The address of the server of S3; empty for Amazon's."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


@lru_cache(maxsize=64)
def _file_system(scheme: str, bucket: str, endpoint: str, process: int) -> FileSystem:
    """The file system of a bucket. Each process opens its own: connections do not outlive a fork."""
    from pyarrow import fs

    if scheme == "s3":
        return _s3(bucket, endpoint)
    patience = f"?retry_limit_seconds={REQUEST_SECONDS}" if scheme == "gs" else ""  # by default 15 minutes
    try:
        return fs.FileSystem.from_uri(f"{scheme}://{bucket}/{patience}")[0]
    except (OSError, ValueError, NotImplementedError):  # not in this build of Arrow, or without its libraries
        raise UserError(f"there is no access to {scheme}://{bucket} with this installation of pyarrow.") from None


def _s3(bucket: str, endpoint: str) -> FileSystem:
    from pyarrow import fs

    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None:
        region = "us-east-1" if endpoint else fs.resolve_s3_region(bucket)
    scheme, _, address = endpoint.rpartition("://")
    known = any(os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ROLE_ARN"))
    return fs.S3FileSystem(
        region=region,
        endpoint_override=address.rstrip("/") or None,
        scheme=scheme or "https",
        anonymous=os.environ.get("AWS_NO_SIGN_REQUEST", "").lower() in ("1", "true", "yes") and not known,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )
