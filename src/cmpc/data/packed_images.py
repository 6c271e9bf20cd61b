"""Encoded images inside a prepared dataset: Arrow files, read one image at a time.

On disk the files are mapped into memory. On a remote file system ``images-index-00000.parquet`` tells the bytes of each
image, which one request brings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cmpc.data.image_formats import MAX_BYTES
from cmpc.errors import UserError
from cmpc.file_systems import Place, RemotePath, named
from cmpc.reading import read_file

T = TypeVar("T")

BYTES_PER_FILE = 512 * 1024 * 1024
BYTES_PER_BATCH = 64 * 1024 * 1024
INDEX = "images-index-00000.parquet"
"""Where each image lies: its name, the number of its file, its first byte there and how many it has."""


class PackedImages:
    """The ``images-NNNNN.arrow`` files of a dataset. Each image is stored once, however many objects refer to it.

    Instances are small to pickle: a worker process maps the files anew.
    """

    def __init__(self, folder: Place) -> None:
        self.folder = folder
        self._opened: dict[int, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "_opened": {}}

    def read(self, image: str) -> bytes:
        """The encoded bytes of the image with this name (``ReferredObject.image``).

        Raises:
            UserError: the dataset does not hold it, or its file system does not answer.
        """
        if isinstance(self.folder, RemotePath):
            return self._read_part(self.folder, image)
        batch, row = self._place(self._places, image)
        try:
            return batch.column("bytes")[row].as_py()
        except Exception:  # of a file that was damaged since
            raise UserError(
                f"the image {image} of the packed dataset {self.folder} is damaged: prepare it anew."
            ) from None

    def _read_part(self, folder: RemotePath, image: str) -> bytes:
        number, start, length = self._place(self._parts, image)
        file = folder / f"images-{number:05d}.arrow"
        try:
            with named(file):
                if number not in self._opened:  # opening asks for the size
                    self._opened[number] = file.open()
                return bytes(self._opened[number].read_at(length, start))
        except OSError as error:
            raise UserError(f"cannot read the image {image} from {error.filename}: {error.strerror}.") from None

    def _place(self, places: Mapping[str, T], image: str) -> T:
        if image not in places:
            raise UserError(f"the packed dataset {self.folder} does not hold the image {image}: prepare it anew.")
        return places[image]

    @cached_property
    def _parts(self) -> dict[str, tuple[int, int, int]]:
        """Number of its file, first byte and length of each image of a remote dataset."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        index = self.folder / INDEX
        assert isinstance(index, RemotePath)
        try:
            table = pq.read_table(pa.BufferReader(index.read()))
            names, *places = (table[name].to_pylist() for name in ("image", "file", "start", "length"))
        except FileNotFoundError:
            raise UserError(
                f"{self.folder} has no {INDEX}, which reading from there needs: pack it anew with cmpc prepare --pack."
            ) from None
        except OSError as error:
            raise UserError(f"cannot read {index}: {error.strerror}.") from None
        except Exception:  # readers of Parquet raise many things on damaged files
            raise UserError(f"{index} is damaged: prepare the dataset anew.") from None
        return dict(zip(names, zip(*places, strict=True), strict=True))

    @cached_property
    def _places(self) -> dict[str, tuple[Any, int]]:
        import pyarrow as pa

        places: dict[str, tuple[Any, int]] = {}
        assert isinstance(self.folder, Path)
        for path in sorted(self.folder.glob("images-*.arrow")):
            try:
                reader = pa.ipc.open_file(pa.memory_map(str(path)))
                for batch in map(reader.get_batch, range(reader.num_record_batches)):
                    places.update({name: (batch, row) for row, name in enumerate(batch.column("image").to_pylist())})
            except Exception:  # readers of Arrow raise many things on damaged files
                raise UserError(f"{path} is damaged: prepare the dataset anew.") from None
        return places


def write_packed_images(
    folder: Path, images: Iterable[str], image_folder: Path, advance: Callable[[], None] = lambda: None
) -> None:
    """Copies the encoded files of ``images`` (names under ``image_folder``) into ``folder/images-NNNNN.arrow``, in
    batches of about 64 MB, and writes where each of them lies.

    Args:
        advance: called after each image.

    Raises:
        UserError: an image cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("image", pa.string()), ("bytes", pa.large_binary())])
    writer, written, number = None, 0, 0
    names: list[str] = []
    contents: list[bytes] = []

    def flush() -> None:
        nonlocal writer, number
        if writer is None:
            writer = pa.ipc.new_file(str(folder / f"images-{number:05d}.arrow"), schema)
            number += 1
        writer.write_batch(pa.record_batch([names, contents], schema=schema))
        names.clear()
        contents.clear()

    waiting = 0
    try:
        for image in images:
            try:
                contents.append(read_file(image_folder / image, at_most=MAX_BYTES))
            except OSError as error:
                raise UserError(f"cannot read the image {image_folder / image}: {error.strerror}.") from None
            names.append(image)
            waiting += len(contents[-1])
            advance()
            if waiting >= BYTES_PER_BATCH:
                flush()
                written, waiting = written + waiting, 0
            if written >= BYTES_PER_FILE and writer is not None:
                writer.close()
                writer, written = None, 0
        if names:
            flush()
    finally:
        if writer is not None:
            writer.close()
    pq.write_table(_index(folder), folder / INDEX, compression="zstd", write_page_checksum=True)


def _index(folder: Path) -> Any:
    """Where each image of the Arrow files lies."""
    import pyarrow as pa

    columns: dict[str, list[Any]] = {"image": [], "file": [], "start": [], "length": []}
    for number, path in enumerate(sorted(folder.glob("images-*.arrow"))):
        with pa.memory_map(str(path)) as mapped:
            beginning = mapped.read_buffer().address
            reader = pa.ipc.open_file(mapped)
            for batch in map(reader.get_batch, range(reader.num_record_batches)):
                _, offsets, content = batch.column("bytes").buffers()
                ends = np.frombuffer(offsets, np.int64)[: len(batch) + 1]
                columns["image"] += batch.column("image").to_pylist()
                columns["file"] += [number] * len(batch)
                columns["start"] += (content.address - beginning + ends[:-1]).tolist()
                columns["length"] += np.diff(ends).tolist()
    types = {"image": pa.string(), "file": pa.int32(), "start": pa.int64(), "length": pa.int64()}
    return pa.table(columns, schema=pa.schema(list(types.items())))
