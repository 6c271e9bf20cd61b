"""Running a network over a split."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cmpc.data.images import read_image
from cmpc.data.pixels import PixelNormalisation
from cmpc.data.schema import PreparedDataset
from cmpc.data.transforms import letterbox_image, letterbox_mask
from cmpc.data.vocabulary import Vocabulary
from cmpc.engines.engine import Answers, Features
from cmpc.engines.torch_engine import TorchEngine
from cmpc.errors import UsageError, UserError
from cmpc.evaluation.evaluate import evaluate
from cmpc.evaluation.journal import Journal
from cmpc.evaluation.metrics import Overlap
from cmpc.models.config import preset
from evaluation.toy import ScriptedEngine, prepared, referred_object

REFERENCE = np.load(Path(__file__).parent / "fixtures/preprocess.npz")

CHAIN = {
    "image/200x150": "200x150_tri",
    "image/100x700": "100x700_ellipse",
    "image/427x640": "427x640_tri",
    "grey/333x500": "333x500_ellipse",
}
"""Photos of the reference with a mask of the same size."""


def unpack(key: str, height: int, width: int) -> np.ndarray:
    return np.unpackbits(REFERENCE[key])[: height * width].reshape(height, width).astype(bool)


def test_chain_from_photo_files_to_metrics_equals_the_original(tmp_path: Path) -> None:
    """Photo -> letterbox -> (given logits) -> threshold -> crop -> counts, each link against the original's numbers."""
    photos, rows, expected = {}, [], []
    for name, mask_name in CHAIN.items():
        size = name.split("/")[1]
        height, width = map(int, size.split("x"))
        photos[size] = read_image(REFERENCE[f"{name}/in"].tobytes())
        mask = unpack(f"mask/{mask_name}/in", height, width)
        crop = unpack(f"crop/{size}", height, width)
        rows.append(referred_object(size, size, mask, ["man"]))
        expected.append(Overlap(int((crop & mask).sum()), int((crop | mask).sum())))
    dataset = prepared(tmp_path, photos, {"val": rows})
    vocabulary = Vocabulary.from_expressions(["man"])
    logits = np.where(unpack("prediction", 320, 320), np.float32(0.1), np.float32(-0.1))
    model = ScriptedEngine(preset("paper"), lambda image, words: logits)

    evaluation = evaluate(model, vocabulary, dataset, "val", protocol="paper", batch_images=3)

    for name, shown in zip(CHAIN, model.images, strict=True):
        square = read_image(REFERENCE[f"{name}/out"].tobytes())
        reference = PixelNormalisation(model.config.image)(torch.from_numpy(square[None]))[0]
        difference = (shown - reference).abs()
        assert difference.max() <= 1.001
        assert (difference > 0.5).float().mean() <= 0.008
    assert [result.without_crf for result in evaluation.results] == expected
    total = evaluation.table().all
    intersection, union = (sum(counts) for counts in zip(*expected, strict=True))
    assert total.overall_iou == pytest.approx(intersection / union, abs=1e-15)
    assert total.mean_iou == pytest.approx(np.mean([i / u for i, u in expected]), abs=1e-15)


def test_each_expression_is_asked_about_its_own_image_and_compared_with_its_own_mask(
    dataset: PreparedDataset, vocabulary: Vocabulary, tiny_engine: TorchEngine
) -> None:
    """The scripted network paints the true mask of the expression that it is asked for."""
    rows = dataset.read("val")
    config = tiny_engine.config
    truth = {}
    for row in rows:
        square = letterbox_image(dataset.read_image(row), 64, "area")
        image = PixelNormalisation(config.image)(torch.from_numpy(square[None]))[0]
        for expression in row.expressions:
            words = tuple(vocabulary.encode(expression, config.text.max_words) or [vocabulary.unknown_id])
            truth[words] = (image, letterbox_mask(row.decode_mask(), 64, "area"))

    def answer(image: torch.Tensor, words: list[int]) -> np.ndarray:
        expected_image, mask = truth[tuple(words)]
        return np.where(mask & torch.equal(image, expected_image), 1.0, -1.0)

    evaluation = evaluate(ScriptedEngine(config, answer), vocabulary, dataset, "val", batch_images=2)

    assert [sample.number for sample in evaluation.samples] == list(range(11))
    assert [sample.expression for sample in evaluation.samples] == [e for row in rows for e in row.expressions]
    assert all(result.without_crf.iou > 0.85 for result in evaluation.results)
    assert [result.number for result in evaluation.results] == list(range(11))


@pytest.mark.parametrize("batch_images", [1, 2, 8])
def test_results_do_not_depend_on_the_batches(
    batch_images: int,
    tiny_engine: TorchEngine,
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
) -> None:
    expected = evaluate(tiny_engine, vocabulary, dataset, "val")
    result = evaluate(tiny_engine, vocabulary, dataset, "val", batch_images=batch_images)
    pixels = np.array([[*a.without_crf, *b.without_crf] for a, b in zip(expected.results, result.results, strict=True)])
    assert np.abs(pixels[:, :2] - pixels[:, 2:]).max() <= 2  # rounding may move a pixel that is on the edge


