from __future__ import annotations

import io
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from cmpc.data.image_formats import FORMATS, read_header
from cmpc.data.images import decode_image, from_pillow, image_size, read_image
from cmpc.errors import UserError

PHOTOS = Path(__file__).parent / "refer" / "train2014"
COLOUR, GREY = PHOTOS / "COCO_train2014_000000000072.jpg", PHOTOS / "COCO_train2014_000000000086.jpg"


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_photo_is_read_as_rgb() -> None:
    expected = np.asarray(Image.open(COLOUR)).astype(int)
    pixels = read_image(COLOUR)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels - expected).max() <= 3  # two JPEG decoders


def test_grey_photo_has_three_equal_channels() -> None:
    pixels = read_image(GREY.read_bytes())
    assert pixels.shape == (*image_size(GREY), 3)
    assert (pixels == pixels[:, :, :1]).all()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "WEBP", "TIFF", "JPEG2000", "PPM", "AVIF"])
def test_formats_are_read(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    colour = read_image(encode(Image.new("RGB", (6, 4), (0, 102, 204)), kind, **options))[2, 3].astype(int)
    assert np.abs(colour - (0, 102, 204)).max() <= (2 if kind == "AVIF" else 0)


def test_transparency_is_dropped() -> None:
    assert read_image(encode(Image.new("RGBA", (3, 2), (10, 20, 30, 0)), "PNG"))[0, 0].tolist() == [10, 20, 30]


def test_sixteen_bits_are_scaled_to_eight() -> None:
    values = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    pixels = read_image(encode(Image.fromarray(values), "PNG"))
    assert (pixels[:, :, 0].ravel() == np.arange(256)).all()


def test_floating_point_image_is_refused_because_its_range_is_unknown() -> None:
    image = Image.fromarray(np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4))
    with pytest.raises(UserError, match="floating-point"):
        read_image(encode(image, "TIFF"))
    with pytest.raises(UserError, match="floating-point"):
        from_pillow(image)


@pytest.mark.filterwarnings("error")
def test_damaged_metadata_is_passed_over_in_silence() -> None:
    whole = encode(Image.new("RGB", (60, 40)), "TIFF", compression="tiff_deflate")
    with pytest.raises(UserError, match="given as bytes"):
        image_size(whole[: len(whole) // 2])


def test_exif_rotation_is_applied_only_on_request() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    data = encode(Image.new("RGB", (30, 20)), "JPEG", exif=exif)
    assert read_image(data).shape == (20, 30, 3)
    assert image_size(data) == (20, 30)
    assert read_image(data, exif_rotation=True).shape == (30, 20, 3)


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_image_cut_short_is_refused(kind: str, kept: float) -> None:
    data = encode(Image.open(COLOUR), kind)
    with pytest.raises(UserError):
        read_image(data[: int(kept if kept > 1 else kept * len(data))])


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}])
@pytest.mark.parametrize("ending", [b"\xff\xd9", b"\xff\xd9" + bytes(1000), b"\xff\xd9\xff\xda\xff\xd9"])
def test_jpeg_cut_short_is_refused_whatever_stands_at_its_end(options: dict[str, object], ending: bytes) -> None:
    data = encode(Image.open(COLOUR), "JPEG", **options)
    for kept in (0.3, 0.5, 0.9):
        with pytest.raises(UserError, match=r"the image a\.jpg is damaged"):
            decode_image(data[: int(kept * len(data))] + ending, name="a.jpg")


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_of_other_colours_is_read_and_refused_when_cut_short(mode: str) -> None:
    image = Image.open(COLOUR).convert(mode)
    data = encode(image, "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(read_image(data) - expected).max() <= 3
    with pytest.raises(UserError, match="is damaged"):
        read_image(data[: len(data) // 2] + b"\xff\xd9")


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.97])
def test_png_is_refused_whose_end_is_filled_up(kept: float) -> None:
    data = encode(Image.open(COLOUR), "PNG")
    size = int(kept * len(data))
    for damaged in (data[:size] + bytes(len(data) - size), data[:size] + data[-12:], data[: len(data) - 12]):
        with pytest.raises(UserError, match="is damaged"):
            read_image(damaged)
    assert (read_image(data + bytes(100)) == np.asarray(Image.open(COLOUR))).all()


def test_damage_in_the_middle_of_a_jpeg_is_found() -> None:
    data = bytearray(encode(Image.open(COLOUR), "JPEG", quality=95))
    data[len(data) // 2 : len(data) // 2 + 300] = b"\xff\xd7" * 150
    with pytest.raises(UserError, match="is damaged"):
        read_image(bytes(data))


def test_jpeg_that_cannot_have_as_many_pixels_as_it_says_is_not_decoded() -> None:
    data = bytearray(encode(Image.open(COLOUR), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 13_000, 13_000)
    for read in (read_image, image_size):
        with pytest.raises(UserError, match="says that it has 13000 x 13000 pixels, which"):
            read(bytes(data))


def test_jpeg_of_thousands_of_scans_is_not_decoded() -> None:
    data = encode(Image.open(COLOUR), "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    with pytest.raises(UserError, match="more than 200 scans"):
        read_image(data[:scan] + data[scan:-2] * 300 + b"\xff\xd9")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_is_turned_as_pillow_does(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    data = encode(Image.fromarray(pixels), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")).astype(int)
    decoded = decode_image(data, exif_rotation=True)
    assert (decoded.height, decoded.width) == decoded.pixels.shape[:2] == upright.shape[:2] == read_header(data).upright
    assert np.abs(decoded.pixels - upright).max() <= 3
    assert decode_image(data).pixels.shape[:2] == image_size(data)


def test_nothing_but_the_listed_formats_is_opened(tmp_path: Path) -> None:
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 40\n%%EndComments\nshowpage\n"
    others = {kind: encode(Image.new("RGB", (6, 4)), kind) for kind in ("TGA", "PCX", "ICO", "SGI", "EPS", "PDF")}
    for data in (postscript, b"\xc5\xd0\xd3\xc6" + bytes(60), *others.values()):
        (tmp_path / "a.jpg").write_bytes(data)
        with pytest.raises(UserError, match=r"a\.jpg is not an image of the formats that are opened"):
            read_image(tmp_path / "a.jpg")
    with pytest.raises(UserError, match="PostScript"):
        from_pillow(Image.open(io.BytesIO(others["EPS"])))


def test_readers_may_raise_anything_on_damaged_files(capfd: pytest.CaptureFixture[str]) -> None:
    """Each format, with bytes exchanged at many places: read, or refused with its name; libraries add nothing."""
    pixels = Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 17, 3), dtype=np.uint8))
    random = np.random.default_rng(1)
    told: list[str] = []
    forms = [(kind, {}) for kind in FORMATS]
    forms += [("TIFF", {"compression": kind}) for kind in ("tiff_lzw", "tiff_deflate", "jpeg")]
    for kind, options in forms:
        whole = encode(pixels, kind, **options)
        for _ in range(40):
            data = bytearray(whole)
            for place in random.integers(0, min(len(data), 400), 4):
                data[place] = random.integers(0, 256)
            try:
                decode_image(bytes(data), exif_rotation=True, name="the photo")
            except UserError as error:
                told.append(str(error))
    assert len(told) > 40
    assert all("the photo" in sentence for sentence in told)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("read", [read_image, image_size])
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path, read: object) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "endless.jpg").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "endless.jpg"):
        with pytest.raises(UserError, match=rf"{name}: it is a pipe or a device, not a file"):
            read(tmp_path / name)  # type: ignore[operator]


