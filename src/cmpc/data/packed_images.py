"""Encoded images inside a prepared dataset: Arrow files, mapped into memory and read one image at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from cmpc.data.image_formats import MAX_BYTES
from cmpc.errors import UserError
from cmpc.reading import read_file

BYTES_PER_FILE = 512 * 1024 * 1024
IMAGES_PER_BATCH = 64


class PackedImages:
    """The ``images-NNNNN.arrow`` files of a dataset. Each image is stored once, however many objects refer to it.

    Instances are small to pickle: a worker process maps the files anew.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}

    def read(self, image: str) -> bytes:
        """The encoded bytes of the image with this name (``ReferredObject.image``).

        Raises:
            UserError: the dataset does not hold it.
        """
        if image not in self._places:
            raise UserError(f"the packed dataset {self.folder} does not hold the image {image}: prepare it anew.")
        batch, row = self._places[image]
        try:
            return batch.column("bytes")[row].as_py()
        except Exception:  # of a file that was damaged since
            raise UserError(
                f"the image {image} of the packed dataset {self.folder} is damaged: prepare it anew."
            ) from None

    @cached_property
    def _places(self) -> dict[str, tuple[Any, int]]:
        import pyarrow as pa

        places: dict[str, tuple[Any, int]] = {}
        for path in sorted(self.folder.glob("images-*.arrow")):
            try:
                reader = pa.ipc.open_file(pa.memory_map(str(path)))
                batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
            except Exception:  # readers of Arrow raise many things on damaged files
                raise UserError(f"{path} is damaged: prepare the dataset anew.") from None
            for batch in batches:
                places.update({name: (batch, row) for row, name in enumerate(batch.column("image").to_pylist())})
        return places


def write_packed_images(
    folder: Path, images: Iterable[str], image_folder: Path, advance: Callable[[], None] = lambda: None
) -> None:
    """Copies the encoded files of ``images`` (names under ``image_folder``) into ``folder/images-NNNNN.arrow``.

    Args:
        advance: called after each image.

    Raises:
        UserError: an image cannot be read.
    """
    import pyarrow as pa

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

    try:
        for image in images:
            try:
                contents.append(read_file(image_folder / image, at_most=MAX_BYTES))
            except OSError as error:
                raise UserError(f"cannot read the image {image_folder / image}: {error.strerror}.") from None
            names.append(image)
            written += len(contents[-1])
            advance()
            if len(names) == IMAGES_PER_BATCH:
                flush()
            if written >= BYTES_PER_FILE:
                if names:
                    flush()
                if writer is not None:
                    writer.close()
                writer, written = None, 0
        if names:
            flush()
    finally:
        if writer is not None:
            writer.close()