def test_an_image_is_seen_once_however_many_expressions_it_has(
    dataset: PreparedDataset, vocabulary: Vocabulary, tiny_engine: TorchEngine
) -> None:
    config = tiny_engine.config
    model = ScriptedEngine(config, lambda image, words: np.zeros((64, 64)))
    evaluate(model, vocabulary, dataset, "val", batch_images=2)
    assert len(model.images) == 3
    assert model.asked == [5, 5, 1]  # all expressions of an image; what is computed together is the engine's choice


def test_an_expression_without_words_is_asked_for_as_one_unknown_word(
    dataset: PreparedDataset, vocabulary: Vocabulary, tiny_engine: TorchEngine
) -> None:
    asked = []
    config = tiny_engine.config
    model = ScriptedEngine(config, lambda image, words: asked.append(words) or np.zeros((64, 64)))
    evaluate(model, vocabulary, dataset, "val")
    assert [vocabulary.unknown_id] in asked
    assert [] not in asked


def test_limit_takes_the_first_images_with_all_their_expressions(
    tiny_engine: TorchEngine, vocabulary: Vocabulary, dataset: PreparedDataset
) -> None:
    evaluation = evaluate(tiny_engine, vocabulary, dataset, "val", limit=1)
    assert (evaluation.images, evaluation.images_in_split) == (1, 3)
    assert [sample.number for sample in evaluation.samples] == [0, 1, 4, 5, 6]
    assert evaluate(tiny_engine, vocabulary, dataset, "val", limit=100).images == 3


def test_resumed_evaluation_equals_an_uninterrupted_one_and_asks_only_for_the_rest(
    tmp_path: Path,
    tiny_engine: TorchEngine,
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = evaluate(tiny_engine, vocabulary, dataset, "val", batch_images=1)
    identity = {"model": "m"}

    class Interrupted(Exception):
        pass

    def interrupt(done: int, total: int) -> None:
        if done == 7:
            raise Interrupted

    first = Journal(tmp_path / "out", identity, resume=False)
    with pytest.raises(Interrupted):
        evaluate(
            tiny_engine,
            vocabulary,
            dataset,
            "val",
            batch_images=1,
            journal=first,
            advance=interrupt,
        )
    first.close()

    seen: list[int] = []
    comprehend = tiny_engine.comprehend

    def counted(features: Features, tokens: np.ndarray) -> Answers:
        seen.append(len(tokens))
        return comprehend(features, tokens)

    monkeypatch.setattr(tiny_engine, "comprehend", counted)
    second = Journal(tmp_path / "out", identity, resume=True)
    progress: list[tuple[int, int]] = []
    resumed = evaluate(
        tiny_engine,
        vocabulary,
        dataset,
        "val",
        batch_images=1,
        journal=second,
        advance=lambda *numbers: progress.append(numbers),
    )
    assert progress[0] == (7, 11)
    assert progress[-1] == (11, 11)
    assert sum(seen) == 4
    assert resumed.results == whole.results


def test_missing_photo_stops_with_its_name_and_keeps_what_was_done(
    tmp_path: Path, tiny_engine: TorchEngine, vocabulary: Vocabulary, dataset: PreparedDataset
) -> None:
    (dataset.image_folder / "c").unlink()
    journal = Journal(tmp_path / "out", {}, resume=False)
    with pytest.raises(UserError, match="/c"):
        evaluate(tiny_engine, vocabulary, dataset, "val", batch_images=1, journal=journal)
    journal.close()
    assert Journal(tmp_path / "out", {}, resume=True).results


def test_a_split_without_expressions_is_refused(
    tiny_engine: TorchEngine, vocabulary: Vocabulary, dataset: PreparedDataset
) -> None:
    with pytest.raises(UserError, match="nothing to evaluate"):
        evaluate(tiny_engine, vocabulary, dataset, "empty")
    with pytest.raises(UsageError, match="no split 'test'"):
        evaluate(tiny_engine, vocabulary, dataset, "test")


@pytest.mark.parametrize("options", [{"limit": 0}, {"batch_images": 0}, {"batch_images": -1}])
def test_numbers_below_one_are_refused(
    options: dict[str, int], tiny_engine: TorchEngine, vocabulary: Vocabulary, dataset: PreparedDataset
) -> None:
    with pytest.raises(UsageError, match="1 or more"):
        evaluate(tiny_engine, vocabulary, dataset, "val", **options)


def test_crf_without_its_package_says_what_else_to_do(
    tiny_engine: TorchEngine, vocabulary: Vocabulary, dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    with pytest.raises(UserError, match="leave out --crf"):
        evaluate(tiny_engine, vocabulary, dataset, "val", crf=True)


def test_processes_that_score_start_without_torch() -> None:
    command = "import sys, cmpc.evaluation.scoring; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
