"""The field of FiftyOne's samples: against a stand-in of what is used of the package, and the package where it is."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cmpc
from cmpc import Segmenter, UsageError, UserError
from cmpc.integrations.fiftyone import add_masks, to_detections

PAGE = Path(__file__).parents[2] / "docs" / "fiftyone.md"
EXPRESSIONS = {"person": "the left man", "dog": "dog on right"}


class Samples(list):
    """A dataset that remembers whether changes are saved."""

    media_type = "image"
    is_saved = False

    def iter_samples(self, *, autosave: bool = False) -> Iterator[Any]:
        yield from self
        self.is_saved = autosave


class Sample(dict):
    """A sample with a file and fields."""

    def __init__(self, filepath: Path) -> None:
        self.filepath = str(filepath)
        self.has_field = self.__contains__


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is used of the package: two classes that hold what they are given."""
    module = ModuleType("fiftyone")
    module.Detection = module.Detections = SimpleNamespace
    monkeypatch.setitem(sys.modules, "fiftyone", module)


@pytest.fixture
def segmenter(tiny_model_folder: Path) -> Segmenter:
    return cmpc.load(tiny_model_folder)


@pytest.fixture
def level(segmenter: Segmenter, photo: Path) -> float:
    """A threshold at which the first expression has a third of the photo."""
    return float(np.quantile(segmenter.predict("the left man", image=photo)[0].probability, 0.67))


def whole(detection: Any, height: int, width: int) -> np.ndarray:
    """The mask of a detection in its photo."""
    x, y, across, down = detection.bounding_box
    mask = np.zeros((height, width), bool)
    left, top = round(x * width), round(y * height)
    mask[top : top + round(down * height), left : left + round(across * width)] = detection.mask
    return mask


def check_field(field: Any, segmenter: Segmenter, photo: Path, level: float) -> None:
    expected = segmenter.predict(list(EXPRESSIONS.values()), image=photo, threshold=level)
    found = dict(zip(EXPRESSIONS, expected, strict=True))
    assert expected[0].box is not None
    assert [one.label for one in field.detections] == [name for name, one in found.items() if one.box is not None]
    for detection in field.detections:
        wanted = found[detection.label]
        assert detection.expression == wanted.expression
        assert detection.confidence == pytest.approx(wanted.score)
        assert all(0 <= part <= 1 for part in detection.bounding_box)
        np.testing.assert_array_equal(whole(detection, *wanted.mask.shape), wanted.mask)


def test_samples_get_masks_of_each_expression(stand_in: None, segmenter: Segmenter, photo: Path, level: float) -> None:
    samples = Samples([Sample(photo)])
    assert add_masks(samples, segmenter, EXPRESSIONS, field="found", threshold=level) == {}
    check_field(samples[0]["found"], segmenter, photo, level)
    assert samples.is_saved


def test_broken_photo_does_not_stop_the_others(
    stand_in: None, segmenter: Segmenter, photo: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    samples = Samples([Sample(broken), Sample(photo)])
    samples[0]["cmpc"] = "an earlier answer"
    told = add_masks(samples, segmenter, "the left man", threshold=0.0)
    assert list(told) == [str(broken)]
    assert "not an image" in told[str(broken)]
    assert samples[0]["cmpc"] is None
    [detection] = samples[1]["cmpc"].detections
    assert (detection.label, detection.bounding_box) == ("the left man", [0, 0, 1, 1])


def test_nothing_found_is_no_detection(stand_in: None, segmenter: Segmenter, photo: Path) -> None:
    assert to_detections(segmenter.predict(["dog", "the left man"], image=photo, threshold=1.0)).detections == []


def test_mistakes_are_told_before_anything_is_changed(
    stand_in: None, segmenter: Segmenter, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = Samples([Sample(photo)])
    for expressions, error, told in [
        ([], UsageError, "say what to look for"),
        ({"dog": "?"}, UserError, "holds no word"),
        ({"dog": 3}, UsageError, "must be a text"),
        (7, UsageError, "expressions are a text"),
    ]:
        with pytest.raises(error, match=told):
            add_masks(samples, segmenter, expressions)
    with pytest.raises(UsageError, match="between 0 and 1"):
        add_masks(samples, segmenter, "dog", threshold=2)
    samples.media_type = "video"
    with pytest.raises(UsageError, match="of the kind 'video'"):
        add_masks(samples, segmenter, "dog")
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(UserError, match="pip install fiftyone"):
        add_masks(samples, segmenter, "dog")
    assert not samples[0]


def test_documented_program_runs(
    stand_in: None, segmenter: Segmenter, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, shown = Samples([Sample(photo)]), []
    monkeypatch.setattr(sys.modules["fiftyone"], "load_dataset", {"street": samples}.get, raising=False)
    monkeypatch.setattr(sys.modules["fiftyone"], "launch_app", shown.append, raising=False)
    monkeypatch.setattr(cmpc, "load", lambda: segmenter)
    [program] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(program, {})
    assert shown == [samples]
    assert samples[0]["cmpc"] is not None


@pytest.fixture
def fiftyone() -> Any:
    return pytest.importorskip("fiftyone", reason="it is large and brings a database: pip install fiftyone")


def test_samples_of_the_package_itself(fiftyone: Any, segmenter: Segmenter, photo: Path, level: float) -> None:
    samples = Samples([fiftyone.Sample(filepath=str(photo))])
    assert add_masks(samples, segmenter, EXPRESSIONS, field="found", threshold=level) == {}
    assert isinstance(samples[0].found, fiftyone.Detections)
    check_field(fiftyone.Sample.from_dict(samples[0].to_dict()).found, segmenter, photo, level)


def test_dataset_of_the_package_itself(
    fiftyone: Any, segmenter: Segmenter, photo: Path, level: float, tmp_path: Path
) -> None:
    try:
        dataset = fiftyone.Dataset(persistent=False)
    except Exception as error:  # of the package's own kinds
        pytest.skip(f"the package finds no database: {error}")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no photo")
    try:
        dataset.add_samples([fiftyone.Sample(filepath=str(path)) for path in (broken, photo)])
        assert list(add_masks(dataset, segmenter, EXPRESSIONS, field="found", threshold=level)) == [str(broken)]
        dataset.reload()
        assert dataset.first().found is None
        check_field(dataset.last().found, segmenter, photo, level)
        assert dataset.get_field("found").document_type is fiftyone.Detections
        assert add_masks(dataset.limit(1), segmenter, EXPRESSIONS, field="found").keys() == {str(broken)}
        assert dataset.count("found") == 1
    finally:
        dataset.delete()
