"""The one table that every benchmark becomes, and the folder that holds it.

A prepared dataset is a folder with ``dataset.json`` (what it is, where it comes from, counts) and, for each split,
``<split>-NNNNN.parquet``: one row per referred object. Images stay where they are, or lie in ``images-NNNNN.arrow``
when the dataset is packed. The folder may lie on any file system that Arrow reads.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from cmpc.data.image_formats import MAX_BYTES
from cmpc.data.images import decode_image
from cmpc.data.masks import decode_mask
from cmpc.data.packed_images import PackedImages, write_packed_images
from cmpc.data.sequence_on_disk import SequenceOnDisk
from cmpc.deprecation import warn_deprecated
from cmpc.errors import UsageError, UserError
from cmpc.file_systems import Place, RemotePath, UnreachableError, place, read
from cmpc.files import atomic_folder

SCHEMA_VERSION = 4
"""Of what is written. Version 1, whose tables call ``rle`` the ``mask``, 2, which has no turned images, and 3, in which
each row is one object, are read too."""
ROWS_PER_GROUP = 2_000
ROWS_PER_FILE = 50_000

SPLIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.]*")
_OWN_FILES = re.compile(r"dataset\.json|.+-\d{5}\.parquet|images-\d{5}\.arrow")


@dataclass(frozen=True, slots=True)
class GroundedWords:
    """Words of an expression that speak about the same objects: in "the cup left of the plate", "left" and "plate"."""

    rle: str
    """Mask of the objects, as ``ReferredObject.rle``, of the same size."""
    words: tuple[int, ...]
    """Positions of the words among the tokens of the expression."""


NO_BOX = (0.0, 0.0, 0.0, 0.0)
"""The box where nothing is referred to."""


@dataclass(frozen=True, slots=True)
class ReferredObject:
    """One row of the table: an object in an image, several together, or none, with all expressions that refer to it."""

    ref_id: str
    """Name of the object or the group, unique in its split."""
    image_id: str
    """Name of the image in its benchmark."""
    image: str
    """File of the image, relative to the image folder, with forward slashes."""
    height: int
    """Height of the image and of the mask in pixels."""
    width: int
    """Width of the image and of the mask in pixels."""
    rle: str
    """Mask as COCO's compressed run lengths (ASCII), size (height, width): of several objects their union, of none
    without a pixel inside."""
    box: tuple[float, float, float, float]
    """Smallest box around the mask: x and y of the upper left corner, width, height, in pixels; ``NO_BOX`` of none."""
    category: str
    """Name of the object's category, empty where unknown."""
    expressions: tuple[str, ...]
    """What people say to mean this object."""
    groups: tuple[str, ...] = ()
    """A name for each expression by which results are broken down; empty where not given."""
    word_types: tuple[tuple[str, ...], ...] = ()
    """For each expression, the type of each token, one of ``WORD_TYPES``; empty where not given."""
    grounding: tuple[tuple[GroundedWords, ...], ...] = ()
    """For each expression, what its words speak about, where that is known; empty where not given."""
    instances: tuple[str, ...] = ()
    """Of several objects, the mask of each, as ``rle``; empty of one or none."""
    kinds: tuple[str, ...] = ()
    """Categories of all things in the image, of those that are annotated without gaps in the images of the split that
    say them: what another one says and this one does not, is not in it. Empty where that is unknown."""

    @property
    def is_empty(self) -> bool:
        """Whether the expressions refer to nothing in the image."""
        return self.box == NO_BOX

    def decode_mask(self) -> np.ndarray:
        """The mask as bool (height, width), True inside the object.

        Raises:
            UserError: the run lengths are damaged.
        """
        return self.decode(self.rle)

    def decode(self, rle: str) -> np.ndarray:
        """A mask of this image, the object's own or one of ``grounding``, as bool (height, width).

        Raises:
            UserError: the run lengths are damaged.
        """
        try:
            return decode_mask(rle, self.height, self.width)
        except ValueError as error:
            raise UserError(
                f"a mask of object {self.ref_id} in {self.image} is damaged ({error}): prepare the dataset anew."
            ) from None


@dataclass(frozen=True)
class SplitInfo:
    """What a split holds."""

    objects: int
    expressions: int
    images: int

    @staticmethod
    def of(rows: Sequence[ReferredObject]) -> SplitInfo:
        """Counts the rows of a split."""
        return SplitInfo(len(rows), sum(len(row.expressions) for row in rows), len({row.image for row in rows}))


