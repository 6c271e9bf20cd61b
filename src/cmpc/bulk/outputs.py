"""The output: a folder of Parquet files, one for each part, and a note of what they answer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cmpc.bulk.parts import Part
from cmpc.errors import UsageError, UserError
from cmpc.file_systems import Place, RemotePath, place, read
from cmpc.files import atomic_file

NOTE = "_bulk.json"
"""Says what is answered, and when all is. Readers of tables pass over names that begin with ``_``."""
COLUMNS = ("image", "expression", "rle", "score", "box", "present", "seconds", "error")


class BulkOutput:
    """A folder of answers. What is in it under the name of a part is whole."""

    def __init__(self, folder: str) -> None:
        """
        Args:
            folder: path or URL.

        Raises:
            UsageError: the URL is of another kind, or holds credentials.
        """
        self.folder: Place = place(folder)

    def begin(self, identity: Mapping[str, str], *, resume: bool) -> None:
        """Writes the note, or compares it with what is there.

        Raises:
            UsageError: there are answers and ``resume`` is off, or they are of another run.
            UserError: the folder cannot be written.
        """
        with _writing(self.folder):
            if isinstance(self.folder, Path) and self.folder.exists() and not self.folder.is_dir():
                raise UserError(f"{self.folder} is a file: give a folder with --out.")
            theirs = self._note()
            if theirs is None:
                if self._names():
                    raise UsageError(f"{self.folder} holds other files: give a new folder with --out.")
                self._write(NOTE, _json({"run": dict(identity)}))
                return
            if not resume:
                raise UsageError(
                    f"{self.folder} holds answers: go on with --resume, give another --out, or delete them to start "
                    "anew."
                )
            run = theirs["run"]
            if different := [name for name, value in identity.items() if run.get(name) != value]:
                raise UsageError(
                    f"--resume: the answers in {self.folder} are of another run (of another {', '.join(different)}): "
                    "give another --out."
                )

    def done(self) -> set[str]:
        """Names of the parts that are there."""
        with _writing(self.folder):
            return {name for name in self._names() if name.startswith("part-")}

    def has(self, part: Part) -> bool:
        """Whether a part is there."""
        with _writing(self.folder):
            return (self.folder / part.output).is_file()

    def write_part(self, part: Part, rows: Sequence[Mapping[str, Any]]) -> int:
        """Writes the answers of a part, whole or not at all.

        Args:
            part: which.
            rows: a value for each of ``COLUMNS``.

        Returns:
            How many rows have an error.

        Raises:
            UserError: the folder cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        errors = sum(row["error"] is not None for row in rows)
        schema = _schema().with_metadata({"errors": str(errors)})
        table = pa.table({name: [row[name] for row in rows] for name in COLUMNS}, schema=schema)
        content = pa.BufferOutputStream()
        pq.write_table(table, content, compression="zstd", write_page_checksum=True)
        with _writing(self.folder):
            self._write(part.output, content.getvalue().to_pybytes())
        return errors

    def counts(self, name: str) -> tuple[int, int]:
        """Rows of a part that is there, and how many of them have an error.

        Raises:
            UserError: it is damaged.
        """
        import pyarrow
        import pyarrow.parquet as pq

        file = self.folder / name
        try:
            metadata = pq.read_metadata(file.open() if isinstance(file, RemotePath) else file)
            return metadata.num_rows, int(metadata.metadata[b"errors"])
        except (OSError, pyarrow.ArrowException, KeyError, TypeError, ValueError):
            raise UserError(f"{file} is damaged: delete it and go on with --resume.") from None

    def finish(self, identity: Mapping[str, str], **result: Any) -> None:
        """Adds to the note that all parts are there."""
        with _writing(self.folder):
            self._write(NOTE, _json({"run": dict(identity), "finished": result}))

    def _note(self) -> dict[str, Any] | None:
        try:
            values = json.loads(read(self.folder / NOTE, at_most=10_000_000))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict) or not isinstance(values.get("run"), dict):
            raise UserError(f"{self.folder / NOTE} is damaged: give another --out.")
        return values

    def _names(self) -> list[str]:
        if isinstance(self.folder, RemotePath):
            try:
                return [file.name for file in self.folder.files()]
            except FileNotFoundError:
                return []
        names = os.listdir(self.folder) if self.folder.is_dir() else []
        return [name for name in names if not name.startswith(".")]

    def _write(self, name: str, content: bytes) -> None:
        if isinstance(self.folder, RemotePath):
            (self.folder / name).write(content)
            return
        with atomic_file(self.folder / name) as file:
            file.write_bytes(content)


@contextmanager
def _writing(folder: Place) -> Iterator[None]:
    """Errors of a file system become sentences."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot write the answers to {folder}: {reason}; then go on with --resume.") from None


def _schema() -> Any:
    import pyarrow as pa

    rle = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
    types = {"rle": rle, "box": pa.list_(pa.int32())}
    types |= dict.fromkeys(("image", "expression", "error"), pa.string())
    return pa.schema([(name, types.get(name, pa.float64())) for name in COLUMNS])


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=1) + "\n").encode()
