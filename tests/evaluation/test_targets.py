"""Measures where expressions refer to nothing or to several objects, against numbers worked out by hand.

Each of the toy's photos is 64 x 64, as is the network's square, so that a mask has as many pixels as was painted. What
is asked for, and what the network answers:

    word  truth                        answer                      intersection  union
    ant   100 pixels                   80 of them                            80    100
    bee   two objects of 60 pixels     one of them                           60    120
    cat   100 pixels                   49 of them                            49    100
    dog   nothing                      nothing                                0      0
    elk   nothing                      49 pixels                              0     49
    fox   nothing                      50 pixels                              0     50
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from cmpc.cli import main
from cmpc.data.masks import encode_mask
from cmpc.data.schema import PreparedDataset, ReferredObject
from cmpc.data.sources.targets import target_of
from cmpc.data.vocabulary import Vocabulary
from cmpc.evaluation.evaluate import Evaluation, evaluate
from cmpc.evaluation.metrics import Score, ScoreTable
from cmpc.evaluation.protocols import Protocol
from cmpc.evaluation.report import Report
from evaluation.toy import ScriptedEngine, prepared
from networks import tiny_config

SIZE = 64
WORDS = ("ant", "bee", "cat", "dog", "elk", "fox")


def rectangle(pixels: int, *, top: int = 0) -> np.ndarray:
    """So many pixels, in rows of ten."""
    mask = np.zeros((SIZE, SIZE), bool)
    for number in range(pixels):
        mask[top + number // 10, number % 10] = True
    return mask


TRUTH = {
    "ant": [rectangle(100)],
    "bee": [rectangle(60), rectangle(60, top=30)],
    "cat": [rectangle(100)],
    "dog": [],
    "elk": [],
    "fox": [],
}
ANSWER = {
    "ant": rectangle(80),
    "bee": rectangle(60),
    "cat": rectangle(49),
    "dog": rectangle(0),
    "elk": rectangle(49),
    "fox": rectangle(50),
}


@pytest.fixture
def toy(tmp_path: Path) -> PreparedDataset:
    rows = []
    for word, masks in TRUTH.items():
        target = target_of([encode_mask(mask) for mask in masks], SIZE, SIZE)
        row = ReferredObject(
            ref_id=word,
            image_id=word,
            image=word,
            height=SIZE,
            width=SIZE,
            rle=target.rle,
            box=target.box,
            category="",
            expressions=(word,),
            groups=("early" if word < "d" else "late",),
            instances=target.instances,
        )
        rows.append(row)
    photos = {word: np.full((SIZE, SIZE, 3), 9, np.uint8) for word in WORDS}
    return prepared(tmp_path / "toy", photos, {"val": rows})


def evaluated(dataset: PreparedDataset, protocol: Protocol) -> Evaluation:
    vocabulary = Vocabulary.from_expressions(list(WORDS))

    def answer(image: torch.Tensor, words: list[int]) -> np.ndarray:
        return np.where(ANSWER[vocabulary.words[words[0]]], 1.0, -1.0)

    return evaluate(ScriptedEngine(tiny_config(50), answer), vocabulary, dataset, "val", protocol=protocol)


def test_gres_counts_as_grefcoco_does(toy: PreparedDataset) -> None:
    """Answers of fewer than 50 pixels are empty: that of "cat" misses it, and "elk" is told to be absent.

    Such an answer has an IoU of 1 and no pixels where nothing fits, and of 0 where something does:
    IoUs 0.8, 0.5, 0, 1, 1, 0; intersections 80 + 60; unions 100 + 120 + 100 + 0 + 0 + 50.
    """
    score = evaluated(toy, "gres").table().all
    assert score.mean_iou == pytest.approx(3.3 / 6)  # gIoU
    assert score.overall_iou == pytest.approx(140 / 370)  # cIoU
    assert score.no_target_accuracy == pytest.approx(2 / 3)  # "dog" and "elk" of three: TP / (TP + FN)
    assert score.target_accuracy == pytest.approx(2 / 3)  # "ant" and "bee" of three: TN / (TN + FP)
    precision = {threshold: score.target_precision[threshold] for threshold in (0.7, 0.8, 0.9)}
    assert precision == {0.7: pytest.approx(1 / 3), 0.8: pytest.approx(1 / 3), 0.9: 0}  # "ant" of three with a target


def test_the_standard_protocol_takes_a_mask_as_it_is(toy: PreparedDataset) -> None:
    """IoUs 0.8, 0.5, 0.49, 1, 0, 0; intersections 80 + 60 + 49; unions 100 + 120 + 100 + 0 + 49 + 50."""
    score = evaluated(toy, "standard").table().all
    assert score.mean_iou == pytest.approx(2.79 / 6)
    assert score.overall_iou == pytest.approx(189 / 419)
    assert score.no_target_accuracy == pytest.approx(1 / 3)
    assert score.target_accuracy == 1
    assert score.precision[0.5] == pytest.approx(3 / 6)  # "ant", "bee", and "dog", whose IoU is 1
    assert score.target_precision[0.5] == pytest.approx(2 / 3)


def test_rows_by_what_is_referred_to_give_the_measures_of_ref_zom(toy: PreparedDataset) -> None:
    """Ref-ZOM's program has overall and mean IoU of what has a target, and its accuracy of what has none."""
    rows = {name: score for kind, name, score in evaluated(toy, "standard").table().rows() if kind == "targets"}
    assert [(name, score.expressions) for name, score in rows.items()] == [
        ("nothing", 3),
        ("something", 3),
        ("one", 2),
        ("several", 1),
    ]
    assert rows["something"].overall_iou == pytest.approx(189 / 320)
    assert rows["something"].mean_iou == pytest.approx(1.79 / 3)
    assert rows["nothing"].no_target_accuracy == pytest.approx(1 / 3)
    assert rows["nothing"].target_accuracy is None
    assert rows["several"].overall_iou == 0.5


