"""Annotations, masks, photos, tables, and what is made of them."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from robustness.case import Case

Make = Callable[[Path], list[str]]
HEIGHT, WIDTH = 40, 60
REFER = Path(__file__).parents[1] / "data" / "refer"


def _photo_bytes(kind: str = "JPEG", size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _turned(orientation: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _photo_bytes(size=size, exif=exif)


def _own(
    *rows: dict[str, Any] | str,
    photo: bytes | Callable[[Path], object] | None = None,
    mask: Image.Image | None = None,
    options: tuple[str, ...] = (),
) -> Make:
    """``prepare own`` of a table about ``a.jpg``; rows are shapes, or whole lines as text."""

    def make(folder: Path) -> list[str]:
        if callable(photo):
            photo(folder / "a.jpg")
        else:
            (folder / "a.jpg").write_bytes(photo or _photo_bytes())
        if mask is not None:
            mask.save(folder / "mask.png")
        lines = [
            row if isinstance(row, str) else json.dumps({"image": "a.jpg", "expression": "it"} | row) for row in rows
        ]
        (folder / "table.jsonl").write_text("\n".join(lines), encoding="utf-8")
        return ["prepare", "own", "table.jsonl", "--images", ".", "--out", "out", *options]

    return make


def _mask(mode: str, value: Any, inside: Any = None) -> Image.Image:
    image = Image.new(mode, (WIDTH, HEIGHT), value)
    if inside is not None:
        image.paste(inside, (10, 5, 30, 15))
    return image


def _black_second() -> Image.Image:
    mask = _mask("P", 0, 1)
    mask.putpalette([255, 255, 255, 0, 0, 0])
    return mask


def _coco(change: Callable[[dict[str, Any]], object], *entries: dict[str, Any], options: tuple[str, ...] = ()) -> Make:
    """``prepare coco`` of one photo with one annotation, 7."""

    def make(folder: Path) -> list[str]:
        (folder / "a.jpg").write_bytes(_photo_bytes())
        content: dict[str, Any] = {
            "images": [{"id": 1, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH}],
            "annotations": [{"id": 7, "image_id": 1, "category_id": 3, "segmentation": [[5, 5, 30, 5, 30, 20, 5, 20]]}],
            "categories": [{"id": 3, "name": "dog"}],
        }
        change(content)
        (folder / "instances.json").write_text(json.dumps(content))
        (folder / "said.json").write_text(json.dumps(list(entries) or [{"ann_id": 7, "expressions": ["dog"]}]))
        files = ["--instances", "instances.json", "--expressions", "said.json"]
        return ["prepare", "coco", *files, "--images", ".", "--out", "out", *options]

    return make


def _again(part: str, **changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content[part].append(content[part][0] | changes)


def _first(part: str, **changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content[part][0].update(changes)


def _refer(change: Callable[[list[dict[str, Any]]], object]) -> Make:
    """``prepare unc`` with a change of its references."""

    def make(folder: Path) -> list[str]:
        (folder / "refcoco").mkdir()
        refs = pickle.loads((REFER / "refcoco" / "refs(unc).p").read_bytes(), encoding="latin1")
        change(refs)
        (folder / "refcoco" / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))
        (folder / "refcoco" / "instances.json").write_bytes((REFER / "refcoco" / "instances.json").read_bytes())
        return ["prepare", "unc", "--images", str(REFER), "--annotations", ".", "--out", "out"]

    return make


def _as_numpy(refs: list[dict[str, Any]]) -> None:
    for ref in refs:
        ref.update({name: np.int64(ref[name]) for name in ("ref_id", "ann_id", "image_id")})


def _segment(content: bytes | Callable[[Path], object], name: str = "a.jpg") -> Make:
    def make(folder: Path) -> list[str]:
        if callable(content):
            content(folder / name)
        else:
            (folder / name).write_bytes(content)
        return ["segment", name, "red cube", "--out", "out"]

    return make


def _folder(**files: bytes) -> Make:
    """``segment`` of a folder with a sound photo and other files."""

    def make(folder: Path) -> list[str]:
        (folder / "photos").mkdir()
        (folder / "photos" / "sound.jpg").write_bytes(_photo_bytes())
        for name, content in files.items():
            (folder / "photos" / name.replace("__", ".")).write_bytes(content)
        return ["segment", "photos", "red cube", "--out", "out"]

    return make


def _half_with_end() -> bytes:
    whole = _photo_bytes(quality=90)
    return whole[: len(whole) // 2] + b"\xff\xd9"


def _lying_jpeg() -> bytes:
    data = bytearray(_photo_bytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 13_000, 13_000)
    return bytes(data)


def _half_png() -> bytes:
    """A PNG whose pixels end in the middle, although all of its chunks are whole."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    whole = zlib.compress(np.random.default_rng(0).integers(0, 255, 181 * HEIGHT, dtype=np.uint8).tobytes())
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", whole[: len(whole) // 2])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 40\n%%EndComments\nshowpage\n"
HEIC_OF_ANOTHER_KIND = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(100)

