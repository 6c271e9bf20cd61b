"""COCO's ``instances.json``, on which most benchmarks build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cmpc.data.masks import box_of, rle_from_coco
from cmpc.data.schema import ReferredObject
from cmpc.data.sources.fields import identity, image_name, whole_number
from cmpc.data.sources.json_files import read_json
from cmpc.errors import UserError


class Instances:
    """COCO's ``instances.json``: images, annotated objects and their categories."""

    def __init__(
        self,
        path: Path,
        images: dict[int | str, Any],
        annotations: dict[int | str, Any],
        categories: dict[int | str, str],
    ) -> None:
        self.path = path
        self.images = images
        self.annotations = annotations
        self.categories = categories

    @staticmethod
    def load(path: Path) -> Instances:
        """Reads the file.

        Raises:
            UserError: it is missing, damaged or of another kind, or an id stands in it twice.
        """
        content = read_json(path)
        try:
            images = by_id(content["images"], "image", path)
            annotations = by_id(content["annotations"], "annotation", path)
            categories = by_id(content.get("categories") or [], "category", path)
            names = {number: str(category["name"]) for number, category in categories.items()}
        except (KeyError, TypeError, AttributeError, ValueError):
            raise UserError(f"{path} does not look like COCO's instances: it lacks images or annotations.") from None
        return Instances(path, images, annotations, names)

    def image_of(self, annotation_id: int | str) -> tuple[str, int, int]:
        """File name, height and width of the image of an annotation.

        Raises:
            UserError: the image is not in the file, or its entry is damaged.
        """
        image = self.images.get(self.image_id_of(annotation_id))
        if image is None:
            raise UserError(
                f"{self.path}: the image of annotation {annotation_id} is not in the file: add it to the images."
            )
        try:
            height, width = whole_number(image["height"]), whole_number(image["width"])
            if height is None or width is None or min(height, width) < 1:
                raise ValueError(f"its size is {image['width']} x {image['height']}")
            return image_name(image["file_name"]), height, width
        except KeyError as error:
            raise UserError(f"{self.path}: image {image['id']} has no {error.args[0]}.") from None
        except ValueError as error:
            raise UserError(f"{self.path}: image {image['id']} is damaged: {error}.") from None

    def image_id_of(self, annotation_id: int | str) -> int | str:
        """The id of the image of an annotation.

        Raises:
            UserError: the annotation has none.
        """
        try:
            return identity(self.annotations[annotation_id].get("image_id"))
        except ValueError:
            raise UserError(f"{self.path}: annotation {annotation_id} does not say of which image it is.") from None

    def add_size(self, annotation_id: int | str, sizes: dict[str, tuple[int, int] | None]) -> None:
        """Adds file name, height and width of the image of an annotation to those of others.

        Raises:
            UserError: as ``image_of``; or the file has another size in another entry.
        """
        image, height, width = self.image_of(annotation_id)
        known = sizes.setdefault(image, (height, width))
        if known is not None and known != (height, width):
            raise UserError(
                f"{self.path}: the image {image} stands there with two sizes, {known[1]} x {known[0]} and {width} x "
                f"{height}."
            )

    def row(self, annotation_id: int | str, ref_id: str, expressions: tuple[str, ...]) -> ReferredObject:
        """The table row of an annotation.

        Raises:
            UserError: its mask is broken or empty.
        """
        annotation = self.annotations[annotation_id]
        image, height, width = self.image_of(annotation_id)
        try:
            rle = rle_from_coco(annotation.get("segmentation"), height, width)
            box = box_of(rle, height, width)
        except ValueError as error:
            raise UserError(f"{self.path}: the mask of annotation {annotation_id} is broken: {error}.") from None
        try:
            category = self.categories.get(identity(annotation.get("category_id")), "")
        except ValueError:
            category = ""
        image_id = str(self.image_id_of(annotation_id))
        return ReferredObject(ref_id, image_id, image, height, width, rle, box, category, expressions)


def by_id(entries: Any, what: str, path: Path) -> dict[int | str, Any]:
    """Entries by their id.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: they are no list of objects with ids.
        UserError: an id stands there twice.
    """
    found: dict[int | str, Any] = {}
    for entry in entries:
        number = identity(entry["id"])
        if number in found:
            raise UserError(f"{path}: the {what} with the id {number} stands there twice: give each an id of its own.")
        found[number] = entry
    return found
