from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmpc.data.query import holds_a_word
from cmpc.data.vocabulary import Vocabulary, pad_tokens, plain_words, tokenize
from cmpc.errors import UserError

ORIGINAL = json.loads((Path(__file__).parent / "original_tokens.json").read_text(encoding="utf-8"))


@pytest.fixture(params=["gref", "referit"])
def original(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Vocabulary]:
    """The original's vocabulary file, with a filler on every line that the recorded sentences do not need."""
    lines = ORIGINAL["lines"][request.param]
    words = [f"filler{number}" for number in range(lines["count"])]
    for number, word in lines["words"]:
        words[number] = word
    path = tmp_path / "vocabulary.txt"
    path.write_text("\n".join(words) + "\n")
    return request.param, Vocabulary.load(path)


def test_tokens_equal_the_originals() -> None:
    for recorded in ORIGINAL["sentences"]:
        tokens = tokenize(recorded["sentence"])
        expected = recorded["tokens"]  # recorded before the final "." is dropped
        assert tokens == (expected[:-1] if expected[-1] == "." else expected)


def test_ids_equal_the_originals(original: tuple[str, Vocabulary]) -> None:
    name, vocabulary = original
    for recorded in ORIGINAL["sentences"]:
        ids = vocabulary.encode(recorded["sentence"], max_words=20)
        assert [0] * (20 - len(ids)) + ids == recorded[name]


def test_word_on_two_lines_has_the_id_of_the_last(original: tuple[str, Vocabulary]) -> None:
    name, vocabulary = original
    if name == "gref":
        assert vocabulary.words[511] == vocabulary.words[6108] == "."
        assert vocabulary.encode("a . b", 20) == [vocabulary.ids["a"], 3, 3]
        assert vocabulary.ids["."] == 6108
    assert len(vocabulary) == ORIGINAL["lines"][name]["count"]


@pytest.mark.parametrize("expression", ["", "   ", ".", " . "])
def test_expression_without_a_token_encodes_to_nothing(expression: str) -> None:
    assert Vocabulary.from_expressions(["left man"]).encode(expression, 20) == []


def test_query_reads_an_expression_once() -> None:
    vocabulary = Vocabulary.from_expressions(["left man"])
    query = vocabulary.query("Left zebra, left man", 20)
    assert query.text == "Left zebra, left man"
    assert query.words == ("left", "zebra", ", ", "left", "man")
    assert [vocabulary.words[number] for number in query.ids] == ["left", "<unk>", "<unk>", "left", "man"]
    assert query.word_of_token == (0, 1, 2, 3, 4)
    assert query.unknown == ("zebra",)
    assert query.cut == ()


def test_unknown_words_are_named_once_and_without_separators() -> None:
    vocabulary = Vocabulary.from_expressions(["left man"])
    assert vocabulary.query("left zebra, (zebra) _ and 猫!", 20).unknown == ("zebra", "and", "猫!")


def test_words_beyond_the_most_are_cut_and_not_called_unknown() -> None:
    query = Vocabulary.from_expressions(["left man"]).query("left man, zebra, the man!", 3)
    assert query.words == ("left", "man", ", ")
    assert len(query.ids) == len(query.word_of_token) == 3
    assert query.cut == ("zebra", "the", "man")
    assert query.unknown == ()


PLAIN = {
    "the red dog": ["the", "red", "dog"],
    "The red dog!": ["the", "red", "dog"],
    "the red dog?!": ["the", "red", "dog"],
    "the red dog...": ["the", "red", "dog"],
    '"the red dog"': ["the", "red", "dog"],
    "“the red dog”.": ["the", "red", "dog"],
    "'the red dog'": ["the", "red", "dog"],
    "the ‘red’ dog": ["the", "red", "dog"],
    "(the) red dog": ["the", "red", "dog"],
    "the dog , red": ["the", "dog", ",", "red"],
    "the dog, red": ["the", "dog", ",", "red"],
    "the dog,red": ["the", "dog", ",", "red"],
    'the "dog", red': ["the", "dog", ",", "red"],
    "the dog's ball": ["the", "dog", "'", "s", "ball"],
    "the dog’s ball": ["the", "dog", "'", "s", "ball"],
    "the dogs' ball": ["the", "dogs", "ball"],
    "t-shirt": ["t", "-", "shirt"],
    "the café": ["the", "caf", "é"],
    "?!": [],
    "": [],
}