MASKS = [
    Case(
        "masks",
        "white with the mask in alpha, all of it opaque",
        _own({"mask": "mask.png"}, mask=_mask("RGBA", (255,) * 4)),
        1,
        "has nothing outside of the object",
    ),
    Case(
        "masks",
        "background of level 1",
        _own({"mask": "mask.png"}, mask=_mask("L", 1, 255)),
        1,
        "mask.png has nothing outside of the object",
    ),
    Case(
        "masks",
        "palette with black after white",
        _own({"mask": "mask.png"}, mask=_black_second()),
        1,
        "has a palette in which black is colour 1",
    ),
    Case(
        "masks",
        "white background, black object",
        _own({"mask": "mask.png"}, mask=_mask("L", 255, 0)),
        0,
        "masks that may not be as they are meant: 1",
    ),
    Case(
        "masks",
        "nearly all of the photo inside",
        _own({"rle": {"size": [HEIGHT, WIDTH], "counts": [1, HEIGHT * WIDTH - 1]}}),
        0,
        "100.0% of the photo is inside",
    ),
    Case(
        "masks",
        "fractions in a polygon",
        _own({"polygon": [0.1, 0.1, 0.9, 0.1, 0.9, 0.9]}),
        1,
        "its points lie between 0 and 1, as fractions of the image do: multiply x by its width, 60",
    ),
    Case(
        "masks",
        "fractions in a box",
        _own({"box": [0.1, 0.1, 0.5, 0.5]}),
        1,
        "the numbers of its box lie between 0 and 1",
    ),
    Case(
        "masks",
        "fractions in COCO's segmentation",
        _coco(_first("annotations", segmentation=[[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]])),
        1,
        "the mask of annotation 7 is broken: its points lie between 0 and 1",
    ),
    Case("masks", "a mask saved as JPEG", _own({"mask": "a.jpg"}), 1, "whose edges are blurred"),
    Case(
        "masks",
        "a damaged mask",
        _own(
            {"mask": "half.png"},
            photo=lambda path: (path.write_bytes(_photo_bytes()), path.with_name("half.png").write_bytes(_half_png())),
        ),
        1,
        "half.png is damaged",
    ),
    Case("masks", "polygon as pairs of numbers", _own({"polygon": [[5, 5], [30, 5], [30, 20]]}), 0, "written to out"),
]

