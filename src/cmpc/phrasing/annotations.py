"""Reads instances in COCO's format as photos with things, and keeps account of what is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmpc.data.masks import box_of, rle_from_box, rle_from_coco
from cmpc.data.sources.collection import image_name, is_text, read_json
from cmpc.errors import UserError
from cmpc.phrasing.things import QUALITIES, Annotated


@dataclass(frozen=True, slots=True)
class Annotation:
    """A thing as a file describes it."""

    id: int
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


@dataclass
class Faults:
    """What is broken: reason, number, first example."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, example: str) -> None:
        """Counts something broken; ``reason`` is a plural such as "broken masks"."""
        self.counts[reason] += 1
        self.first.setdefault(reason, example)

    def lines(self) -> list[str]:
        """A phrase for each reason: "broken masks: 3 (first: ...)"."""
        return [f"{reason}: {count:,} (first: {self.first[reason]})" for reason, count in self.counts.items()]

    def check(self) -> None:
        """Refuses what has faults.

        Raises:
            UserError: there are some; it counts them by reason.
        """
        if self.counts:
            raise UserError(f"{'; '.join(self.lines())}. Mend them, or leave them out with --skip-broken.")


def read_photos(path: Path, faults: Faults) -> Iterator[AnnotatedPhoto]:
    """The photos of a file that have annotations, in its order.

    A broken mask leaves a thing of which only the kind is known, so that nothing is said of others that it might spoil.
    Photos of which not even that is known are left out.

    Args:
        path: a file in the format of COCO's ``instances_*.json``.
        faults: what is broken is added here.

    Raises:
        UserError: the file cannot be read, is of another format, or an annotation stands in it twice.
    """
    content = read_json(path)
    try:
        images, annotations = list(content["images"]), list(content["annotations"])
        categories = {category["id"]: category.get("name") for category in content["categories"]}
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{path} is not COCO's instances: it lacks images, annotations or categories.") from None
    kinds = {number: " ".join(name.lower().split()) for number, name in categories.items() if is_text(name)}
    by_image: dict[Any, list[dict[str, Any]]] = {
        image.get("id"): [] for image in images if isinstance(image, dict) and isinstance(image.get("id"), int | str)
    }
    seen: set[int] = set()
    for number, annotation in enumerate(annotations):
        if not isinstance(annotation, dict) or type(annotation.get("id")) is not int:
            faults.add("annotations without a number", f"entry {number} of {path.name}")
            continue
        if annotation["id"] in seen:
            raise UserError(f"{path}: annotation {annotation['id']} stands there twice: give each its own id.")
        seen.add(annotation["id"])
        image_id = annotation.get("image_id")
        if not isinstance(image_id, int | str) or image_id not in by_image:
            faults.add(
                "annotations of photos that are not in the file", f"annotation {annotation['id']} of {path.name}"
            )
            continue
        by_image[image_id].append(annotation)
    for image in images:
        if isinstance(image, dict) and by_image.get(image.get("id")):
            photo = _photo(image, by_image[image["id"]], kinds, path, faults)
            if photo is not None:
                yield photo


def _photo(
    image: dict[str, Any], annotations: list[dict[str, Any]], kinds: dict[Any, str], path: Path, faults: Faults
) -> AnnotatedPhoto | None:
    where = f"image {image['id']} of {path.name}"
    try:
        file, height, width = image_name(image["file_name"]), image["height"], image["width"]
        if type(height) is not int or type(width) is not int or min(height, width) < 1:
            raise ValueError(f"its size is {width} x {height}")
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
