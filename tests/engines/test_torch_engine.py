"""The torch engine, and what a segmenter does with engines and precisions."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

import cmpc
from cmpc import Segmenter, UsageError, UserError, devices
from cmpc.data.pixels import PixelNormalisation
from cmpc.engines.torch_engine import TorchEngine
from cmpc.models import ReferringNetwork
from engines.configurations import CONFIGURATIONS, PAPER, SMALL, build

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
TOKENS = np.array([[3, 4, 5], [7, 0, 0]])


@pytest.mark.parametrize("name", ["small", "paper", "without entity perception"])
@torch.inference_mode()
def test_features_serve_the_plain_network_too(name: str) -> None:
    engine = TorchEngine(build(CONFIGURATIONS[name]))
    expected = engine.network.encode_image(PixelNormalisation(engine.config.image)(torch.from_numpy(IMAGES)))
    for number, features in enumerate(engine.encode_image(IMAGES)):
        ours, theirs = engine.image_features(features), expected.select(number)
        assert ours.size == theirs.size
        torch.testing.assert_close(ours.position, theirs.position)
        torch.testing.assert_close(ours.levels, theirs.levels, rtol=1e-4, atol=1e-4)
        if theirs.detail is not None:
            torch.testing.assert_close(ours.detail, theirs.detail, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_bf16_answers_nearly_as_fp32(name: str) -> None:
    network = build(CONFIGURATIONS[name])
    exact, coarse = TorchEngine(network), TorchEngine(network, precision="bf16")
    assert network.score.weight.dtype == torch.float32
    expected, types = exact.comprehend(exact.encode_image(IMAGES_OF[exact.config.image.size])[0], TOKENS)
    logits, coarse_types = coarse.comprehend(coarse.encode_image(IMAGES_OF[exact.config.image.size])[0], TOKENS)
    assert logits.dtype == np.float32
    assert np.linalg.norm(logits - expected) < 0.1 * np.linalg.norm(expected)
    np.testing.assert_allclose(coarse_types, types, atol=0.02)


def test_images_are_seen_alike_however_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.concatenate([IMAGES, IMAGES[:, ::-1], IMAGES[:1, :, ::-1]])
    expected = TorchEngine(build(SMALL)).encode_image(images)
    monkeypatch.setattr(devices, "CACHED_VALUES", 2 * 16 * 16 * SMALL.backbone.channels[0])
    engine = TorchEngine(build(SMALL))
    counts: list[int] = []
    engine._encoder.register_forward_pre_hook(lambda module, inputs: counts.append(len(inputs[0])))
    seen = engine.encode_image(images)
    assert counts == [2, 2, 1]
    assert len(seen) == len(expected)
    for ours, theirs in zip(seen, expected, strict=True):
        assert ours.keys() == theirs.keys()
        for name, values in ours.items():
            torch.testing.assert_close(values, theirs[name], rtol=1e-4, atol=1e-4)


def test_expressions_are_answered_alike_however_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = np.array([[3, 4, 5], [7, 0, 0], [9, 2, 0], [11, 3, 8], [6, 0, 0]])
    expected = TorchEngine(build(PAPER))
    monkeypatch.setattr(devices, "CACHED_VALUES", 2 * 8 * 8 * PAPER.multimodal_channels)
    engine = TorchEngine(build(PAPER))
    counts: list[int] = []
    engine._comprehension.register_forward_pre_hook(lambda module, inputs: counts.append(len(inputs[1])))
    features = engine.encode_image(IMAGES)[0]
    answers = engine.comprehend(features, tokens)
    assert counts == [2, 2, 1]
    for ours, theirs in zip(answers, expected.comprehend(features, tokens), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


IMAGES_OF = {64: IMAGES, 75: np.random.default_rng(0).integers(0, 256, (1, 75, 75, 3), np.uint8)}


def test_plain_network_is_let_go_until_it_is_needed(tiny_model_folder: Path) -> None:
    segmenter = cmpc.load(tiny_model_folder)
    plain = weakref.ref(segmenter.model)
    assert segmenter.model is plain()
    given = []

    def give() -> ReferringNetwork:
        network = build(PAPER)
        given.append(weakref.ref(network))
        return network

    engine = TorchEngine(give)
    gc.collect()
    assert [network() for network in given] == [None]
    assert engine.network is given[1]()


def test_bf16_in_place_of_a_network_that_is_let_go_answers_alike() -> None:
    network = build(PAPER)
    kept = TorchEngine(network, precision="bf16")
    size = kept.config.image.size
    expected, _ = kept.comprehend(kept.encode_image(IMAGES_OF[size])[0], TOKENS)
    assert network.score.weight.dtype == torch.float32
    used_up = TorchEngine(lambda: build(PAPER), precision="bf16")
    logits, _ = used_up.comprehend(used_up.encode_image(IMAGES_OF[size])[0], TOKENS)
    np.testing.assert_array_equal(logits, expected)
    assert used_up.network.score.weight.dtype == torch.float32


def test_explanations_of_the_recurrent_refinement_network_are_refused() -> None:
    engine = TorchEngine(build(CONFIGURATIONS["recurrent refinement network"]))
    with pytest.raises(ValueError, match="keeps other features"):
        engine.image_features(engine.encode_image(IMAGES)[0])


def test_engines_and_precisions_that_a_model_folder_has_not_are_refused(tiny_model_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"cmpc export --model .* --format onnx"):
        Segmenter.load(tiny_model_folder, engine="onnx")
    with pytest.raises(UsageError, match="int8 needs an export"):
        Segmenter.load(tiny_model_folder, engine="torch", precision="int8")
    with pytest.raises(UsageError, match="fp32 or bf16"):
        TorchEngine(build(PAPER), precision="int8")
    with pytest.raises(UserError, match="does not exist"):
        Segmenter.load(tiny_model_folder / "nothing", engine="torch")


def test_half_precision_can_be_asked_for(tiny_model_folder: Path, photo: Path) -> None:
    coarse = Segmenter.load(tiny_model_folder, precision="bf16")
    assert coarse.engine.precision == "bf16"
    expected = cmpc.load(tiny_model_folder).predict(photo, "dog")[0]
    np.testing.assert_allclose(coarse.predict(photo, "dog")[0].probability, expected.probability, atol=0.05)
    assert coarse.explain(photo, "the left man").prediction.mask.shape == (90, 140)