TURNED = [
    Case(
        "turned photos",
        "square, which fits both ways",
        _own({"polygon": [5, 5, 30, 5, 30, 20]}, photo=_turned(6, (50, 50))),
        1,
        "annotations fit both ways (a.jpg): say --exif turn",
    ),
    Case(
        "turned photos",
        "mirrored",
        _own({"box": [5, 5, 20, 10]}, photo=_turned(2)),
        1,
        "annotations fit both ways (a.jpg)",
    ),
    Case(
        "turned photos",
        "polygon that fits both ways",
        _own({"polygon": [5, 5, 30, 5, 30, 20]}, photo=_turned(6)),
        1,
        "say --exif turn",
    ),
    Case(
        "turned photos",
        "polygon that fits only the upright photo",
        _own({"polygon": [5, 5, 30, 5, 30, 58]}, photo=_turned(6)),
        0,
        "1 photo is turned upright",
    ),
    Case(
        "turned photos",
        "mask of the stored size",
        _own({"mask": "mask.png"}, photo=_turned(6), mask=_mask("L", 0, 255)),
        0,
        "used as stored, although turned",
    ),
    Case(
        "turned photos",
        "turned on request",
        _own({"box": [5, 5, 20, 10]}, photo=_turned(6), options=("--exif", "turn")),
        0,
        "1 photo is turned upright",
    ),
    Case(
        "turned photos",
        "refused on request",
        _own({"box": [5, 5, 20, 10]}, photo=_turned(6), options=("--exif", "refuse")),
        1,
        "save them upright",
    ),
    Case(
        "turned photos",
        "COCO's annotation upright",
        _coco(
            lambda content: (
                _first("images", height=WIDTH, width=HEIGHT)(content),
                Path("a.jpg").write_bytes(_turned(8)),
            )
        ),
        0,
        "1 photo is turned upright",
    ),
]

TWICE = [
    Case(
        "ids", "an annotation twice", _coco(_again("annotations")), 1, "the annotation with the id 7 stands there twice"
    ),
    Case(
        "ids",
        "an annotation twice, once as text",
        _coco(_again("annotations", id="7")),
        1,
        "the annotation with the id 7 stands there twice",
    ),
    Case(
        "ids",
        "an image twice",
        _coco(_again("images", file_name="b.jpg")),
        1,
        "the image with the id 1 stands there twice",
    ),
    Case(
        "ids",
        "a category twice",
        _coco(_again("categories", name="cat")),
        1,
        "the category with the id 3 stands there twice",
    ),
    Case(
        "ids",
        "one photo with two sizes",
        _coco(
            lambda content: (
                _again("images", id=2, height=41)(content),
                _again("annotations", id=8, image_id=2)(content),
            ),
            {"ann_id": 7, "expression": "dog"},
            {"ann_id": 8, "expression": "cat"},
        ),
        1,
        "a.jpg stands there with two sizes",
    ),
    Case(
        "ids",
        "an entry of another image than its annotation",
        _coco(lambda content: None, {"ann_id": 7, "image_id": 2, "expression": "dog"}),
        1,
        "it is about image 2, but its annotation 7 is of image 1",
    ),
    Case(
        "ids",
        "a reference of another image than its annotation",
        _refer(lambda refs: refs[0].update(image_id=99)),
        1,
        "it is about image 99, but its annotation",
    ),
    Case("ids", "a reference twice", _refer(lambda refs: refs.append(refs[0])), 1, "stands there twice"),
    Case(
        "ids",
        "two values under one name",
        _own('{"image": "a.jpg", "image": "b.jpg", "expression": "it", "box": [5, 5, 20, 10]}'),
        1,
        "the name 'image' stands twice in one object",
    ),
    Case(
        "ids",
        "text on one side, 7.0 on the other",
        _coco(_first("annotations", id="7", image_id=1.0), {"ann_id": 7.0, "expression": "dog"}),
        0,
        "written to out",
    ),
]

