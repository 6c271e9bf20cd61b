"""What holds for every network of the family, whatever its preset, its ablations, the size of images and batches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmpc.models.config import ModelConfig, preset
from cmpc.models.network import ReferringNetwork, SegmentationOutput
from cmpc.models.paper.cmpc import CMPC
from networks import CONFIGURATIONS, build, tiny_config


@pytest.fixture(params=CONFIGURATIONS)
def model(request: pytest.FixtureRequest) -> ReferringNetwork:
    return build(CONFIGURATIONS[request.param])


def random_input(
    *, images: int = 2, height: int = 64, width: int = 64, words: tuple[int, ...] = (3, 1, 5)
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(images * height + width)
    pixels = torch.randn(images, 3, height, width, generator=generator)
    tokens = torch.zeros(len(words), max(words), dtype=torch.int64)
    for row, count in enumerate(words):
        tokens[row, :count] = torch.randint(1, 50, (count,), generator=generator)
    return pixels, tokens, torch.arange(len(words)) % images


def assert_same(output: SegmentationOutput, row: int, alone: SegmentationOutput) -> None:
    torch.testing.assert_close(output.logits[row], alone.logits[0], rtol=1e-4, atol=1e-4)
    for level, maps in output.levels.items():
        torch.testing.assert_close(maps.fused[row], alone.levels[level].fused[0], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_logits_have_the_size_of_the_images(model: ReferringNetwork) -> None:
    pixels, tokens, image_index = random_input(height=64, width=96)
    output = model(pixels, tokens, image_index)
    assert output.logits.shape == (3, 64, 96)
    sides = model.side_names
    assert {side: logits.shape for side, logits in model.side_logits(output).items()} == dict.fromkeys(
        sides, (3, 64, 96)
    )
    assert output.word_types.shape == (3, 5, 4)
    assert torch.isfinite(output.logits).all()


@torch.inference_mode()
def test_result_does_not_depend_on_the_batch_the_padding_or_the_order(model: ReferringNetwork) -> None:
    pixels, tokens, image_index = random_input(images=2, words=(3, 1, 5, 2))
    together = model(pixels, tokens, image_index)
    for row, count in enumerate((3, 1, 5, 2)):
        image = pixels[image_index[row]][None]
        assert_same(together, row, model(image, tokens[row : row + 1, :count], torch.tensor([0])))
        padded = torch.nn.functional.pad(tokens[row : row + 1], (0, 7))
        assert_same(together, row, model(image, padded, torch.tensor([0])))
    order = torch.tensor([2, 0, 3, 1])
    reordered = model(pixels.flip(0), tokens[order], 1 - image_index[order])
    torch.testing.assert_close(reordered.logits, together.logits[order], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_steps_can_be_taken_one_by_one(model: ReferringNetwork) -> None:
    pixels, tokens, image_index = random_input()
    features, expressions = model.encode_image(pixels), model.encode_expression(tokens)
    output = model.comprehend(features, expressions.select(torch.tensor([1, 2])), image_index[1:])
    torch.testing.assert_close(output.logits, model(pixels, tokens, image_index).logits[1:], rtol=1e-4, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(height=st.integers(33, 90), width=st.integers(33, 90), name=st.sampled_from(["paper", "small"]))
@torch.inference_mode()
def test_any_image_size_works(height: int, width: int, name: str) -> None:
    pixels, tokens, image_index = random_input(height=height, width=width)
    output = build(CONFIGURATIONS[name])(pixels, tokens, image_index)
    assert output.logits.shape == (3, height, width)
    assert torch.isfinite(output.logits).all()


@torch.inference_mode()
def test_expression_without_words_gives_finite_logits(model: ReferringNetwork) -> None:
    pixels, tokens, image_index = random_input()
    tokens[1] = 0
    output = model(pixels, tokens, image_index)
    assert torch.isfinite(output.logits).all()
    assert not output.word_types[1].any()


def test_every_parameter_that_trains_gets_a_gradient(model: ReferringNetwork) -> None:
    pixels, tokens, image_index = random_input()
    output = model.train()(pixels, tokens, image_index)
    told = [] if output.presence is None else [output.presence]
    sum(value.sum() for value in (output.logits, *model.side_logits(output).values(), *told)).backward()
    gating = getattr(model.config.network, "word_type_gating", True)
    missing = {name for name, value in model.named_parameters() if value.requires_grad and value.grad is None}
    # without gating no word type is used, except by a loss on the types themselves
    assert gating or missing == {
        f"language.{layer}.{kind}" for layer in ("word_type_hidden", "word_type") for kind in ("weight", "bias")
    }
    assert not gating or not missing


def test_frozen_batch_norm_of_the_paper_keeps_its_statistics_in_training() -> None:
    model = build(CONFIGURATIONS["paper"])
    before = {name: value.clone() for name, value in model.named_buffers()}
    model.train()(*random_input()).logits.sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    assert not any("bn" in name for name, _ in model.named_parameters())


def test_configuration_survives_json(model: ReferringNetwork) -> None:
    assert ModelConfig.from_dict(model.config.to_dict()) == model.config


def test_unknown_configuration_field_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unknown part: wormhole"):
        ModelConfig.from_dict({"wormhole": 1})


def test_wrong_layouts_are_named() -> None:
    model = build(CONFIGURATIONS["small"])
    pixels, tokens, image_index = random_input()
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\) float.*add a batch axis"):
        model.encode_image(pixels[0])
    with pytest.raises(ValueError, match=r"\(E, N\) int64"):
        model.encode_expression(tokens.float())
    with pytest.raises(ValueError, match="one image for each of the 3 expressions"):
        model(pixels, tokens, image_index[:2])


def test_presets_have_the_published_and_the_promised_size() -> None:
    # 118,661,113 of the original less its step variable, plus the LSTM's second bias, which is zero
    with torch.device("meta"):
        paper, small = CMPC(preset("paper")), CMPC(preset("small"))
    assert sum(value.numel() for value in paper.state_dict().values()) == 118_661_113 - 1 + 4_000
    assert sum(value.numel() for value in small.parameters()) < 12_000_000


@pytest.mark.parametrize("convention", ["caffe", "torchvision"])
def test_backbone_takes_weights_of_either_convention(convention: str) -> None:
    model = build(CONFIGURATIONS["paper"].changed(backbone={"convention": convention}))
    assert model(*random_input()).logits.shape == (3, 64, 64)


def test_fields_of_the_parts_are_strict() -> None:
    values = preset("small").to_dict()
    with pytest.raises(ValueError, match="unknown CompactConfig field: depth"):
        ModelConfig.from_dict({**values, "backbone": {"kind": "compact", "depth": 5}})
    with pytest.raises(ValueError, match="unknown backbone 'telescope'; there are deeplab_resnet101, compact"):
        ModelConfig.from_dict({**values, "backbone": {"kind": "telescope"}})


@pytest.mark.parametrize("both_directions", [False, True])
def test_word_knows_what_follows_it_only_where_both_directions_are_read(both_directions: bool) -> None:
    model = build(tiny_config(50).changed(text={"both_directions": both_directions}))
    assert isinstance(model, CMPC)
    one, other = model.encode_expression(torch.tensor([[5, 6, 7], [5, 6, 8]])).words
    assert torch.equal(one[0], other[0]) != both_directions
    assert not torch.equal(one[2], other[2])