@dataclass(frozen=True)
class DatasetInfo:
    """The content of ``dataset.json``."""

    name: str
    """Name of the benchmark, as ``cmpc prepare`` knows it."""
    images: str = ""
    """Image folder: absolute, or relative to the dataset's folder. Empty when the images are packed."""
    licence: str = ""
    """Under what terms the photos and annotations may be used."""
    sources: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file that the tables were made from."""
    splits: dict[str, SplitInfo] = field(default_factory=dict)
    """Split -> counts. Filled in by ``write_dataset``."""
    missing_images: list[str] = field(default_factory=list)
    """Images that were left out on request because their files are missing."""
    turned_images: list[str] = field(default_factory=list)
    """Images that are stored turned: they are read upright, as their EXIF orientation says, for their annotations
    were made so."""
    broken: dict[str, int] = field(default_factory=dict)
    """What was left out on request because it is broken: reason -> number."""
    packed: bool = False
    """Whether the images lie in the dataset's folder."""
    schema_version: int = SCHEMA_VERSION
    """Version of this layout; ``write_dataset`` sets its own."""


@dataclass
class PreparedDataset:
    """A prepared dataset, on disk or on a remote file system. Instances may be sent to worker processes."""

    folder: Place
    """The folder with ``dataset.json``."""
    info: DatasetInfo
    """What the dataset says about itself."""
    image_folder: Place
    """Where the images lie."""

    @staticmethod
    def open(folder: str | Place, images: str | Place | None = None) -> PreparedDataset:
        """Opens a folder that ``cmpc prepare`` made.

        Args:
            folder: the prepared dataset, a path or a URL (``s3://bucket/folder``).
            images: where its images are now, if they were moved; a path or a URL.

        Raises:
            UserError: the folder is not a prepared dataset, a newer version of this program made it, or its file system
                does not answer.
            UsageError: a URL is of another kind, or holds credentials.
        """
        folder = place(folder)
        path = folder / "dataset.json"
        try:
            if not folder.is_dir():
                raise UserError(f"there is no prepared dataset at {folder}: make one with cmpc prepare.")
            info = _info_from_json(json.loads(read(path)))
        except UnreachableError as error:
            raise UserError(f"cannot read {folder}: {error.strerror}.") from None
        except FileNotFoundError:
            raise UserError(f"{folder} has no dataset.json: make a prepared dataset with cmpc prepare.") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise UserError(f"{path} is damaged: prepare the dataset anew.") from None
        if info.schema_version > SCHEMA_VERSION:
            raise UserError(f"{folder} was prepared by a newer version of cmpc: prepare it anew with this one.")
        if info.schema_version == 1:
            warn_deprecated(f"the dataset {folder} of schema 1", removed_in="2.0", instead="prepare it anew")
        return PreparedDataset(folder, info, _image_folder(folder, info) if images is None else place(images))

    @property
    def is_remote(self) -> bool:
        """Whether images come from a remote file system, where reading is mostly waiting."""
        return isinstance(self.folder if self.info.packed else self.image_folder, RemotePath)

    @property
    def splits(self) -> list[str]:
        """Names of the splits."""
        return list(self.info.splits)

    def check_split(self, split: str) -> None:
        """
        Raises:
            UsageError: there is no such split.
        """
        if split not in self.info.splits:
            raise UsageError(f"{self.folder} has no split {split!r}; it has {', '.join(self.splits)}.")

    def read(self, split: str) -> SequenceOnDisk[ReferredObject]:
        """All rows of a split, in the order in which they were prepared, as ``stored_rows`` keeps them.

        Raises:
            UsageError: there is no such split.
            UserError: a table is missing or damaged.
        """
        self.check_split(split)
        try:
            tables: list[Place] = [*self.folder.glob(f"{split}-[0-9][0-9][0-9][0-9][0-9].parquet")]
            version = self.info.schema_version
            rows = stored_rows(row for path in sorted(tables, key=str) for row in _read_table(path, version))
        except UnreachableError as error:
            raise UserError(f"cannot read {error.filename}: {error.strerror}.") from None
        if len(rows) != self.info.splits[split].objects:
            raise UserError(f"tables of split {split} are missing in {self.folder}: prepare the dataset anew.")
        return rows

    def read_image(
        self, row: ReferredObject, *, longest_side: int | None = None, data: bytes | None = None
    ) -> np.ndarray:
        """The image of a row as uint8 (height, width, 3), RGB, turned as the dataset says.

        Args:
            row: an object of the image.
            longest_side: what the image is going to be shrunk to, as for ``decode_image``; None for its whole size.
            data: what ``read_image_bytes`` gave for the row, where that is known.

        Raises:
            UserError: the image is missing or broken, or its size is not the mask's.
        """
        data = self.read_image_bytes(row) if data is None else data
        name = f"{row.image} (object {row.ref_id}) of {self.folder}"
        turned = row.image in self._turned
        image = decode_image(data, exif_rotation=turned, longest_side=longest_side, name=name)
        if (image.height, image.width) != (row.height, row.width):
            raise UserError(
                f"the image {name} is {image.width} x {image.height} pixels but was prepared as "
                f"{row.width} x {row.height}: give the original photos."
            )
        return image.pixels

    def read_image_bytes(self, row: ReferredObject) -> bytes:
        """The encoded file of a row's image.

        Raises:
            UserError: the image is missing.
        """
        if self.info.packed:
            return self._packed.read(row.image)
        try:
            return read(self.image_folder / row.image, at_most=MAX_BYTES)
        except OSError as error:
            if isinstance(self.image_folder, Path) and not self.image_folder.is_dir():
                raise UserError(
                    f"the image folder {self.image_folder} of {self.folder} is missing: "
                    "give the one that holds the images now with --images."
                ) from None
            raise UserError(
                f"cannot read the image {self.image_folder / row.image} (object {row.ref_id} of {self.folder}): "
                f"{error.strerror}."
            ) from None

    @cached_property
    def _turned(self) -> frozenset[str]:
        return frozenset(self.info.turned_images)

    @cached_property
    def _packed(self) -> PackedImages:
        return PackedImages(self.folder)


