"""What is answered where nothing fits, and what the parts of a mask are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from answers.conftest import SIDE, known_masks
from cmpc import Prediction, Segmenter, UsageError
from cmpc.cli import main
from cmpc.web import texts

MASKS = known_masks()


@pytest.fixture
def segment(telling: Segmenter, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``cmpc segment`` with a model that tells whether anything fits."""
    monkeypatch.setattr(Segmenter, "load", lambda *_, **__: telling)
    return lambda *arguments: main(["segment", *map(str, arguments)])


def masked(scripted: Segmenter, mask: np.ndarray) -> Prediction:
    """A prediction of another mask, a pixel of the photo being one of the network's square."""
    [prediction] = scripted.predict("man", image=np.zeros((SIDE, SIDE, 3), np.uint8))
    return replace(prediction, logits=np.where(mask, 6.0, -6.0).astype(np.float32))


def test_mask_is_empty_where_nothing_fits(telling: Segmenter, photos: Path) -> None:
    man, dog = telling.predict(["man", "dog"], image=photos / "first.jpg")
    assert (man.present, dog.present) == (pytest.approx(0.95, abs=1e-3), pytest.approx(0.05, abs=1e-3))
    assert (man.is_absent, dog.is_absent) == (False, True)
    np.testing.assert_array_equal(man.mask, MASKS["man"])
    assert not dog.mask.any()
    assert (dog.area, dog.score, dog.box, dog.instances) == (0, 0.0, None, ())
    assert dog.to_polygons() == []
    assert dog.crop(photos / "first.jpg") is None
    assert dog.refined(photos / "first.jpg", "guided").area == 0
    told = json.loads(json.dumps(dog.to_dict()))
    assert (told["present"], told["box"], told["instances"]) == (pytest.approx(0.05, abs=1e-3), None, [])


def test_threshold_says_from_when_on_something_fits(telling: Segmenter, photos: Path) -> None:
    photo = photos / "first.jpg"
    for threshold, absent in ((0.0, [False, False]), (0.5, [False, True]), (0.99, [True, True])):
        found = telling.predict(["man", "dog"], image=photo, presence_threshold=threshold)
        [batch] = telling.predict_batch([["man", "dog"]], [photo], presence_threshold=threshold)
        for predictions in (found, batch):
            assert [prediction.is_absent for prediction in predictions] == absent
            assert [not prediction.mask.any() for prediction in predictions] == absent
    for wrong in (-0.1, 1.1, "high", float("nan")):
        with pytest.raises(UsageError, match="the presence threshold must be a number between 0 and 1"):
            telling.predict("dog", image=photo, presence_threshold=wrong)


def test_networks_that_do_not_tell_answer_as_ever(scripted: Segmenter, photos: Path) -> None:
    [man] = scripted.predict("man", image=photos / "first.jpg", presence_threshold=1.0)
    assert man.present is None
    assert not man.is_absent
    np.testing.assert_array_equal(man.mask, MASKS["man"])
    assert man.to_dict()["present"] is None


def test_parts_of_a_mask_are_instances(scripted: Segmenter, photos: Path) -> None:
    [frisbee] = scripted.predict("frisbee", image=photos / "first.jpg")
    assert [instance.box for instance in frisbee.instances] == [(40, 30, 20, 20), (5, 30, 15, 20)]  # the largest first
    assert [instance.area for instance in frisbee.instances] == [400, 300]
    np.testing.assert_array_equal(sum(instance.mask.astype(int) for instance in frisbee.instances), MASKS["frisbee"])
    for instance, told in zip(frisbee.instances, frisbee.to_dict()["instances"], strict=True):
        np.testing.assert_array_equal(coco_mask.decode(told["rle"]), instance.mask)
        assert told["box"] == list(instance.box)
        assert told["score"] == pytest.approx(1 / (1 + np.exp(-6)), abs=1e-4)
        filled = coco_mask.decode(coco_mask.frPyObjects(instance.to_polygons(), SIDE, SIDE))[..., 0]
        np.testing.assert_array_equal(filled, instance.mask)


