"""Makes a vocabulary, and word embeddings for it.

The words come from the training expressions of prepared data (--data), or from an existing file such as the original
program's (--file), which is checked and copied. With --glove, a matrix of embeddings is made for them as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmpc.data.schema import ReferredObject
    from cmpc.data.vocabulary import Vocabulary
    from cmpc.interop.embeddings import WordEmbeddings


@dataclass
class Options:
    data: tuple[Path, ...] = ()
    """Prepared datasets whose words to collect."""
    file: Path | None = None
    """An existing vocabulary: one word a line, <pad> on the first."""
    out: Path | None = None
    """File to write the vocabulary to. May be left out with --file."""
    splits: tuple[str, ...] = ()
    """Splits to take the words from; by default those whose name begins with "train"."""
    minimum_count: int = 1
    """Leave out words that occur less often than this; the model reads them as <unk>."""
    glove: Path | None = None
    """GloVe text, such as glove.840B.300d.txt, from which to make embeddings."""
    common_words: int = 0
    """Also take so many words from the beginning of the GloVe text, which has the commonest first: a model then knows
    words that no training expression says, by their likeness to those that some do."""
    kind_words: bool = False
    """Also take the words that cmpc phrase has for kinds of things, whether or not these data show such things."""
    embeddings_out: Path | None = None
    """File to write the embeddings to (.npy, one row a word)."""
    seed: int = 0
    """Seed of the noise that words get which GloVe lacks."""


def run(options: Options) -> None:
    """Writes the vocabulary and the embeddings and prints what they hold."""
    from cmpc.data.vocabulary import Vocabulary
    from cmpc.interop.embeddings import save_matrix

    _check(options)
    if options.file is not None:
        vocabulary = Vocabulary.load(options.file)
    else:
        vocabulary = _collect(options.data, options.splits, options.minimum_count)
    if options.common_words and options.glove is not None:
        from cmpc.interop.embeddings import first_words

        vocabulary = vocabulary.with_words(first_words(options.glove, options.common_words))
    if options.kind_words:
        from cmpc.phrasing.kinds import all_words

        vocabulary = vocabulary.with_words(all_words())
    repeated = len(vocabulary) - len(vocabulary.ids)
    note = f" ({repeated} lines repeat a separator: its last line counts)" if repeated else ""
    embeddings = None if options.glove is None else _read_embeddings(vocabulary, options.glove, options.seed)
    if options.out is not None:
        vocabulary.save(options.out)
        print(f"{len(vocabulary):,} words written to {options.out}{note}")
    if embeddings is not None and options.glove is not None and options.embeddings_out is not None:
        save_matrix(options.embeddings_out, embeddings.matrix)
        words, channels = embeddings.matrix.shape
        print(
            f"{embeddings.found:,} of {embeddings.words:,} words found in {options.glove.name}; "
            f"{words:,} x {channels} embeddings written to {options.embeddings_out}"
        )


def _check(options: Options) -> None:
    from cmpc.errors import UsageError

    if bool(options.data) == (options.file is not None):
        raise UsageError("give either --data with prepared datasets or --file with a vocabulary.")
    if (options.glove is None) != (options.embeddings_out is None):
        raise UsageError("--glove and --embeddings-out go together.")
    if options.out is None and (options.file is None or options.glove is None):
        raise UsageError("give the file to write the vocabulary to with --out.")
    if options.embeddings_out is not None and options.embeddings_out.suffix != ".npy":
        raise UsageError("the name given with --embeddings-out must end in .npy.")
    if options.common_words < 0 or (options.common_words and options.glove is None):
        raise UsageError("--common-words is a number of words of the file that --glove gives.")
    if options.kind_words and options.file is not None:
        raise UsageError("--kind-words adds to the words of --data and means nothing with --file.")
    if options.minimum_count < 1:
        raise UsageError("--minimum-count must be at least 1.")
    if options.seed < 0:
        raise UsageError("--seed must not be negative.")
    if options.file is not None and (options.splits or options.minimum_count > 1):
        raise UsageError("--splits and --minimum-count choose words of --data and mean nothing with --file.")


def _collect(folders: Sequence[Path], splits: Sequence[str], minimum_count: int) -> Vocabulary:
    from cmpc.data.schema import PreparedDataset
    from cmpc.data.vocabulary import Vocabulary
    from cmpc.errors import UsageError, UserError

    read: list[Sequence[ReferredObject]] = []
    for folder in folders:
        dataset = PreparedDataset.open(folder)
        chosen = splits or [split for split in dataset.splits if split.startswith("train")]
        if not chosen:
            raise UsageError(f"{folder} has no training split; choose from {', '.join(dataset.splits)} with --splits.")
        read += [dataset.read(split) for split in chosen]

    def expressions() -> Iterator[str]:
        return (text for rows in read for row in rows for text in row.expressions)

    vocabulary = Vocabulary.from_expressions(expressions(), minimum_count)
    plain = Vocabulary.from_expressions(expressions(), minimum_count, "plain")  # whose signs are other words
    vocabulary = vocabulary.with_words(plain.words)
    if len(vocabulary) == len(Vocabulary.from_expressions([])):
        raise UserError(f"no word occurs {minimum_count:,} times: give a smaller --minimum-count.")
    return vocabulary


def _read_embeddings(vocabulary: Vocabulary, glove: Path, seed: int) -> WordEmbeddings:
    from cmpc.cli.progress import progress_bar
    from cmpc.interop.embeddings import read_glove

    with progress_bar("bytes") as progress:
        task = progress.add_task("reading GloVe", total=glove.stat().st_size if glove.is_file() else None)
        return read_glove(glove, vocabulary, seed=seed, advance=lambda count: progress.advance(task, count))
