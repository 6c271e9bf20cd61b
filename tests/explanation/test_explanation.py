"""What the numbers of an explanation mean."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cmpc.conventions import LEVELS
from cmpc.data.images import read_image
from cmpc.data.transforms import letterbox_image
from cmpc.data.vocabulary import Vocabulary, pad_tokens
from cmpc.engines.engine import Precision
from cmpc.engines.torch_engine import TorchEngine
from cmpc.errors import UsageError, UserError
from cmpc.explanation import Attention, Typing, staged_picture
from cmpc.explanation.graph import cells_of_photo, region_shares
from cmpc.models.config import CMPCConfig, EfficientNetLiteConfig
from cmpc.segmenter import Segmenter
from explanation.conftest import MakeSegmenter
from networks import CONFIGURATIONS, SMALL, build

EXPRESSION = "the left man in a red shirt"
EXPLAINED = {
    **{name: config for name, config in CONFIGURATIONS.items() if isinstance(config.network, CMPCConfig)},
    "EfficientNet-Lite": dataclasses.replace(SMALL, backbone=EfficientNetLiteConfig()),
}


def test_result_of_the_whole_network_is_the_answer_itself(make_segmenter: MakeSegmenter, photo: Path) -> None:
    segmenter = make_segmenter()
    explanation = segmenter.explain(EXPRESSION, image=photo)
    np.testing.assert_array_equal(
        explanation.prediction.probability, segmenter.predict(EXPRESSION, image=photo)[0].probability
    )
    odds = np.log(explanation.network.result / (1 - explanation.network.result))
    probability = 1 / (1 + np.exp(-explanation.on_photo(odds, 90, 140)))
    np.testing.assert_allclose(probability, explanation.prediction.probability, atol=1e-4)
    assert explanation.pixels.shape == (90, 140, 3)


def test_word_alone_is_answered_as_an_expression_of_that_word(make_segmenter: MakeSegmenter, photo: Path) -> None:
    segmenter = make_segmenter(relation_reasoning=False, word_type=0)
    explanation = segmenter.explain("the red dog behind", image=photo)
    assert list(explanation.network.words) == [0, 1, 2, 3]
    alone = segmenter.explain("dog", image=photo)
    np.testing.assert_allclose(explanation.network.words[2], alone.network.result, atol=1e-5)
    for level in LEVELS:
        np.testing.assert_allclose(explanation.levels[level].words[2], alone.levels[level].result, atol=1e-5)
    assert np.abs(explanation.network.words[2] - explanation.network.words[1]).max() > 1e-5
    named = np.max([*explanation.network.words.values()], axis=0)
    np.testing.assert_array_equal(explanation.network.named, named)


def test_without_relation_words_the_graph_adds_nothing(make_segmenter: MakeSegmenter, photo: Path) -> None:
    segmenter = make_segmenter(word_type=1, word_type_supervision=True)
    explanation = segmenter.explain(EXPRESSION, image=photo)
    assert set(explanation.kinds) == {"attribute"}
    assert explanation.relation_words == ()
    for stages in (explanation.network, *explanation.levels.values()):
        np.testing.assert_allclose(stages.entities, stages.result, atol=1e-5)
        graph = stages.graph
        assert graph is not None
        words, *grid = graph.cell_to_words.shape
        np.testing.assert_allclose(graph.cell_to_words, 1 / words, atol=1e-6)
        np.testing.assert_allclose(graph.word_to_cells, 1 / np.prod(grid), atol=1e-8)
        np.testing.assert_allclose(graph.excess, 0, atol=1e-6)


def test_relation_words_change_the_answer_through_the_graph(make_segmenter: MakeSegmenter, photo: Path) -> None:
    explanation = make_segmenter(word_type=2).explain(EXPRESSION, image=photo)
    assert explanation.network.words == {}
    assert not explanation.network.named.any()
    assert len(explanation.relation_words) == 7
    for stages in explanation.levels.values():
        assert np.abs(stages.entities - stages.result).max() > 1e-4


@torch.inference_mode()
def test_shares_are_those_of_the_adjacency(make_segmenter: MakeSegmenter, photo: Path) -> None:
    segmenter = make_segmenter(word_type=2)
    explanation = segmenter.explain(EXPRESSION, image=photo)
    tokens = torch.from_numpy(pad_tokens([segmenter.vocabulary.encode(EXPRESSION, 20)]))
    seen = segmenter.set_image(photo)
    engine = segmenter.engine
    assert isinstance(engine, TorchEngine)
    output = segmenter.model.comprehend(
        engine.image_features(seen.features),
        segmenter.model.encode_expression(tokens),
        torch.zeros(1, dtype=torch.int64),
    )
    for level, stages in explanation.levels.items():
        reasoned, graph = output.levels[level].reasoned, stages.graph
        assert reasoned is not None
        assert graph is not None
        adjacency = (reasoned.cell_to_words[0] @ reasoned.word_to_cells[0].mT).numpy()  # (S, S), rows sum to 1
        labels = graph.regions.reshape(-1)
        shares = graph.shares.sum(axis=0)
        for target in range(len(shares)):
            for source in range(len(shares)):
                expected = adjacency[labels == target][:, labels == source].sum(axis=1).mean()
                assert shares[target, source] == pytest.approx(expected, abs=1e-5)
        outside = adjacency[:, labels == -1].sum(axis=1)
        assert outside.max() > 0  # the photo is not square
        assert (shares.sum(axis=1) < 1).all()
        strongest = graph.strongest(3)
        excess = [message.excess for message in strongest]
        assert excess == sorted(excess, reverse=True)
        for message in strongest:
            assert message.source != message.target
            assert message.share == pytest.approx(shares[message.target, message.source])
            part = (labels == message.source).mean()
            assert message.excess == pytest.approx(message.share - part, abs=1e-5)


def test_shares_of_a_made_up_graph() -> None:
    attention = Attention(  # two words, three cells
        cell_to_words=np.array([[[1.0, 0.0, 0.5]], [[0.0, 1.0, 0.5]]], np.float32),
        word_to_cells=np.array([[[0.0, 1.0, 0.0]], [[0.5, 0.25, 0.25]]], np.float32),
    )
    shares = region_shares(attention, np.array([[0, 1, 1]]))
    np.testing.assert_allclose(shares[0], [[0, 1], [0, 0.25]])
    np.testing.assert_allclose(shares[1], [[0, 0], [0.375, 0.375]])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", EXPLAINED)
def test_every_network_with_stages_is_explained(
    name: str, precision: Precision, vocabulary: Vocabulary, photo: Path
) -> None:
    config = EXPLAINED[name]
    segmenter = Segmenter(TorchEngine(build(config), precision=precision), vocabulary)
    explanation = segmenter.explain(EXPRESSION, image=photo)
    np.testing.assert_array_equal(
        explanation.prediction.probability, segmenter.predict(EXPRESSION, image=photo)[0].probability
    )
    assert set(explanation.levels) == set(LEVELS)
    for stages in (explanation.network, *explanation.levels.values()):
        for values in (stages.named, stages.entities, stages.result):
            assert values.dtype == np.float32
            assert ((values >= 0) & (values <= 1)).all()
        assert (stages.graph is None) == (not config.network.relation_reasoning)
        if stages.graph is not None:
            words = len(explanation.prediction.words)
            assert stages.graph.cell_to_words.shape == stages.graph.word_to_cells.shape == (words, *config.grid)
            np.testing.assert_allclose(stages.graph.word_to_cells.sum(axis=(1, 2)), 1, atol=1e-3)
            assert (stages.graph.shares.sum(axis=(0, 2)) <= 1 + 1e-3).all()
    assert staged_picture(explanation, LEVELS).shapes


@pytest.mark.parametrize(("name", "second_look"), [("grounded reasoning", False), ("a second look", True)])
def test_second_look_is_the_graph_of_the_whole_network(
    name: str, second_look: bool, vocabulary: Vocabulary, photo: Path
) -> None:
    explanation = Segmenter(build(CONFIGURATIONS[name]), vocabulary).explain(EXPRESSION, image=photo)
    graph = explanation.network.graph
    assert graph is not None
    of_levels = np.mean([stages.graph.word_to_cells for stages in explanation.levels.values() if stages.graph], axis=0)
    assert (np.abs(graph.word_to_cells - of_levels).max() < 1e-6) != second_look
    assert 0 < graph.cell_to_words.sum(axis=0).max() <= 1 + 1e-5  # 1 where some word draws on every level
    assert np.abs(explanation.network.result - explanation.network.entities).max() > 0


def test_network_without_stages_is_refused(vocabulary: Vocabulary, photo: Path) -> None:
    recurrent = Segmenter(build(CONFIGURATIONS["recurrent refinement network"]), vocabulary)
    with pytest.raises(UserError, match="rrn has no stages to explain"):
        recurrent.explain("dog", image=photo)


def test_entity_and_attribute_are_told_apart_only_where_labels_taught_it() -> None:
    attribute = np.array([0.2, 0.4, 0.3, 0.1], np.float32)
    neither = np.array([0.25, 0.2, 0.4, 0.15], np.float32)
    assert Typing(supervised=True, used=True).kind(attribute) == "attribute"
    assert Typing(supervised=False, used=True).kind(attribute) == "entity_or_attribute"
    assert Typing(supervised=True, used=True).kind(neither) == "relation"
    assert Typing(supervised=False, used=True).kind(neither) == "entity_or_attribute"
    assert Typing(supervised=False, used=False).kind(neither) == "untyped"


def test_without_word_types_every_word_names_and_relates(make_segmenter: MakeSegmenter, photo: Path) -> None:
    explanation = make_segmenter(word_type_gating=False).explain("the red dog", image=photo)
    assert explanation.kinds == ("untyped", "untyped", "untyped")
    assert list(explanation.network.words) == [0, 1, 2]
    assert explanation.relation_words == (0, 1, 2)


def test_seen_image_gives_the_same_explanation(make_segmenter: MakeSegmenter, photo: Path) -> None:
    segmenter = make_segmenter()
    seen = segmenter.set_image(photo)
    again, fresh = segmenter.explain("dog", image=photo, seen=seen), segmenter.explain("dog", image=photo)
    np.testing.assert_array_equal(again.network.entities, fresh.network.entities)
    with pytest.raises(UsageError, match="seen must be of this image, 90 x 140 pixels, got one of 20 x 30"):
        segmenter.explain("dog", image=photo, seen=segmenter.set_image(np.zeros((20, 30, 3), np.uint8)))


def test_unknown_words_and_missing_photos_are_answered(make_segmenter: MakeSegmenter, photo: Path) -> None:
    segmenter = make_segmenter()
    assert segmenter.explain("the purple dog", image=photo).prediction.unknown_words == ("purple",)
    with pytest.raises(UserError, match="holds no word"):
        segmenter.explain(" . ", image=photo)
    with pytest.raises(UserError, match=r"nowhere\.png"):
        segmenter.explain("dog", image="nowhere.png")


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 300), (300, 2), (64, 64), (33, 200)])
def test_photos_of_any_shape_are_explained(make_segmenter: MakeSegmenter, height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    explanation = make_segmenter().explain(EXPRESSION, image=image)
    graph = explanation.network.graph
    assert graph is not None
    assert (graph.regions >= 0).any()
    assert np.isfinite(graph.excess).all()
    assert explanation.on_photo(explanation.network.entities, height, width).shape == (height, width)


def test_grid_lies_where_the_photo_is(make_segmenter: MakeSegmenter, photo: Path) -> None:
    explanation = make_segmenter().explain("dog", image=photo)
    square = letterbox_image(np.full_like(read_image(photo), 255), explanation.letterbox.size, "area")[:, :, 0] > 0
    cells = cells_of_photo(explanation.letterbox, 8, 8)
    np.testing.assert_array_equal(cells, square[4::8, 4::8])
    one = np.zeros((8, 8), np.float32)
    one[4, 1] = 1.0  # centre at row 36, column 12 of 64
    rows, columns = np.unravel_index(int(explanation.on_photo(one, 90, 140).argmax()), (90, 140))
    assert abs(int(columns) - 12 * 140 / 64) < 10
    assert abs(int(rows) - (36 - explanation.letterbox.top) * 140 / 64) < 10


def test_photo_is_shown_upright(make_segmenter: MakeSegmenter, photo: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(photo).rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    assert make_segmenter().explain("dog", image=tmp_path / "turned.png").pixels.shape == (90, 140, 3)
