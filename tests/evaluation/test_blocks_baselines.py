"""Guesses on Blocks that need no training."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmpc.blocks.dataset import Settings, make_blocks, read_scenes
from cmpc.blocks.meaning import FAMILIES
from cmpc.errors import UserError
from cmpc.evaluation.blocks_baselines import baseline_table, score_baselines


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("blocks") / "data"
    make_blocks(out, Settings(seed=3, size=64, splits={"train": 6, "test": 4}))
    return out


def test_guesses_are_scored_by_family(folder: Path) -> None:
    scores = score_baselines(folder, "test")
    assert set(scores) == {"image prior", "random object", "largest object", "right noun"}
    expressions = sum(len(record.expressions) for record in read_scenes(folder, "test"))
    for by in scores.values():
        assert set(by) == {"all", *FAMILIES}
        assert by["all"].expressions == expressions
    right = scores["right noun"]
    assert right["entity"].hits[0] == right["entity"].expressions
    assert right["relation"].hits[0] < right["relation"].expressions
    assert baseline_table(folder, "test").row_count == len(FAMILIES) + 2
    assert score_baselines(folder, "test") == scores


def test_folder_that_is_no_blocks_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no prepared dataset"):
        score_baselines(tmp_path / "nowhere", "test")
