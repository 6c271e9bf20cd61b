"""The segmenter: images in every form, expressions in every number, answers in every form."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi, RepoUrl
from huggingface_hub.utils import filter_repo_objects
from PIL import Image
from pycocotools import mask as coco_mask

import cmpc
from cmpc import Prediction, Segmenter, UsageError, UserError
from cmpc.errors import CutExpressionWarning


@pytest.fixture(scope="module")
def segmenter(tiny_model_folder: Path) -> Segmenter:
    return cmpc.load(tiny_model_folder)


def assert_same(one: Prediction, other: Prediction) -> None:
    assert one.expression == other.expression
    np.testing.assert_allclose(one.probability, other.probability, atol=1e-5)
    np.testing.assert_allclose(one.word_types, other.word_types, atol=1e-5)


def test_mask_has_the_size_of_the_photo(segmenter: Segmenter, photo: Path) -> None:
    left, frisbee = segmenter.predict(["the left man", "white frisbee"], image=photo)
    for prediction in (left, frisbee):
        assert prediction.mask.shape == (90, 140)
        assert prediction.mask.dtype == np.bool_
        assert 0 <= prediction.probability.min() <= prediction.probability.max() <= 1
    assert left.words == ("the", "left", "man")
    assert left.word_types.shape == (3, 4)
    np.testing.assert_allclose(left.word_types.sum(axis=1), 1, atol=1e-5)


def test_answering_does_not_import_the_compiler_of_pytorch(tiny_model_folder: Path, photo: Path) -> None:
    program = (
        f"import sys, cmpc; cmpc.load({str(tiny_model_folder)!r}).predict('the left man', {str(photo)!r}); "
        "assert not {'torch._dynamo', 'torch._inductor', 'sympy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_form_of_an_image_gives_the_same_answer(segmenter: Segmenter, photo: Path) -> None:
    pixels = np.asarray(Image.open(photo))
    sixteen_bit = pixels.astype(np.uint16) << 8
    transparent = np.dstack([pixels, np.full(pixels.shape[:2], 7, np.uint8)])
    forms = [str(photo), photo.read_bytes(), Image.open(photo), pixels, sixteen_bit, transparent]
    expected = segmenter.predict("the left man", image=photo)[0]
    for form in forms:
        np.testing.assert_allclose(
            segmenter.predict("the left man", image=form)[0].probability, expected.probability, atol=0.02
        )


def test_greyscale_forms_agree(segmenter: Segmenter, tmp_path: Path) -> None:
    grey = np.tile(np.arange(0, 250, 2, dtype=np.uint8), (60, 1))
    Image.fromarray(grey).save(tmp_path / "eight.png")
    Image.fromarray(grey.astype(np.uint16) * 256).save(tmp_path / "sixteen.png")
    expected = segmenter.predict("dog", image=grey)[0]
    for form in (tmp_path / "eight.png", tmp_path / "sixteen.png", Image.fromarray(grey), np.stack([grey] * 3, axis=2)):
        assert_same(segmenter.predict("dog", image=form)[0], expected)


def test_photo_is_turned_upright_as_its_exif_says(segmenter: Segmenter, photo: Path) -> None:
    upright = Image.open(photo)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to show
    turned = io.BytesIO()
    upright.rotate(90, expand=True).save(turned, format="PNG", exif=exif)
    answer = segmenter.predict("dog", image=turned.getvalue())[0]
    assert answer.mask.shape == (90, 140)
    assert_same(answer, segmenter.predict("dog", image=np.asarray(upright))[0])


def test_image_is_seen_once_for_many_expressions(segmenter: Segmenter, photo: Path) -> None:
    expected = segmenter.predict(["the left man", "dog"], image=photo)
    seen = segmenter.set_image(photo)
    assert_same(segmenter.predict("dog")[0], expected[1])
    segmenter.set_image(np.zeros((20, 30, 3), np.uint8))
    assert_same(segmenter.predict("the left man", image=seen)[0], expected[0])


def test_answer_does_not_depend_on_other_expressions_and_images(segmenter: Segmenter, photo: Path) -> None:
    many = [
        f"{word} man {'in a red shirt ' * (number % 3)}" for number, word in enumerate(["the", "left", "white"] * 4)
    ]
    other = np.random.default_rng(0).integers(0, 255, (50, 40, 3), np.uint8)
    batch = segmenter.predict_batch(["dog", many], [other, photo])
    assert_same(batch[0][0], segmenter.predict("dog", image=other)[0])
    for prediction, expression in zip(batch[1], many, strict=True):
        assert_same(prediction, segmenter.predict(expression, image=photo)[0])


def test_prediction_converts_to_what_coco_reads(segmenter: Segmenter, photo: Path) -> None:
    prediction = segmenter.predict("dog", image=photo, threshold=0.0)[0]
    rle = json.loads(json.dumps(prediction.to_dict()))["rle"]
    np.testing.assert_array_equal(coco_mask.decode(rle).astype(bool), prediction.mask)
    assert prediction.box == (0, 0, 140, 90)
    assert prediction.to_polygons() == [[0.0, 0.0, 140.0, 0.0, 140.0, 90.0, 0.0, 90.0]]
    assert not prediction.has_holes
    nothing = segmenter.predict("dog", image=photo, threshold=1.0)[0]
    assert nothing.box is None
    assert nothing.score == 0
    assert nothing.to_polygons() == []


def test_words_that_are_lost_are_named(segmenter: Segmenter, photo: Path) -> None:
    unknown, cut = segmenter.predict(["the purple zebra, left", "man " * 20 + "left of dog"], image=photo)
    assert unknown.unknown_words == ("purple", "zebra")
    assert unknown.cut_words == ()
    assert cut.unknown_words == ()
    assert cut.words == ("man",) * 20
    assert cut.to_dict()["cut_words"] == ["left", "of", "dog"]


@pytest.mark.parametrize("expressions", [["the left man"], "the left man"])
def test_image_before_the_expressions_is_refused_with_the_order(
    segmenter: Segmenter, photo: Path, expressions: str | list[str]
) -> None:
    for image in (photo, str(photo), photo.read_bytes(), Image.open(photo), segmenter.set_image(photo)):
        with pytest.raises(UsageError, match="expressions come first, then the image"):
            segmenter.predict(image, expressions)
    with pytest.raises(UsageError, match="expressions come first"):
        segmenter.predict_batch([photo], [expressions])
    assert_same(segmenter.predict("dog", photo)[0], segmenter.predict("dog", image=photo)[0])


def test_expression_may_be_the_name_of_a_photo(segmenter: Segmenter, photo: Path) -> None:
    [prediction] = segmenter.predict(str(photo), image=str(photo))
    assert prediction.expression == str(photo)


@pytest.mark.parametrize("expression", ["", "   ", ".", "\n", "?!", "📷"])
def test_expression_without_words_is_refused(segmenter: Segmenter, photo: Path, expression: str) -> None:
    with pytest.raises(UserError, match="holds no word"):
        segmenter.predict(["dog", expression], image=photo)


def test_python_is_warned_of_words_that_are_not_read(segmenter: Segmenter, photo: Path) -> None:
    with pytest.warns(CutExpressionWarning, match="reads only the first 20 words of an expression, not the last 5"):
        segmenter.predict(["dog", "man " * 25], image=photo)


def test_broken_and_missing_images_are_refused(segmenter: Segmenter, photo: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.jpg"):
        segmenter.predict("dog", image=tmp_path / "nowhere.jpg")
    with pytest.raises(UserError, match="not an image"):
        segmenter.predict("dog", image=b"these are no pixels")
    with pytest.raises(UserError, match="damaged"):
        segmenter.predict("dog", image=photo.read_bytes()[:1500])
    with pytest.raises(UserError, match="there is no image"):
        Segmenter(segmenter.model, segmenter.vocabulary).predict("dog")
    with pytest.raises(UserError, match="there is no image"):
        Segmenter(segmenter.model, segmenter.vocabulary).predict("photo.jpg")
    with pytest.raises(UserError, match=r"uint8 or uint16.*float64"):
        segmenter.predict("dog", image=np.zeros((4, 4, 3)))


TAKEN = "an image is a path, the bytes of a file, an array .* of uint8 or uint16, or a PIL image, got"


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (torch.zeros(3, 8, 8), f"{TAKEN} a value of the type torch.Tensor"),
        (bytearray(b"photo"), f"{TAKEN} a value of the type bytearray"),
        (memoryview(b"photo"), f"{TAKEN} a value of the type memoryview"),
        (io.BytesIO(b"photo"), f"{TAKEN} a value of the type _io.BytesIO"),
        (["photo.jpg"], TAKEN),
        (5, f"{TAKEN} 5"),
        ({}, TAKEN),
        (Prediction, TAKEN),
        (np.zeros((0, 8, 3), np.uint8), "an array of an image must be"),
        (np.zeros((8, 0), np.uint8), "an array of an image must be"),
        (np.zeros((8, 8, 2), np.uint8), "an array of an image must be"),
        (np.zeros((1, 8, 8, 3), np.uint8), "an array of an image must be"),
        (np.zeros((8, 8, 3), np.int64), "uint8 or uint16, got .* int64"),
        (np.zeros((8, 8), np.bool_), "uint8 or uint16, got .* bool"),
        (np.array("photo.jpg"), "an array of an image must be"),
        (Image.new("RGB", (0, 8)), "must have pixels, got one of 0 x 8"),
        (Image.new("F", (8, 8)), "8 or 16 bits"),
        ("a\0b", "cannot read the image"),
        ("", "cannot read the image"),
        (".", "cannot read the image"),
        (b"", "not an image"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_image_is_answered_with_what_is_taken(segmenter: Segmenter, image: Any, sentence: str) -> None:
    asks: list[Callable[[], object]] = [
        lambda: segmenter.predict(["dog"], image=image),
        lambda: segmenter.set_image(image),
        lambda: segmenter.predict_batch(["dog"], [image]),
        lambda: segmenter.explain("dog", image=image),
    ]
    for ask in asks:
        with pytest.raises(UserError, match=sentence):
            ask()


def test_pillow_images_that_are_cut_short_or_closed_are_refused(segmenter: Segmenter, photo: Path) -> None:
    cut = Image.open(io.BytesIO(photo.read_bytes()[:-600]))
    closed = Image.open(photo)
    closed.close()
    for image in (cut, closed):
        with pytest.raises(UserError, match="the PIL image cannot be decoded"):
            segmenter.predict("dog", image=image)


@pytest.mark.parametrize(
    "expressions",
    [None, 5, b"red", bytearray(b"red"), {"dog": 1}, {"dog"}, (word for word in ["dog"]), [None], ["dog", 5]],
)
def test_what_is_no_expression_is_answered_with_what_is_taken(
    segmenter: Segmenter, photo: Path, expressions: Any
) -> None:
    for ask in (
        lambda: segmenter.predict(expressions, image=photo),
        lambda: segmenter.predict_batch([expressions], [photo]),
        lambda: segmenter.explain(expressions, image=photo),
        lambda: segmenter.query(expressions),
    ):
        with pytest.raises(UsageError, match=r"expressions are a text|must be a text"):
            ask()


@pytest.mark.parametrize(
    "threshold", ["0.5", None, True, [0.5], np.array([0.5]), torch.tensor(0.5), float("nan"), 1.5, -0.1, 1j]
)
def test_what_is_no_threshold_is_refused(segmenter: Segmenter, photo: Path, threshold: Any) -> None:
    for ask in (
        lambda: segmenter.predict("dog", image=photo, threshold=threshold),
        lambda: segmenter.predict_batch(["dog"], [photo], threshold=threshold),
        lambda: segmenter.explain("dog", image=photo, threshold=threshold),
    ):
        with pytest.raises(UsageError, match="the threshold must be a number between 0 and 1, got"):
            ask()


@pytest.mark.parametrize("threshold", [np.float32(0.5), np.float64(0.5), np.int64(1), 1, 0])
def test_numbers_of_every_kind_are_thresholds(segmenter: Segmenter, photo: Path, threshold: Any) -> None:
    [prediction] = segmenter.predict("dog", image=photo, threshold=threshold)
    assert json.loads(json.dumps(prediction.to_dict()))["threshold"] == float(threshold)


def test_other_arguments_of_other_kinds_are_refused(segmenter: Segmenter, photo: Path, tiny_model_folder: Path) -> None:
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: segmenter.predict_batch(["dog"], photo), "images must be a list"),
        (lambda: segmenter.predict_batch(["dog"], "photo.jpg"), "images must be a list"),
        (lambda: segmenter.predict_batch("dog", [photo]), "expressions must be a list"),
        (lambda: segmenter.predict_batch(["dog", "man"], [photo]), "got 1 images and 2 lists"),
        (lambda: segmenter.explain("dog", image=photo, seen=photo), "seen is what set_image gave"),
        (lambda: Segmenter(str(tiny_model_folder), segmenter.vocabulary), "takes a network or an engine"),
        (lambda: Segmenter(segmenter.model, ["dog"]), "a Vocabulary, got a value of the type list"),
        (lambda: cmpc.load(tiny_model_folder, engine="tensorflow"), "no engine 'tensorflow': give torch, onnx or"),
        (lambda: cmpc.load(tiny_model_folder, precision="fp64"), "no precision 'fp64': give fp32, bf16 or int8"),
        (lambda: cmpc.load(tiny_model_folder, device="gpu"), "no device 'gpu' here: give auto, cpu"),
        (lambda: cmpc.load(tiny_model_folder, device=None), "no device 'None' here"),
        (lambda: cmpc.load(tiny_model_folder, device="cuda:99"), "no device 'cuda:99' here"),
        (lambda: cmpc.load(5), "a model is a folder or a name on the hub, got 5"),
        (lambda: cmpc.load(b"model"), "a model is a folder or a name on the hub, got b'model'"),
    ]
    for ask, sentence in refused:
        with pytest.raises(UserError, match=sentence):
            ask()


@pytest.mark.parametrize("expression", ["man " * 10_000, "n" * 100_000, "the left man " + "x" * 1000])
def test_texts_that_are_no_expressions_any_more_are_refused(segmenter: Segmenter, photo: Path, expression: str) -> None:
    for ask in (lambda: segmenter.predict(expression, image=photo), lambda: segmenter.explain(expression, image=photo)):
        with pytest.raises(UserError, match="letters but at most 1,000 are read: say it shorter"):
            ask()


def test_model_survives_the_hub_mixin(segmenter: Segmenter, photo: Path, tmp_path: Path) -> None:
    segmenter.save_pretrained(tmp_path / "copy")
    assert sorted(file.name for file in (tmp_path / "copy").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "vocabulary.txt",
    ]
    again = Segmenter.from_pretrained(str(tmp_path / "copy"))
    assert_same(again.predict("dog", image=photo)[0], segmenter.predict("dog", image=photo)[0])
    assert again.model.config == segmenter.model.config


def test_model_is_pushed_to_the_hub_as_a_folder(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: dict[str, set[str]] = {}

    def upload(api: HfApi, *, repo_id: str, folder_path: Path, **options: object) -> None:
        pushed[repo_id] = {file.name for file in Path(folder_path).iterdir()}

    def create(api: HfApi, repo_id: str, **options: object) -> RepoUrl:
        return RepoUrl(f"https://huggingface.co/{repo_id}")

    monkeypatch.setattr(HfApi, "create_repo", create)
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    segmenter.push_to_hub("somebody/some-model")
    assert pushed == {"somebody/some-model": {"README.md", "config.json", "model.safetensors", "vocabulary.txt"}}


def test_model_comes_from_the_hub(
    tiny_model_folder: Path, photo: Path, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model_folder, tmp_path / "stored")
    for name in ("pytorch_model.bin", "image_encoder.onnx", "image_encoder.onnx.data", "comprehension.xml"):
        (tmp_path / "stored" / name).touch()
    (tmp_path / "stored" / "example.py").touch()
    asked = []

    def give(name: str, *, allow_patterns: list[str], **options: object) -> str:
        """What the hub's library does, without the network."""
        asked.append((name, options))
        files = (file.name for file in (tmp_path / "stored").iterdir())
        (tmp_path / "given").mkdir()
        for file in filter_repo_objects(files, allow_patterns=allow_patterns):
            shutil.copy(tmp_path / "stored" / file, tmp_path / "given" / file)
        return str(tmp_path / "given")

    monkeypatch.setattr("cmpc.hub.snapshot_download", give)
    loaded = Segmenter.from_pretrained("somebody/some-model", revision="v1")
    assert asked == [("somebody/some-model", {"revision": "v1"})]
    assert_same(loaded.predict("dog", image=photo)[0], segmenter.predict("dog", image=photo)[0])
    stored, given = ({file.name for file in (tmp_path / name).iterdir()} for name in ("stored", "given"))
    assert stored - given == {"pytorch_model.bin"}


