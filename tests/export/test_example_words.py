"""The example that exports carry reads words as the package does, without it."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

import cmpc.export
from cmpc.data.vocabulary import Splitting, Vocabulary

EXPRESSIONS = [
    *("the red dog", "The “red” dog!", "the dog’s ball, left?", "'the dog' (red)", "t-shirt , red ...", "the café"),
    *("the dogs' ball", "the _ dog.", "red;dog"),
]


@pytest.mark.parametrize("splitting", ["original", "plain"])
def test_example_reads_words_as_the_package_does(tmp_path: Path, splitting: Splitting) -> None:
    words = Vocabulary.from_expressions([*EXPRESSIONS, ", ' - ; é ball"], splitting=splitting)
    words.save(tmp_path / "vocabulary.txt")
    text = {"max_words": 20, "splitting": splitting}
    (tmp_path / "config.json").write_text(json.dumps({"model": {"text": text}}))
    shutil.copy(Path(cmpc.export.__file__).with_name("example.py"), tmp_path)
    spec = importlib.util.spec_from_file_location("copied_example", tmp_path / "example.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    for expression in EXPRESSIONS:
        assert example.word_ids(expression).tolist() == words.encode(expression, 20), expression
