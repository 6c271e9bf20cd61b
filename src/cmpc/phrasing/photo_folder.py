"""Where the photos of annotations lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cmpc.data.sources.collection import find_image_folder
from cmpc.phrasing.annotations import AnnotatedPhoto

USUAL_IMAGE_FOLDERS = ("train2014", "val2014", "train2017", "val2017", "images")
"""Where photos often lie below the folder that is given."""


def find_photos(images: Path, photos: dict[str, list[AnnotatedPhoto]]) -> Path:
    """The folder that holds the photos; where each split has one of its own, the given one, and files are named so.

    Args:
        images: that folder, or the one above it.
        photos: of each split; where files are named anew, the lists are replaced.

    Raises:
        UserError: there is no folder ``images``.
    """
    folders = {}
    for split, listed in photos.items():
        usual = sorted(USUAL_IMAGE_FOLDERS, key=lambda name: not name.startswith(split))  # where both fit, its own
        folders[split] = find_image_folder(images, usual, [photo.file for photo in listed])
    if len(set(folders.values())) == 1:
        return folders.popitem()[1]
    for split, folder in folders.items():
        if folder != images:
            photos[split] = [replace(photo, file=f"{folder.name}/{photo.file}") for photo in photos[split]]
    return images