def test_cached_model_without_a_card_works_offline(tiny_model_folder: Path, photo: Path, tmp_path: Path) -> None:
    """The cache is laid out as the hub's library does it."""
    cached, commit = tmp_path / "models--somebody--some-model", "a" * 40
    shutil.copytree(tiny_model_folder, cached / "snapshots" / commit)
    (cached / "snapshots" / commit / "README.md").unlink()
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    loaded = Segmenter.from_pretrained("somebody/some-model", cache_dir=tmp_path, local_files_only=True)
    assert loaded.predict("dog", image=photo)


@pytest.mark.parametrize("path", ["C:\\models\\unc", "models\\unc", "a/b/c", "./unc", "/unc", "~/unc", "D:unc"])
def test_paths_are_not_asked_of_the_hub(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("cmpc.hub.snapshot_download")
    with pytest.raises(UserError, match="does not exist"):
        cmpc.load(path)


@pytest.mark.parametrize("name", ["", " "])
def test_empty_name_of_a_model_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="the name of the model is empty"):
        cmpc.load(name)


def test_load_takes_what_the_segmenter_takes(tiny_model_folder: Path) -> None:
    assert cmpc.load(tiny_model_folder, engine="torch", precision="bf16", device="cpu").engine.precision == "bf16"
    with pytest.raises(UserError, match="there is no device 'abacus'"):
        cmpc.load(tiny_model_folder, device="abacus")


