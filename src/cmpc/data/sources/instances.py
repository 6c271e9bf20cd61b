"""COCO's ``instances.json``, on which most benchmarks build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cmpc.data.masks import box_of, rle_from_coco
from cmpc.data.schema import ReferredObject
from cmpc.data.sources.collection import image_name, read_json
from cmpc.errors import UserError


class Instances:
    """COCO's ``instances.json``: images, annotated objects and their categories."""

    def __init__(
        self, path: Path, images: dict[int, Any], annotations: dict[int, Any], categories: dict[int, str]
    ) -> None:
        self.path = path
        self.images = images
        self.annotations = annotations
        self.categories = categories

    @staticmethod
    def load(path: Path) -> Instances:
        """Reads the file.

        Raises:
            UserError: it is missing, damaged or of another kind.
        """
        content = read_json(path)
        try:
            images = {image["id"]: image for image in content["images"]}
            annotations = {annotation["id"]: annotation for annotation in content["annotations"]}
            categories = {category["id"]: str(category["name"]) for category in content.get("categories", [])}
        except (KeyError, TypeError, AttributeError):
            raise UserError(f"{path} does not look like COCO's instances: it lacks images or annotations.") from None
        return Instances(path, images, annotations, categories)

    def image_of(self, annotation_id: int) -> tuple[str, int, int]:
        """File name, height and width of the image of an annotation.

        Raises:
            UserError: the image is not in the file, or its entry is damaged.
        """
        image_id = self.annotations[annotation_id].get("image_id")
        image = self.images.get(image_id) if isinstance(image_id, int) else None
        if image is None:
            raise UserError(f"{self.path}: the image of annotation {annotation_id} is not in the file: get it anew.")
        try:
            height, width = image["height"], image["width"]
            if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
                raise ValueError(f"its size is {width} x {height}")
            return image_name(image["file_name"]), height, width
        except KeyError as error:
            raise UserError(f"{self.path}: image {image['id']} has no {error.args[0]}.") from None
        except ValueError as error:
            raise UserError(f"{self.path}: image {image['id']} is damaged: {error}.") from None

    def row(self, annotation_id: int, ref_id: str, expressions: tuple[str, ...]) -> ReferredObject:
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
        category_id, image_id = annotation.get("category_id"), str(annotation["image_id"])
        category = self.categories.get(category_id, "") if isinstance(category_id, int) else ""
        return ReferredObject(ref_id, image_id, image, height, width, rle, box, category, expressions)