def test_enormous_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large.jpg").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UserError, match="it has 1,099,511,627,776 bytes, of which at most"):
        read_image(tmp_path / "large.jpg")


def test_heic_is_read_where_its_library_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    rows, columns = np.mgrid[:64, :96]
    smooth = np.stack([rows * 3, columns * 2, rows + columns], axis=2).astype(np.uint8)
    buffer = io.BytesIO()
    heif.from_pillow(Image.fromarray(smooth)).save(buffer, quality=95)
    assert np.abs(read_image(buffer.getvalue()) - smooth.astype(int)).mean() < 4
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UserError, match=r"is a HEIC photo: pip install 'cmpc\[heic\]'"):
        image_size(buffer.getvalue())


def test_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.jpg"):
        read_image(tmp_path / "absent.jpg")
    with pytest.raises(UserError, match=r"absent\.jpg"):
        image_size(tmp_path / "absent.jpg")


def test_text_file_is_not_an_image(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_text("not a photo")
    with pytest.raises(UserError, match=r"photo\.jpg is not an image"):
        read_image(path)


def test_huge_image_is_refused_before_it_is_decoded() -> None:
    data = encode(Image.new("1", (20_000, 10_000)), "PNG")
    assert len(data) < 100_000
    with pytest.raises(UserError, match="too large"):
        read_image(data)


@pytest.mark.parametrize(
    ("longest_side", "divisor"), [(None, 1), (400, 1), (200, 2), (199, 2), (101, 2), (60, 4), (40, 8)]
)
def test_jpeg_that_is_shrunk_anyway_is_decoded_at_a_part_of_its_size(longest_side: int | None, divisor: int) -> None:
    rows, columns = np.mgrid[0:303, 0:401]
    smooth = np.stack([rows / 302 * 255, columns / 400 * 255, (rows + columns) / 702 * 255], axis=2).astype(np.uint8)
    data = encode(Image.fromarray(smooth), "JPEG", quality=95)
    decoded = decode_image(data, longest_side=longest_side)
    assert (decoded.height, decoded.width) == (303, 401)
    height, width = -(-303 // divisor), -(-401 // divisor)
    assert decoded.pixels.shape == (height, width, 3)
    averaged = np.asarray(Image.fromarray(smooth).resize((width, height), Image.Resampling.BOX))
    assert np.abs(decoded.pixels.astype(int) - averaged).max() < 8
    assert decode_image(encode(Image.fromarray(smooth), "PNG"), longest_side=longest_side).pixels.shape == (303, 401, 3)