def test_missing_and_damaged_models_are_refused(tiny_model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        cmpc.load(tmp_path / "nothing")
    with pytest.raises(UserError, match="no such folder here, and the hub could not give it"):
        cmpc.load("somebody/some-model")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is not a model folder"):
        cmpc.load(tmp_path / "empty")

    def damaged(name: str, content: bytes) -> Path:
        folder = tmp_path / f"damaged-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(tiny_model_folder, folder)
        (folder / name).write_bytes(content)
        return folder

    weights = (tiny_model_folder / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match="is damaged"):
        cmpc.load(damaged("model.safetensors", weights[: len(weights) // 2]))
    with pytest.raises(UserError, match="not the configuration"):
        cmpc.load(damaged("config.json", b"{"))
    with pytest.raises(UserError, match="do not belong together"):
        cmpc.load(damaged("vocabulary.txt", b"<pad>\n<unk>\nman\n"))
    config = json.loads((tiny_model_folder / "config.json").read_text())
    config["model"]["network"]["exchange_rounds"] = 1
    with pytest.raises(UserError, match="other weights than its configuration says"):
        cmpc.load(damaged("config.json", json.dumps(config).encode()))
    config["format_version"] = 99
    with pytest.raises(UserError, match="newer version"):
        cmpc.load(damaged("config.json", json.dumps(config).encode()))
