from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "WEBP", "TIFF", "JPEG2000", "PPM"])
def test_formats_are_read(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert read_image(encode(Image.new("RGB", (6, 4), (0, 102, 204)), kind, **options))[2, 3].tolist() == [0, 102, 204]


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
