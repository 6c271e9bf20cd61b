"""The lean network gives the plain network's numbers, whatever its preset, its ablations and what is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cmpc.engines.lean import lean_network
from cmpc.engines.lean.cells import CellProduct
from cmpc.engines.lean.convolution import WINOGRAD_CHANNELS, LeanConvolution, WinogradConvolution
from cmpc.engines.lean.packing import PackedCellProduct, PackedConvolution, pack_weights, packing_pays
from cmpc.engines.torch_engine import TorchEngine
from cmpc.models import ReferringNetwork
from cmpc.models.grid import image_grid
from engines.configurations import CONFIGURATIONS, PAPER, build
from reference.original_model import original_model

REFERENCE = Path(__file__).parents[1] / "reference" / "forward.npz"
WORDS = (3, 1, 7, 0)


def tokens_of(words: tuple[int, ...]) -> torch.Tensor:
    """Expressions of so many words, (E, N)."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.zeros(len(words), max(words), dtype=torch.int64)
    for row, count in enumerate(words):
        tokens[row, :count] = torch.randint(1, 50, (count,), generator=generator)
    return tokens


def pixels_of(model: ReferringNetwork, images: int) -> torch.Tensor:
    size = model.config.image.size
    return torch.randn(images, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("winograd", [False, True])
@pytest.mark.parametrize("name", CONFIGURATIONS)
@torch.inference_mode()
def test_answers_are_those_of_the_plain_network(name: str, winograd: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmpc.engines.lean.convolution.WINOGRAD_CHANNELS", 1)
    model = build(CONFIGURATIONS[name])
    pixels, tokens = pixels_of(model, 2), tokens_of(WORDS)
    encoder, comprehension = lean_network(model, winograd=winograd)
    features = encoder(pixels)
    for image in range(2):
        expected = model(pixels[image : image + 1], tokens, torch.zeros(len(tokens), dtype=torch.int64))
        one = {name: value[image : image + 1] for name, value in features.items()}
        logits, types = comprehension(one, tokens)
        torch.testing.assert_close(logits, expected.logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(types, expected.word_types, rtol=1e-4, atol=1e-5)
        alone, _ = comprehension(one, tokens[1:2, :1])
        torch.testing.assert_close(alone, logits[1:2], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_asking_twice_gives_the_same_answer() -> None:
    model = build(PAPER)
    encoder, comprehension = lean_network(model, winograd=True)
    features, tokens = encoder(pixels_of(model, 1)), tokens_of(WORDS)
    before = {name: value.clone() for name, value in features.items()}
    first, _ = comprehension(features, tokens)
    second, _ = comprehension(features, tokens)
    assert torch.equal(first, second)
    assert all(torch.equal(features[name], before[name]) for name in before)


@torch.inference_mode()
def test_plain_network_stays_as_it_is() -> None:
    model = build(PAPER)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    encoder, comprehension = lean_network(model, winograd=True)
    comprehension(encoder(pixels_of(model, 1)), tokens_of(WORDS))
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize(("size", "dilation"), [((8, 8), 1), ((40, 40), 2), ((13, 10), 4), ((7, 30), 3)])
@torch.inference_mode()
def test_winograd_gives_the_numbers_of_the_convolution(size: tuple[int, int], dilation: int) -> None:
    torch.manual_seed(0)
    convolution = LeanConvolution.of(nn.Conv2d(24, 16, 3, padding=dilation, dilation=dilation))
    features = torch.randn(2, 24, *size).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(WinogradConvolution(convolution)(features), convolution(features), rtol=1e-4, atol=1e-4)


packs = pytest.mark.skipif(not packing_pays(torch.device("cpu"), torch.float32), reason="this processor packs nothing")


@packs
@pytest.mark.parametrize("name", CONFIGURATIONS)
@torch.inference_mode()
def test_packed_weights_give_the_same_answers(name: str) -> None:
    model = build(CONFIGURATIONS[name])
    pixels, tokens = pixels_of(model, 1), tokens_of(WORDS)
    encoder, comprehension = lean_network(model, winograd=False)
    expected, _ = comprehension(encoder(pixels), tokens)
    for part in (encoder, comprehension):
        pack_weights(part, image_grid(model.config.image.size))
    modules = [*encoder.modules(), *comprehension.modules()]
    assert any(isinstance(module, PackedConvolution) for module in modules)
    assert any(isinstance(module, PackedCellProduct) for module in modules)
    assert not any(isinstance(module, LeanConvolution | CellProduct) for module in modules)
    logits, _ = comprehension(encoder(pixels), tokens)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    plain = model(pixels, tokens, torch.zeros(len(tokens), dtype=torch.int64))  # shares weights with the lean form
    torch.testing.assert_close(plain.logits, expected, rtol=1e-4, atol=1e-4)


@packs
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(1, 1, 1), (1, 2, 1), (3, 1, 1), (3, 2, 1), (3, 1, 4)])
@torch.inference_mode()
def test_packed_convolutions_add_and_take_the_relu(relu: bool, kernel: int, stride: int, dilation: int) -> None:
    torch.manual_seed(0)
    like = nn.Conv2d(24, 40, kernel, stride=stride, padding=dilation * (kernel // 2), dilation=dilation)
    assert like.bias is not None
    convolution = LeanConvolution(like, like.weight, like.bias, relu=relu)
    packed = PackedConvolution(convolution, (20, 20))
    for size in ((20, 20), (13, 17)):
        features = torch.randn(2, 24, *size).contiguous(memory_format=torch.channels_last)
        expected = like(features)
        added = torch.randn_like(expected)
        for sum_, given in ((expected, ()), (expected + added, (added,))):
            result = sum_.relu() if relu else sum_
            torch.testing.assert_close(convolution(features, *given), result, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(packed(features, *given), result, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "other", [{"stride": 2}, {"kernel_size": 1}, {"padding": 0}, {"out_channels": 8}, {"dilation": 2}]
)
def test_winograd_is_for_wide_convolutions_that_keep_the_size(other: dict[str, int]) -> None:
    usual = {"in_channels": WINOGRAD_CHANNELS, "out_channels": WINOGRAD_CHANNELS, "kernel_size": 3, "padding": 1}
    assert WinogradConvolution.suits(nn.Conv2d(**usual))
    assert not WinogradConvolution.suits(nn.Conv2d(**{**usual, **other}))


def test_other_networks_have_no_lean_form() -> None:
    class Other(ReferringNetwork):
        """Another network."""

    with pytest.raises(ValueError, match="no lean form of Other"):
        lean_network(Other(PAPER), winograd=False)


@pytest.mark.slow
def test_logits_are_those_of_the_original_program() -> None:
    """The same recordings as in ``tests/models/test_equal_numbers.py``, within the same 2e-4."""
    engine = TorchEngine(original_model())
    with np.load(REFERENCE, allow_pickle=False) as reference:
        for photo in "ab":
            features = engine.encode_image(reference[f"{photo}/image"][None])[0]
            for number in range(3):
                name = f"{photo}{number}"
                logits, _ = engine.comprehend(features, reference[f"{name}/words"][None].astype(np.int64))
                expected = reference[f"{name}/logits"]
                difference = logits[0, ::3, ::3] - expected
                assert np.linalg.norm(difference) < 2e-4 * np.linalg.norm(expected)
                assert np.abs(difference).max() < 1e-3
