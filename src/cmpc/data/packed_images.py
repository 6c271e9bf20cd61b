"""Encoded images inside a prepared dataset: Arrow files, read one image at a time.

``images-index-00000.parquet`` tells the bytes of each image, which one request to a remote file system brings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmpc.data.image_formats import MAX_BYTES
from cmpc.errors import UserError
from cmpc.file_systems import Place, RemotePath, UnreachableError, named
from cmpc.files import naming
from cmpc.reading import read_file

BYTES_PER_FILE = 512 * 1024 * 1024
BYTES_PER_BATCH = 4 * 1024 * 1024
INDEX = "images-index-00000.parquet"
"""Where each image lies: its name, the number of its file, its first byte there and how many it has."""


class PackedImages:
    """The ``images-NNNNN.arrow`` files of a dataset. Each image is stored once, however many objects refer to it.

    Instances are small to pickle: a worker process opens the files anew.
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
        names, places = self._places
        if image not in names:
            raise UserError(f"the packed dataset {self.folder} does not hold the image {image}: prepare it anew.")
        number, start, length = places[:, names[image]].tolist()
        try:
            found = self._read_part(number, start, length)
        except OSError as error:
            raise UserError(f"cannot read the image {image} from {error.filename}: {error.strerror}.") from None
        if len(found) != length:
            raise UserError(f"the image {image} of the packed dataset {self.folder} is damaged: prepare it anew.")
        return found

    def _read_part(self, number: int, start: int, length: int) -> bytes:
        import pyarrow as pa

        file = self.folder / f"images-{number:05d}.arrow"
        with named(file) if isinstance(file, RemotePath) else naming(file):
            if number not in self._opened:  # opening asks for the size
                self._opened[number] = file.open() if isinstance(file, RemotePath) else pa.OSFile(str(file))
            return bytes(self._opened[number].read_at(length, start))

    @cached_property
    def _places(self) -> tuple[dict[str, int], NDArray[np.int64]]:
        """Image -> its number, and number of its file, first byte and length of each, int64, (3, images)."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        index = self.folder / INDEX
        try:
            if isinstance(index, RemotePath):
                table = pq.ParquetFile(pa.BufferReader(index.read())).read()
            else:
                table = pq.ParquetFile(index).read() if index.exists() else _index(index.parent)
            names = {name: number for number, name in enumerate(table["image"].to_pylist())}
            # Arrow's own way to NumPy loads 40 MB of functions.
            return names, np.array([table[name].to_pylist() for name in ("file", "start", "length")], np.int64)
        except FileNotFoundError:
            raise UserError(
                f"{self.folder} has no {INDEX}, which reading from there needs: pack it anew with cmpc prepare --pack."
            ) from None
        except UnreachableError as error:
            raise UserError(f"cannot read {index}: {error.strerror}.") from None
        except Exception:  # readers of Parquet and Arrow raise many things on damaged files
            raise UserError(f"{index} is damaged: prepare the dataset anew.") from None


def write_packed_images(
    folder: Path, images: Iterable[str], image_folder: Path, advance: Callable[[], None] = lambda: None
) -> None:
    """Copies the encoded files of ``images`` (names under ``image_folder``) into ``folder/images-NNNNN.arrow``, in
    batches of about 4 MB, and writes where each of them lies.

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

    tables = []
    types = {"image": pa.string(), "file": pa.int32(), "start": pa.int64(), "length": pa.int64()}
    schema = pa.schema(list(types.items()))
    for number, path in enumerate(sorted(folder.glob("images-*.arrow"))):
        with pa.memory_map(str(path)) as mapped:
            beginning = mapped.read_buffer().address
            reader = pa.ipc.open_file(mapped)
            for batch in map(reader.get_batch, range(reader.num_record_batches)):
                _, offsets, content = batch.column("bytes").buffers()
                ends = np.frombuffer(offsets, np.int64)[: len(batch) + 1]
                starts = content.address - beginning + ends[:-1]
                columns = [batch.column("image"), np.full(len(batch), number, np.int32), starts, np.diff(ends)]
                tables.append(pa.table(columns, schema=schema))
    return pa.concat_tables([schema.empty_table(), *tables])
