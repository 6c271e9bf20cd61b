"""One way to open a TensorFlow checkpoint, whichever of the two formats it has."""

from __future__ import annotations

import glob
import re
from pathlib import Path

import numpy as np

from cmpc.errors import UserError
from cmpc.interop.tensorflow.bundle import BundleReader
from cmpc.interop.tensorflow.damage import damage_reported_for
from cmpc.interop.tensorflow.sstable import looks_like_a_table
from cmpc.interop.tensorflow.v1 import V1Reader

_SUFFIX = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")


class Checkpoint:
    """The variables of a checkpoint: names, shapes and types at once, values one at a time and checked.

    Made by ``open_checkpoint``.
    """

    def __init__(self, path: Path, reader: BundleReader | V1Reader) -> None:
        self.path = path
        """The checkpoint's prefix (version 2) or file (version 1)."""
        self._reader = reader

    def names(self) -> list[str]:
        """The names of all tensors, sorted."""
        return sorted(self._reader.tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor; of a partitioned one, the whole shape.

        Raises:
            KeyError: there is no such tensor.
        """
        return self._reader.tensors[name].shape

    def dtype(self, name: str) -> np.dtype:
        """The type of what ``read`` gives: float32 for bfloat16, object (of ``bytes``) for strings.

        Raises:
            KeyError: there is no such tensor.
            UserError: the type has no values (a resource) or is unknown.
        """
        with damage_reported_for(self.path):
            return self._reader.tensors[name].dtype

    def read(self, name: str) -> np.ndarray:
        """The values of a tensor, an array of its own that may be written to; a partitioned one is put together.

        Raises:
            KeyError: there is no such tensor.
            UserError: the values are damaged (every checksum is verified) or their type has none.
        """
        return self._reader.read(name)


def open_checkpoint(prefix: str | Path) -> Checkpoint:
    """Opens a checkpoint of either version.

    Args:
        prefix: what ``tf.train.Saver.save`` was given, for example ``model/unc_iter_700000.tfmodel``; one of its files
            (``.index``, ``.data-...``, ``.meta``) or a folder that holds a single checkpoint is understood too.

    Raises:
        UserError: there is no checkpoint, or several; a file of it is missing, damaged or of an unsupported kind.
    """
    path = Path(prefix)
    with damage_reported_for(path):
        if path.is_dir():
            path = _only_checkpoint_in(path)
        elif not looks_like_a_table(path) or path.name.endswith(".index"):
            path = path.with_name(_SUFFIX.sub("", path.name))
        if _with_suffix(path, ".index").is_file():
            return Checkpoint(path, BundleReader(path))
        if path.is_file():
            return Checkpoint(path, V1Reader(path))
        if list(path.parent.glob(f"{glob.escape(path.name)}.data-*-of-*")):
            raise UserError(f"{_with_suffix(path, '.index')} is missing: it belongs beside the .data files.")
    raise UserError(f"there is no checkpoint {path}: give the path of its files without .index, .meta or .data-...")


def _only_checkpoint_in(folder: Path) -> Path:
    files = sorted(file for file in folder.iterdir() if file.is_file())
    found = [file.with_suffix("") for file in files if file.suffix == ".index"]
    found = found or [file for file in files if looks_like_a_table(file)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(f"{folder} holds no checkpoint: no .index file is in it.")
    names = ", ".join(file.name for file in found[:3]) + (", ..." if len(found) > 3 else "")
    raise UserError(f"{folder} holds {len(found)} checkpoints ({names}): give the path of one, for example {found[0]}.")


def _with_suffix(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
