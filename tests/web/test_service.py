"""What stands behind the page, without a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cmpc.errors import UserError
from cmpc.segmenter import Segmenter
from cmpc.web import texts
from cmpc.web.limits import Deadline, Limits, WaitingLine
from cmpc.web.models import Models
from cmpc.web.service import PICTURE_SIDE, Service
from cmpc.web.stages import STAGE_NAMES
from web.conftest import scene


def count_calls(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[str]:
    """A list that grows by one whenever the method is called."""
    calls: list[str] = []
    method: Callable[..., Any] = getattr(owner, name)

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(name)
        return method(*arguments, **options)

    monkeypatch.setattr(owner, name, counted)
    return calls


def test_answers_are_those_of_the_segmenter(service: Service, scenes: list[Path], tiny_model_folder: Path) -> None:
    answer = service.segment(scenes[0], " the left man \n\nwhite frisbee\nthe left man", threshold=0.55)
    expected = Segmenter.load(tiny_model_folder).predict(
        ["the left man", "white frisbee"], image=scenes[0], threshold=0.55
    )
    assert [one.expression for one in answer.predictions] == ["the left man", "white frisbee"]
    for found, wanted in zip(answer.predictions, expected, strict=True):
        np.testing.assert_allclose(found.probability, wanted.probability, atol=1e-6)
        assert found.threshold == 0.55


def test_edges_are_sharpened_on_request_without_asking_the_network_again(
    service: Service, scenes: list[Path], tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [plain] = service.segment(scenes[0], "the left man", threshold=0.45).predictions
    asked = count_calls(monkeypatch, service.models.load("tiny").engine, "comprehend")
    [found] = service.segment(scenes[0], "the left man", threshold=0.45, refine="guided").predictions
    model = Segmenter.load(tiny_model_folder)
    [expected] = model.predict("the left man", image=scenes[0], threshold=0.45, refine="guided")
    np.testing.assert_array_equal(found.mask, expected.mask)
    assert (found.mask != plain.mask).any()
    assert not asked


def test_photo_is_seen_once_and_another_threshold_needs_no_network(
    service: Service, scenes: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = service.models.load("tiny").engine
    seen, asked = count_calls(monkeypatch, engine, "encode_image"), count_calls(monkeypatch, engine, "comprehend")
    assert service.see(scenes[0]) == (120, 160)
    service.segment(scenes[0], "the left man")
    service.segment(scenes[0], "the left man\nwhite frisbee")
    service.segment(scenes[0], "white frisbee\nthe left man", threshold=0.3)
    assert (len(seen), len(asked)) == (1, 2)


def test_same_photo_under_another_name_is_known(
    service: Service, scenes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.see(scenes[0])
    copy = tmp_path / "copy.png"
    copy.write_bytes(scenes[0].read_bytes())
    seen = count_calls(monkeypatch, service.models.load("tiny").engine, "encode_image")
    service.segment(copy, "the left man")
    service.segment(scenes[1], "the left man")
    assert len(seen) == 1


def test_little_memory_changes_no_answer(scenes: list[Path], tiny_model_folder: Path, service: Service) -> None:
    small = Service(Models({"tiny": tiny_model_folder}), Limits(memory_megabytes=1))
    for file in (*scenes, *scenes):
        for expressions in ("the left man", "white frisbee\ndog on right"):
            found, wanted = small.segment(file, expressions), service.segment(file, expressions)
            for one, other in zip(found.predictions, wanted.predictions, strict=True):
                np.testing.assert_array_equal(one.mask, other.mask)


def test_picture_of_a_large_photo_is_small_and_its_masks_are_not(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "large.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (500, 2000, 3), np.uint8)).save(file)
    answer = service.segment(file, "the left man")
    assert answer.picture.shape == (PICTURE_SIDE // 4, PICTURE_SIDE, 3)
    assert answer.predictions[0].mask.shape == (500, 2000)


def test_masks_are_found_under_a_pixel_of_the_small_picture(service: Service, tmp_path: Path) -> None:
    photo = tmp_path / "large.png"
    Image.fromarray(scene(3, 1500, 2000)).save(photo)
    expressions = "the left man\nwhite frisbee"
    level = float(np.median(service.segment(photo, "the left man").predictions[0].probability))
    answer = service.segment(photo, expressions, threshold=level)
    height, width = answer.picture.shape[:2]
    found = [answer.at(x, y) for y in range(0, height, 60) for x in range(0, width, 60)]
    rows, columns = np.arange(0, height, 60) * 1500 // height, np.arange(0, width, 60) * 2000 // width
    masks = [one.mask[np.ix_(rows, columns)].ravel() for one in answer.predictions]
    assert found == [[number for number in (0, 1) if masks[number][place]] for place in range(len(found))]
    assert 0.2 < np.mean([0 in numbers for numbers in found]) < 0.8
    for x, y in [(-1, 0), (0, -1), (width, 0), (0, height)]:
        assert answer.at(x, y) == []


def test_photo_is_turned_upright(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "turned.jpg"
    image = Image.new("RGB", (60, 40), "red")
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    image.save(file, exif=exif)
    assert service.see(file) == (60, 40)


def test_stages_are_drawn_for_one_expression(
    service: Service, scenes: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = service.explain(scenes[0], "the left man")
    assert tuple(stage.name for stage in stages) == STAGE_NAMES
    for stage in stages:
        assert stage.picture.dtype == np.uint8
        assert stage.picture.ndim == 3
        assert "the left man" in stage.description
    asked = count_calls(monkeypatch, service.models.load("tiny").engine, "comprehend")
    assert service.explain(scenes[0], "the left man") is stages
    assert not asked


def test_words_that_are_lost_are_named(service: Service, scenes: list[Path]) -> None:
    message = texts.found(service.segment(scenes[0], "the purple man\n" + "man " * 21).predictions)
    assert "The model does not know “purple” and answers without." in message
    assert f"The model reads only the first 20 words of “{('man ' * 21).strip()}”." in message


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (" \n ", "say what to look for"),
        ("\n".join(f"man {number}" for number in range(9)), "these are 9 expressions but at most 8"),
        ("man\n" + "m" * 201, "expression 2 has 201 characters but at most 200"),
    ],
)
def test_expressions_beyond_the_limits_are_refused(
    service: Service, scenes: list[Path], text: str, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        service.segment(scenes[0], text)


def test_photos_beyond_the_limits_are_refused(tiny_model_folder: Path, tmp_path: Path) -> None:
    service = Service(Models({"tiny": tiny_model_folder}), Limits(file_megabytes=1, megapixels=1))
    file = tmp_path / "file"
    Image.new("RGB", (1001, 1000)).save(file, "png")
    with pytest.raises(UserError, match="1,001 x 1,000 pixels but at most 1 megapixels"):
        service.see(file)
    file.write_bytes(bytes(1_200_000))
    with pytest.raises(UserError, match=r"1\.2 MB but at most 1 MB"):
        service.see(file)


@pytest.mark.parametrize(
    "content", [b"", b"no photo", b"\x89PNG\r\n\x1a\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>"]
)
def test_files_that_are_no_photos_are_refused(service: Service, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "photo.png"
    file.write_bytes(content)
    with pytest.raises(UserError, match="the file you gave is not an image"):
        service.see(file)


def test_photo_that_is_cut_short_is_refused(service: Service, photo: Path) -> None:
    photo.write_bytes(photo.read_bytes()[:-600])
    with pytest.raises(UserError, match="the image you gave is damaged"):
        service.see(photo)


def test_threshold_outside_its_range_is_refused(service: Service, scenes: list[Path]) -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        service.segment(scenes[0], "man", threshold=1.5)


def test_unknown_model_is_refused_with_the_names_of_the_others(service: Service, scenes: list[Path]) -> None:
    with pytest.raises(UserError, match="no model 'huge' here: the models are tiny"):
        service.segment(scenes[0], "man", model="huge")


def test_work_that_takes_too_long_is_stopped(
    service: Service, scenes: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("cmpc.web.limits.time", SimpleNamespace(monotonic=lambda: clock[0]))
    segmenter = service.models.load("tiny")
    see = segmenter.set_image

    def slow(image: Any) -> Any:
        clock[0] += 601
        return see(image)

    monkeypatch.setattr(segmenter, "set_image", slow)
    with pytest.raises(UserError, match="longer than 600 seconds"):
        service.segment(scenes[0], "man")
    assert service.segment(scenes[0], "man").predictions  # what was seen until then is kept


def test_full_line_sends_visitors_away() -> None:
    line, inside, leave = WaitingLine(places=1), threading.Event(), threading.Event()

    def hold() -> None:
        with line.turn(Deadline(60)):
            inside.set()
            leave.wait()

    def wait() -> None:
        with line.turn(Deadline(60)):
            pass

    threads = [threading.Thread(target=hold), threading.Thread(target=wait)]
    threads[0].start()
    inside.wait()
    threads[1].start()
    while line.waiting < 1:
        time.sleep(0.001)
    with pytest.raises(UserError, match="others wait already"), line.turn(Deadline(60)):
        pass
    leave.set()
    for thread in threads:
        thread.join()
    with line.turn(Deadline(60)):
        assert line.waiting == 0


def test_visitor_who_waits_too_long_is_sent_away() -> None:
    line = WaitingLine(places=3)
    with line.turn(Deadline(60)), pytest.raises(UserError, match="no turn came"), line.turn(Deadline(0)):
        pass


def test_visitors_at_once_get_their_own_answers(service: Service, scenes: list[Path], tiny_model_folder: Path) -> None:
    segmenter = Segmenter.load(tiny_model_folder)
    found: dict[tuple[int, str], np.ndarray] = {}

    def visit(number: int, expression: str) -> None:
        found[number, expression] = service.segment(scenes[number], expression).predictions[0].mask

    wanted = [(number, expression) for number in (0, 1) for expression in ("the left man", "white dog")]
    threads = [threading.Thread(target=visit, args=one) for one in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, expression in wanted:
        expected = segmenter.predict(expression, image=scenes[number])[0].mask
        np.testing.assert_array_equal(found[number, expression], expected)
