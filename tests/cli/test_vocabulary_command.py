"""``cmpc vocabulary``, as a user types it: words beyond those of the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cmpc.cli import main
from cmpc.data.masks import encode_mask
from cmpc.data.schema import DatasetInfo, ReferredObject, write_dataset
from cmpc.data.vocabulary import Vocabulary
from cmpc.interop.embeddings import load_embeddings

WORDS = ("the", "of", "dog", "hydrant", "puppy")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    mask = encode_mask(np.ones((4, 4), bool))
    row = ReferredObject("1", "1", "a.png", 4, 4, mask, (0, 0, 4, 4), "dog", ("the dog",))
    write_dataset(tmp_path / "data", DatasetInfo("mine"), {"train": [row]})
    vectors = np.arange(len(WORDS) * 3, dtype=float).reshape(-1, 3)
    lines = [f"{word} {' '.join(map(str, vector))}" for word, vector in zip(WORDS, vectors, strict=True)]
    (tmp_path / "glove.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def vocabulary(folder: Path, *more: str) -> Vocabulary:
    files = ("--glove", folder / "glove.txt", "--out", folder / "words.txt", "--embeddings-out", folder / "words.npy")
    assert main(["vocabulary", "--data", str(folder / "data"), *map(str, files), *more]) == 0
    return Vocabulary.load(folder / "words.txt")


def test_words_of_the_data_alone_by_default(data: Path) -> None:
    assert "dog" in vocabulary(data).ids
    assert "hydrant" not in vocabulary(data).ids


def test_common_words_and_those_of_kinds_come_along_with_their_vectors(data: Path) -> None:
    common = vocabulary(data, "--common-words", "2")
    assert "of" in common.ids
    assert "puppy" not in common.ids
    kinds = vocabulary(data, "--kind-words")
    assert {"hydrant", "giraffes", "couch"} <= set(kinds.ids)
    assert len(set(kinds.words)) == len(kinds.words)
    matrix = load_embeddings(data / "words.npy", kinds)
    np.testing.assert_allclose(matrix[kinds.ids["hydrant"]], [9, 10, 11])


def test_words_of_kinds_belong_to_data(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "own.txt").write_text("<pad>\ndog\n")
    assert main(["vocabulary", "--file", str(data / "own.txt"), "--kind-words", "--out", str(data / "new.txt")]) == 2
    assert "--kind-words adds to the words of --data" in capsys.readouterr().err
