from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cmpc.data.sources.collection import Reading
from cmpc.data.sources.phrasecut import collect, word_types_of
from cmpc.errors import UsageError, UserError


def test_phrases_have_all_their_instances_and_the_kind_of_the_phrase(phrasecut: Path) -> None:
    rows = collect(phrasecut, phrasecut).rows
    both, one = rows["train"]
    assert (both.image, both.category, both.groups) == ("72.jpg", "giraffes", ("name",))
    assert len(both.instances) == 2
    assert one.instances == ()
    assert one.groups == ("relation",)
    assert (both.decode(both.instances[0]) == one.decode_mask()).all()


def test_masks_are_painted_as_the_benchmarks_program_paints_them(phrasecut: Path) -> None:
    entry = json.loads((phrasecut / "refer_val.json").read_text())[0]
    expected = np.zeros((160, 128), bool)
    for polygon in entry["Polygons"][0]:
        picture = Image.new("L", (128, 160), 0)
        ImageDraw.Draw(picture).polygon([(int(x), int(y)) for x, y in polygon], outline=1, fill=1)
        expected |= np.array(picture) > 0
    assert (collect(phrasecut, phrasecut).rows["val"][0].decode_mask() == expected).all()


def test_the_structure_of_a_phrase_gives_the_types_of_its_words(phrasecut: Path) -> None:
    row = collect(phrasecut, phrasecut).rows["val"][0]
    assert row.expressions == ("man's bike with bag in front of man",)
    attribute, entity, relation = "attribute", "entity", "relation"
    assert row.word_types == (
        (attribute, attribute, attribute, entity, attribute, attribute, relation, relation, relation, entity),
    )  # man ' s bike with bag in front of man


@pytest.mark.parametrize(
    ("phrase", "name", "attributes", "relations", "types"),
    [
        ("red living room chair", "chair", ["living room", "red"], [], "aaae"),
        ("man standing up", "man", ["standing up"], [], "eaa"),
        ("walking man", "man", ["walking"], [], "ae"),
        ("cup on table near wall", "cup", [], [["on", "table"], ["near", "wall"]], "erere"),
        ("dog", "cat", [], [], ""),
        ("dog", "dog", None, [], ""),
    ],
)
def test_words_stand_where_the_benchmarks_program_puts_them(
    phrase: str, name: str, attributes: Any, relations: Any, types: str
) -> None:
    structure = {"name": name, "attributes": attributes, "relation_descriptions": relations}
    assert "".join(one[0] for one in word_types_of(phrase, structure)) == types


def test_only_the_splits_that_are_there_are_read(phrasecut: Path) -> None:
    (phrasecut / "refer_train.json").unlink()
    assert list(collect(phrasecut, phrasecut).rows) == ["val"]
    with pytest.raises(UserError, match=r"refer_test\.json"):
        collect(phrasecut, phrasecut, Reading(splits=["test"]))
    with pytest.raises(UsageError, match="no split 'testA'"):
        collect(phrasecut, phrasecut, Reading(splits=["testA"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tasks: tasks[1].pop("phrase"), "entry 2: it has no phrase"),
        (lambda tasks: tasks[1].update(Polygons=[]), "entry 2: it has no polygons"),
        (lambda tasks: tasks[1].update(Polygons=[[[1, 2, 3]]]), "entry 2: a polygon is not a list of points"),
        (lambda tasks: tasks[1].update(Polygons=[[[[1, 2], [3]]]]), "entry 2: a polygon is not a list of points"),
        (lambda tasks: tasks[1].update(Polygons=[[[[1, 1e9], [3, 3]]]]), "entry 2: a polygon is not a list of points"),
        (lambda tasks: tasks[1].update(Polygons=[[[]]]), "entry 2: the mask is broken: it is empty"),
        (lambda tasks: tasks[1].update(Polygons=[5]), "entry 2: it does not have the form"),
        (lambda tasks: tasks[1].update(image_id=5), "entry 2: its image 5 is not in"),
        (lambda tasks: tasks[1].update(image_id="x"), "entry 2: 'x' is no number of an image"),
        (lambda tasks: tasks[1].update(task_id=tasks[0]["task_id"]), "entry 2: the task 72__598731_600276 stands"),
        (lambda tasks: tasks.__setitem__(1, 5), "entry 2: it does not have the form"),
    ],
)
def test_wrong_phrase_is_told_with_its_entry(phrasecut: Path, change: Any, message: str) -> None:
    path = phrasecut / "refer_train.json"
    tasks = json.loads(path.read_text())
    change(tasks)
    path.write_text(json.dumps(tasks))
    with pytest.raises(UserError) as raised:
        collect(phrasecut, phrasecut)
    assert f"{path}, {message}" in str(raised.value)
    assert len(collect(phrasecut, phrasecut, Reading(skip_broken=True)).rows["train"]) == 1


def test_phrases_without_a_fitting_structure_have_no_word_types(phrasecut: Path) -> None:
    path = phrasecut / "refer_val.json"
    tasks = json.loads(path.read_text())
    tasks[0]["phrase_structure"] = None
    path.write_text(json.dumps(tasks))
    collection = collect(phrasecut, phrasecut)
    assert collection.rows["val"][0].word_types == ()
    assert collection.notes == ["1 phrases are not what their structure says: they have no word types."]