def test_reports_show_the_measures_of_their_protocol(toy: PreparedDataset) -> None:
    gres = Report(evaluated(toy, "gres"), "model", {}).to_markdown().splitlines()
    assert "| | expressions | gIoU | cIoU | N-acc | T-acc | Pr@0.7 | Pr@0.8 | Pr@0.9 |" in gres
    assert "| all | 6 | 55.00 | 37.84 | 66.67 | 66.67 | 33.33 | 33.33 | 0.00 |" in gres
    assert "| nothing | 3 | 66.67 | 0.00 | 66.67 |  |  |  |  |" in gres
    assert "| early | 3 | 43.33 | 43.75 |  | 66.67 | 33.33 | 33.33 | 0.00 |" in gres

    standard = Report(evaluated(toy, "standard"), "model", {})
    lines = standard.to_markdown().splitlines()
    assert "| | expressions | overall IoU | mean IoU | N-acc | T-acc | P@0.5 | P@0.6 | P@0.7 | P@0.8 | P@0.9 |" in lines
    assert "| all | 6 | 45.11 | 46.50 | 33.33 | 100.00 | 50.00 | 33.33 | 33.33 | 33.33 | 16.67 |" in lines
    table = standard.to_json()["tables"]["without_crf"]
    assert table["all"]["absent"] == 3
    assert table["targets"]["something"]["overall_iou"] == pytest.approx(189 / 320)
    assert [line["targets"] for line in standard.expression_lines()] == [1, 2, 1, 0, 0, 0]


@pytest.mark.parametrize("protocol", ["standard", "gres"])
def test_no_number_is_cut_off_in_a_terminal_of_80_columns(toy: PreparedDataset, protocol: Protocol) -> None:
    console = Console(width=80, file=io.StringIO())
    for table in Report(evaluated(toy, protocol), "model", {}).terminal_tables():
        console.print(table)
    printed = console.file.getvalue()
    assert not re.search(r"[\d.-]…", printed)
    assert "N-acc" in printed
    assert ("37.84" if protocol == "gres" else "45.11") in printed


def test_data_in_which_all_is_one_object_are_reported_as_ever(toy: PreparedDataset) -> None:
    table = ScoreTable()
    table.add(evaluated(toy, "standard").results[0].without_crf, words=1, truth=100)
    assert [kind for kind, _, _ in table.rows()] == ["all", "words"]
    assert "absent" not in table.all.to_json()
    assert table.all.no_target_accuracy is None


def test_scores_of_parts_add_up(toy: PreparedDataset) -> None:
    table = evaluated(toy, "gres").table()
    assert Score.total(table.by_targets.values()) == table.all
    assert (table + table).by_targets["nothing"].absent == 6


def test_command_evaluates_by_grefcocos_rules(
    toy: PreparedDataset, tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model knows none of the words: what it answers is of no interest, but the measures stand there."""
    arguments = ["evaluate", "--data", str(toy.folder), "--split", "val", "--model", str(tiny_model_folder)]
    assert main([*arguments, "--protocol", "gres", "--out", str(tmp_path / "gres")]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("gIoU", "cIoU", "N-acc", "T-acc", "Pr@0.7", "something"))
    assert "fewer than 50 pixels" in printed
    report = json.loads((tmp_path / "gres" / "report.json").read_text())
    score = report["tables"]["without_crf"]["all"]
    lines = [json.loads(line) for line in (tmp_path / "gres" / "expressions.jsonl").read_text().splitlines()]
    assert score["no_target_accuracy"] == sum(line["union"] == 0 for line in lines[3:]) / 3
    assert not any(0 < line["union"] < 50 for line in lines[3:])
    assert main([*arguments, "--out", str(tmp_path / "standard")]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("overall", "N-acc", "T-acc"))