PHOTOS = [
    Case(
        "photos",
        "JPEG cut in half, with an end marker",
        _own({"box": [5, 5, 20, 10]}, photo=_half_with_end(), options=("--check-images",)),
        1,
        "a.jpg is damaged: its pixels cannot be decoded (premature end of data segment)",
    ),
    Case(
        "photos",
        "a small JPEG that says it has 169 million pixels",
        _segment(_lying_jpeg()),
        1,
        "it says that it has 13000 x 13000 pixels",
    ),
    Case("photos", "PNG whose pixels end in the middle", _segment(_half_png(), "a.png"), 1, "a.png is damaged"),
    Case("photos", "PostScript named .jpg", _segment(EPS), 1, "a.jpg is not an image of the formats that are opened"),
    Case(
        "photos", "a pipe", _segment(os.mkfifo), 1, "cannot read the image a.jpg: it is a pipe or a device, not a file"
    ),
    Case(
        "photos",
        "a device without end",
        _segment(lambda path: path.symlink_to("/dev/zero")),
        1,
        "it is a pipe or a device, not a file",
    ),
    Case(
        "photos",
        "a file of three gigabytes",
        _segment(lambda path: (path.touch(), os.truncate(path, 3 << 30))),
        1,
        "of which at most",
    ),
    Case("photos", "damaged HEIC named .jpg", _segment(HEIC_OF_ANOTHER_KIND), 1, "a.jpg"),
    Case(
        "photos",
        "damaged ones in a folder",
        _folder(
            a__avif=b"\x00\x00\x00\x1cftypavif" + bytes(60),
            b__tif=b"II*\x00\xff\xff\xff\xff",
            c__webp=_photo_bytes("WEBP")[:200],
        ),
        1,
        "3 of 4 photos failed, the others are done",
    ),
    Case(
        "photos",
        "files in a folder that are none",
        _folder(**{"__" + "_x__jpg": b"\x00\x05\x16\x07", "Thumbs__db": b"\xd0\xcf"}),
        0,
        "2 of 3 names in photos are no photos and are skipped",
    ),
]

TABLES = [
    Case(
        "tables",
        "a pipe",
        lambda folder: (
            _own({"box": [5, 5, 9, 9]})(folder),
            (folder / "table.jsonl").unlink(),
            os.mkfifo(folder / "table.jsonl"),
        )[0],
        1,
        "cannot read table.jsonl: it is a pipe or a device",
    ),
    Case(
        "tables",
        "nulls, as pandas writes them",
        _own({"box": [5, 5, 9, 9], "mask": None, "split": None, "id": 3.0, "word_types": None}),
        0,
        "written to out",
    ),
    Case(
        "tables",
        "a JSON list",
        _own('[{"image": "a.jpg", "expression": "it", "box": [5, 5, 9, 9]}]'),
        0,
        "written to out",
    ),
    Case("tables", "a backslash in a name", _own({"image": ".\\a.jpg", "box": [5, 5, 9, 9]}), 0, "written to out"),
    Case(
        "tables", "a number of 400 digits", _own({"box": [5, 5, 10**400, 9]}), 1, "its box is not x, y, width, height"
    ),
    Case(
        "tables",
        "a broken row, skipped",
        _own({"box": [5, 5, 9, 9]}, {"box": [5, 5, 9]}, {"box": [5, 5, 900, 9]}, "{", options=("--skip-broken",)),
        0,
        "left out, broken masks: 2 (first: table.jsonl, line 2: the mask is broken",
    ),
    Case(
        "tables",
        "nothing but broken rows, skipped",
        _own("{", options=("--skip-broken",)),
        1,
        "table.jsonl holds no object (rows that are not as the table's fields ask: 1",
    ),
    Case(
        "tables",
        "a reference without sentences",
        _refer(lambda refs: refs[0].update(sentences=[])),
        0,
        "1 reference is left out for want of a sentence",
    ),
    Case("tables", "numbers of NumPy in a pickle", _refer(_as_numpy), 0, "written to out"),
    Case(
        "tables",
        "flat segmentation",
        _coco(_first("annotations", segmentation=[5, 5, 30, 5, 30, 20, 5, 20])),
        0,
        "written to out",
    ),
    Case(
        "tables",
        "run lengths of 5.0",
        _coco(
            _first("annotations", segmentation={"size": [HEIGHT, WIDTH], "counts": [5.0, 3.0, HEIGHT * WIDTH - 8.0]})
        ),
        0,
        "written to out",
    ),
]

CASES = [*MASKS, *TURNED, *TWICE, *PHOTOS, *TABLES]