def stored_rows(rows: Iterable[ReferredObject] = ()) -> SequenceOnDisk[ReferredObject]:
    """Keeps rows in a temporary file, so that the memory that a dataset needs hardly grows with it.

    Raises:
        UserError: the folder for temporary files is full.
    """
    stored = SequenceOnDisk(_to_values, _from_values)
    for row in rows:
        stored.append(row)
    return stored


def write_dataset(
    folder: str | Path,
    info: DatasetInfo,
    rows_by_split: Mapping[str, Sequence[ReferredObject]],
    *,
    pack_from: Path | None = None,
    advance: Callable[[], None] = lambda: None,
) -> DatasetInfo:
    """Writes a prepared dataset, whole or not at all; the same rows give the same bytes.

    Args:
        folder: where to; a prepared dataset that stands there is replaced.
        info: what to say in ``dataset.json``; counts and version are filled in.
        rows_by_split: the tables.
        pack_from: image folder whose files are copied into the dataset, each once.
        advance: called after each image that is packed.

    Returns:
        The info as written.

    Raises:
        UserError: something else stands at ``folder``, it cannot be written, or an image to be packed cannot be read.
        ValueError: a split has no name that can be a file's.
    """
    check_output_folder(folder)
    if wrong := [split for split in rows_by_split if not SPLIT_NAME.fullmatch(split)]:
        raise ValueError(f"split names are letters, digits, '_', '+' and '.', got {wrong[0]!r}")
    info = dataclasses.replace(
        info,
        splits={split: SplitInfo.of(rows) for split, rows in rows_by_split.items()},
        packed=pack_from is not None,
        schema_version=SCHEMA_VERSION,
        images="" if pack_from is not None else info.images,
    )
    try:
        with atomic_folder(folder) as temporary:
            for split, rows in rows_by_split.items():
                for number, start in enumerate(range(0, max(len(rows), 1), ROWS_PER_FILE)):
                    some = range(start, min(start + ROWS_PER_FILE, len(rows)))
                    _write_table(temporary / f"{split}-{number:05d}.parquet", rows, some)
            if pack_from is not None:
                images = sorted({row.image for rows in rows_by_split.values() for row in rows})
                write_packed_images(temporary, images, pack_from, advance)
            text = json.dumps(dataclasses.asdict(info), indent=1, ensure_ascii=False)
            (temporary / "dataset.json").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}.") from None
    return info


def check_output_folder(folder: str | Path) -> None:
    """Refuses a place where writing a dataset would destroy something that is not a prepared dataset.

    Raises:
        UserError: ``folder`` is a file, the current folder, or a folder with other files in it.
    """
    folder = Path(folder)
    if folder.resolve() == Path.cwd():
        raise UserError(
            f"{folder.resolve()} is the current folder, which cannot be replaced: give a new folder with --out."
        )
    if folder.is_dir():
        foreign = sorted(entry.name for entry in folder.iterdir() if not _OWN_FILES.fullmatch(entry.name))
        if foreign:
            raise UserError(f"{folder} holds other files (such as {foreign[0]}): give a new folder with --out.")
    elif folder.exists():
        raise UserError(f"{folder} is a file: give a new folder with --out.")


