"""Passes change how a network is computed, and none of its numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cmpc.engines.passes import winograd
from cmpc.engines.passes.folding import FoldedConvolution, fix_peepholes, fold_batch_norms
from cmpc.engines.passes.packing import PackedConvolution, PackedProduct, pack_weights, packing_pays
from cmpc.engines.passes.products import divide_products
from cmpc.engines.passes.winograd import WINOGRAD_CHANNELS, WinogradConvolution, use_winograd
from cmpc.engines.torch_engine import TorchEngine
from cmpc.models.backbones.unit import Activation, activate
from cmpc.models.cells import CellProduct
from cmpc.models.config import ModelConfig
from cmpc.models.network import ReferringNetwork, SegmentationOutput, copy_sharing_weights
from networks import CONFIGURATIONS, PAPER, build
from reference.original_model import original_model

REFERENCE = Path(__file__).parents[1] / "reference" / "forward.npz"
WORDS = (3, 1, 7, 0)

Pass = Callable[[ReferringNetwork], None]


def fold(network: ReferringNetwork) -> None:
    fold_batch_norms(network)
    fix_peepholes(network, network.config.grid)


def fold_and_use_winograd(network: ReferringNetwork) -> None:
    fold(network)
    use_winograd(network)


def fold_and_divide(network: ReferringNetwork) -> None:
    fold(network)
    divide_products(network)


def fold_and_pack(network: ReferringNetwork) -> None:
    fold(network)
    pack_weights(network, network.config.grid)


packs = pytest.mark.skipif(not packing_pays(torch.device("cpu"), torch.float32), reason="this processor packs nothing")
PASSES = [fold, fold_and_divide, fold_and_use_winograd, pytest.param(fold_and_pack, marks=packs)]


@torch.inference_mode()
def answers(model: ReferringNetwork) -> list[SegmentationOutput]:
    """For two images, what four expressions of different lengths get, and one of them alone."""
    size = model.config.image.size
    generator = torch.Generator().manual_seed(1)
    images = model.encode_image(torch.randn(2, 3, size, size, generator=generator))
    tokens = torch.zeros(len(WORDS), max(WORDS), dtype=torch.int64)
    for row, count in enumerate(WORDS):
        tokens[row, :count] = torch.randint(1, 50, (count,), generator=generator)
    asked = [tokens, tokens[1:2, :1]]
    return [
        model.comprehend(
            images.select(number), model.encode_expression(some), torch.zeros(len(some), dtype=torch.int64)
        )
        for number in range(2)
        for some in asked
    ]


def assert_same(outputs: list[SegmentationOutput], expected: list[SegmentationOutput]) -> None:
    for ours, theirs in zip(outputs, expected, strict=True):
        torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours.word_types, theirs.word_types, rtol=1e-4, atol=1e-5)
        assert (ours.presence is None) == (theirs.presence is None)
        if ours.presence is not None and theirs.presence is not None:
            torch.testing.assert_close(ours.presence, theirs.presence, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("run_pass", PASSES)
def test_answers_stay(name: str, run_pass: Pass, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "WINOGRAD_CHANNELS", 1)
    plain = build(CONFIGURATIONS[name])
    expected, before = answers(plain), {key: value.clone() for key, value in plain.state_dict().items()}
    changed = copy_sharing_weights(plain)
    run_pass(changed)
    assert_same(answers(changed), expected)
    assert_same(answers(changed), expected)  # nothing that was asked before is in the way
    after = plain.state_dict()  # the network that the copy was made of
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert_same(answers(plain), expected)


@pytest.mark.parametrize("config", [CONFIGURATIONS["small"], PAPER], ids=["small", "paper"])
@torch.no_grad()
def test_no_batch_norm_is_left(config: ModelConfig) -> None:
    network = build(config)
    fold(network)
    assert any(isinstance(module, FoldedConvolution) for module in network.modules())
    assert not [name for name, _ in network.named_buffers() if "running" in name]


@packs
def test_everything_that_multiplies_cells_or_convolves_is_packed() -> None:
    network = build(CONFIGURATIONS["parts of the model that ships"])
    fold_and_pack(network)
    modules = list(network.modules())
    assert any(isinstance(module, PackedConvolution) for module in modules)
    assert any(isinstance(module, PackedProduct) for module in modules)
    assert not any(type(module) in (FoldedConvolution, CellProduct) for module in modules)


def folded(convolution: nn.Conv2d) -> FoldedConvolution:
    assert convolution.bias is not None
    return FoldedConvolution(convolution, convolution.weight, convolution.bias)


@pytest.mark.parametrize(("size", "dilation"), [((8, 8), 1), ((40, 40), 2), ((13, 10), 4), ((7, 30), 3)])
@torch.inference_mode()
def test_winograd_gives_the_numbers_of_the_convolution(size: tuple[int, int], dilation: int) -> None:
    torch.manual_seed(0)
    convolution = folded(nn.Conv2d(24, 16, 3, padding=dilation, dilation=dilation))
    features = torch.randn(2, 24, *size).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(WinogradConvolution(convolution)(features), convolution(features), rtol=1e-4, atol=1e-4)


@packs
@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "groups"),
    [(1, 1, 1, 1), (1, 2, 1, 1), (3, 1, 1, 1), (3, 2, 1, 1), (3, 1, 4, 1), (3, 2, 1, 24), (5, 1, 1, 24)],
)
@torch.inference_mode()
def test_convolutions_add_and_activate(
    activation: Activation, kernel: int, stride: int, dilation: int, groups: int
) -> None:
    torch.manual_seed(0)
    shape = {"stride": stride, "padding": dilation * (kernel // 2), "dilation": dilation, "groups": groups}
    like = nn.Conv2d(24, 48, kernel, **shape)
    convolution = folded(like)
    packed = PackedConvolution(convolution, (20, 20))
    for size in ((20, 20), (13, 17)):
        features = torch.randn(2, 24, *size).contiguous(memory_format=torch.channels_last)
        expected = like(features) * 3
        added = expected + torch.randn_like(expected)
        for result, given in ((like(features), None), (like(features) + added, added)):
            result = activate(result, activation)
            for fused in (convolution, packed):
                ours = fused(features, None if given is None else given.clone(), activation)
                torch.testing.assert_close(ours, result, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "other", [{"stride": 2}, {"kernel_size": 1}, {"padding": 0}, {"out_channels": 8}, {"dilation": 2}, {"groups": 2}]
)
def test_winograd_is_for_wide_convolutions_that_keep_the_size(other: dict[str, int]) -> None:
    usual = {"in_channels": WINOGRAD_CHANNELS, "out_channels": WINOGRAD_CHANNELS, "kernel_size": 3, "padding": 1}
    assert WinogradConvolution.suits(folded(nn.Conv2d(**usual)))
    assert not WinogradConvolution.suits(folded(nn.Conv2d(**{**usual, **other})))


@pytest.mark.slow
def test_logits_are_those_of_the_original_program() -> None:
    """The same recordings as in ``tests/models/test_equal_numbers.py``, within the same 2e-4."""
    engine = TorchEngine(original_model())
    with np.load(REFERENCE, allow_pickle=False) as reference:
        for photo in "ab":
            features = engine.encode_image(reference[f"{photo}/image"][None])[0]
            for number in range(3):
                name = f"{photo}{number}"
                logits = engine.comprehend(features, reference[f"{name}/words"][None].astype(np.int64)).logits
                expected = reference[f"{name}/logits"]
                difference = logits[0, ::3, ::3] - expected
                assert np.linalg.norm(difference) < 2e-4 * np.linalg.norm(expected)
                assert np.abs(difference).max() < 1e-3
