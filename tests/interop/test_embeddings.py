from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cmpc.data.vocabulary import Vocabulary
from cmpc.errors import UserError
from cmpc.interop.embeddings import load_embeddings, load_matrix, read_glove, save_matrix

WORDS = Vocabulary(("<pad>", "<go>", "<eos>", "<unk>", "left", "man", ". . .", "zebra", "left", ""))
GLOVE = (
    b", 0.5 0.25 -0.5\n"
    b"left 1 2 3\n"
    b". . . 4 5 6\n"
    b". . 7 8 9\n"
    b"at name@domain.com 0.1 0.2 0.3\n"
    b"man -1e-2 0 1\n"
    b"left 9 9 9\n"
    b"Zebra 5 5 5\n"
)


@pytest.fixture
def glove(tmp_path: Path) -> Path:
    path = tmp_path / "glove.txt"
    path.write_bytes(GLOVE)
    return path


def test_words_of_the_vocabulary_are_picked_out(glove: Path) -> None:
    embeddings = read_glove(glove, WORDS)
    assert embeddings.matrix.dtype == np.float32
    assert embeddings.matrix[5].tolist() == pytest.approx([-0.01, 0, 1])
    assert (embeddings.found, embeddings.words) == (3, 4)


def test_first_line_of_a_word_counts_and_serves_all_its_ids(glove: Path) -> None:
    matrix = read_glove(glove, WORDS).matrix
    assert matrix[4].tolist() == matrix[8].tolist() == [1, 2, 3]


def test_word_with_blanks_is_read_from_the_right(glove: Path) -> None:
    assert read_glove(glove, WORDS).matrix[6].tolist() == [4, 5, 6]


def test_padding_is_zero_and_lacking_words_get_noise_of_the_same_scale(glove: Path) -> None:
    words = Vocabulary((*WORDS.words, *(f"rare{number}" for number in range(2000))))
    matrix = read_glove(glove, words, seed=5).matrix
    assert not matrix[0].any()
    found = np.array([[1, 2, 3], [4, 5, 6], [-0.01, 0, 1]])
    assert matrix[len(WORDS) :].std() == pytest.approx(found.std(), rel=0.05)
    assert (read_glove(glove, words, seed=5).matrix == matrix).all()
    assert (read_glove(glove, words, seed=6).matrix != matrix).any()


def test_line_of_counts_is_passed_over(glove: Path) -> None:
    expected = read_glove(glove, WORDS).matrix
    glove.write_bytes(b"8 3\n" + GLOVE)
    assert (read_glove(glove, WORDS).matrix == expected).all()


def test_progress_adds_up_to_the_file(glove: Path) -> None:
    reported: list[int] = []
    read_glove(glove, WORDS, advance=reported.append)
    assert sum(reported) == len(GLOVE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is cut short"),
        (GLOVE + b"right 1 2", "line 9 has too few values"),
        (GLOVE.replace(b"man -1e-2", b"man -1x-2"), "line 6: a value is not a number"),
        (GLOVE.replace(b"man -1e-2", b"man nan"), "line 6: there are not 3 finite values"),
        (b"just a text\nof words\n", "is not GloVe text"),
        (b"PK\x03\x04rest", "is a ZIP archive"),
        (b"dog 1 2 3\ncat 1 2 3\n", "none of the vocabulary's words"),
    ],
)
def test_damaged_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "glove.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_glove(path, WORDS)


def test_missing_file_is_named(tmp_path: Path) -> None:
    for read in (read_glove, load_matrix, load_embeddings):
        with pytest.raises(UserError, match=r"absent\.txt"):
            read(tmp_path / "absent.txt", WORDS)


def test_matrix_survives_saving(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).normal(size=(len(WORDS), 4)).astype(np.float32)
    save_matrix(tmp_path / "m.npy", matrix)
    assert (load_matrix(tmp_path / "m.npy", WORDS) == matrix).all()
    assert (load_embeddings(tmp_path / "m.npy", WORDS) == matrix).all()


def test_either_kind_of_file_is_recognised(glove: Path) -> None:
    assert (load_embeddings(glove, WORDS) == read_glove(glove, WORDS).matrix).all()


def test_matrix_in_double_precision_is_taken(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.ones((len(WORDS), 4)))
    assert load_matrix(tmp_path / "m.npy", WORDS).dtype == np.float32


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((3, 4)), "has 3 rows but the vocabulary has 10 words"),
        (np.ones(10), "not a matrix"),
        (np.ones((10, 4), int), "not a matrix"),
        (np.full((10, 4), np.inf), "not finite"),
        (np.array([{}] * 10), "not a NumPy matrix"),
    ],
)
def test_wrong_matrix_is_refused(tmp_path: Path, matrix: np.ndarray, message: str) -> None:
    np.save(tmp_path / "m.npy", matrix, allow_pickle=True)
    with pytest.raises(UserError, match=message):
        load_matrix(tmp_path / "m.npy", WORDS)


@pytest.mark.parametrize("kept", [0, 5, 60, 128, 200])
def test_truncated_matrix_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "m.npy"
    np.save(path, np.ones((10, 40)))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"m\.npy"):
        load_matrix(path, WORDS)
