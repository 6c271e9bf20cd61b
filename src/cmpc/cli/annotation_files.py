"""The option ``--annotations`` of the commands that take instances in COCO's format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cmpc.errors import UsageError


def annotation_files(annotations: Sequence[str]) -> dict[str, Path]:
    """Split -> annotation file, of arguments such as ``train=instances_train.json``; a file alone is ``train``.

    Raises:
        UsageError: there is none, or they are not of this form.
    """
    from cmpc.data.schema import SPLIT_NAME

    files: dict[str, Path] = {}
    for given in annotations:
        split, equals, path = given.rpartition("=")
        split = split if equals else "train"
        if not SPLIT_NAME.fullmatch(split) or not path:
            raise UsageError(f"--annotations {given!r} is not a split and a file such as train=instances_train.json.")
        if split in files:
            raise UsageError(f"--annotations names the split {split} twice: give each file a split of its own.")
        files[split] = Path(path)
    if not files:
        raise UsageError("--annotations needs a file such as train=instances_train.json.")
    return files