def test_score_of_an_instance_is_of_its_own_pixels(scripted: Segmenter) -> None:
    prediction = masked(scripted, MASKS["frisbee"])
    logits = prediction.logits.copy()
    logits[30:50, 40:60] = 1.0
    large, small = replace(prediction, logits=logits).instances
    assert large.score == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-4)
    assert small.score == pytest.approx(1 / (1 + np.exp(-6)), abs=1e-4)


def test_what_touches_at_a_corner_is_one_and_specks_are_none(scripted: Segmenter) -> None:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[10:20, 10:20] = mask[20:30, 20:30] = True
    mask[50, 50] = True  # less than a fiftieth of the rest
    mask[40:42, 2:5] = True  # more
    instances = masked(scripted, mask).instances
    assert [instance.box for instance in instances] == [(10, 10, 20, 20), (2, 40, 3, 2)]
    [all_of_it] = replace(masked(scripted, mask), threshold=0.0).instances
    assert all_of_it.mask.all()


def test_objects_of_the_network_are_the_instances(scripted: Segmenter) -> None:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[10:30, 4:28] = mask[10:30, 32:60] = True  # two parts, of which a pole cuts the second from itself
    mask[10:30, 28:30] = True
    shares = np.zeros((4, 8, 8), np.float32)
    shares[1, :, :2] = 0.8  # the first thing
    shares[2, :, 2:] = 0.9  # the second
    shares[3, 7, 7] = 1.0  # one beside the mask
    shares[0, 1, 0] = 0.1  # hardly anything of another one
    prediction = replace(masked(scripted, mask), belonging=shares)
    second, first = prediction.instances
    assert second.box == (16, 10, 44, 20)
    assert first.box == (4, 10, 12, 20)
    assert (second.area, first.area) == ((12 + 2 + 28) * 20, 12 * 20)
    shares[1] = 0  # it knows of one thing only: then the parts are what hangs together
    assert [instance.box for instance in prediction.instances] == [(16, 10, 44, 20), (4, 10, 12, 20)]
    [large, small] = replace(prediction, belonging=shares).instances
    assert (large.box, small.box) == ((32, 10, 28, 20), (4, 10, 26, 20))


def test_every_photo_has_its_own_objects(photos: Path) -> None:
    segmenter = Segmenter.load("photos")
    first, second = (segmenter.predict("person", image=photos / name)[0] for name in ("first.jpg", "second.png"))
    assert first.belonging is not None
    assert second.belonging is not None
    assert first.belonging.shape[1:] == segmenter.config.grid
    assert not np.array_equal(first.belonging, second.belonging)


