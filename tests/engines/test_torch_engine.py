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
from cmpc.engines.engine import Precision
from cmpc.engines.torch_engine import TorchEngine
from cmpc.models.network import ReferringNetwork
from networks import CONFIGURATIONS, PAPER, SMALL, build

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
TOKENS = np.array([[3, 4, 5], [7, 0, 0]])


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_bf16_answers_nearly_as_fp32(name: str) -> None:
    network = build(CONFIGURATIONS[name])
    exact, coarse = TorchEngine(network), TorchEngine(network, precision="bf16")
    assert network.score.weight.dtype == torch.float32
    images = IMAGES_OF[exact.config.image.size]
    expected, answers = (engine.comprehend(engine.encode_image(images)[0], TOKENS) for engine in (exact, coarse))
    assert answers.logits.dtype == np.float32
    assert np.linalg.norm(answers.logits - expected.logits) < 0.1 * np.linalg.norm(expected.logits)
    np.testing.assert_allclose(answers.word_types, expected.word_types, atol=0.02)
    if network.presence is None:
        assert expected.presence is answers.presence is None
    else:
        assert answers.presence.dtype == np.float32
        np.testing.assert_allclose(answers.presence, expected.presence, atol=0.1)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_presence_of_many_expressions_is_that_of_each(precision: Precision) -> None:
    engine = TorchEngine(build(CONFIGURATIONS["small, telling presence"]), precision=precision)
    [features] = engine.encode_image(IMAGES[:1])
    tokens = np.arange(1, 25)[:, None]  # more than are answered at once
    presence = engine.comprehend(features, tokens).presence
    assert presence.shape == (24,)
    alone = [engine.comprehend(features, some[None]).presence[0] for some in tokens]
    np.testing.assert_allclose(presence, alone, atol=0.05 if precision == "bf16" else 1e-4)
    assert np.ptp(presence) > 0.01


def test_images_are_seen_alike_however_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.concatenate([IMAGES, IMAGES[:, ::-1], IMAGES[:1, :, ::-1]])
    expected = TorchEngine(build(SMALL)).encode_image(images)
    channels, stride = SMALL.backbone.largest_map
    monkeypatch.setattr(devices, "CACHED_VALUES", 2 * (64 // stride) ** 2 * channels)
    network = build(SMALL)
    counts: list[int] = []
    network.backbone.register_forward_pre_hook(lambda module, inputs: counts.append(len(inputs[0])))
    engine = TorchEngine(network)
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
    monkeypatch.setattr(devices, "CACHED_VALUES", 2 * 8 * 8 * PAPER.network.multimodal_channels)
    network = build(PAPER)
    counts: list[int] = []
    network.language.register_forward_pre_hook(lambda module, inputs: counts.append(len(inputs[0])))
    engine = TorchEngine(network)
    features = engine.encode_image(IMAGES)[0]
    answers = engine.comprehend(features, tokens)
    assert counts == [2, 2, 1]
    for ours, theirs in zip(answers[:2], expected.comprehend(features, tokens)[:2], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


IMAGES_OF = {64: IMAGES, 75: np.random.default_rng(0).integers(0, 256, (1, 75, 75, 3), np.uint8)}


def test_plain_weights_are_let_go_until_they_are_needed(tiny_model_folder: Path) -> None:
    segmenter = cmpc.load(tiny_model_folder)
    plain = weakref.ref(segmenter.model)
    assert segmenter.model is plain()
    given = []

    def give() -> ReferringNetwork:
        network = build(PAPER)
        given.append(weakref.ref(network.backbone.conv1.weight))
        return network

    engine = TorchEngine(give)
    gc.collect()
    assert [weights() for weights in given] == [None]
    assert engine.network.backbone.conv1.weight is given[1]()


def test_bf16_in_place_of_a_network_that_is_let_go_answers_alike() -> None:
    network = build(PAPER)
    kept = TorchEngine(network, precision="bf16")
    size = kept.config.image.size
    expected = kept.comprehend(kept.encode_image(IMAGES_OF[size])[0], TOKENS).logits
    assert network.score.weight.dtype == torch.float32
    used_up = TorchEngine(lambda: build(PAPER), precision="bf16")
    logits = used_up.comprehend(used_up.encode_image(IMAGES_OF[size])[0], TOKENS).logits
    np.testing.assert_array_equal(logits, expected)
    assert used_up.network.score.weight.dtype == torch.float32


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
    expected = cmpc.load(tiny_model_folder).predict("dog", image=photo)[0]
    np.testing.assert_allclose(coarse.predict("dog", image=photo)[0].probability, expected.probability, atol=0.05)
    assert coarse.explain("the left man", image=photo).prediction.mask.shape == (90, 140)
