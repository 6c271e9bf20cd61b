"""Word embeddings from GloVe text files and from NumPy matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmpc.data.vocabulary import EOS, GO, PAD, UNKNOWN, Vocabulary
from cmpc.errors import UserError
from cmpc.files import atomic_file
from cmpc.reading import open_file

BYTES_PER_REPORT = 4 * 1024 * 1024
NUMPY_SIGNATURE = b"\x93NUMPY"
MAX_BYTES = 64 * 1024**3
"""Larger files are no embeddings."""


@dataclass(frozen=True)
class WordEmbeddings:
    """A matrix for a vocabulary, and what is known of its words."""

    matrix: np.ndarray
    """float32 (words, channels); row i belongs to word id i, row 0 (``<pad>``) is zero."""
    found: int
    """How many different words of the vocabulary the file has."""
    words: int
    """How many different words the vocabulary has; blank lines and names such as ``<pad>`` are not counted."""


def read_glove(
    path: str | Path, vocabulary: Vocabulary, *, seed: int = 0, advance: Callable[[int], None] = lambda _: None
) -> WordEmbeddings:
    """Picks the words of a vocabulary out of a GloVe text file, line by line: memory does not grow with the file.

    A word that the file lacks gets normal noise with the standard deviation of the values that were found, so that it
    enters the network at the same scale. ``<pad>`` is zero. A word's first line counts.

    Args:
        path: lines of a word and its values, separated by single blanks. Some words of ``glove.840B.300d`` contain
            blanks themselves. A first line with two counts, as word2vec and fastText write it, is passed over.
        vocabulary: the words to look for.
        seed: of the noise.
        advance: called now and then with the number of bytes read since the last call.

    Raises:
        UserError: the file is missing, cut short or not of this format, or has none of the words.
    """
    ids: dict[bytes, list[int]] = {}
    for number, word in enumerate(vocabulary.words):
        if word and word != PAD:
            ids.setdefault(word.encode(), []).append(number)
    heads = {word.split(b" ", 1)[0] for word in ids}  # a cheap test that lets most lines pass unsplit

    vectors: dict[bytes, np.ndarray] = {}
    channels, number, line = 0, 0, b""
    for number, line in _lines(Path(path), advance):
        channels = channels or _count_channels(path, line)
        if line[: line.find(b" ")] in heads:
            token, *values = line.rsplit(b" ", channels)
            if token in ids and token not in vectors:
                vectors[token] = _parse(path, number, values, channels)
    if line.count(b" ") < max(channels, 1):
        raise UserError(f"{path} is cut short: line {number} has too few values; get the file anew.")
    if not vectors:
        raise UserError(f"{path} has none of the vocabulary's words: give word vectors of the same language.")

    scale = np.stack(list(vectors.values())).std()
    noise = np.random.default_rng(seed).normal(0.0, scale, (len(vocabulary), channels))
    matrix = noise.astype(np.float32)
    matrix[vocabulary.pad_id] = 0.0
    for token, vector in vectors.items():
        matrix[ids[token]] = vector
    special = {name.encode() for name in (GO, EOS, UNKNOWN)}
    return WordEmbeddings(matrix, len(vectors.keys() - special), len(ids.keys() - special))


def first_words(path: str | Path, count: int) -> list[str]:
    """The first words of a GloVe text file that are words by the vocabulary's rule: the commonest ones.

    Args:
        path: as for ``read_glove``.
        count: how many at most; numbers and signs do not count.

    Raises:
        UserError: the file is missing.
    """
    words: list[str] = []
    for _, line in _lines(Path(path), lambda _: None):
        word = line.split(b" ", 1)[0].decode("utf-8", "replace")
        if word.isascii() and word.isalpha():
            words.append(word.lower())
        if len(words) == count:
            break
    return list(dict.fromkeys(words))


def load_matrix(path: str | Path, vocabulary: Vocabulary) -> np.ndarray:
    """Loads a NumPy matrix of embeddings, such as the original's ``Gref_emb.npy`` and ``referit_emb.npy``.

    Returns:
        float32 (words, channels).

    Raises:
        UserError: the file is missing, damaged, not a matrix of numbers or made for another vocabulary.
    """
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise UserError(f"cannot read the embeddings {path}: {error.strerror or 'it is damaged'}.") from None
    except Exception:  # a damaged header raises whatever Python's parser does
        raise UserError(f"{path} is not a NumPy matrix, or is cut short.") from None
    if not isinstance(mapped, np.ndarray) or mapped.ndim != 2 or mapped.dtype.kind != "f":
        raise UserError(f"{path} is not a matrix of floating-point numbers, one row a word.")
    if len(mapped) != len(vocabulary):
        raise UserError(
            f"{path} has {len(mapped):,} rows but the vocabulary has {len(vocabulary):,} words: "
            "give the matrix that was made for this vocabulary."
        )
    matrix = np.array(mapped, dtype=np.float32)
    if not np.isfinite(matrix).all():
        raise UserError(f"{path} holds values that are not finite numbers.")
    return matrix


def load_embeddings(path: str | Path, vocabulary: Vocabulary, *, seed: int = 0) -> np.ndarray:
    """Embeddings for a vocabulary from either kind of file: a NumPy matrix, or GloVe text (see ``read_glove``).

    Returns:
        float32 (words, channels).

    Raises:
        UserError: the file is of neither kind or does not fit.
    """
    try:
        with open_file(path, at_most=MAX_BYTES) as file:
            signature = file.read(len(NUMPY_SIGNATURE))
    except OSError as error:
        raise UserError(f"cannot read the embeddings {path}: {error.strerror}.") from None
    if signature == NUMPY_SIGNATURE:
        return load_matrix(path, vocabulary)
    return read_glove(path, vocabulary, seed=seed).matrix


def save_matrix(path: str | Path, matrix: np.ndarray) -> None:
    """Writes a matrix as NumPy's ``.npy``."""
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, matrix, allow_pickle=False)


def _lines(path: Path, advance: Callable[[int], None]) -> Iterator[tuple[int, bytes]]:
    """Numbered lines without the line of counts that some formats begin with."""
    unreported = 0
    try:
        with open_file(path, at_most=MAX_BYTES) as file:
            for number, line in enumerate(file, start=1):
                unreported += len(line)
                if unreported >= BYTES_PER_REPORT:
                    advance(unreported)
                    unreported = 0
                if number > 1 or not _is_header(line):
                    yield number, line.rstrip(b"\r\n")
    except OSError as error:
        raise UserError(f"cannot read the embeddings {path}: {error.strerror}.") from None
    advance(unreported)


def _is_header(line: bytes) -> bool:
    fields = line.split()
    return len(fields) == 2 and fields[0].isdigit() and fields[1].isdigit()


def _count_channels(path: str | Path, line: bytes) -> int:
    if line.startswith(b"PK"):
        raise UserError(f"{path} is a ZIP archive: unpack it and give the text file in it.")
    channels = line.count(b" ")
    try:
        _parse(path, 1, line.split(b" ")[1:], max(channels, 1))
    except UserError:
        raise UserError(
            f"{path} is not GloVe text: a line must be a word and its values, separated by blanks."
        ) from None
    return channels


def _parse(path: str | Path, number: int, values: list[bytes], channels: int) -> np.ndarray:
    try:
        vector = np.array([float(value) for value in values], dtype=np.float32)
    except ValueError:
        raise UserError(f"{path}, line {number}: a value is not a number; get the file anew.") from None
    if len(vector) != channels or not np.isfinite(vector).all():
        raise UserError(f"{path}, line {number}: there are not {channels} finite values; get the file anew.")
    return vector
