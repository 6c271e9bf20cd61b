"""Checks of what is said: words that training never sees, lengths, and expressions that mean two things."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from cmpc.checking.finding import Finding, finding
from cmpc.data.schema import ReferredObject
from cmpc.data.vocabulary import tokenize

Splits = Mapping[str, Sequence[ReferredObject]]
MAX_WORDS = 20
"""What networks read where nothing else is asked for."""
TRAINING = ("train", "trainval")


def check_expressions(splits: Splits) -> list[Finding]:
    """What is wrong with the expressions of a dataset."""
    return [*_unseen_words(splits), *_lengths(splits), *_ambiguous(splits), *_repeated(splits)]


def _unseen_words(splits: Splits) -> list[Finding]:
    known = {word for split in TRAINING for row in splits.get(split, ()) for word in _words(row)}
    if not known:
        return []
    unseen = Counter(
        word for split, rows in splits.items() if split not in TRAINING for row in rows for word in _words(row)
    )
    for word in known:
        unseen.pop(word, None)
    return finding(
        (repr(word) for word, _ in unseen.most_common()),
        "a word of the tested expressions never occurs in training",
        "{} words of the tested expressions never occur in training",
        "no model can know them; mend their spelling, or add training expressions with them",
    )


def _words(row: ReferredObject) -> list[str]:
    return [word for text in row.expressions for word in tokenize(text) if any(map(str.isalnum, word))]


def _lengths(splits: Splits) -> list[Finding]:
    long = [
        _place(split, row, text)
        for split, rows in splits.items()
        for row in rows
        for text in row.expressions
        if len(tokenize(text)) > MAX_WORDS
    ]
    return finding(
        long,
        f"an expression has more than {MAX_WORDS} words",
        f"{{}} expressions have more than {MAX_WORDS} words",
        "networks do not read their ends; say them shorter, or train with a larger --text.max-words",
    )


def _ambiguous(splits: Splits) -> list[Finding]:
    places = []
    for split, rows in splits.items():
        masks: dict[tuple[str, str], set[str]] = defaultdict(set)
        for row in rows:
            for text in row.expressions:
                masks[row.image, " ".join(tokenize(text))].add(row.rle)
        places += [f"{split}: {image}, {text!r}" for (image, text), found in masks.items() if len(found) > 1]
    return finding(
        places,
        "an expression means several objects of one photo",
        "{} expressions mean several objects of one photo each",
        "say what tells the objects apart, or join their masks",
    )


def _repeated(splits: Splits) -> list[Finding]:
    counts = Counter(
        (split, row.image, row.rle, " ".join(tokenize(text)))
        for split, rows in splits.items()
        for row in rows
        for text in row.expressions
    )
    return finding(
        (f"{split}: {image}, {text!r}" for (split, image, _, text), count in counts.items() if count > 1),
        "an expression stands twice for the same object",
        "{} expressions stand twice for the same object",
        "leave out the repetitions; they weigh twice",
    )


def _place(split: str, row: ReferredObject, text: str) -> str:
    shown = text if len(text) <= 40 else f"{text[:37]}..."
    return f"{split}: {row.image}, {shown!r}"