_COLUMNS = tuple(field.name for field in dataclasses.fields(ReferredObject))
_values = attrgetter(*_COLUMNS)
_OF_TUPLES = ("box", "expressions", "groups", "instances", "kinds")
_TUPLES = tuple(map(_COLUMNS.index, _OF_TUPLES))
_WORD_TYPES, _GROUNDING = map(_COLUMNS.index, ("word_types", "grounding"))


def _write_table(path: Path, rows: Sequence[ReferredObject], numbers: range) -> None:
    """Writes the rows of these numbers, a group of them after the other."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = pa.list_(pa.string())
    types = {"height": pa.int32(), "width": pa.int32(), "box": pa.list_(pa.float64())}
    types |= {"expressions": texts, "groups": texts, "word_types": pa.list_(texts)}
    grounded = pa.struct([("rle", pa.string()), ("words", pa.list_(pa.int16()))])
    types["grounding"] = pa.list_(pa.list_(grounded))
    types |= {"instances": texts, "kinds": texts}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in _COLUMNS])
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        for start in numbers[::ROWS_PER_GROUP]:
            group = rows[start : min(start + ROWS_PER_GROUP, numbers.stop)]
            columns = {name: [getattr(row, name) for row in group] for name in _COLUMNS}
            columns["grounding"] = [[list(map(dataclasses.asdict, words)) for words in row.grounding] for row in group]
            writer.write_table(pa.table(columns, schema=schema))


def _image_folder(folder: Place, info: DatasetInfo) -> Place:
    if isinstance(folder, RemotePath) and Path(info.images).is_absolute():
        return Path(info.images)
    return folder / info.images


def _read_table(path: Place, version: int) -> Iterator[ReferredObject]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rle = "mask" if version == 1 else "rle"
    columns = [rle if name == "rle" else name for name in _COLUMNS]
    try:
        if not path.is_file():  # a pipe would be waited for
            raise OSError
        source = pa.BufferReader(path.read()) if isinstance(path, RemotePath) else path
        with pq.ParquetFile(source, page_checksum_verification=True) as table:
            for batch in table.iter_batches(ROWS_PER_GROUP, columns=columns):
                yield from (_row(values, rle) for values in batch.to_pylist())
    except UnreachableError:
        raise
    except Exception:  # readers of Parquet raise many things on damaged files
        raise UserError(f"{path} is damaged: prepare the dataset anew.") from None


def _row(values: dict[str, Any], rle: str) -> ReferredObject:
    """The row of a table in which the run lengths are called ``rle``."""
    values["rle"] = values.pop(rle)
    values.setdefault("instances", ())  # tables before version 4 have no such column
    values.setdefault("kinds", ())  # nor have all of version 4 this one
    for name in _OF_TUPLES:
        values[name] = tuple(values[name])
    values["word_types"] = tuple(tuple(types) for types in values["word_types"])
    values["grounding"] = tuple(  # some tables of version 1 have no such column
        tuple(GroundedWords(one[rle], tuple(one["words"])) for one in words) for words in values.get("grounding", ())
    )
    return ReferredObject(**values)


def _to_values(row: ReferredObject) -> list[Any]:
    """A row as JSON can say it; ``_from_values`` reads it."""
    values = list(_values(row))
    values[_GROUNDING] = [[(one.rle, one.words) for one in words] for words in row.grounding]
    return values


def _from_values(values: list[Any]) -> ReferredObject:
    for number in _TUPLES:
        values[number] = tuple(values[number])
    values[_WORD_TYPES] = tuple(map(tuple, values[_WORD_TYPES]))
    values[_GROUNDING] = tuple(
        tuple(GroundedWords(rle, tuple(positions)) for rle, positions in words) for words in values[_GROUNDING]
    )
    return ReferredObject(*values)


def _info_from_json(values: dict[str, Any]) -> DatasetInfo:
    if values["schema_version"] > SCHEMA_VERSION:
        return DatasetInfo(name=values["name"], schema_version=values["schema_version"])
    splits = {split: SplitInfo(**counts) for split, counts in values.pop("splits").items()}
    return DatasetInfo(splits=splits, **values)
