"""Makes a prepared dataset of instances that have masks but no expressions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import numpy as np

from cmpc.data.image_formats import read_header
from cmpc.data.images import read_image
from cmpc.data.masks import decode_mask, union_of
from cmpc.data.schema import GroundedWords, ReferredObject
from cmpc.data.sources.collection import Track, existing_files, no_progress
from cmpc.data.sources.faults import Faults
from cmpc.data.sources.targets import target_of
from cmpc.data.sources.upright import Exif, TurnedPhotos
from cmpc.errors import UserError
from cmpc.phrasing.annotations import AnnotatedPhoto, Annotation, read_photos
from cmpc.phrasing.expressions import describe, describe_absent, describe_several
from cmpc.phrasing.geometry import Instance, scene_of
from cmpc.phrasing.meaning import GroundedExpression
from cmpc.phrasing.photo_folder import find_photos


@dataclass(frozen=True, slots=True)
class PhraseSettings:
    """What to say of whom."""

    per_object: int = 5
    """Expressions for each object; fewer where not so many can be said."""
    seed: int = 0
    """Another seed gives other expressions."""
    targets: tuple[str, ...] = ("exact",)
    """Qualities of masks that may be targets; the others count as context only."""
    smallest: float = 0.005
    """Share of the photo from which an object is large enough to be a target."""
    several: int = 0
    """Most expressions for each photo that fit several of its objects."""
    absent: int = 0
    """Most expressions for each photo that fit nothing in it."""
    loose_names: bool = False
    """Call the only person of a photo man, woman, boy and so on too, whoever it is."""


@dataclass
class Phrases:
    """The rows of a dataset, and an account of them."""

    rows: dict[str, list[ReferredObject]]
    """Split -> rows."""
    image_folder: Path
    """The folder in which the photos were found."""
    faults: Faults
    """What was left out because it is broken."""
    turned: TurnedPhotos
    """What was decided about photos that are stored turned."""
    missing_images: list[str] = field(default_factory=list)
    """Photos that were left out because their files are missing."""
    boxes: int = 0
    """Annotations with a box only, which count as context."""
    silent: int = 0
    """Possible targets of which nothing could be said that fits them alone."""


def make_phrases(
    files: Mapping[str, Path],
    images: Path,
    settings: PhraseSettings,
    *,
    skip_broken: bool = False,
    exif: Exif = "auto",
    track: Track = no_progress,
) -> Phrases:
    """Reads instances and makes expressions for them.

    Args:
        files: split -> file in the format of COCO's ``instances_*.json``.
        images: the folder that holds the photos, or the one above it.
        settings: what to say of whom.
        skip_broken: leave out what is broken instead of refusing.
        exif: what to do about photos that are stored turned.
        track: shows progress.

    Raises:
        UserError: a file cannot be used, something is broken, or no expression was found.
    """
    faults = Faults()
    photos = {split: list(read_photos(path, faults)) for split, path in files.items()}
    folder = find_photos(images, photos)
    names = [photo.file for listed in photos.values() for photo in listed]
    present = existing_files(folder, names)
    found = Phrases({}, folder, faults, TurnedPhotos(exif), sorted(set(names) - present))
    for name in found.missing_images:
        faults.add(f"photos that are missing in {folder}", name)
    for split, listed in photos.items():
        checked = track(listed, f"checking the photos of {split}", len(listed))
        photos[split] = [photo for photo in checked if photo.file in present and _fits(photo, found)]
    found.turned.check()
    if not skip_broken:
        faults.check()
    for split, listed in photos.items():
        vocabulary = _common_vocabulary(listed)
        found.rows[split] = []
        for photo in track(listed, f"phrasing {split}", len(listed)):
            kinds = _kinds(photo, vocabulary)
            found.rows[split] += [replace(row, kinds=kinds) for row in _rows(photo, split, settings, found)]
    if not skip_broken:
        faults.check()
    if not any(found.rows.values()):
        raise UserError(_empty_message(photos, settings, found))
    return found


def _fits(photo: AnnotatedPhoto, found: Phrases) -> bool:
    """Whether a photo has the size that its annotations were made for, as it is going to be read."""
    try:
        header = read_header(found.image_folder / photo.file)
    except UserError as error:
        found.faults.add("photos that cannot be read", str(error).removesuffix("."))
        return False
    height, width = found.turned.size(photo.file, header, (photo.height, photo.width))
    if (height, width) == (photo.height, photo.width):
        return True
    sizes = f"{photo.file} is {width} x {height} pixels, its annotations {photo.width} x {photo.height}"
    found.faults.add("photos of another size than their annotations", sizes)
    return False


def _rows(photo: AnnotatedPhoto, split: str, settings: PhraseSettings, found: Phrases) -> list[ReferredObject]:
    """The rows of a photo, one for each target of which something can be said, for each group of them, and one for what
    fits nothing."""
    found.boxes += sum(one.rle is None and one.box is not None and not one.is_crowd for one in photo.annotations)
    masks = [
        None if one.rle is None or one.is_crowd else decode_mask(one.rle, photo.height, photo.width)
        for one in photo.annotations
    ]
    least = settings.smallest * photo.height * photo.width
    targets = [
        number
        for number, (one, mask) in enumerate(zip(photo.annotations, masks, strict=True))
        if mask is not None and one.quality in settings.targets and np.count_nonzero(mask) >= least
    ]
    if not targets and not settings.absent:
        return []
    try:
        turned = photo.file in found.turned.turned
        pixels = read_image(found.image_folder / photo.file, exif_rotation=turned)
    except UserError as error:
        found.faults.add("photos that cannot be read", str(error).removesuffix("."))
        return []
    instances = [
        Instance(one.kind, mask, one.box, one.quality, one.is_crowd, one.is_part)
        for one, mask in zip(photo.annotations, masks, strict=True)
    ]
    scene = scene_of(instances, photo.annotated, height=photo.height, width=photo.width, image=pixels)
    rng = Random(f"{settings.seed} {split} {photo.id}")
    loose_names = settings.loose_names
    said: dict[int, list[GroundedExpression]] = {target: [] for target in targets}
    for expression in describe(scene, rng, wanted=settings.per_object, targets=targets, loose_names=loose_names):
        said[expression.target].append(expression)
    found.silent += sum(not expressions for expressions in said.values())
    unions: dict[tuple[int, ...], str | None] = {}
    rows = [_row(photo, (target,), expressions, unions) for target, expressions in said.items() if expressions]
    groups: dict[tuple[int, ...], list[GroundedExpression]] = {}
    for expression in describe_several(scene, rng, wanted=settings.several, loose_names=loose_names):
        if set(expression.targets) <= set(targets):
            groups.setdefault(expression.targets, []).append(expression)
    if absent := describe_absent(scene, rng, wanted=settings.absent, loose_names=loose_names):
        groups[()] = absent
    return rows + [_row(photo, together, expressions, unions) for together, expressions in groups.items()]


def _common_vocabulary(photos: Sequence[AnnotatedPhoto]) -> frozenset[str]:
    """The kinds that the column ``kinds`` of a split is about: a benchmark's, and of several that say the most, counted
    as kinds times photos in which all of these are annotated."""
    annotated = Counter(photo.annotated for photo in photos)

    def says(kinds: frozenset[str]) -> int:
        return len(kinds) * sum(count for known, count in annotated.items() if known.kinds >= kinds)

    return max((known.kinds for known in annotated if known.is_broad), key=says, default=frozenset())


def _kinds(photo: AnnotatedPhoto, vocabulary: frozenset[str]) -> tuple[str, ...]:
    """Which of these kinds are in a photo; none where not all of them are annotated without gaps."""
    if not photo.annotated.kinds >= vocabulary:
        return ()
    return tuple(sorted({one.kind for one in photo.annotations} & vocabulary))


def _row(
    photo: AnnotatedPhoto,
    targets: tuple[int, ...],
    expressions: Sequence[GroundedExpression],
    unions: dict[tuple[int, ...], str | None],
) -> ReferredObject:
    things = [photo.annotations[target] for target in targets]
    target = target_of([one.rle for one in things if one.rle is not None], photo.height, photo.width)
    found = {one.kind for one in things}
    return ReferredObject(
        ref_id=" and ".join(str(one.id) for one in things) or f"none in {photo.id}",
        image_id=photo.id,
        image=photo.file,
        height=photo.height,
        width=photo.width,
        rle=target.rle,
        box=target.box,
        category=found.pop() if len(found) == 1 else "",
        instances=target.instances,
        expressions=tuple(one.text for one in expressions),
        groups=tuple(one.family for one in expressions),
        word_types=tuple(one.word_types for one in expressions),
        grounding=tuple(_grounding(one, photo, unions) for one in expressions),
    )


def _grounding(
    expression: GroundedExpression, photo: AnnotatedPhoto, unions: dict[tuple[int, ...], str | None]
) -> tuple[GroundedWords, ...]:
    """What the words speak about, as a table holds it; words about things without masks are left out."""
    together: dict[tuple[int, ...], list[int]] = {}
    for position, things in enumerate(expression.grounding):
        if things:
            together.setdefault(things, []).append(position)
    grounded = []
    for things, positions in together.items():
        if things not in unions:
            unions[things] = _union([photo.annotations[thing] for thing in things], photo)
        rle = unions[things]
        if rle is not None:
            grounded.append(GroundedWords(rle, tuple(positions)))
    return tuple(grounded)


def _union(annotations: Sequence[Annotation], photo: AnnotatedPhoto) -> str | None:
    """The mask of several things together; None where one has none."""
    rles = [one.rle for one in annotations if one.rle is not None]
    return union_of(rles, photo.height, photo.width) if len(rles) == len(annotations) else None


def _empty_message(photos: Mapping[str, Sequence[AnnotatedPhoto]], settings: PhraseSettings, found: Phrases) -> str:
    annotations = [one for listed in photos.values() for photo in listed for one in photo.annotations]
    usable = sum(one.rle is not None and not one.is_crowd for one in annotations)
    qualities = Counter(one.quality for one in annotations)
    held = ", ".join(f"{count:,} {quality}" for quality, count in qualities.items()) or "none"
    total, wanted = sum(map(len, photos.values())), " or ".join(settings.targets)
    return (
        f"no expression could be made: of {len(annotations):,} annotations (quality: {held}) in {total:,} photos "
        f"{usable:,} have a mask, and none of them is {wanted}, at least {settings.smallest:g} of its photo and "
        f"tellable from the others ({found.silent:,} are not)."
    )
