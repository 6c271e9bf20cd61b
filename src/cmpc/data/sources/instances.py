"""COCO's ``instances.json``, on which most benchmarks build."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from cmpc.data.masks import box_of, rle_from_coco
from cmpc.data.schema import ReferredObject
from cmpc.data.sources.faults import BrokenRowError
from cmpc.data.sources.fields import identity, image_name, image_size
from cmpc.data.sources.json_files import read_json
from cmpc.data.sources.targets import target_of
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

    def image(self, image_id: int | str) -> tuple[str, int, int]:
        """File name, height and width of an image.

        Raises:
            BrokenRowError: it is not in the file.
            UserError: its entry is damaged.
        """
        image = self.images.get(image_id)
        if image is None:
            raise BrokenRowError(
                "images that are missing in the instances", f"its image {image_id} is not in the file {self.path}"
            )
        try:
            return image_name(image["file_name"]), *image_size(image)
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

    def common_image(self, annotation_ids: Sequence[int | str], image_id: int | str | None) -> int | str:
        """The id of the image that annotations are of.

        Args:
            annotation_ids: those that an expression refers to; none where it refers to nothing.
            image_id: the image that it is about; None where nothing says it.

        Raises:
            BrokenRowError: there is no such annotation, one is of another image, or nothing says which image it is.
            UserError: an annotation has no image.
        """
        if missing := [one for one in annotation_ids if one not in self.annotations]:
            raise BrokenRowError(
                "annotations that are missing in the instances",
                f"it names annotation {missing[0]}, which is not in {self.path}: take both files from the same release",
            )
        about = "it is about" if image_id is not None else f"its annotation {next(iter(annotation_ids), '')} is of"
        for one in annotation_ids:
            found = self.image_id_of(one)
            if image_id is None:
                image_id = found
            elif found != image_id:
                raise BrokenRowError(
                    "annotations of another image",
                    f"{about} image {image_id}, but its annotation {one} is of image {found}: take both files from the "
                    "same release",
                )
        if image_id is None:
            raise BrokenRowError(
                "rows without an image", "it refers to nothing and does not say in which image: give it an image_id"
            )
        return image_id

    def add_size(self, image_id: int | str, sizes: dict[str, tuple[int, int] | None]) -> None:
        """Adds file name, height and width of an image to those of others.

        Raises:
            BrokenRowError, UserError: as ``image``; or the file has another size in another entry.
        """
        image, height, width = self.image(image_id)
        known = sizes.setdefault(image, (height, width))
        if known is not None and known != (height, width):
            raise UserError(
                f"{self.path}: the image {image} stands there with two sizes, {known[1]} x {known[0]} and {width} x "
                f"{height}."
            )

    def row(
        self,
        ref_id: str,
        image_id: int | str,
        annotation_ids: Sequence[int | str],
        expressions: tuple[str, ...],
        *,
        annotates_all: bool = True,
    ) -> ReferredObject:
        """The table row of what some annotations of an image show together; of nothing where there are none.

        Args:
            ref_id: name of the row.
            image_id: the image.
            annotation_ids: what the expressions refer to.
            expressions: what people say.
            annotates_all: whether the file has every thing of its categories that is in its images.

        Raises:
            UserError: a mask is broken or empty.
        """
        image, height, width = self.image(image_id)
        target = target_of([self._rle(one, height, width) for one in annotation_ids], height, width)
        names = {self._category(one) for one in annotation_ids}
        return ReferredObject(
            ref_id=ref_id,
            image_id=str(image_id),
            image=image,
            height=height,
            width=width,
            rle=target.rle,
            box=target.box,
            category=names.pop() if len(names) == 1 else "",
            expressions=expressions,
            instances=target.instances,
            kinds=self.kinds_in(image_id) if annotates_all else (),
        )

    def kinds_in(self, image_id: int | str) -> tuple[str, ...]:
        """Names of the categories of all annotations of an image, crowds too. None where one has no name, or where the
        image's entry says that things of other categories may be in it (``annotated``, and what LVIS says)."""
        image, found = self.images[image_id], self._kinds.get(image_id, set())
        is_whole = image.get("annotated", "coco80") == "coco80" and "neg_category_ids" not in image
        return tuple(sorted(found)) if is_whole and "" not in found else ()

    @cached_property
    def _kinds(self) -> dict[int | str, set[str]]:
        """The names of the categories in each image; an empty name among them where one is unknown."""
        found: dict[int | str, set[str]] = {}
        for number, annotation in self.annotations.items():
            with suppress(ValueError):  # what is of no image is in none
                found.setdefault(identity(annotation.get("image_id")), set()).add(self._category(number))
        return found

    def is_crowd(self, annotation_id: int | str) -> bool:
        """Whether an annotation marks many things at once, which were not told apart."""
        return bool(self.annotations[annotation_id].get("iscrowd"))

    def _rle(self, annotation_id: int | str, height: int, width: int) -> str:
        try:
            rle = rle_from_coco(self.annotations[annotation_id].get("segmentation"), height, width)
            box_of(rle, height, width)
        except ValueError as error:
            raise UserError(f"{self.path}: the mask of annotation {annotation_id} is broken: {error}.") from None
        return rle

    def _category(self, annotation_id: int | str) -> str:
        try:
            return self.categories.get(identity(self.annotations[annotation_id].get("category_id")), "")
        except ValueError:
            return ""


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
