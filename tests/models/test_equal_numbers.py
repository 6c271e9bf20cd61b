"""With the same weights, the same numbers as the original program: every intermediate that the reference holds.

All photos and expressions run as one batch, while the original saw one expression at a time: what is compared also
shows that a sample does not depend on the others or on padding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cmpc.conventions import LEVELS
from cmpc.models.cells import to_cells
from cmpc.models.normalisation import unit_norm
from reference.original_model import original_model

pytestmark = pytest.mark.slow

REFERENCE = Path(__file__).parents[1] / "reference" / "forward.npz"
PHOTOS = ("a", "b")
EXPRESSIONS = ("a0", "a1", "a2", "b0", "b1", "b2")
CELLS = [4, 12, 20, 28, 36]
RELATIVE_TOLERANCE = 2e-4  # the original differs from itself by up to 6e-5 between two TensorFlow versions


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(REFERENCE, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def computed(reference: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our numbers under the names of the reference."""
    model = original_model()
    numbers: dict[str, np.ndarray] = {}

    def record(name: str, values: Tensor) -> None:
        """Keeps the values of every expression, (6, ...)."""
        for expression, value in zip(EXPRESSIONS, values, strict=True):
            numbers[f"{expression}/{name}"] = value.numpy()

    def at_cells(cells: Tensor, stride: int) -> Tensor:
        """(E, S, C) of 40 x 40 cells -> (E, 5, 5, C / stride)."""
        return cells.unflatten(1, (40, 40))[:, CELLS][:, :, CELLS, ::stride]

    images = torch.stack([network_input(reference[f"{photo}/image"], model.config.image.mean) for photo in PHOTOS])
    words = [torch.from_numpy(reference[f"{expression}/words"].astype(np.int64)) for expression in EXPRESSIONS]
    tokens = torch.nn.utils.rnn.pad_sequence(words, batch_first=True)
    image_index = torch.tensor([PHOTOS.index(expression[0]) for expression in EXPRESSIONS])

    steps: list[Tensor] = []
    model.conv_lstm.cell.register_forward_hook(lambda module, arguments, result: steps.append(result[0]))
    for level in LEVELS:
        model.levels[level].fusion.register_forward_hook(
            lambda module, arguments, result, level=level: record(f"fused_{level}", at_cells(result, 4))
        )
        for number in range(2):
            exchange = model.exchange[number].levels[level]
            exchange.register_forward_hook(
                lambda module, arguments, result, name=f"exchange_{number}_{level}": record(name, at_cells(result, 4))
            )
            exchange.global_vector.register_forward_hook(
                lambda module, arguments, result, name=f"global_vector_{number}_{level}": record(
                    name, result[0][:, ::2]
                )
            )
            exchange.global_vector.register_forward_hook(
                lambda module, arguments, result, name=f"attention_{number}_{level}": record(name, result[1][:, ::8, 0])
            )

    with torch.inference_mode():
        stages = model.backbone(images)
        output = model.comprehend(model.encode_image(images), model.encode_expression(tokens), image_index)
        side_logits = model.side_logits(output)
    for level in LEVELS:
        for photo, features in zip(PHOTOS, at_cells(to_cells(stages[level], (40, 40)), 8), strict=True):
            numbers[f"{photo}/{level}"] = features.numpy()
        with torch.inference_mode():
            lateral = unit_norm(to_cells(model.lateral[level](stages[level]), (40, 40)))
        record(f"lateral_{level}", at_cells(lateral, 8)[image_index])
        maps = output.levels[level]
        record(f"entities_{level}", at_cells(maps.entities, 8))
        record(f"reasoned_{level}", at_cells(maps.reasoned.features, 8))
        record(f"cell_to_words_{level}", maps.reasoned.cell_to_words[:, ::16])
        record(f"word_to_cells_{level}", maps.reasoned.word_to_cells[:, ::16])
        record(f"side_scores_{level}", side_logits[level][:, ::8, ::8])
    record("words_feat", output.expressions.words[..., ::4])
    record("word_types", output.word_types)
    record("entity_attribute", output.expressions.entity_attribute[:, ::2])
    record("necessary", output.expressions.necessary[:, ::2])
    for number, step in enumerate(steps):
        record(f"conv_lstm_{number}", at_cells(step, 4))
    record("scores", output.decoded.scores)
    record("logits", output.logits[:, ::3, ::3])
    return numbers


def network_input(image: np.ndarray, mean: tuple[float, float, float]) -> Tensor:
    """RGB uint8 (H, W, 3) -> BGR minus the mean, (3, H, W)."""
    bgr = image[..., ::-1].astype(np.float32)
    bgr -= np.array(mean)
    return torch.from_numpy(bgr).permute(2, 0, 1)


def relative_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Norm of the difference over the reference's; half a unit of float16 is no difference where it holds that."""
    difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    if theirs.dtype == np.float16:
        difference = np.maximum(difference - np.spacing(np.abs(theirs)).astype(np.float64) / 2, 0)
    return float(np.linalg.norm(difference) / np.linalg.norm(theirs.astype(np.float64)))


def test_every_intermediate_equals_the_original(
    computed: dict[str, np.ndarray], reference: dict[str, np.ndarray]
) -> None:
    compared = 0
    differences: dict[str, float] = {}
    for name, theirs in reference.items():
        key, quantity = name.split("/")
        if quantity in ("image", "words") or quantity.startswith("exchange_norm"):
            continue
        ours = computed[name]
        if quantity in ("words_feat", "word_types"):  # padded in our batch, one row per word in the reference
            assert not ours[len(theirs) :].any()
            ours = ours[: len(theirs)]
        elif quantity.startswith(("cell_to_words", "word_to_cells")):
            ours = ours[:, : theirs.shape[1]]
        elif quantity.startswith("exchange"):
            ours = ours * reference[f"{key}/{quantity.replace('exchange', 'exchange_norm')}"][..., None]
        assert ours.shape == theirs.shape, name
        differences[name] = relative_difference(ours, theirs)
        compared += 1
    assert compared == 6 + 6 * 48
    worst: dict[str, float] = {}
    for name, difference in differences.items():
        quantity = name.split("/")[1]
        worst[quantity] = max(worst.get(quantity, 0.0), difference)
    for quantity, difference in worst.items():
        print(f"{quantity:22} {difference:.1e}")  # pytest -rP shows it
    assert max(differences.values()) < RELATIVE_TOLERANCE, max(differences.items(), key=lambda item: item[1])


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_logits_equal_the_original(
    expression: str, computed: dict[str, np.ndarray], reference: dict[str, np.ndarray]
) -> None:
    ours, theirs = computed[f"{expression}/logits"], reference[f"{expression}/logits"]
    assert relative_difference(ours, theirs) < RELATIVE_TOLERANCE
    assert np.abs(ours - theirs).max() < 1e-3


def test_words_that_pad_an_expression_get_no_attention(computed: dict[str, np.ndarray]) -> None:
    for level in LEVELS:
        assert not computed[f"a1/cell_to_words_{level}"][:, 5:].any()