@pytest.mark.parametrize("expression", PLAIN)
def test_punctuation_ends_words_in_the_plain_rule(expression: str) -> None:
    assert [word for _, word in plain_words(expression)] == PLAIN[expression]


@given(st.text(max_size=30))
def test_plain_words_know_their_places_among_the_originals(expression: str) -> None:
    tokens = tokenize(expression)
    for position, word in plain_words(expression):
        if word.isascii() and word.isalnum():
            assert word == tokens[position].strip()


@pytest.mark.parametrize("expression", ["the red dog!", "“the red dog”", "the red dog ?", "the dog , red", "the dog’s"])
def test_plain_rule_leaves_no_word_unknown(expression: str) -> None:
    data = ["the red dog, the dog's ball"]
    plain = Vocabulary.from_expressions(data, splitting="plain")
    assert plain.unknown_id not in plain.query(expression, 20).ids
    original = Vocabulary.from_expressions(data)
    assert original.unknown_id in original.query(expression, 20).ids


def test_vocabulary_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_bytes(b"\xef\xbb\xbf<pad>\r\n<unk>\r\nleft\r\n")
    assert Vocabulary.load(tmp_path / "words.txt").words == ("<pad>", "<unk>", "left")


@pytest.mark.parametrize(
    ("text", "expected"), [("man", True), ("7", True), ("猫!", True), ("?!_", False), ("📷", False)]
)
def test_word_holds_a_letter_or_a_digit(text: str, expected: bool) -> None:
    assert holds_a_word(text) is expected


@given(st.lists(st.text(max_size=30), max_size=8), st.integers(1, 3))
def test_saved_vocabulary_loads_equal(tmp_path_factory: pytest.TempPathFactory, texts: list[str], minimum: int) -> None:
    vocabulary = Vocabulary.from_expressions(texts, minimum_count=minimum)
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.txt"
    vocabulary.save(path)
    assert Vocabulary.load(path) == vocabulary


@given(st.text(), st.integers(1, 20))
def test_every_text_encodes_within_the_limits(text: str, max_words: int) -> None:
    vocabulary = Vocabulary.from_expressions(["left man in red"])
    ids = vocabulary.encode(text, max_words)
    assert len(ids) == min(len(tokenize(text)), max_words)
    assert all(0 < number < len(vocabulary) for number in ids)


def test_frequent_words_come_first_and_rare_ones_are_left_out() -> None:
    vocabulary = Vocabulary.from_expressions(["red dog", "red cat", "red cat, left"], minimum_count=2)
    assert vocabulary.words == ("<pad>", "<go>", "<eos>", "<unk>", "red", "cat")


@pytest.mark.parametrize("content", [b"", b"left\nman\n", b"<pad>\nleft\n", b"\xff\xfe\x00"])
def test_file_that_is_no_vocabulary_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vocabulary.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not a vocabulary"):
        Vocabulary.load(path)


def test_missing_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.txt"):
        Vocabulary.load(tmp_path / "absent.txt")


def test_padding_goes_to_the_right() -> None:
    padded = pad_tokens([[4, 5], [], [6]])
    assert padded.dtype == np.int64
    assert padded.tolist() == [[4, 5], [0, 0], [6, 0]]
    assert pad_tokens([[4]], length=3).tolist() == [[4, 0, 0]]
    assert pad_tokens([]).shape == (0, 0)


def test_padding_refuses_to_cut() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        pad_tokens([[1, 2, 3]], length=2)