def test_command_says_that_nothing_fits(
    photos: Path, segment: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert segment(photos / "first.jpg", "the dinosaur", "man", "--out", out) == 0
    told = capsys.readouterr().err
    assert "nothing in the photo fits 'the dinosaur' (probability that something does: 0.05)" in told
    assert "'man': score 1.00" in told
    assert "The model does not know 'dinosaur' and answers 'the dinosaur' without." in told
    dinosaur, man = json.loads((out / "first.json").read_text())["predictions"]
    assert (dinosaur["present"], man["present"]) == (pytest.approx(0.05, abs=1e-3), pytest.approx(0.95, abs=1e-3))
    assert (dinosaur["area"], dinosaur["instances"], len(man["instances"])) == (0, [], 1)
    assert not np.asarray(Image.open(out / dinosaur["mask"])).any()

    options = ("--presence-threshold", "0", "--out", tmp_path / "off")
    assert segment(photos / "first.jpg", "the dinosaur", *options) == 0
    assert "nothing in the photo fits" not in capsys.readouterr().err
    assert json.loads((tmp_path / "off" / "first.json").read_text())["predictions"][0]["area"] == SIDE * SIDE


@pytest.mark.parametrize("value", ["-0.1", "1.5", "nan"])
def test_threshold_that_is_no_probability_is_refused(
    value: str, photos: Path, segment: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (f"--presence-threshold={value}", "--out", tmp_path / "out")
    assert segment(photos / "first.jpg", "dog", *options) == 2
    assert "--presence-threshold must" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_formats_hold_no_object_where_nothing_fits(photos: Path, segment: Callable[..., int], tmp_path: Path) -> None:
    def written(format: str) -> Path:
        out = tmp_path / format
        assert segment(photos / "first.jpg", "dog", "--format", format, "--out", out) == 0
        return out

    coco = json.loads((written("coco") / "coco_dataset.json").read_text())
    assert (len(coco["images"]), coco["annotations"]) == (1, [])
    assert (written("yolo") / "labels" / "first.txt").read_text() == ""
    assert json.loads((written("labelme") / "first.json").read_text())["shapes"] == []
    assert not np.asarray(Image.open(written("png") / "first.indexed.png")).any()
    [line] = (written("jsonl") / "results.jsonl").read_text().splitlines()
    assert json.loads(line)["present"] == pytest.approx(0.05, abs=1e-3)


def test_each_instance_is_an_object_on_request(photos: Path, segment: Callable[..., int], tmp_path: Path) -> None:
    def written(format: str, *options: str) -> Path:
        out = tmp_path / f"{format}{len(options)}"
        asked = (photos / "first.jpg", "frisbee", "man", "--instances", "--format", format, *options, "--out", out)
        assert segment(*asked) == 0
        return out

    for options in ((), ("--polygons",)):
        out = written("coco", *options)
        dataset = json.loads((out / "coco_dataset.json").read_text())
        frisbees = [one for one in dataset["annotations"] if one["category_id"] == 1]
        assert [one["bbox"] for one in frisbees] == [[40, 30, 20, 20], [5, 30, 15, 20]]
        assert [one["area"] for one in frisbees] == [400, 300]
        assert [isinstance(one["segmentation"], list) for one in frisbees] == [bool(options)] * 2
        assert len(json.loads((out / "coco_results.json").read_text())) == 3
        if options:
            assert frisbees[1]["segmentation"] == [[5.0, 30.0, 20.0, 30.0, 20.0, 50.0, 5.0, 50.0]]
    lines = (written("yolo") / "labels" / "first.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "0", "1"]
    shapes = json.loads((written("labelme") / "first.json").read_text())["shapes"]
    assert [(shape["label"], shape["group_id"]) for shape in shapes] == [("frisbee", 0), ("frisbee", 1), ("man", 2)]


@pytest.mark.parametrize("format", ["files", "png", "jsonl"])
def test_instances_are_refused_where_a_format_has_no_place_for_them(
    format: str, photos: Path, segment: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--instances", "--format", format, "--out", tmp_path / "out")
    assert segment(photos / "first.jpg", "frisbee", *options) == 2
    assert "--instances goes with --format coco, yolo or labelme" in capsys.readouterr().err


def test_page_says_it_in_the_legend_and_shows_markup_as_text(telling: Segmenter, photos: Path) -> None:
    predictions = telling.predict(["man", "<b>dog</b>"], image=photos / "first.jpg")
    legend = texts.legend(predictions)
    assert "nothing in the photo fits “&lt;b&gt;dog&lt;/b&gt;”" in legend
    assert "<b>" not in legend
    assert "score 1.00" in legend
    assert "Found 1 of 2." in texts.found(predictions)
    alone = texts.found(predictions[1:])
    assert "Nothing in the photo fits “&lt;b&gt;dog&lt;/b&gt;”." in alone
    assert "nothing in the photo fits" in texts.picture_in_words(predictions[1:])


def test_pictures_and_notebooks_say_it(telling: Segmenter, photos: Path) -> None:
    man, dog = telling.predict(["man", "dog"], image=photos / "first.jpg")
    assert man.caption == "man (1.00)"
    assert dog.caption == "nothing in the photo fits 'dog'"
    assert "dog (nothing in the photo fits)" in dog._repr_html_()
    plain = dog.draw(photos / "first.jpg")
    assert dog.draw(photos / "first.jpg", legend=True).height > plain.height
    np.testing.assert_array_equal(np.asarray(plain), np.asarray(Image.open(photos / "first.jpg")))
