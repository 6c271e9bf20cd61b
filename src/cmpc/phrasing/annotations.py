"""Reads instances in COCO's format as photos with things, and keeps account of what is broken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmpc.data.masks import box_of, rle_from_box, rle_from_coco
from cmpc.data.sources.faults import Faults
from cmpc.data.sources.fields import identity, image_name, image_size, is_text
from cmpc.data.sources.instances import by_id
from cmpc.data.sources.json_files import read_json
from cmpc.errors import UserError
from cmpc.phrasing.things import QUALITIES, Annotated


@dataclass(frozen=True, slots=True)
class Annotation:
    """A thing as a file describes it."""

    id: int | str
    kind: str
    rle: str | None
    """Its mask as COCO's compressed run-length counts; None where there is none, or a broken one."""
    box: tuple[float, float, float, float] | None
    """x, y, width, height in pixels; None where neither mask nor box can be used."""
    quality: str = "exact"
    is_crowd: bool = False
    is_part: bool = False


@dataclass(frozen=True, slots=True)
class AnnotatedPhoto:
    """A photo and all its annotations."""

    id: str
    file: str
    """Path below the image folder."""
    height: int
    width: int
    annotated: Annotated
    annotations: tuple[Annotation, ...]


def read_photos(path: Path, faults: Faults) -> Iterator[AnnotatedPhoto]:
    """The photos of a file that have annotations, in its order.

    A broken mask leaves a thing of which only the kind is known, so that nothing is said of others that it might spoil.
    Photos of which not even that is known are left out.

    Args:
        path: a file in the format of COCO's ``instances_*.json``.
        faults: what is broken is added here.

    Raises:
        UserError: the file cannot be read, is of another format, or an id of an image, an annotation or a category
            stands in it twice.
    """
    content = read_json(path)
    try:
        images = by_id(_with_id(content["images"]), "image", path)
        annotations = list(content["annotations"])
        of_id = by_id(content["categories"], "category", path)
        categories = {number: category.get("name") for number, category in of_id.items()}
    except (KeyError, TypeError, AttributeError, ValueError):
        raise UserError(f"{path} is not COCO's instances: it lacks images, annotations or categories.") from None
    kinds = {number: " ".join(name.lower().split()) for number, name in categories.items() if is_text(name)}
    by_image: dict[int | str, list[dict[str, Any]]] = {number: [] for number in images}
    nameless = len(annotations) - len(_with_id(annotations))
    for _ in range(nameless):
        faults.add("annotations without a number", path.name)
    for number, annotation in by_id(_with_id(annotations), "annotation", path).items():
        image_id = _identity(annotation.get("image_id"))
        if image_id is None or image_id not in by_image:
            faults.add("annotations of photos that are not in the file", f"annotation {number} of {path.name}")
            continue
        by_image[image_id].append(annotation | {"id": number, "category_id": _identity(annotation.get("category_id"))})
    for number, image in images.items():
        if by_image[number]:
            photo = _photo(image | {"id": number}, by_image[number], kinds, path, faults)
            if photo is not None:
                yield photo


def _identity(value: object) -> int | str | None:
    try:
        return identity(value)
    except ValueError:
        return None


def _with_id(entries: Any) -> list[dict[str, Any]]:
    return [one for one in entries if isinstance(one, dict) and _identity(one.get("id")) is not None]


def _photo(
    image: dict[str, Any], annotations: list[dict[str, Any]], kinds: dict[Any, str], path: Path, faults: Faults
) -> AnnotatedPhoto | None:
    where = f"image {image['id']} of {path.name}"
    try:
        file, (height, width) = image_name(image["file_name"]), image_size(image)
    except KeyError as error:
        faults.add("damaged image entries", f"{where}: it has no {error.args[0]}")
        return None
    except ValueError as error:
        faults.add("damaged image entries", f"{where}: {error}")
        return None
    try:
        annotated = Annotated.parse(image.get("annotated", "coco80"), tuple(kinds.values()))
    except (ValueError, AttributeError, TypeError):
        faults.add(
            "images whose annotated is none of coco80, voc20, one object and kinds: a b",
            f"{where}: {image['annotated']!r}",
        )
        return None
    nameless = [one["id"] for one in annotations if not kinds.get(one.get("category_id"))]
    if nameless:
        faults.add("photos with annotations whose category has no name", f"annotation {nameless[0]} of {path.name}")
        return None
    things = tuple(_annotation(one, kinds[one["category_id"]], height, width, path, faults) for one in annotations)
    return AnnotatedPhoto(str(image["id"]), file, height, width, annotated, things)


def _annotation(one: dict[str, Any], kind: str, height: int, width: int, path: Path, faults: Faults) -> Annotation:
    where = f"annotation {one['id']} of {path.name}"
    quality = one.get("quality", "exact")
    if quality not in QUALITIES:
        faults.add(f"annotations whose quality is none of {', '.join(QUALITIES)}", f"{where}: {quality!r}")
        quality = "rough"
    rle: str | None = None
    box: tuple[float, float, float, float] | None = None
    try:
        if one.get("segmentation"):
            rle = rle_from_coco(one["segmentation"], height, width)
            box = box_of(rle, height, width)
        else:
            box = box_of(rle_from_box(one.get("bbox") or (), height, width), height, width)
    except (ValueError, TypeError) as error:
        reason = "broken masks" if one.get("segmentation") else "annotations with neither mask nor box"
        faults.add(reason, f"{where}: {error}")
        rle = box = None
    return Annotation(
        id=one["id"],
        kind=kind,
        rle=rle,
        box=box,
        quality=quality,
        is_crowd=bool(one.get("iscrowd")),
        is_part=one.get("part") is True,
    )
