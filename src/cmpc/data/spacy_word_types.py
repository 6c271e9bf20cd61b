"""Word types guessed from parts of speech by spaCy: weak labels where a benchmark has none.

Nouns and pronouns are entities, adjectives and numbers attributes, prepositions and verbs relations, the rest is
unnecessary. The paper describes the types by these examples; the published program learns them without labels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cmpc.data.schema import ReferredObject, stored_rows
from cmpc.data.vocabulary import tokenize
from cmpc.errors import UserError

if TYPE_CHECKING:
    from spacy.language import Language

TYPE_OF_PART_OF_SPEECH: dict[str, str] = {
    "NOUN": "entity",
    "PROPN": "entity",
    "PRON": "entity",
    "ADJ": "attribute",
    "NUM": "attribute",
    "ADP": "relation",
    "VERB": "relation",
}
"""Universal part of speech -> word type; all others are unnecessary."""


class SpacyWordTypes:
    """Labels words by the parts of speech that an installed spaCy pipeline sees.

    The pipeline reads our own tokens, so that a label stands for each of them.
    """

    def __init__(self, pipeline: str | None = None) -> None:
        """
        Args:
            pipeline: name or folder of a pipeline that sets parts of speech; by default the first English one found.

        Raises:
            UserError: spaCy or such a pipeline is not installed.
        """
        try:
            import spacy
        except ModuleNotFoundError:
            raise UserError("spaCy is not installed: pip install 'cmpc[spacy]', and a pipeline.") from None
        name = pipeline or next((model for model in spacy.util.get_installed_models() if model.startswith("en")), None)
        if name is None:
            raise UserError(
                "no English spaCy pipeline is installed: python -m spacy download en_core_web_sm, or name a folder."
            )
        try:
            self._pipeline: Language = spacy.load(name, exclude=["ner"])
        except (OSError, ValueError, ImportError) as error:
            raise UserError(f"there is no spaCy pipeline {name!r}: {str(error).splitlines()[0]}") from None

    def label(self, expressions: Iterable[str | Sequence[str]]) -> Iterator[tuple[str, ...]]:
        """The type of each token of each expression, in the order of ``tokenize``, or of each of its given words.

        Raises:
            UserError: the pipeline sets no parts of speech.
        """
        from spacy.tokens import Doc

        vocabulary = self._pipeline.vocab
        tokens = (tokenize(text) if isinstance(text, str) else text for text in expressions)
        documents = (Doc(vocabulary, words=[token.strip() for token in words]) for words in tokens)
        for document in self._pipeline.pipe(documents):
            parts: list[Any] = [token.pos_ for token in document]
            if parts and not any(parts):
                raise UserError(
                    f"the spaCy pipeline {self._pipeline.meta['name']!r} sets no parts of speech: choose one with "
                    "a tagger or a morphologizer, such as en_core_web_sm."
                )
            yield tuple(TYPE_OF_PART_OF_SPEECH.get(part, "unnecessary") for part in parts)


def without_word_types(rows: Sequence[ReferredObject]) -> Sequence[ReferredObject]:
    """The rows without the word types that they carry."""
    return stored_rows(dataclasses.replace(row, word_types=()) for row in rows)


def label_rows(rows: Sequence[ReferredObject], labeller: SpacyWordTypes) -> Sequence[ReferredObject]:
    """The rows with word types for every expression; those that carry types keep their own."""
    labels = labeller.label(expression for row in rows if not row.word_types for expression in row.expressions)
    return stored_rows(
        row if row.word_types else dataclasses.replace(row, word_types=tuple(next(labels) for _ in row.expressions))
        for row in rows
    )
