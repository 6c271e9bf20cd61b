"""What counts as predicted where the model says that nothing fits."""

from __future__ import annotations

import numpy as np
import pytest

from cmpc.data.schema import PreparedDataset
from cmpc.data.vocabulary import Vocabulary
from cmpc.evaluation.evaluate import evaluate
from cmpc.evaluation.inference import predict
from cmpc.evaluation.metrics import Overlap
from cmpc.evaluation.protocols import Protocol
from cmpc.evaluation.samples import samples_by_image
from evaluation.toy import ScriptedEngine
from networks import tiny_config


@pytest.fixture
def engine(vocabulary: Vocabulary) -> ScriptedEngine:
    """Answers all of the photo, and says that nothing fits what begins with "the"."""
    return ScriptedEngine(
        tiny_config(len(vocabulary)),
        lambda image, words: np.ones((64, 64)),
        lambda words: -1.0 if words[0] == vocabulary.ids["the"] else 1.0,
    )


@pytest.mark.parametrize("protocol", ["standard", "paper"])
def test_absent_expressions_are_empty_predictions(
    protocol: Protocol, engine: ScriptedEngine, vocabulary: Vocabulary, dataset: PreparedDataset
) -> None:
    evaluation = evaluate(engine, vocabulary, dataset, "val", protocol=protocol)
    absent = 0
    for sample, result in zip(evaluation.samples, evaluation.results, strict=True):
        truth = int(sample.row.decode_mask().sum())
        if protocol == "standard" and sample.expression.startswith("the"):
            assert result.without_crf == Overlap(0, truth)
            absent += 1
        else:
            assert result.without_crf == Overlap(truth, sample.row.height * sample.row.width)
    assert absent == (2 if protocol == "standard" else 0)


def test_logits_come_with_presence(engine: ScriptedEngine, vocabulary: Vocabulary, dataset: PreparedDataset) -> None:
    images = samples_by_image(dataset.read("val"))
    for said in predict(engine, vocabulary, dataset, images):
        assert said.presence == (-1.0 if said.sample.expression.startswith("the") else 1.0)
    silent = ScriptedEngine(engine.config, engine.answer)
    assert {said.presence for said in predict(silent, vocabulary, dataset, images)} == {None}
