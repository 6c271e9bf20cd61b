"""Word types from parts of speech, by a pipeline that the test builds."""

from __future__ import annotations

from pathlib import Path

import pytest
import spacy

from cmpc.data.schema import ReferredObject
from cmpc.data.spacy_word_types import SpacyWordTypes, label_rows
from cmpc.data.vocabulary import tokenize
from cmpc.errors import UserError


def test_every_token_gets_the_type_of_its_part_of_speech(spacy_pipeline: Path) -> None:
    expressions = ["The man holding a white frisbee", "man, on the LEFT.", ""]
    labels = list(SpacyWordTypes(str(spacy_pipeline)).label(expressions))
    assert labels == [
        ("unnecessary", "entity", "relation", "unnecessary", "attribute", "entity"),
        ("entity", "unnecessary", "relation", "unnecessary", "attribute"),
        (),
    ]
    assert [len(types) for types in labels] == [len(tokenize(expression)) for expression in expressions]


def test_rows_keep_the_types_they_have(spacy_pipeline: Path) -> None:
    row = ReferredObject("1", "1", "a.jpg", 2, 2, "", (0, 0, 1, 1), "", ("white man",))
    own = ReferredObject("2", "1", "a.jpg", 2, 2, "", (0, 0, 1, 1), "", ("man",), (), (("unnecessary",),))
    labelled = label_rows([own, row, row], SpacyWordTypes(str(spacy_pipeline)))
    assert [row.word_types for row in labelled] == [
        (("unnecessary",),),
        (("attribute", "entity"),),
        (("attribute", "entity"),),
    ]


def test_missing_pipelines_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="there is no spaCy pipeline 'en_nothing'"):
        SpacyWordTypes("en_nothing")
    monkeypatch.setattr(spacy.util, "get_installed_models", list)
    with pytest.raises(UserError, match="no English spaCy pipeline is installed: python -m spacy download"):
        SpacyWordTypes()


def test_pipeline_without_parts_of_speech_is_refused(tmp_path: Path) -> None:
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(UserError, match="sets no parts of speech"):
        list(SpacyWordTypes(str(tmp_path / "blank")).label(["the man"]))
